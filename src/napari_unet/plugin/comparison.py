"""What a new model says otherwise than the one before: one click, three views, and the slice to look at."""

from collections.abc import Callable
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import cast

import numpy as np
import pyqtgraph
from napari.layers import Labels
from napari.viewer import Viewer
from numpy.typing import NDArray
from qtpy.QtCore import QPointF, Qt, Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_unet.core.difference import Change, Difference, difference
from napari_unet.core.model_header import ModelHeader, read_model_header
from napari_unet.core.progress import Progress
from napari_unet.core.settings import PredictSettings
from napari_unet.core.volume import Volume
from napari_unet.errors import UNetError
from napari_unet.jobs import Finished, JobRequest, PredictRequest, PredictResult, SharedArray
from napari_unet.plugin import layers
from napari_unet.plugin.background import in_thread
from napari_unet.plugin.comparison_layer import CHANGE_COLOURS, ComparisonLayer, View
from napari_unet.plugin.plot import small_plot
from napari_unet.plugin.predict_section import time_left
from napari_unet.plugin.runner import Runner
from napari_unet.plugin.section import button, row, say, sentence
from napari_unet.plugin.slices import Slices
from napari_unet.plugin.target import Target
from napari_unet.plugin.traces import Maker, traces

FLIP_KEY = "T"
"""A letter that neither the viewer nor a Labels or Image layer uses."""

SHOWN = 2
"""Moves from one class to another that are told."""


class Comparison(QWidget):
    """Predicts with both models where that was not done yet, and shows where they differ.

    ::

        start -> a prediction of each model, unless kept -> their difference -> views, until closed

    Signals
    -------
    look(QWidget)
        Something new is to be seen there.
    """

    look = Signal(object)

    def __init__(
        self,
        viewer: Viewer,
        target: Target,
        slices: Slices,
        runner: Runner,
        settings: Callable[[], PredictSettings],
    ) -> None:
        super().__init__()
        self._viewer, self._target, self._slices = viewer, target, slices
        self._runner, self._settings = runner, settings
        self._labels: Labels | None = None
        self._models: list[tuple[Path, ModelHeader]] = []
        self._found: list[SharedArray | None] = []
        self._own: list[SharedArray] = []
        self._difference: Difference | None = None
        self._shown: ComparisonLayer | None = None
        self.views = {
            view: button(name, f"Show this; {FLIP_KEY} flips before and new")
            for view, name in zip(View, ("Before", f"New  ({FLIP_KEY})", "Changed"), strict=True)
        }
        self.close_it = button("Close", "Show the labels again")
        self.halt = button("Stop", "Stop, and compare nothing")
        self.most = button("", "Go to the slice with the most changed voxels")
        self.plot = small_plot("Changed voxels in each slice")
        self.status = sentence()
        self._lay_out()
        self._connect()
        self.hide()

    @property
    def view(self) -> View | None:
        """What is shown; None while nothing is compared."""
        return None if self._shown is None else self._shown.view

    def start(self, before: Path, after: Path) -> None:
        """Compare two models on the image in front."""
        self.end()
        labels = self._target.labels
        self.show()
        if labels is None or self._runner.busy:
            why = (
                "A job is running." if labels is not None else "Predict first: there are no labels."
            )
            self._tell(why, "bad")
            return
        try:
            self._models = [(path, read_model_header(path)) for path in (before, after)]
        except UNetError as error:
            self._tell(str(error), "bad")
            return
        self._labels = labels
        kept = traces(labels).kept
        makers = [self._maker(header) for _, header in self._models]
        self._found = [
            next((k.shared for k in reversed(kept) if k.maker == maker), None) for maker in makers
        ]
        self._go_on()

    def flip(self) -> None:
        """Change from before to after, or back."""
        self.see(View.BEFORE if self.view is View.AFTER else View.AFTER)

    def see(self, view: View) -> None:
        """Show one of the three views."""
        if self._shown is not None and self._shown.there:
            self._shown.show(view)
            for one, made in self.views.items():
                made.setChecked(one is view)

    def end(self) -> None:
        """Show the labels again, and let go of what was compared."""
        if self._labels is not None and None in self._found:
            self._runner.stop()
        if self._shown is not None:
            self._viewer.bind_key(FLIP_KEY, None)
            shown, self._shown = self._shown, None
            shown.remove()
        for shared in self._own:
            shared.remove()
        self._own, self._found, self._models = [], [], []
        self._labels = self._difference = None
        self._show_parts()
        self.hide()

    def on_progress(self, reports: list[Progress]) -> None:
        """Say how far the prediction is."""
        left = reports[-1].seconds_left
        if None in self._found:
            more = "…" if left is None else f": {time_left(left)} left"
            self._tell(f"Predicting with {self._current().name}{more}")

    def on_finished(self, finished: Finished) -> None:
        """Take a prediction, and go on with what is missing."""
        result = cast(PredictResult, finished.payload)
        if self._labels is None:
            return  # closed in the meantime
        if not result["complete"]:
            self.on_failed("Stopped: nothing is compared.")
            return
        self._found[self._found.index(None)] = self._own[-1]
        self._go_on()

    def on_failed(self, message: str) -> None:
        """Say why there is nothing to see."""
        if self._labels is not None:
            self._labels = None  # the job has ended and need not be stopped
            self.end()
            self.show()
            self._tell(message, "bad")

    def release(self) -> None:
        """Give the key, the layer and the memory back."""
        self.end()
        self._viewer.layers.events.removed.disconnect(self._removed)

    def _lay_out(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(row(*self.views.values(), None, self.close_it))
        layout.addWidget(self.status)
        layout.addWidget(self.halt)
        layout.addWidget(self.plot)
        layout.addWidget(self.most)
        for view, made in self.views.items():
            made.setCheckable(True)
            made.clicked.connect(lambda _=False, view=view: self.see(view))
        self.status.setTextFormat(Qt.TextFormat.RichText)
        self._show_parts()

    def _connect(self) -> None:
        self.close_it.clicked.connect(self.end)
        self.halt.clicked.connect(self._runner.stop)
        self.most.clicked.connect(lambda: self._slices.go(self._most()))
        self._target.changed.connect(self.end)
        self._slices.changed.connect(self._draw)
        self._viewer.layers.events.removed.connect(self._removed)
        self.plot.scene().sigMouseClicked.connect(lambda click: self._clicked(click.scenePos()))

    def _tell(self, words: str, tone: str = "plain") -> None:
        say(self.status, escape(words, quote=False), tone)

    def _maker(self, header: ModelHeader) -> Maker:
        instances = header.spec.target == "instances"
        return Maker(header, replace(self._settings(), instances=instances))

    def _current(self) -> ModelHeader:
        return self._models[self._found.index(None)][1]

    def _go_on(self) -> None:
        """Predict what is missing; then compare."""
        self._show_parts()
        self.look.emit(self)
        if None not in self._found:
            self._compare()
            return
        path, header = self._models[self._found.index(None)]
        maker, volume = self._maker(header), cast(Volume, self._target.volume)
        instances = maker.settings.instances
        try:
            shared = SharedArray.create(
                volume.grid.shape, layers.label_type(header.spec.classes, instances)
            )
        except UNetError as error:
            self.on_failed(str(error))
            return
        self._own.append(shared)
        self._tell(f"Predicting with {header.name}…")

        def prepare() -> JobRequest:
            return PredictRequest(self._runner.share(volume), path, shared, maker.settings)

        self._runner.start(prepare, self)
        self._show_parts()

    def _compare(self) -> None:
        before, after = (cast(SharedArray, shared).open() for shared in self._found)
        instances = any(header.spec.target == "instances" for _, header in self._models)
        labels = self._labels
        self._tell("Comparing…")

        def told(found: Difference) -> None:
            if self._labels is not labels or labels is None or labels not in self._viewer.layers:
                return  # closed in the meantime
            self._difference = found
            arrays = {View.BEFORE: before, View.AFTER: after, View.CHANGED: found.changes}
            self._shown = ComparisonLayer(self._viewer, labels, arrays)
            self._viewer.bind_key(FLIP_KEY, lambda _: self.flip(), overwrite=True)
            say(self.status, self._words(labels, found))
            self.see(View.CHANGED)
            self._show_parts()
            self._draw()
            self.look.emit(self)

        in_thread(lambda: difference(before, after, instances=instances), told, self.on_failed)

    def _words(self, labels: Labels, found: Difference) -> str:
        """Say how much has changed, from what to what, and in which colours."""
        names = {0: "background"} | {c.id: c.name for c in layers.about(labels).classes}
        numbers = np.bincount(found.changes.reshape(-1), minlength=len(Change))
        legend = " · ".join(
            f'<span style="color: {CHANGE_COLOURS[change]}">■</span> {numbers[change]:,} {what}'
            for change, what in WHAT.items()
        )
        moves = ", ".join(
            f"{escape(str(names.get(a, a)))} → {escape(str(names.get(b, b)))} {number:,}"
            for (a, b), number in [*found.moves.items()][:SHOWN]
        )
        share = 100 * found.voxels / max(found.changes.size, 1)
        head = f"{found.voxels:,} voxels differ ({share:.2g} % of the image)."
        return "<br>".join(part for part in (head, legend, moves and f"Most: {moves}") if part)

    def _show_parts(self) -> None:
        """Show what makes sense now."""
        ready = self._difference is not None
        counts = self._counts()
        for made in (*self.views.values(), self.close_it):
            made.setVisible(ready)
        self.halt.setVisible(bool(self._own) and not ready)
        self.plot.setVisible(ready and len(counts) > 1)
        self.most.setVisible(ready and len(counts) > 1 and bool(counts.any()))
        if counts.any():
            most = self._most()
            self.most.setText(f"Go to slice {most}: {counts[most]:,} changed")

    def _counts(self) -> NDArray[np.int64]:
        """Return the voxels changed in each slice along the axis in front."""
        axis = self._slices.axis
        if self._difference is None or axis is None or self._difference.changes.ndim == 2:
            return np.zeros(0, np.int64)
        return self._difference.slices[axis]

    def _most(self) -> int:
        return int(self._counts().argmax())

    def _draw(self) -> None:
        """Draw the changed voxels of each slice, the one in front marked."""
        counts, here = self._counts(), self._slices.here
        if not len(counts):
            return
        self._show_parts()
        self.plot.clear()
        edges = np.arange(len(counts) + 1) - 0.5
        self.plot.plot(
            edges,
            counts,
            stepMode="center",
            fillLevel=0,
            pen=None,
            brush=CHANGE_COLOURS[Change.NEW],
        )
        if here is not None:
            self.plot.addItem(
                pyqtgraph.InfiniteLine(here[1], pen=pyqtgraph.mkPen("#e0b45c", width=2))
            )
        self.plot.setXRange(-0.5, len(counts) - 0.5, padding=0.01)

    def _clicked(self, where: QPointF) -> None:
        counts = self._counts()
        if len(counts):
            index = round(self.plot.getPlotItem().vb.mapSceneToView(where).x())
            self._slices.go(min(max(index, 0), len(counts) - 1))

    def _removed(self, *_: object) -> None:
        if self._shown is not None and not self._shown.there:
            self.end()


WHAT = {Change.NEW: "new", Change.GONE: "gone", Change.OTHER: "another class"}
