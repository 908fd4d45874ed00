"""How good a model is on voxels that it never learned from."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.spec import INTERIOR, ModelSpec
from napari_unet.engine.backends import Forward
from napari_unet.engine.cases import UNKNOWN, Case, channels
from napari_unet.engine.infer import infer, plan_tiles
from napari_unet.engine.tiles import Index, TilePlan
from napari_unet.engine.view import View

_ROUNDING = 1e-6
"""Voxels by which a slice on the edge of a tile may seem to miss it."""


@dataclass(frozen=True)
class Validation:
    """Held-out Dice and its ground.

    Parameters
    ----------
    per_class : dict of int to float
        Dice of each class id that occurs, over all held-out voxels together.
    slices : int
        Held-out slices (or planes).
    voxels : int
        Held-out voxels.
    score : float
        What models are compared by: the mean Dice, or for instances the mean over foreground,
        interior and border.
    """

    per_class: dict[int, float]
    slices: int
    voxels: int
    score: float

    @property
    def mean_dice(self) -> float | None:
        """Mean over the classes, None when nothing was held out."""
        return float(np.mean(list(self.per_class.values()))) if self.per_class else None


NOTHING_HELD_OUT = Validation({}, 0, 0, 0.0)


class Examiner:
    """Measures networks of one spec on held-out cases, always on the same voxels.

    Parameters
    ----------
    cases : sequence of (Volume, Annotation)
        Held-out cases; only their known voxels count.
    spec : ModelSpec
        Of the networks to come.
    """

    def __init__(self, cases: Sequence[Case], spec: ModelSpec) -> None:
        self._spec = spec
        self._papers = [_Paper(case, spec) for case in cases]

    @property
    def empty(self) -> bool:
        """Whether nothing is held out."""
        return not self._papers

    def examine(self, forward: Forward) -> Generator[None, None, Validation]:
        """Measure a network; yields between batches so that the caller can give up."""
        if self.empty:
            return NOTHING_HELD_OUT
        counts = np.zeros((self._spec.out_channels,) * 2, np.int64)
        for paper in self._papers:
            for part in paper.counts(self._spec, forward):
                counts += part
                yield
        slices = sum(paper.slices for paper in self._papers)
        voxels = sum(paper.voxels for paper in self._papers)
        return _mark(counts, self._spec, slices, voxels)


class _Paper:
    """One held-out case, its right answers and the tiles that are needed to judge it."""

    def __init__(self, case: Case, spec: ModelSpec) -> None:
        volume, annotation = case
        self._view = View(volume, spec)
        labels = self._view.oriented(annotation.labels)
        known = self._view.oriented(annotation.known)
        self._answer, _ = channels(labels, known, self._view, volume, spec)
        touched = np.flatnonzero(known.any(axis=(1, 2)))
        self.slices = int(touched.size)
        self.voxels = int(known.sum())
        self._plan = plan_tiles(self._view, spec, overlap=0.25)
        ratio = self._view.shape[0] / self._view.image_shape[0]
        self._tiles = _needed(self._plan, (touched + 0.5) * ratio)

    def counts(self, spec: ModelSpec, forward: Forward) -> Iterator[NDArray[np.int64]]:
        """Yield the confusion of right and given channels, shape (K, K), of one batch each."""
        size = spec.out_channels
        for cells in infer(self._view, spec, forward, self._plan, self._tiles, batch=2):
            table = np.zeros((size, size), np.int64)
            for cell in cells:
                place = tuple(slice(a, b) for a, b in zip(cell.start, cell.stop, strict=True))
                right = self._answer[place]
                known = right != UNKNOWN
                pairs = right[known].astype(np.int64) * size + cell.winner()[known]
                table += np.bincount(pairs, minlength=size * size).reshape(size, size)
            yield table


def _needed(plan: TilePlan, centres: NDArray[np.floating[Any]]) -> list[Index]:
    """Tiles that hold the centres of some slices along the first axis, in the plan's voxels."""
    away = centres[None] - np.array(plan.starts[0])[:, None]
    near = (away > -_ROUNDING) & (away < plan.tile[0] + _ROUNDING)
    wanted = set(np.flatnonzero(near.any(axis=1)).tolist())
    return [t for t in plan.tiles() if t[0] in wanted]


def _mark(table: NDArray[np.int64], spec: ModelSpec, slices: int, voxels: int) -> Validation:
    """Turn a confusion table into Dice."""
    dice = {k: _dice(table, [k]) for k in range(1, len(table))}
    there = {k: d for k, d in dice.items() if d is not None}
    if spec.target == "instances":
        foreground = _dice(table, list(range(INTERIOR, len(table))))
        parts = [*there.values(), *([] if foreground is None else [foreground])]
        per_class = {} if foreground is None else {spec.classes[1].id: foreground}
        return Validation(per_class, slices, voxels, float(np.mean(parts)) if parts else 0.0)
    per_class = {spec.classes[k].id: d for k, d in there.items()}
    score = float(np.mean(list(per_class.values()))) if per_class else 0.0
    return Validation(per_class, slices, voxels, score)


def _dice(table: NDArray[np.int64], group: list[int]) -> float | None:
    """Dice of some channels taken together; None where they occur on neither side."""
    hit = int(table[np.ix_(group, group)].sum())
    total = int(table[group].sum() + table[:, group].sum())
    return 2 * hit / total if total else None
