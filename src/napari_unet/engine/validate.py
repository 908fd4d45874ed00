"""How good a model is on voxels that it never learned from."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.progress import Box
from napari_unet.core.spec import INTERIOR, ModelSpec
from napari_unet.engine.backends import Forward
from napari_unet.engine.bootstrap import FEWEST, Counts, interval, pooled
from napari_unet.engine.cases import UNKNOWN, Case, channels
from napari_unet.engine.infer import infer, plan_tiles
from napari_unet.engine.ledger import Ledger, fingerprint
from napari_unet.engine.planes import crosses
from napari_unet.engine.regions import numbered, usual_axis
from napari_unet.engine.tiles import Index, TilePlan
from napari_unet.engine.view import View

_ROUNDING = 1e-6
"""Voxels by which a slice on the edge of a tile may seem to miss it."""


@dataclass(frozen=True)
class ClassMark:
    """How well one class was found.

    Parameters
    ----------
    dice : float
        Over all held-out slices together.
    interval : tuple of float, optional
        95 % confidence interval; None with too few slices.
    slices, voxels : int
        Held-out slices that show the class, and its voxels there.
    """

    dice: float
    interval: tuple[float, float] | None
    slices: int
    voxels: int


@dataclass(frozen=True, eq=False)
class Validation:
    """Held-out Dice and its ground.

    Parameters
    ----------
    ids : tuple of int
        Classes that were looked for.
    counts : ndarray
        Shape (slices, measures, 2), see `bootstrap.Counts`: what models are compared by. The last
        measures are the classes; for instances interior and border come before.
    truth : ndarray
        Voxels of each class in each slice, shape (slices, classes).
    voxels : int
        Held-out voxels.
    """

    ids: tuple[int, ...]
    counts: Counts
    truth: NDArray[np.int64]
    voxels: int

    @property
    def slices(self) -> int:
        """Held-out slices, planes or boxes: what was annotated and held out as one."""
        return len(self.counts)

    @property
    def per_class(self) -> dict[int, float]:
        """Dice of each class id that occurs, over all held-out voxels together."""
        found = zip(self.ids, pooled(self._told).tolist(), strict=True)
        return {i: dice for i, dice in found if np.isfinite(dice)}

    @property
    def mean_dice(self) -> float | None:
        """Mean over the classes, None when nothing was held out."""
        per_class = self.per_class
        return float(np.mean(list(per_class.values()))) if per_class else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % confidence interval of the mean Dice over slices like these; None with too few."""
        return interval(self._told)

    @property
    def classes(self) -> dict[int, ClassMark]:
        """Each class id that occurs, with its ground."""
        return {
            i: ClassMark(
                dice,
                interval(self._told[:, [k]]),
                int((self.truth[:, k] > 0).sum()),
                int(self.truth[:, k].sum()),
            )
            for k, i in enumerate(self.ids)
            if (dice := self.per_class.get(i)) is not None
        }

    @property
    def enough(self) -> bool:
        """Whether there are enough slices to claim anything."""
        return self.slices >= FEWEST

    def only(self, ids: set[int]) -> Validation:
        """Return the same for some of the classes."""
        kept = [k for k, i in enumerate(self.ids) if i in ids]
        first = self.counts.shape[1] - len(self.ids)
        measures = [*range(first), *(first + k for k in kept)]
        chosen = tuple(self.ids[k] for k in kept)
        return Validation(chosen, self.counts[:, measures], self.truth[:, kept], self.voxels)

    def facts(self) -> dict[str, Any]:
        """Return all of it as plain data, for reports, files and the window."""
        return {
            "mean_dice": self.mean_dice,
            "interval": self.interval,
            "per_class": self.per_class,
            "classes": {i: asdict(mark) for i, mark in self.classes.items()},
            "slices": self.slices,
            "voxels": self.voxels,
            "enough": self.enough,
        }

    @property
    def score(self) -> float:
        """What the states of one run are compared by: the mean Dice over all measures."""
        dice = pooled(self.counts)
        return float(np.nanmean(dice)) if np.isfinite(dice).any() else 0.0

    @property
    def _told(self) -> Counts:
        """The counts of what people are told of."""
        return self.counts[:, self.counts.shape[1] - len(self.ids) :]


NOTHING_HELD_OUT = Validation((), np.zeros((0, 0, 2), np.int64), np.zeros((0, 0), np.int64), 0)


class Examiner:
    """Measures networks of one spec on held-out cases, always on the same voxels.

    Parameters
    ----------
    cases : sequence of (Volume, Annotation)
        Held-out cases; only their known voxels count.
    spec : ModelSpec
        Of the networks to come.
    ledger : Ledger, optional
        Says what of them was held out as one: a box counts once, however many slices it has, and a slice
        that others cross does, too. Without it slices and boxes are found in what is known.
    """

    def __init__(
        self, cases: Sequence[Case], spec: ModelSpec, ledger: Ledger | None = None
    ) -> None:
        self.cases, self._spec, self._ledger = cases, spec, ledger
        aside = ledger or Ledger()
        self._papers = [_Paper(c, spec, aside.held(fingerprint(c[0]))) for c in cases]

    def asking(self, spec: ModelSpec) -> Examiner:
        """Return one that measures networks of another spec on the same voxels."""
        return Examiner(self.cases, spec, self._ledger)

    @property
    def empty(self) -> bool:
        """Whether nothing is held out."""
        return not self._papers

    @property
    def seen(self) -> int:
        """Voxels that a network goes through in one exam, counted as often as it sees them."""
        return sum(paper.seen for paper in self._papers)

    def examine(self, forward: Forward) -> Generator[None, None, Validation]:
        """Measure a network; yields between batches so that the caller can give up."""
        if self.empty:
            return NOTHING_HELD_OUT
        tables = []
        for paper in self._papers:
            table = np.zeros((paper.slices, *(self._spec.out_channels,) * 2), np.int64)
            for first, part in paper.counts(self._spec, forward):
                table[first : first + len(part)] += part
                yield
            tables.append(table)
        return _mark(np.concatenate(tables), self._spec)


class _Paper:
    """One held-out case, its right answers and the tiles that are needed to judge it."""

    def __init__(self, case: Case, spec: ModelSpec, held: Sequence[Box]) -> None:
        volume, annotation = case
        self._view = View(volume, spec)
        labels = self._view.oriented(annotation.labels)
        known = self._view.oriented(annotation.known)
        self._answer, _ = channels(labels, known, self._view, volume, spec)
        numbers, self.slices = numbered(annotation, usual_axis(volume.grid), held)
        self._numbers = self._view.oriented(numbers)
        touched = np.flatnonzero(known.any(axis=(1, 2)))
        self._plan = plan_tiles(self._view, spec, overlap=0.25)
        crossed = crosses(self._view, spec)
        self._batch, self._ways = (16, 3) if crossed else (2, 1)
        ratio = self._view.shape[0] / self._view.image_shape[0]
        self._tiles = _needed(self._plan, (touched + 0.5) * ratio)

    @property
    def seen(self) -> int:
        """Voxels of its tiles, as often as they are gone through."""
        return len(self._tiles) * math.prod(self._plan.tile) * self._ways

    def counts(self, spec: ModelSpec, forward: Forward) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """Yield the first of some slices and their confusion of right and given channels, (n, K, K)."""
        size = spec.out_channels
        for cells in infer(self._view, spec, forward, self._plan, self._tiles, batch=self._batch):
            found = []
            for cell in cells:
                place = tuple(slice(a, b) for a, b in zip(cell.start, cell.stop, strict=True))
                right = self._answer[place]
                known = right != UNKNOWN
                pairs = right[known].astype(np.int64) * size + cell.winner()[known]
                found.append(self._numbers[place][known].astype(np.int64) * size * size + pairs)
            every = np.concatenate([np.zeros(0, np.int64), *found])
            if every.size:
                first = int(every.min()) // (size * size)
                table = np.bincount(every - first * size * size)
                whole = np.zeros(-(-table.size // (size * size)) * size * size, np.int64)
                whole[: table.size] = table
                yield first, whole.reshape(-1, size, size)


def _needed(plan: TilePlan, centres: NDArray[np.floating[Any]]) -> list[Index]:
    """Tiles that hold the centres of some slices along the first axis, in the plan's voxels."""
    away = centres[None] - np.array(plan.starts[0])[:, None]
    near = (away > -_ROUNDING) & (away < plan.tile[0] + _ROUNDING)
    wanted = set(np.flatnonzero(near.any(axis=1)).tolist())
    return [t for t in plan.tiles() if t[0] in wanted]


def _mark(tables: NDArray[np.int64], spec: ModelSpec) -> Validation:
    """Turn the confusion of each slice, (n, K, K), into Dice."""
    groups = [[k] for k in range(1, tables.shape[1])]
    if spec.target == "instances":
        groups.append(list(range(INTERIOR, tables.shape[1])))  # all of an object, for people
    ids = tuple(c.id for c in spec.classes[1:])
    counts = np.stack([_overlap(tables, group) for group in groups], axis=1)
    truth = np.stack([tables[:, g].sum(axis=(1, 2)) for g in groups[-len(ids) :]], axis=1)
    return Validation(ids, counts, truth, int(tables.sum()))


def _overlap(tables: NDArray[np.int64], group: list[int]) -> NDArray[np.int64]:
    """Twice the voxels that some channels, taken together, have in common, and those of both sides."""
    hit = tables[:, group][:, :, group].sum(axis=(1, 2))
    total = tables[:, group].sum(axis=(1, 2)) + tables[:, :, group].sum(axis=(1, 2))
    return np.stack([2 * hit, total], axis=-1)
