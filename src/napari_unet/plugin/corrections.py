"""How right the models were on slices before they learned from them: a person's own learning curve."""

import time
from contextlib import suppress

import numpy as np
import pyqtgraph
from napari.layers import Labels
from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_unet.core.correction import Correction, Round, compared, rounds
from napari_unet.core.volume import Volume
from napari_unet.engine.ledger import Ledger, fingerprint
from napari_unet.errors import ModelFileError
from napari_unet.plugin import layers
from napari_unet.plugin.about import Slice
from napari_unet.plugin.plot import small_plot
from napari_unet.plugin.section import say, sentence
from napari_unet.plugin.slices import Slices
from napari_unet.plugin.target import Target
from napari_unet.plugin.traces import Maker, traces

COLOURS = ("#56b4e9", "#e69f00")
"""Of the rounds, by turns."""

AT_ONCE = 0.015
"""Seconds of scoring between two turns of the event loop."""


class Corrections(QWidget):
    """Keeps what a model had said of a slice, scores it when the slice is marked done, and shows it.

    ::

        first stroke on a slice, or its mark -> what the last prediction says there, if the model that
                                                made it had not learned from that slice
        its mark                             -> Dice of that against what the person leaves

    Signals
    -------
    recorded()
        The corrections that the target's labels know of are others now.
    """

    recorded = Signal()

    def __init__(self, target: Target, slices: Slices) -> None:
        super().__init__()
        self._target, self._slices = target, slices
        self._labels: Labels | None = None
        self._seen: frozenset[Slice] = frozenset()
        self._todo: list[Slice] = []
        self._image: tuple[Volume, str] | None = None
        self.text = sentence(name="unet-hint")
        self.plot = small_plot("Dice of predictions with your corrections")
        self.plot.setYRange(0, 1, padding=0.04)
        self.plot.getAxis("left").setTicks([[(0, "0"), (0.5, "0.5"), (1, "1")]])
        self._timer = QTimer(self, singleShot=True, interval=0)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.plot)
        layout.addWidget(self.text)
        self._timer.timeout.connect(self._go_on)
        target.changed.connect(self._retarget)
        slices.marked.connect(self._marked)
        self.refresh()

    def refresh(self) -> None:
        """Show the corrections of the labels in front."""
        made = () if self._labels is None else layers.about(self._labels).corrections
        self.setVisible(bool(made))
        say(self.text, words(rounds(made)))
        self._draw(made)

    def stroked(self, *_: object) -> None:
        """Hear of a stroke on the slice in front."""
        if self._labels is not None and self._slices.here is not None:
            self._listen(self._labels, self._slices.here)

    def predicted(self, labels: Labels) -> None:
        """Hear of a prediction: it has the say on slices that nobody has worked on, then or before."""
        known, about = traces(labels), layers.about(labels)
        strokes = {axis: known.strokes.touched(axis) for axis in range(labels.ndim)}
        scored = {(c.axis, c.index) for c in about.corrections}
        for axis, index in known.said.keys() - about.done - about.held_out - scored:
            if not strokes[axis][index]:
                del known.said[axis, index]

    def _retarget(self) -> None:
        self._labels, self._todo = self._target.labels, []
        self._seen = self._slices.done()
        self.refresh()

    def _marked(self) -> None:
        done = self._slices.done()
        self._todo += sorted(done - self._seen)
        self._seen = done
        if self._todo:
            self._timer.start()

    def _go_on(self) -> None:
        """Score slices that were marked, some at a time."""
        labels, end = self._labels, time.monotonic() + AT_ONCE
        found = []
        while self._todo and labels is not None and time.monotonic() < end:
            one = self._scored(labels, self._todo.pop(0))
            found += [] if one is None else [one]
        if found and labels is not None:
            fresh = {(c.axis, c.index): c for c in found}
            made = layers.about(labels).corrections
            known = [fresh.pop((c.axis, c.index), c) for c in made]
            layers.change_about(labels, corrections=(*known, *fresh.values()))
            self.refresh()
            self.recorded.emit()
        if self._todo:
            self._timer.start()

    def _scored(self, labels: Labels, which: Slice) -> Correction | None:
        """Compare what a model had said of a slice with what stands there; None where none had."""
        self._listen(labels, which)
        said = traces(labels).said.get(which)
        if said is None or which not in self._slices.done():
            return None
        before, maker = said
        about = layers.about(labels)
        left = np.asarray(labels.data[layers.slice_key(labels.ndim, which)])
        ids = [c.id for c in about.classes if c.id]
        scores, changed = compared(before, left, ids, instances=about.instances)
        header = maker.header
        return Correction(*which, header.name, header.sha256, scores, left.size, changed)

    def _listen(self, labels: Labels, which: Slice) -> None:
        """Keep what the last prediction says of a slice, unless one is kept or it had learned from it."""
        known = traces(labels)
        kept = known.kept[-1] if known.kept else None
        if which in known.said or kept is None or kept.maker is None:
            return
        if not self._had_learned(kept.maker, which):
            plane = kept.shared.open()[layers.slice_key(labels.ndim, which)]
            known.said[which] = np.array(plane), kept.maker

    def _had_learned(self, maker: Maker, which: Slice) -> bool:
        """Tell whether a model had learned from any part of a slice, as far as its file says."""
        volume = self._target.volume
        if volume is None:
            return True
        if self._image is None or self._image[0] is not volume:
            self._image = volume, fingerprint(volume)
        axis, index = which
        with suppress(ModelFileError):
            boxes = Ledger.of(maker.header.history).taught(self._image[1])
            if volume.grid.ndim == 2:
                return bool(boxes)
            return any(start[axis] <= index < stop[axis] for start, stop in boxes)
        return True

    def _draw(self, made: tuple[Correction, ...]) -> None:
        scored = [c for c in made if c.mean_dice is not None]
        self.plot.clear()
        self.plot.setVisible(len(scored) > 1)
        start = 0
        for number, one in enumerate(r for r in rounds(scored) if r.mean_dice is not None):
            colour = COLOURS[number % 2]
            values = [c.mean_dice for c in scored[start : start + one.slices]]
            places = np.arange(start, start + one.slices) + 1
            self.plot.plot(
                places,
                values,
                pen=None,
                symbol="o",
                symbolSize=5,
                symbolBrush=colour,
                symbolPen=None,
            )
            level = [one.mean_dice] * 2
            ends = [start + 0.6, start + one.slices + 0.4]
            self.plot.plot(ends, level, pen=pyqtgraph.mkPen(colour, width=2))
            start += one.slices
        self.plot.setXRange(0.5, max(start, 1) + 0.5, padding=0.01)


def words(every: tuple[Round, ...]) -> str:
    """Say how right the last two models were, and on what: never a Dice without its ground."""
    scored = [r for r in every if r.mean_dice is not None]
    if not scored:
        return ""
    parts = [
        f"{r.mean_dice:.2f} on {r.slices} slice{'s' * (r.slices != 1)} ({r.model})"
        for r in scored[-2:]
    ]
    return f"Dice with your corrections, before learning from them: {', then '.join(parts)}."
