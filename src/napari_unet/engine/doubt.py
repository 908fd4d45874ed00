"""How unsure a model is of each slice: sums over a volume, taken cell by cell."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.grid import Grid
from napari_unet.core.progress import Box
from napari_unet.core.spec import INTERIOR, ModelSpec
from napari_unet.core.suggestion import Survey
from napari_unet.core.volume import Volume
from napari_unet.engine.arrays import to_host
from napari_unet.engine.sums import Cell
from napari_unet.engine.view import View
from napari_unet.errors import GridError

_AT_ONCE = 1 << 22
"""Logits turned into probabilities at once: 16 MiB a copy, whatever the size of a cell."""
_LEAST = 1.0
"""Voxels of full uncertainty below which a class counts for less: it was hardly met at all."""


@dataclass(frozen=True, eq=False)
class Watch:
    """What to find out about a prediction while it is made. Arrays are of the grid's own shape.

    Parameters
    ----------
    axis : int
        Axis of the grid that slices are counted along.
    known : ndarray of bool, optional
        Voxels that somebody vouches for, and that count no more.
    before : ndarray of int, optional
        Class ids by an earlier model.
    uncertainty : ndarray of float16, optional
        Takes the entropy of each voxel, 0..1, as it becomes final.

    Raises
    ------
    GridError
        When an array is not of the image's shape.
    """

    axis: int = 0
    known: NDArray[np.bool_] | None = None
    before: NDArray[Any] | None = None
    uncertainty: NDArray[np.float16] | None = None

    def over(self, volume: Volume, view: View, spec: ModelSpec) -> Doubt:
        """Return what counts the cells of a volume."""
        names = {
            "known": "annotation",
            "before": "prediction before",
            "uncertainty": "array for the uncertainty",
        }
        arrays: dict[str, NDArray[Any] | None] = {
            "known": self.known,
            "before": self.before,
            "uncertainty": self.uncertainty,
        }
        for name, array in arrays.items():
            if array is not None and array.shape != volume.grid.shape:
                raise GridError(
                    f"The {names[name]} has shape {array.shape} but {volume.name} has "
                    f"{volume.grid.shape}: make it of the image's shape."
                )
        seen = {name: None if a is None else view.oriented(a) for name, a in arrays.items()}
        return Doubt(view, spec, view.turn.axes.index(self.axis), **seen)


class Doubt:
    """Entropy and change of a prediction, summed for each slice and class.

    A voxel's entropy is shared out among the classes by their probabilities, so that it counts near
    the region of each class, on both sides of its border. No array of the volume's size is held.

    Parameters
    ----------
    view : View
        The volume.
    spec : ModelSpec
        The model.
    axis : int
        Axis of the view that the slices are counted along.
    known : ndarray of bool, optional
        In the view's order of axes; voxels that somebody vouches for, and that count no more.
    before : ndarray of int, optional
        In the view's order of axes: class ids by an earlier model.
    uncertainty : ndarray of float16, optional
        In the view's order of axes; takes the entropy of each voxel, 0..1.
    """

    def __init__(
        self,
        view: View,
        spec: ModelSpec,
        axis: int,
        *,
        known: NDArray[np.bool_] | None = None,
        before: NDArray[Any] | None = None,
        uncertainty: NDArray[np.float16] | None = None,
    ) -> None:
        self._view, self._spec, self._axis = view, spec, axis
        self._known, self._before, self._map = known, before, uncertainty
        self._others = tuple(i for i in range(3) if i != axis)
        self._slice = math.prod(n for i, n in enumerate(view.image_shape) if i != axis)
        count, self._first = view.whole_shape[axis], view.first[axis]
        self._entropy = np.zeros((spec.out_channels, count))
        self._changed = np.zeros((len(spec.classes), count))
        self._seen = np.zeros(count, np.int64)

    def write(self, cell: Cell) -> Box:
        """Count a final cell; return its box along the grid's own axes."""
        first, stop = cell.start[self._axis], cell.stop[self._axis]
        voxels = math.prod(b - a for a, b in zip(cell.start, cell.stop, strict=True))
        self._seen[self._first + first : self._first + stop] += voxels // (stop - first)
        logits = to_host(cell.logits)
        rows = max(1, _AT_ONCE * (stop - first) // logits.size)
        for low in range(first, stop, rows):
            high = min(low + rows, stop)
            place = [slice(a, b) for a, b in zip(cell.start, cell.stop, strict=True)]
            place[self._axis] = slice(low, high)
            rest = (slice(None),) * (self._axis + 1)
            part = logits[(*rest, slice(low - first, high - first))]
            slices = slice(self._first + low, self._first + high)
            self._entropy[:, slices] += self._sums(part, tuple(place))
        if self._before is not None:
            slices = slice(self._first + first, self._first + stop)
            winner = cell.winner()
            if self._spec.target == "instances":
                winner = (winner >= INTERIOR).astype(np.uint8)
            self._changed[:, slices] += self._differences(cell, winner, self._before)
        return self._view.in_grid(cell.start, cell.stop)

    @property
    def complete(self) -> NDArray[np.bool_]:
        """Which slices of the grid have been seen in full."""
        return self._along(np.asarray(self._seen == self._slice))

    def entropy(self) -> NDArray[np.float64]:
        """Return the entropy of each output channel and slice, (K, slices), 1 where it is highest."""
        return self._along(_shares(self._entropy))

    def change(self) -> NDArray[np.float64] | None:
        """Return the change of each class and slice, (classes, slices); None with nothing before."""
        return None if self._before is None else self._along(_shares(self._changed))

    def _along(self, slices: NDArray[Any]) -> NDArray[Any]:
        """Bring what was counted for each slice of the view, the last axis, into the grid's order."""
        return slices[..., ::-1] if self._view.turn.flips[self._axis] else slices

    def survey(self, grid: Grid, axis: int) -> Survey:
        """Sum up what is known of each slice along an axis of the grid."""
        unsure, changed = self.entropy(), self.change()
        weights, words = unsure[1:], _doubts(self._spec)
        if changed is not None:
            weights = np.concatenate([weights, changed[1:]])
            words += [f"{c.name} changed since the last model" for c in self._spec.classes[1:]]
        return Survey(
            axis,
            grid.spacing[axis],
            grid.unit,
            tuple(self.complete.tolist()),
            tuple(unsure.mean(axis=0).tolist()),
            tuple(words[i] for i in weights.argmax(axis=0)),
            None if changed is None else tuple(changed.mean(axis=0).tolist()),
        )

    def _sums(self, logits: NDArray[np.float32], place: tuple[slice, ...]) -> NDArray[np.float64]:
        """Return the entropy near each class, summed over each slice of a box, (K, slices)."""
        log = logits - logits.max(axis=0)
        likely = np.exp(log)
        total = likely.sum(axis=0)
        log -= np.log(total)
        likely /= total
        entropy = np.einsum("k...,k...->...", likely, log) / -math.log(len(logits))
        if self._map is not None:
            self._map[place] = entropy
        if self._known is not None:
            entropy[self._known[place]] = 0
        others = tuple(i + 1 for i in self._others)
        return np.asarray((likely * entropy).sum(axis=others), np.float64)

    def _differences(
        self, cell: Cell, winner: NDArray[np.integer[Any]], before: NDArray[Any]
    ) -> NDArray[np.int64]:
        """Count voxels whose class is another now, under both, for each slice; (classes, slices)."""
        place = tuple(slice(a, b) for a, b in zip(cell.start, cell.stop, strict=True))
        ids = np.array([c.id for c in self._spec.classes])
        now, then = ids[winner], before[place]
        differs = now != then
        if self._known is not None:
            differs &= ~self._known[place]
        return np.stack(
            [(differs & ((now == k) | (then == k))).sum(axis=self._others) for k in ids]
        )


def _shares(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bring each row to a highest value of 1, or less where there is hardly anything to share."""
    return np.asarray(sums / np.maximum(sums.max(axis=1, keepdims=True), _LEAST))


def _doubts(spec: ModelSpec) -> list[str]:
    """Say for each output channel but the background what it is to be unsure of it."""
    if spec.target == "instances":
        name = spec.classes[1].name
        return [f"unsure where {name} is", f"unsure about borders of {name}"]
    return [f"unsure about {c.name}" for c in spec.classes[1:]]
