"""Growing, shrinking and smoothing, by distances in space."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_unet.edit.delta import Delta, Ids, Mask, box_of, having, voxels

_SLACK = 1e-6
"""Distances are sums of squares of floats; a voxel exactly as far as asked belongs to it."""
_REACH = 3.0
"""Standard deviations after which a Gaussian counts as nothing."""
_FEW = 8
"""More ids than this are found in one pass, which takes memory."""


def grow(labels: Ids, ids: tuple[int, ...], distance: float, spacing: tuple[float, ...]) -> Delta:
    """Grow ids into the background around them; where two meet, each takes what is nearer to it.

    Parameters
    ----------
    labels : ndarray of int
        Shape (z, y, x) or (y, x).
    ids : tuple of int
        Which ones grow. No other label gives way.
    distance : float
        How far, in the spacing's unit.
    spacing : tuple of float
        Of the array's axes.
    """
    mask = having(labels, ids)
    at = box_of(mask, voxels(distance, spacing))
    if at is None:
        return Delta.none(labels)
    before = labels[at]
    away, nearest = ndimage.distance_transform_edt(~mask[at], sampling=spacing, return_indices=True)
    reached = (before == 0) & (away <= distance + _SLACK)
    return Delta(at, before, np.where(reached, before[tuple(nearest)], before))


def shrink(labels: Ids, ids: tuple[int, ...], distance: float, spacing: tuple[float, ...]) -> Delta:
    """Turn what lies within a distance of an id's surface into background.

    A surface is where another label begins, background or not; the edge of the image is none.

    Parameters
    ----------
    labels : ndarray of int
        Shape (z, y, x) or (y, x).
    ids : tuple of int
        Which ones shrink.
    distance : float
        How far, in the spacing's unit, counted from the nearest voxel outside.
    spacing : tuple of float
        Of the array's axes.
    """
    at = box_of(having(labels, ids), 1)
    if at is None:
        return Delta.none(labels)
    before = labels[at]
    after = before.copy()
    for one, box in _boxes(before, ids, (1,) * labels.ndim):
        mask = before[box] == one
        if mask.all():
            continue
        inside = ndimage.distance_transform_edt(mask, sampling=spacing)
        after[box][mask & (inside <= distance + _SLACK)] = 0
    return Delta(at, before, after)


def smooth(labels: Ids, ids: tuple[int, ...], radius: float, spacing: tuple[float, ...]) -> Delta:
    """Smooth surfaces: each voxel takes the id of which there is most around it.

    "Around" is a Gaussian with `radius` as its standard deviation. Details below that size go, and
    ids that are neighbours stay neighbours, without gaps or overlaps.

    Parameters
    ----------
    labels : ndarray of int
        Shape (z, y, x) or (y, x).
    ids : tuple of int
        Which ones are smoothed, against each other and the background. No other label changes.
    radius : float
        In the spacing's unit.
    spacing : tuple of float
        Of the array's axes.
    """
    mask = having(labels, ids)
    margin = voxels(_REACH * radius, spacing)
    at = box_of(mask, margin)
    if at is None or radius <= 0:
        return Delta.none(labels)
    before = labels[at]
    free = mask[at] | (before == 0)
    share = _blurred(free & (before == 0), radius, spacing)  # of the background
    after = np.where(free, 0, before).astype(labels.dtype)
    for one, box in _boxes(before, ids, margin):
        mine = _blurred(before[box] == one, radius, spacing)
        wins = free[box] & (mine > share[box])
        share[box][wins] = mine[wins]
        after[box][wins] = one
    return Delta(at, before, after)


def _blurred(mask: Mask, radius: float, spacing: tuple[float, ...]) -> NDArray[np.float32]:
    sigma = [radius / s for s in spacing]
    blurred: NDArray[np.float32] = ndimage.gaussian_filter(
        mask.astype(np.float32), sigma, truncate=_REACH, mode="nearest"
    )
    return blurred


def _boxes(
    labels: Ids, ids: tuple[int, ...], margin: tuple[int, ...]
) -> list[tuple[int, tuple[slice, ...]]]:
    """Return each id that occurs with a box around it, widened by a margin."""
    if len(ids) <= _FEW:
        found = [(one, box_of(labels == one, margin)) for one in ids]
        return [(one, box) for one, box in found if box is not None]
    # Ids may be as large as they like, and find_objects takes room for all up to the largest.
    there, numbers = np.unique(labels, return_inverse=True)
    boxes = ndimage.find_objects(numbers.reshape(labels.shape) + 1)
    where = dict(zip(there.tolist(), boxes, strict=True))
    wide = []
    for one in ids:
        box = where.get(one)
        if box is not None:
            sides = zip(box, margin, strict=True)
            wide.append((one, tuple(slice(max(s.start - m, 0), s.stop + m) for s, m in sides)))
    return wide
