"""Objects that were taken for one, or for two."""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from skimage.morphology import local_maxima, reconstruction
from skimage.segmentation import watershed

from napari_unet.edit.delta import Delta, Ids, box_of, having
from napari_unet.errors import AnnotationError


def split(
    labels: Ids,
    ids: tuple[int, ...],
    neck: float,
    spacing: tuple[float, ...],
    *,
    within: Ids | None = None,
) -> Delta:
    """Cut objects at their necks, by a watershed of the distance to their surface.

    Parameters
    ----------
    labels : ndarray of int
        Object ids, shape (z, y, x) or (y, x).
    ids : tuple of int
        Which objects. The largest piece keeps the id, the others take the next free ones.
    neck : float
        Two bodies are two objects when the way between them is this much thinner, in radius, than
        the thinner one; in the spacing's unit.
    spacing : tuple of float
        Of the array's axes.
    within : ndarray of int, optional
        The volume that `labels` are a slice of: ids are free that nothing in it has.

    Raises
    ------
    AnnotationError
        When the labels' type holds no further ids.
    """
    at = box_of(having(labels, ids), 1)
    if at is None:
        return Delta.none(labels)
    before = labels[at]
    after = before.copy()
    free = int((labels if within is None else within).max()) + 1
    for one in ids:
        mask = before == one
        if not mask.any():
            continue
        depth = ndimage.distance_transform_edt(np.pad(mask, 1), sampling=spacing)
        flooded = reconstruction(depth - neck, depth)
        seeds, number = ndimage.label(
            local_maxima(flooded) & (depth > 0), np.ones((3,) * mask.ndim)
        )
        if number < 2:
            continue
        pieces = watershed(-depth, seeds, mask=depth > 0)[(slice(1, -1),) * mask.ndim]
        sizes = np.bincount(pieces.reshape(-1), minlength=number + 1)
        largest = int(sizes[1:].argmax()) + 1
        for piece in range(1, number + 1):
            if piece != largest and sizes[piece]:
                _require(labels, free)
                after[pieces == piece] = free
                free += 1
    return Delta(at, before, after)


def merge(labels: Ids, ids: tuple[int, ...], into: int) -> Delta:
    """Give objects or classes the id `into`.

    Raises
    ------
    AnnotationError
        When the labels' type can't hold it.
    """
    _require(labels, into)
    mask = having(labels, ids)
    at = box_of(mask)
    if at is None:
        return Delta.none(labels)
    before = labels[at]
    return Delta(at, before, np.where(mask[at], into, before).astype(labels.dtype))


def _require(labels: Ids, number: int) -> None:
    highest = int(np.iinfo(labels.dtype).max)
    if not 0 <= number <= highest:
        raise AnnotationError(
            f"Id {number} does not fit these labels, whose ids end at {highest}: convert the layer "
            "to 32 bits (right-click on it: Convert data type)."
        )
