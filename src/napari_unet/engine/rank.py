"""Choosing among slices: unsure, changed, far from what is known.

Numbers of slices only, so that the window too ranks anew whenever a slice is marked.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.suggestion import Suggestion, Survey

LUCK = 0.2
"""Share of chance in a slice's merit: a model that is sure and wrong never asks."""


def suggestions(
    survey: Survey,
    known: Collection[int],
    count: int,
    seed: int,
    passed: Collection[int] = (),
) -> tuple[Suggestion, ...]:
    """Rank the slices that were computed in full, and say why each was chosen.

    They are `ranked`, or `spread` where nothing is doubtful, above all because no model was asked.

    Parameters
    ----------
    survey : Survey
        What the model says about each slice.
    known : collection of int
        Slices that are annotated.
    count, seed : int
        See `ranked`.
    passed : collection of int
        Slices that are not wanted for the moment.
    """
    free = np.array(survey.computed)
    free[[*known, *passed]] = False
    uncertainty = _relative(survey.uncertainty, free)
    change = None if survey.change is None else _relative(survey.change, free)
    merit = uncertainty if change is None else (uncertainty + change) / 2
    away = distances(len(merit), known) * survey.spacing
    taken = [*known, *passed]
    best = ranked(merit, free, taken, count, seed) if merit.any() else spread(free, taken, count)
    found = []
    for index, score in best:
        suggestion = Suggestion(
            index,
            score,
            float(uncertainty[index]),
            float(away[index]) if known else None,
            f"{survey.causes[index]}; {_where(float(away[index]), survey.unit)}",
            None if change is None else float(change[index]),
        )
        found.append(suggestion)
    return tuple(found)


def _relative(values: Sequence[float], free: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Bring values to 1 in the free slice that has most, and leave the others out."""
    found = np.where(free, values, 0.0)
    return np.asarray(found / max(float(found.max(initial=0)), np.finfo(float).tiny))


def _where(distance: float, unit: str) -> str:
    if math.isinf(distance):
        return "no slice is annotated yet"
    length = f"{distance:.3g} {'voxels' if unit == 'pixel' else unit}"
    return f"{length} from the nearest annotated slice"


def ranked(
    doubt: NDArray[np.float64],
    free: NDArray[np.bool_],
    known: Collection[int],
    count: int,
    seed: int,
    luck: float = LUCK,
) -> list[tuple[int, float]]:
    """Choose slices one after the other, each far from those known and those chosen before it.

    A slice's score is its merit, doubt with a share of chance, times its novelty: its distance to the
    nearest slice that is known or chosen, over what it would be at most if those known and one more
    lay evenly; never more than 1. So a slice beside a known one is worth little however unsure the
    model is of it, unless many are known already.

    Parameters
    ----------
    doubt : ndarray of float
        Of each slice, 0..1.
    free : ndarray of bool
        Which slices may be chosen.
    known : collection of int
        Slices that are annotated.
    count : int
        How many to choose at most.
    seed : int
        Of the chance.
    luck : float
        Share of chance.

    Returns
    -------
    list of (int, float)
        Slices and their scores, in the order in which they were chosen.
    """
    merit = (1 - luck) * doubt + luck * np.random.default_rng(seed).random(len(doubt))
    free, taken = free.copy(), sorted(known)
    chosen: list[tuple[int, float]] = []
    even = len(doubt) / (2 * (len(taken) + 1))
    while len(chosen) < count and free.any():
        novelty = np.clip(distances(len(doubt), taken) / even, 0, 1)
        score = np.where(free, merit * novelty, -1.0)
        best = int(score.argmax())
        chosen.append((best, float(score[best])))
        free[best] = False
        taken.append(best)
    return chosen


def spread(free: NDArray[np.bool_], taken: Collection[int], count: int) -> list[tuple[int, float]]:
    """Choose slices one after the other, the middle first, then the farthest from those taken.

    Returns
    -------
    list of (int, float)
        Slices, and their distance to the nearest one taken as a share of what it can be.
    """
    free, known = free.copy(), list(taken)
    middle = np.abs(np.arange(len(free)) - (len(free) - 1) / 2)
    chosen: list[tuple[int, float]] = []
    while len(chosen) < count and free.any():
        away = distances(len(free), known) / len(free) if known else 1 - middle / len(free)
        best = int(np.where(free, away, -1.0).argmax())
        chosen.append((best, float(away[best])))
        free[best] = False
        known.append(best)
    return chosen


def distances(length: int, taken: Collection[int]) -> NDArray[np.float64]:
    """Return how many slices each slice is from the nearest one taken; infinite where none is."""
    if not taken:
        return np.full(length, np.inf)
    places, each = np.sort(list(taken)), np.arange(length)
    after = np.searchsorted(places, each)
    ahead = places[np.minimum(after, len(places) - 1)]
    behind = places[np.maximum(after - 1, 0)]
    return np.minimum(np.abs(ahead - each), np.abs(behind - each)).astype(np.float64)
