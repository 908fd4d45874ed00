"""Choosing among slices: where the structure ends, and unsure, changed, far from what is known.

Numbers of slices only, so that the window too ranks anew whenever a slice is marked.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.suggestion import Suggestion, Survey

LUCK = 0.2
"""Share of chance in a slice's merit: a model that is sure and wrong never asks."""
_STRAY = 0.02
"""Share of what the fullest slice shows, up to which a slice counts as empty."""


def suggestions(
    survey: Survey,
    known: Mapping[int, bool],
    count: int,
    seed: int,
    passed: Collection[int] = (),
) -> tuple[Suggestion, ...]:
    """Rank the slices that were computed in full, and say why each was chosen.

    First come slices beyond both ends of the structure (see `ends`), then those that are `ranked`;
    `spread` where nothing is doubtful, above all because no model was asked.

    Parameters
    ----------
    survey : Survey
        What the model says about each slice.
    known : mapping of int to bool
        Slices that are annotated, and whether they show anything but background.
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
    edge = dict(ends(survey.found, free, known)[:count])
    free[list(edge)] = False
    taken, left = [*known, *passed, *edge], count - len(edge)
    others = ranked(merit, free, taken, left, seed) if merit.any() else spread(free, taken, left)
    found = []
    for index, score in [*((i, 1.0) for i in edge), *others]:
        suggestion = Suggestion(
            index,
            score,
            float(uncertainty[index]),
            float(away[index]) if known else None,
            f"{edge.get(index, survey.causes[index])}; {_where(float(away[index]), survey.unit)}",
            None if change is None else float(change[index]),
        )
        found.append(suggestion)
    return tuple(found)


def ends(
    found: Sequence[int], free: NDArray[np.bool_], known: Mapping[int, bool]
) -> list[tuple[int, str]]:
    """Return a slice beyond each end of the structure where no empty one is annotated, and why.

    A network that was never shown where a structure ends finds it there too: see benchmarks/RESULTS.md.
    The slice is the nearest one from which on the model finds nothing; where it finds something up
    to the last slice, that one. If it turns out to show something, the next one lies farther out.

    Parameters
    ----------
    found : sequence of int
        Voxels of each slice that the model takes for something.
    free : ndarray of bool
        Which slices may be chosen.
    known : mapping of int to bool
        Slices that are annotated, and whether they show anything.

    Returns
    -------
    list of (int, str)
        At most one slice a side, the one farther from the structure first.
    """
    shown = [i for i, shows in known.items() if shows]
    if not shown:
        return []
    counts = np.asarray(found)
    filled = counts > _STRAY * counts.max()
    sides = [
        (min(shown), range(min(shown) - 1, -1, -1), "begins"),
        (max(shown), range(max(shown) + 1, len(free)), "ends"),
    ]
    chosen = []
    for last, beyond, verb in sides:
        outwards = [i for i in beyond if free[i]]
        if not outwards or any(i in beyond and not shows for i, shows in known.items()):
            continue
        clear = max((n for n, i in enumerate(outwards) if filled[i]), default=-1) + 1
        index = outwards[min(clear, len(outwards) - 1)]
        chosen.append((abs(index - last), index, f"teaches where the structure {verb}"))
    return [(index, why) for _, index, why in sorted(chosen, reverse=True)]


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
