"""Linear resampling along one axis, as a small matrix.

Two grids over the same field of view share their outer edges: sample i of n covers
[i, i + 1) / n of it. Interpolation is separable, so a box of a volume is resampled by one small
matrix an axis, and no whole volume is ever held in floating point.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def positions(start: int, stop: int, n_from: int, n_to: int) -> NDArray[np.float64]:
    """Place the samples start..stop of an axis with `n_to` samples on an axis with `n_from`."""
    return np.asarray((np.arange(start, stop) + 0.5) * (n_from / n_to) - 0.5, dtype=np.float64)


def interpolation(
    at: NDArray[np.float64], n: int, scale: float = 1.0
) -> tuple[int, int, NDArray[np.float32]]:
    """Weights that interpolate an axis of `n` samples at some positions.

    Parameters
    ----------
    at : ndarray
        Positions in samples; those outside are taken from the nearest end.
    n : int
        Samples of the axis.
    scale : float
        Distance between the positions. Above 1 the kernel widens with it, so that shrinking
        averages instead of skipping samples.

    Returns
    -------
    low, high : int
        The samples [low, high) that are needed.
    weights : ndarray
        Shape (len(at), high - low); rows sum to 1.
    """
    reach = max(1.0, scale)
    centre = np.clip(at, 0, n - 1)
    low = max(0, int(np.floor(centre.min() - reach)) + 1)
    high = min(n, int(np.ceil(centre.max() + reach)))
    distance = np.abs(centre[:, None] - np.arange(low, high)[None]) / reach
    weights = np.maximum(0.0, 1.0 - distance)
    return low, high, (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def along(
    array: NDArray[np.float32], axis: int, weights: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Apply weights (m, n) along an axis of length n."""
    return np.moveaxis(np.tensordot(weights, array, axes=(1, axis)), 0, axis)
