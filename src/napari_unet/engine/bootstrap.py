"""How far a Dice can be trusted, and whether one is better than another: resampling of slices."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

FEWEST = 3
"""Held-out slices below which nothing is claimed."""
_RESAMPLES = 2000
_SEED = 0

Counts = NDArray[Any]
"""Shape (slices, measures, 2): twice the voxels in common, and the voxels of both sides together."""


def interval(counts: Counts) -> tuple[float, float] | None:
    """95 % confidence interval of the mean Dice over the measures, None with fewer than three slices.

    Slices are drawn with replacement and their counts pooled (Efron 1979). Percentiles of a handful of
    slices can't reach beyond the worst of them, so the interval is Student's t with the standard error
    of the bootstrap, widened by sqrt(n / (n - 1)) (Hesterberg 2015, "What teachers should know about
    the bootstrap"), and cut to what is possible.

    Parameters
    ----------
    counts : ndarray
        Of the slices.
    """
    if len(counts) < FEWEST:
        return None
    low, high = _around(_means, counts, 0.95)
    return max(low, 0.0), min(high, 1.0)


def difference(new: Counts, base: Counts) -> tuple[float, float] | None:
    """90 % confidence interval of by how much a mean Dice is above another's on the same slices.

    Both are taken over the same resamples of slices, so that a hard slice is hard for both. The
    lower end is what the difference exceeds with 95 % confidence.

    Parameters
    ----------
    new, base : ndarray
        Counts of the same slices and measures, in the same order.
    """
    if len(new) < FEWEST:
        return None
    measures = new.shape[1]
    both = np.concatenate([new, base], axis=1)
    return _around(
        lambda counts: _means(counts[..., :measures, :]) - _means(counts[..., measures:, :]),
        both,
        0.9,
    )


def pooled(counts: Counts) -> NDArray[np.float64]:
    """Dice of each measure over all slices together; not a number where it occurs on neither side."""
    return np.asarray(_dice(counts.sum(axis=0)))


def _resampled(counts: Counts) -> Counts:
    """Pool the counts of slices drawn with replacement: shape (resamples, measures, 2)."""
    n = len(counts)
    weights = np.random.default_rng(_SEED).multinomial(n, np.full(n, 1 / n), _RESAMPLES)
    return np.asarray(np.tensordot(weights.astype(float), counts.astype(float), axes=1))


def _dice(counts: Counts) -> NDArray[np.float64]:
    hit, total = counts[..., 0].astype(np.float64), counts[..., 1]
    return np.asarray(np.divide(hit, total, out=np.full(hit.shape, np.nan), where=total > 0))


def _means(counts: Counts) -> NDArray[np.float64]:
    """Mean over the measures that occur; 0 where none does."""
    dice = _dice(counts)
    there = ~np.isnan(dice)
    return np.asarray(np.nansum(dice, axis=-1) / np.maximum(there.sum(axis=-1), 1))


def _around(
    statistic: Callable[[Counts], NDArray[np.float64]], counts: Counts, confidence: float
) -> tuple[float, float]:
    """Interval around what a statistic of pooled counts says of all slices."""
    n = len(counts)
    error = float(np.std(statistic(_resampled(counts)))) * math.sqrt(n / (n - 1))
    reach = float(stats.t.ppf((1 + confidence) / 2, n - 1)) * error
    middle = float(statistic(counts.sum(axis=0)))
    return middle - reach, middle + reach
