"""What an image says about an outline, learned from the slices on which it is drawn."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Depth = NDArray[np.float32]

MOST = 4.0
"""Log odds that an image can give or take; where shapes are surer than that, they decide alone."""

_BINS, _BLUR = 32, 1.5
"""Bins of a histogram, and the standard deviation in bins that evens it out."""

_FEW = 5
"""Fewer voxels than this inside or outside teach nothing."""


def log_odds(image: NDArray[Any], depths: tuple[Depth, Depth], reach: float) -> Depth:
    """Say by how much each voxel's intensities are likelier inside a shape than outside.

    A naive Bayes classifier: in each channel, the intensities on either side of the outline, on the
    first and the last slice, make two histograms, and the logarithms of their ratios are added up.
    Bins hold equally many voxels, so neither the scale of the intensities nor outliers matter.

    Parameters
    ----------
    image : ndarray
        Shape (channels, slices, y, x), from one slice on which the shape is known to the other.
    depths : tuple of ndarray of float
        Shape (y, x) each: the distance to the outline on these two slices, negative outside.
    reach : float
        Up to how far from the outline voxels teach, in the unit of `depths`.

    Returns
    -------
    ndarray of float32
        Shape (slices - 2, y, x), within ±`MOST`; 0 where the image says nothing.
    """
    either = np.stack(depths)
    inside, outside = ((side > 0) & (side <= reach) for side in (either, -either))
    total = np.zeros((image.shape[1] - 2, *image.shape[2:]), np.float32)
    for channel in image:
        ends = channel[[0, -1]]
        within, without = (_finite(ends[mask]) for mask in (inside, outside))
        if min(within.size, without.size) < _FEW:
            continue
        both = np.concatenate([within, without])
        edges = np.unique(np.quantile(both, np.linspace(0, 1, _BINS + 1)[1:-1]))
        ratio = _shares(within, edges) - _shares(without, edges)
        between = channel[1:-1]
        said = ratio[np.searchsorted(edges, between, side="right")]
        total += np.where(np.isfinite(between), said, 0)
    return np.clip(total, -MOST, MOST)


def _finite(values: NDArray[Any]) -> NDArray[Any]:
    finite: NDArray[Any] = values[np.isfinite(values)]
    return finite


def _shares(values: NDArray[Any], edges: NDArray[Any]) -> Depth:
    """Return the logarithm of the share of the values that lies in each bin."""
    bins = np.searchsorted(edges, values, side="right")
    counts = np.bincount(bins, minlength=len(edges) + 1).astype(np.float32)
    even = ndimage.gaussian_filter1d(counts, _BLUR, mode="nearest") + 0.5
    shares: Depth = np.log(even / even.sum())
    return shares
