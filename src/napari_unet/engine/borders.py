"""The weight map of 2015: what lies between two near objects counts more (Ronneberger et al., eq. 2)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_unet.engine.instances import components

HEIGHT, WIDTH = 10.0, 5.0
"""w0, and sigma in voxels, of the paper."""
_REACH = 4 * WIDTH
"""Voxels from an object at which the weight is as good as zero."""


def ridges(
    ids: NDArray[np.integer[Any]], dims: int, spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)
) -> NDArray[np.float32]:
    """Return exp(-(d1 + d2)^2 / (2 sigma^2)), from the distances to the two nearest objects.

    The distance to an object is zero inside it. So of touching objects, between which there is no
    background, the voxels on both sides count most.

    Parameters
    ----------
    ids : ndarray of int
        Shape (z, y, x); 0 is background.
    dims : int
        With 2, slices are planes of their own.
    spacing : tuple of float
        Voxel size (z, y, x), any unit; the finest one is the voxel that distances are told in.

    Returns
    -------
    ndarray of float32
        Of the same shape: 1 where two objects would meet, 0 where there is no second one near.
    """
    if dims == 2 and ids.shape[0] > 1:
        return np.concatenate([ridges(plane, 2, spacing) for plane in ids[:, None]])
    sampling = np.array(spacing) / min(spacing[-dims:])
    reach = [math.ceil(_REACH / s) for s in sampling]
    _, numbers = np.unique(np.append(ids.dtype.type(0), ids), return_inverse=True)
    numbers = numbers[1:].reshape(ids.shape)
    nearest, second = (np.full(ids.shape, np.inf, np.float32) for _ in range(2))
    for number, box in enumerate(ndimage.find_objects(numbers), 1):
        wide = tuple(
            slice(max(0, b.start - r), b.stop + r) for b, r in zip(box, reach, strict=True)
        )
        away = ndimage.distance_transform_edt(numbers[wide] != number, sampling=sampling)
        np.minimum(second[wide], np.maximum(nearest[wide], away), out=second[wide])
        np.minimum(nearest[wide], away, out=nearest[wide])
    return np.asarray(np.exp(-((nearest + second) ** 2) / (2 * WIDTH**2)), dtype=np.float32)


def pieces(labels: NDArray[np.integer[Any]], dims: int) -> NDArray[np.uint32]:
    """Give each connected piece of each class an id, in 2D slice by slice: the objects of classes."""
    if dims == 3 or labels.shape[0] == 1:
        return components(labels)
    return np.concatenate([components(plane) for plane in labels[:, None]])
