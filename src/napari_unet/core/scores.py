"""How well labels agree with a reference: overlap of classes, and matches of objects.

A class or object that neither side has can't be scored, so it is left out of the answer instead of
counting as perfect or as worthless.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.integer[Any]]

MEASURES = ("dice", "iou", "hd95", "assd")
"""What a class is scored by: two overlaps (0..1), two distances between surfaces."""

AP_THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)
"""The IoU thresholds that average precision is reported at."""


def dice(
    pred: Labels, ref: Labels, ids: Iterable[int], known: NDArray[np.bool_] | None = None
) -> dict[int, float]:
    """Dice overlap of each class: ``2 |P and R| / (|P| + |R|)``.

    Parameters
    ----------
    pred, ref : ndarray of int
        Class ids, of one shape.
    ids : iterable of int
        The classes to score.
    known : ndarray of bool, optional
        Same shape; only these voxels count.

    Returns
    -------
    dict of int to float
        0..1 for each id; an id that occurs on neither side is left out.
    """
    return {i: 2 * both / total for i, (both, total) in _overlaps(pred, ref, ids, known).items()}


def iou(
    pred: Labels, ref: Labels, ids: Iterable[int], known: NDArray[np.bool_] | None = None
) -> dict[int, float]:
    """Intersection over union of each class; parameters and result as for `dice`."""
    overlaps = _overlaps(pred, ref, ids, known)
    return {i: both / (total - both) for i, (both, total) in overlaps.items()}


def average_precision(
    pred: Labels, ref: Labels, thresholds: Sequence[float] = AP_THRESHOLDS
) -> dict[float, float]:
    """Share of objects that match one to one: ``TP / (TP + FP + FN)``.

    Two objects match where their IoU is above the threshold. From 0.5 on no object can have two
    such partners, so counting pairs of ids is enough.

    Parameters
    ----------
    pred, ref : ndarray of int
        Object ids of one shape; 0 is background.
    thresholds : sequence of float
        0.5 or more.

    Returns
    -------
    dict of float to float
        0..1 for each threshold; empty when neither side has an object.

    Raises
    ------
    ValueError
        For a threshold below 0.5.
    """
    if any(t < 0.5 for t in thresholds):
        raise ValueError(f"Matches are unique from an IoU of 0.5 on, not at {min(thresholds)}.")
    pred_ids, pred_index, pred_sizes = _compact(pred)
    ref_ids, ref_index, ref_sizes = _compact(ref)
    objects = np.count_nonzero(pred_ids) + np.count_nonzero(ref_ids)
    if not objects:
        return {}
    pairs, shared = np.unique(pred_index * ref_ids.size + ref_index, return_counts=True)
    p, r = pairs // ref_ids.size, pairs % ref_ids.size
    overlap = shared / (pred_sizes[p] + ref_sizes[r] - shared)
    overlap = overlap[(pred_ids[p] != 0) & (ref_ids[r] != 0)]
    matches = {t: int(np.count_nonzero(overlap > t)) for t in thresholds}
    # TP + FP + FN: every object of both sides, each match counted once.
    return {t: n / (objects - n) for t, n in matches.items()}


def mean(values: Iterable[float | None]) -> float | None:
    """Mean of what could be scored; None when nothing could."""
    scored = [v for v in values if v is not None]
    return float(np.mean(scored)) if scored else None


def _overlaps(
    pred: Labels, ref: Labels, ids: Iterable[int], known: NDArray[np.bool_] | None
) -> dict[int, tuple[int, int]]:
    """Voxels of each id on both sides, and the sum of the two sides, where that is not 0."""
    if known is not None:
        pred, ref = pred[known], ref[known]
    both, in_pred, in_ref = _counts(pred[pred == ref]), _counts(pred), _counts(ref)
    totals = {i: in_pred.get(i, 0) + in_ref.get(i, 0) for i in ids}
    return {i: (both.get(i, 0), total) for i, total in totals.items() if total}


def _counts(labels: Labels) -> dict[int, int]:
    ids, counts = np.unique(labels, return_counts=True)
    return {int(i): int(n) for i, n in zip(ids, counts, strict=True)}


def _compact(labels: Labels) -> tuple[Labels, NDArray[np.intp], NDArray[np.intp]]:
    """Ids that occur, each voxel's index into them (flat), and the size of each."""
    ids, index, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    return ids, index.ravel(), sizes
