"""Choosing among slices: unsure, changed, and far from what is known already."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.grid import Grid
from napari_unet.core.spec import ModelSpec
from napari_unet.core.suggestion import Suggestion
from napari_unet.engine.doubt import Doubt

LUCK = 0.2
"""Share of chance in a slice's merit: a model that is sure and wrong never asks."""


def suggestions(
    doubt: Doubt,
    grid: Grid,
    spec: ModelSpec,
    axis: int,
    known: Sequence[int],
    count: int,
    seed: int,
) -> tuple[Suggestion, ...]:
    """Rank the slices that were computed in full, and say why each was chosen.

    Parameters
    ----------
    doubt : Doubt
        Of all cells that were computed.
    grid : Grid
        Of the image.
    spec : ModelSpec
        The model.
    axis : int
        Of the grid.
    known : sequence of int
        Slices that are annotated.
    count, seed : int
        See `ranked`.
    """
    free = doubt.complete
    free[list(known)] = False
    unsure, changed = doubt.entropy(), doubt.change()
    uncertainty = _relative(unsure, free)
    change = None if changed is None else _relative(changed, free)
    merit = uncertainty if change is None else (uncertainty + change) / 2
    away = distances(len(merit), known) * grid.spacing[axis]
    found = []
    for index, score in ranked(merit, free, known, count, seed):
        causes = list(zip(unsure[1:, index], _doubts(spec), strict=True))
        if changed is not None:
            names = [f"{c.name} changed since the last model" for c in spec.classes[1:]]
            causes += zip(changed[1:, index], names, strict=True)
        suggestion = Suggestion(
            index,
            score,
            float(uncertainty[index]),
            float(away[index]) if known else None,
            f"{max(causes)[1]}; {_where(float(away[index]), grid.unit)}",
            None if change is None else float(change[index]),
        )
        found.append(suggestion)
    return tuple(found)


def _relative(shares: NDArray[np.float64], free: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Average the classes' shares in each free slice; 1 in the highest."""
    mean = np.where(free, shares.mean(axis=0), 0.0)
    return np.asarray(mean / max(float(mean.max()), np.finfo(float).tiny))


def _doubts(spec: ModelSpec) -> list[str]:
    """Say for each output channel but the background what it is to be unsure of it."""
    if spec.target == "instances":
        name = spec.classes[1].name
        return [f"unsure where {name} is", f"unsure about borders of {name}"]
    return [f"unsure about {c.name}" for c in spec.classes[1:]]


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


def distances(length: int, taken: Collection[int]) -> NDArray[np.float64]:
    """Return how many slices each slice is from the nearest one taken; infinite where none is."""
    if not taken:
        return np.full(length, np.inf)
    steps = np.arange(length)[:, None] - np.array(list(taken))
    return np.asarray(np.abs(steps).min(axis=1), np.float64)
