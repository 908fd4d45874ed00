"""Slices between two annotated ones, filled with the shapes between theirs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_unet.edit.delta import Delta, Ids, Mask, box_of, having


def fill_between(
    labels: Ids,
    ids: tuple[int, ...],
    slices: Sequence[int],
    spacing: tuple[float, ...],
    *,
    axis: int = 0,
    whole: Collection[int] = (),
) -> Delta:
    """Fill the slices between annotated ones by shape-based interpolation.

    Each shape becomes its signed distance to the outline, distances are interpolated linearly, and
    what comes out positive is filled (Raya and Udupa 1990, doi:10.1109/42.52980). Shapes that do
    not overlap are first moved onto each other, so that a vessel may run aslant. Where one of the
    two slices has nothing, the shape of the other ends halfway.

    Parameters
    ----------
    labels : ndarray of int
        Shape (z, y, x).
    ids : tuple of int
        What is filled; other labels stay where they are.
    slices : sequence of int
        The annotated slices along `axis`. An id does not change on those that show it.
    spacing : tuple of float
        Of the array's axes.
    axis : int
        Along which slices lie.
    whole : collection of int
        Those of `slices` that are right in full: an id that they lack is not there. On the others
        an id counts only where it was painted.
    """
    stack = np.moveaxis(labels, axis, 0)
    plane = tuple(s for a, s in enumerate(spacing) if a != axis)
    if labels.ndim != 3 or len(set(slices)) < 2:
        return Delta.none(labels)
    first, last = min(slices), max(slices)
    flat = box_of(np.asarray(having(stack[first : last + 1], ids).any(axis=0)), 1)
    if flat is None:
        return Delta.none(labels)
    before = stack[(slice(first, last + 1), *flat)]
    after = before.copy()
    anchors: dict[int, list[int]] = {}
    for one in ids:
        shown = [s for s in sorted(set(slices)) if s in whole or (before[s - first] == one).any()]
        anchors[one] = shown
        for low, high in pairwise(shown):
            gap = slice(low + 1 - first, high - first)
            after[gap][before[gap] == one] = 0
    free = after == 0
    best = np.zeros(before.shape, dtype=np.float32)
    for one, shown in anchors.items():
        for low, high in pairwise(shown):
            shapes = (before[low - first] == one, before[high - first] == one)
            for index, depth in _between(*shapes, high - low, plane):
                at = low - first + index
                wins = (depth > best[at]) & free[at]
                best[at][wins] = depth[wins]
                after[at][wins] = one
    box = [slice(first, last + 1), *flat]
    sides = box[1:]
    sides.insert(axis, box[0])
    return Delta(tuple(sides), np.moveaxis(before, 0, axis), np.moveaxis(after, 0, axis))


def _between(
    low: Mask, high: Mask, steps: int, spacing: tuple[float, ...]
) -> list[tuple[int, NDArray[np.float32]]]:
    """Return, for each slice between two shapes, how deep each pixel lies in the shape there."""
    if steps < 2 or not (low.any() or high.any()):
        return []
    apart = low.any() and high.any() and not (low & high).any()
    move = _centre(high) - _centre(low) if apart else np.zeros(low.ndim)
    room = [(n, n) for n in np.ceil(np.abs(move)).astype(int)]
    below, above = (_depth(np.pad(shape, room), spacing) for shape in (low, high))
    if not low.any():
        below = np.full_like(above, -above.max())
    if not high.any():
        above = np.full_like(below, -below.max())
    inside = tuple(slice(a, a + n) for (a, _), n in zip(room, low.shape, strict=True))
    found = []
    for index in range(1, steps):
        share = index / steps
        near = ndimage.shift(below, share * move, order=1, mode="nearest") if apart else below
        far = ndimage.shift(above, (share - 1) * move, order=1, mode="nearest") if apart else above
        found.append((index, ((1 - share) * near + share * far)[inside]))
    return found


def _depth(shape: Mask, spacing: tuple[float, ...]) -> NDArray[np.float32]:
    """Return the distance to the outline, negative outside, in the spacing's unit."""
    if not shape.any():
        return np.zeros(shape.shape, np.float32)
    inner = ndimage.distance_transform_edt(np.pad(shape, 1), sampling=spacing)
    core = (slice(1, -1),) * shape.ndim
    outer = ndimage.distance_transform_edt(~shape, sampling=spacing)
    # The outline runs halfway between the last pixel inside and the first outside.
    half = 0.5 * min(spacing)
    depth: NDArray[np.float32] = np.where(shape, inner[core] - half, half - outer)
    return depth.astype(np.float32)


def _centre(shape: Mask) -> NDArray[np.float64]:
    return np.array(ndimage.center_of_mass(shape))
