"""Islands too small to be meant, and holes that were forgotten."""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from skimage.measure import label as connected

from napari_unet.edit.delta import Delta, Ids, box_of, having


def remove_islands(
    labels: Ids, ids: tuple[int, ...], smaller_than: float, spacing: tuple[float, ...]
) -> Delta:
    """Turn connected pieces below a size into background.

    Parameters
    ----------
    labels : ndarray of int
        Shape (z, y, x) or (y, x).
    ids : tuple of int
        Whose pieces; voxels of one piece share their id and a face.
    smaller_than : float
        Volume, or area in 2D, in cubes or squares of the spacing's unit.
    spacing : tuple of float
        Of the array's axes.
    """
    mask = having(labels, ids)
    at = box_of(mask)
    if at is None:
        return Delta.none(labels)
    before = labels[at]
    pieces = connected(np.where(mask[at], before, 0), connectivity=1)
    small = np.bincount(pieces.reshape(-1)) * np.prod(spacing) < smaller_than
    small[0] = False
    return Delta(at, before, np.where(small[pieces], 0, before).astype(labels.dtype))


def fill_holes(
    labels: Ids, ids: tuple[int, ...], smaller_than: float, spacing: tuple[float, ...]
) -> Delta:
    """Fill enclosed background below a size with the id that encloses most of it.

    Parameters
    ----------
    labels : ndarray of int
        Shape (z, y, x) or (y, x).
    ids : tuple of int
        Which ids may fill; a hole enclosed by another one stays.
    smaller_than : float
        Volume, or area in 2D, in cubes or squares of the spacing's unit.
    spacing : tuple of float
        Of the array's axes.
    """
    at = box_of(having(labels, ids))
    if at is None:
        return Delta.none(labels)
    before = labels[at]
    after = before.copy()
    holes, _ = ndimage.label(before == 0)
    sizes = np.bincount(holes.reshape(-1)) * np.prod(spacing)
    open_ones = {int(n) for side in _sides(holes) for n in np.unique(side)}
    for number, box in enumerate(ndimage.find_objects(holes), start=1):
        if number in open_ones or sizes[number] >= smaller_than:
            continue
        around = tuple(slice(max(s.start - 1, 0), s.stop + 1) for s in box)
        hole = holes[around] == number
        rim = ndimage.binary_dilation(hole) & ~hole
        found, counts = np.unique(before[around][rim], return_counts=True)
        filler = int(found[counts.argmax()])
        if filler in ids:
            after[around][hole] = filler
    return Delta(at, before, after)


def _sides(array: Ids) -> list[Ids]:
    """Return the outermost layers of an array."""
    return [np.asarray(array.take(i, axis)) for axis in range(array.ndim) for i in (0, -1)]
