"""How many known voxels each class has, counted a little at a time."""

import time
from collections.abc import Iterable, Set

import numpy as np
from napari.layers import Labels
from qtpy.QtCore import QObject, QTimer, Signal

from napari_unet.plugin import layers
from napari_unet.plugin.about import Slice, count_ids
from napari_unet.plugin.traces import traces

BUDGET_S = 0.02
"""The window waits no longer than this at a time."""

Tally = dict[int, int]


class KnownCounts(QObject):
    """Known voxels of each id: of slices marked done, and painted ones elsewhere.

    A slice is counted once; strokes and marks say which slices must be counted again.

    Signals
    -------
    counted(dict of int to int)
        The counts so far; they are final when `pending` is False.
    """

    counted = Signal(object)

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._labels: Labels | None = None
        self._tallies: dict[Slice, Tally] = {}
        self._todo: list[Slice] = []
        self._timer = QTimer(self, singleShot=True, interval=0)
        self._timer.timeout.connect(self._count)

    @property
    def pending(self) -> bool:
        """Whether slices wait to be counted."""
        return self._timer.isActive()

    def follow(self, labels: Labels | None) -> None:
        """Count these labels from now on, from nothing."""
        self._labels = labels
        self.forget()

    def forget(self, slices: Iterable[Slice] | None = None) -> None:
        """Hear that slices have changed, or all of them."""
        if slices is None:
            self._tallies.clear()
        else:
            for which in slices:
                self._tallies.pop(which, None)

    def refresh(self) -> None:
        """Count what is not counted yet, beginning at once."""
        self._timer.stop()
        if self._labels is not None:
            done = layers.about(self._labels).done
            self._todo = sorted(done - self._tallies.keys())
            self._count()

    def release(self) -> None:
        """Stop counting."""
        self._timer.stop()
        self._labels = None

    def _count(self) -> None:
        labels = self._labels
        if labels is None:
            return
        end = time.monotonic() + BUDGET_S
        data, done = np.asarray(labels.data), layers.about(labels).done
        axes = {axis for axis, _ in done}
        if len(axes) > 1:
            self._todo = []
            counts = _crossing(labels)
        else:
            while self._todo and time.monotonic() < end:
                which = self._todo.pop()
                self._tallies[which] = count_ids(data[layers.slice_key(data.ndim, which)])
            counts = _sum(self._tallies[which] for which in done & self._tallies.keys())
            counts = _sum([counts, painted_beside(labels, done)])
        if self._todo:
            self._timer.start()
        self.counted.emit(counts)


def painted_beside(labels: Labels, slices: Set[Slice]) -> Tally:
    """Count the painted voxels of each id that still hold it, leaving out those in some slices."""
    data, strokes = np.asarray(labels.data), traces(labels).strokes
    if {axis for axis, _ in slices} <= {0}:
        return strokes.counts(data, frozenset(index for _, index in slices))
    known = strokes.known(data)
    for which in slices:
        known[layers.slice_key(data.ndim, which)] = False
    return count_ids(data[known])


def _crossing(labels: Labels) -> Tally:
    """Count voxels of slices along several axes; those in two of them count once."""
    data = np.asarray(labels.data)
    known = traces(labels).strokes.known(data)
    for which in layers.about(labels).done:
        known[layers.slice_key(data.ndim, which)] = True
    return count_ids(data[known])


def _sum(tallies: Iterable[Tally]) -> Tally:
    total: Tally = {}
    for tally in tallies:
        for label, number in tally.items():
            total[label] = total.get(label, 0) + number
    return total
