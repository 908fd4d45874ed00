"""Where objects begin: one seed each, from the probability of being well inside one."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

LEVELS = (0.5, 0.7, 0.9)
"""Probabilities above which an interior is looked at; see benchmarks/RESULTS.md."""
_SMALLEST = 5
"""Voxels below which a seed is noise."""


def seeds(interior: NDArray[np.float32]) -> NDArray[np.int32]:
    """Find a seed for each object.

    What lies above the lowest of `LEVELS` is a seed. If it falls into several pieces above a higher one,
    it is as many objects that touch, for which a network that is not sure leaves a saddle and no gap.

    Parameters
    ----------
    interior : ndarray of float32
        Probability of each voxel to lie inside an object and not on its border, smoothed.

    Returns
    -------
    ndarray of int32
        Of the same shape; 0 where no seed is.
    """
    found, _ = _pieces(interior, LEVELS[0])
    for level in LEVELS[1:]:
        pieces, ids = _pieces(interior, level)
        if not ids.size:
            break
        within = ndimage.maximum(found, pieces, ids).astype(np.int64)
        split = np.bincount(within, minlength=int(found.max()) + 1) > 1
        found[split[found]] = 0
        apart = np.zeros(ids.max() + 1, np.bool_)
        apart[ids[split[within]]] = True
        new = apart[pieces]
        found[new] = pieces[new] + found.max()
    return found


def sizes(ids: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """Count the voxels of each id from 1 on; 0 for those that are not there."""
    return np.bincount(ids.ravel())[1:].astype(np.int64)


def _pieces(
    interior: NDArray[np.float32], level: float
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Find the connected pieces above a level, and the ids of those that are no noise."""
    pieces, count = ndimage.label(interior > level)
    large = np.zeros(count + 1, np.bool_)
    large[1:] = sizes(pieces) >= _SMALLEST
    return np.where(large[pieces], pieces, 0), np.flatnonzero(large)
