"""Telling touching objects apart: three classes to learn, a watershed to read them back.

Each object is split into its interior and a border one voxel wide, so that the interiors of touching
objects never touch. Three classes with a border gave the
U-Net .806 AP@0.5 on nuclei against .674 with two (Schmidt et al. 2018, table 1).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import watershed

from napari_unet.core.spec import BORDER, INTERIOR
from napari_unet.engine.seeds import seeds, sizes

RIM = 0.4
"""Depth up to which a voxel of an object is its border; see benchmarks/RESULTS.md."""
_SMOOTHING = 1.0
"""Voxels of Gaussian smoothing before seeds are taken; see benchmarks/RESULTS.md."""
_LEAST = 0.2
"""Share of the size of a typical object from which what has no seed is one; see benchmarks/RESULTS.md."""


def depths(
    ids: NDArray[np.integer[Any]], dims: int, spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)
) -> NDArray[np.float32]:
    """Measure how deep voxels lie in their objects: 0 on the outermost, 1 on the deepest.

    Parameters
    ----------
    ids : ndarray of int
        Shape (z, y, x); 0 is background.
    dims : int
        With 2, slices are planes of their own.
    spacing : tuple of float
        Voxel size (z, y, x), any unit.
    """
    if dims == 2 and ids.shape[0] > 1:
        return np.concatenate([depths(plane, 2, spacing) for plane in ids[:, None]])
    outermost = np.zeros(ids.shape, np.bool_)
    for axis in range(3):
        before = (slice(None),) * axis + (slice(None, -1),)
        after = (slice(None),) * axis + (slice(1, None),)
        differs = ids[before] != ids[after]
        outermost[before] |= differs
        outermost[after] |= differs
    inside = (ids > 0) & ~outermost
    if inside.all():  # one object fills all there is: it has no edge to be near to
        return np.ones(ids.shape, np.float32)
    distance = ndimage.distance_transform_edt(inside, sampling=spacing)
    names, where = np.unique(ids, return_inverse=True)
    deepest = ndimage.maximum(distance, where.reshape(ids.shape), np.arange(names.size))
    scale = np.maximum(deepest, np.finfo(np.float32).tiny)[where.reshape(ids.shape)]
    return np.asarray(distance / scale, dtype=np.float32)


def border_classes(inside: NDArray[np.bool_], depth: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Turn objects into background, interior and border, a rim in proportion to their size.

    Parameters
    ----------
    inside : ndarray of bool
        Where any object is.
    depth : ndarray of float32
        Of the same shape, from `depths`.
    """
    deep = np.where(depth > RIM, INTERIOR, BORDER)
    return np.where(inside, deep, 0).astype(np.uint8)


def objects(probabilities: NDArray[np.floating[Any]]) -> NDArray[np.uint32]:
    """Find the objects in the three probabilities.

    Seeds (`seeds.seeds`) grow by watershed over all that is not background. What is left without a seed, for
    the border of a small object may leave no room for an interior, is an object unless it is
    small beside the others.

    Parameters
    ----------
    probabilities : ndarray
        Background, interior and border, shape (3, z, y, x).

    Returns
    -------
    ndarray of uint32
        Object ids 1, 2, ... and 0 for background, shape (z, y, x).
    """
    flat = probabilities.shape[1] == 1
    sigma = (0 if flat else _SMOOTHING, _SMOOTHING, _SMOOTHING)
    interior = ndimage.gaussian_filter(probabilities[INTERIOR].astype(np.float32), sigma)
    # Not "background < 0.5": where nothing was computed all three are 0, and no object may grow.
    inside = probabilities[INTERIOR] + probabilities[BORDER] > 0.5
    found = watershed(-interior, seeds(interior), mask=inside)
    rest, _ = ndimage.label(inside & (found == 0))
    seeded, left = sizes(found), sizes(rest)
    if left.size:
        seeded = seeded[seeded > 0]
        typical = np.median(seeded) if seeded.size else left.max()
        large = np.append([False], left >= _LEAST * typical)
        found = np.where(large[rest], rest + found.max(), found)
    return _renumbered(found)


def components(labels: NDArray[np.integer[Any]]) -> NDArray[np.uint32]:
    """Give each connected piece of each class an id of its own."""
    out = np.zeros(labels.shape, np.uint32)
    count = 0
    for label in np.unique(labels[labels > 0]):
        pieces, found = ndimage.label(labels == label)
        out[pieces > 0] = pieces[pieces > 0] + count
        count += found
    return out


def _renumbered(ids: NDArray[np.integer[Any]]) -> NDArray[np.uint32]:
    _, inverse = np.unique(np.append(0, ids), return_inverse=True)
    return inverse[1:].reshape(ids.shape).astype(np.uint32)
