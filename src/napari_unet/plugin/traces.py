"""What has happened to the slices of a Labels layer: painted by a person, predicted by a model."""

import weakref
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray

from napari_unet.core.model_header import ModelHeader
from napari_unet.core.progress import Box
from napari_unet.core.settings import PredictSettings
from napari_unet.core.strokes import Strokes
from napari_unet.jobs import SharedArray
from napari_unet.plugin.about import Slice

TRACES = "napari_unet_traces"
"""Where a Labels layer keeps its traces."""

KEPT = 2
"""Predictions kept of one image."""


@dataclass(eq=False)
class Step:
    """One change by a program, which napari can undo.

    Parameters
    ----------
    marks : list of ndarray of bool
        For each axis, the slices in which it put labels.
    values : weakref of ndarray
        The voxels before, as napari keeps them in its history for as long as it can undo the step.
    undone : bool
        Whether it is taken back at present.
    """

    marks: list[NDArray[np.bool_]]
    values: "weakref.ref[NDArray[Any]]"
    undone: bool = False


@dataclass(frozen=True)
class Maker:
    """Which model made a prediction, and how."""

    header: ModelHeader
    settings: PredictSettings


@dataclass(frozen=True, eq=False)
class Kept:
    """A whole prediction, as the model gave it.

    Parameters
    ----------
    shared : SharedArray
        Its ids. The file goes with the layer.
    maker : Maker, optional
        Who made it; None where that is not known, or where not all of it is a prediction.
    """

    shared: SharedArray
    maker: Maker | None


class Traces:
    """The strokes of a person and the reach of predictions on one layer.

    Parameters
    ----------
    layer : Labels
        As it is when somebody first looks. What is in it already came from elsewhere, and
        counts as predicted: nobody here has looked at it.

    Attributes
    ----------
    strokes : Strokes
        Voxels that a person has painted.
    kept : tuple of Kept
        The last predictions, the newest last; so many that it can be compared with the one before.
    said : dict of Slice to (ndarray of int, Maker)
        What a model had said of slices before a person worked on them.
    """

    def __init__(self, layer: Labels) -> None:
        labels = layer.data  # whatever napari holds
        shape = tuple(labels.shape)
        self._layer = weakref.ref(layer)
        self.strokes = Strokes(shape)
        found = _filled(labels) if isinstance(labels, np.ndarray) else None
        self.kept: tuple[Kept, ...] = ()
        self.said: dict[Slice, tuple[NDArray[np.integer[Any]], Maker]] = {}
        self._forget: dict[SharedArray, weakref.finalize[..., Any]] = {}
        self._predicted = found or [np.zeros(n, dtype=bool) for n in shape]
        self._latest = [np.zeros(n, dtype=bool) for n in shape]  # since the last step
        self._steps: list[Step] = []

    def of(self, layer: Labels) -> "Traces":
        """Return these traces for their own layer, and a copy for another one, such as a duplicate.

        napari hands a duplicate the very objects in a layer's metadata. Its strokes are its own from
        then on; whole predictions stay with the first, whose files they are.
        """
        if self._layer() is layer:
            return self
        other = Traces(layer)
        other.strokes, other.said = self.strokes.still(), dict(self.said)
        other._predicted = [self._reach(axis) for axis in range(len(self._predicted))]
        return other

    def predicted(self, axis: int) -> NDArray[np.bool_]:
        """Return which slices along an axis hold labels that nobody here painted; shape (n,)."""
        if len(self._predicted) == 2:  # a plane is one slice
            return np.array([self._reach(0).any()])
        return self._reach(axis)

    def predict(self, boxes: Iterable[Box]) -> None:
        """Remember that a model or an edit has drawn labels in these boxes."""
        for start, stop in boxes:
            for axis, known in enumerate(self._latest):
                known[start[axis] : stop[axis]] = True

    def stepped(self, layer: Labels, changed: int) -> Step | None:
        """Hear that what was drawn of late has become one step, the last that `layer` can undo.

        Returns that step, or nothing where napari has none.
        """
        marks, self._latest = self._latest, [np.zeros_like(known) for known in self._latest]
        values = _values(layer, "_undo_history")[-1:] if changed else []
        if not values:
            self._settle(marks)
            return None
        self._steps.append(Step(marks, weakref.ref(values[0])))
        return self._steps[-1]

    def recheck(self, layer: Labels) -> bool:
        """Find out which steps are undone at present; tell whether that is news."""
        gone = {id(values) for values in _values(layer, "_redo_history")}
        if not gone and not any(step.undone for step in self._steps):
            return False
        there = {id(values) for values in _values(layer, "_undo_history")}
        news = False
        for step in tuple(self._steps):
            values = step.values()
            if values is None:  # napari has forgotten it, as it is now
                self._steps.remove(step)
                if not step.undone:
                    self._settle(step.marks)
            elif id(values) in (there if step.undone else gone):
                step.undone, news = not step.undone, True
        return news

    @property
    def prediction(self) -> SharedArray | None:
        """The last prediction, whole; None without one."""
        return self.kept[-1].shared if self.kept else None

    def keep_prediction(self, shared: SharedArray, maker: Maker | None = None) -> None:
        """Keep what a model gave, and beside it what another one did, where that is known."""
        others = [k for k in self.kept if k.maker is not None and k.maker != maker]
        stay = others[1 - KEPT :]
        for old in self.kept:
            if old not in stay:
                self._forget.pop(old.shared)()
        self.kept = (*stay, Kept(shared, maker))
        self._forget[shared] = weakref.finalize(self, shared.remove)

    def _reach(self, axis: int) -> NDArray[np.bool_]:
        found = self._predicted[axis] | self._latest[axis]
        for step in self._steps:
            if not step.undone:
                found |= step.marks[axis]
        return found

    def _settle(self, marks: list[NDArray[np.bool_]]) -> None:
        for known, more in zip(self._predicted, marks, strict=True):
            known |= more


def traces(layer: Labels) -> Traces:
    """Return the traces of a layer, begun now if there are none."""
    known = layer.metadata.get(TRACES)
    if isinstance(known, Traces) and known.strokes.shape == tuple(layer.data.shape):
        own = known.of(layer)
    else:
        own = Traces(layer)
    if own is not known:
        layer.metadata = {**layer.metadata, TRACES: own}
    return own


def painted(layer: Labels) -> bool:
    """Tell whether a person has painted on a layer."""
    known = layer.metadata.get(TRACES)
    return isinstance(known, Traces) and bool(known.strokes)


def _values(layer: Labels, history: str) -> list[NDArray[Any]]:
    """Return the former voxels of each step of a program in one of napari's two histories.

    Both are private, but nothing public tells that a step was undone: the layer is only drawn anew.
    """
    atoms = (atom for item in getattr(layer, history, ()) for atom in item)
    return [a[1] for a in atoms if isinstance(a, tuple) and isinstance(a[1], np.ndarray)]


def _filled(labels: NDArray[np.integer[Any]]) -> list[NDArray[np.bool_]]:
    """Return, for each axis, which slices hold any label."""
    if labels.ndim == 2:
        return [np.asarray(labels.any(axis=1 - axis)) for axis in range(2)]
    rows = np.asarray(labels.any(axis=2))
    lines = np.asarray(labels.any(axis=0))
    return [np.asarray(found.any(axis=axis)) for found, axis in ((rows, 1), (rows, 0), (lines, 0))]
