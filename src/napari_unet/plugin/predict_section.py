"""Step 2: let the model draw the labels."""

from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
from napari.layers import Image, Labels
from napari.viewer import Viewer
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QProgressBar

from napari_unet.core.classes import LabelClass, united
from napari_unet.core.progress import Progress
from napari_unet.core.settings import PredictSettings
from napari_unet.core.volume import Volume
from napari_unet.errors import UNetError
from napari_unet.jobs import (
    Finished,
    JobRequest,
    PredictRequest,
    PredictResult,
    SharedArray,
    SharedWatch,
    SurveyRequest,
    SurveyResult,
)
from napari_unet.plugin import layers
from napari_unet.plugin.forms import SettingsForm
from napari_unet.plugin.live import LiveLabels
from napari_unet.plugin.model_section import ModelSection
from napari_unet.plugin.runner import Runner
from napari_unet.plugin.section import Section, button, row, say, sentence
from napari_unet.plugin.slices import Slices
from napari_unet.plugin.target import Target
from napari_unet.plugin.traces import Maker
from napari_unet.plugin.uncertainty import UncertaintyLayer


class PredictSection(Section):
    """Predict, Uncertainty and Stop, with the time left, while the result appears where the user looks.

    Signals
    -------
    predicted(Labels)
        A prediction has ended; its labels are in this layer.
    surveyed(Labels, Path, Survey)
        What the model in this file says about each slice under these labels.
    """

    predicted = Signal(object)
    surveyed = Signal(object, object, object)

    def __init__(
        self,
        viewer: Viewer,
        target: Target,
        slices: Slices,
        model: ModelSection,
        runner: Runner,
    ) -> None:
        super().__init__(2, "Predict")
        self._viewer, self._target, self._slices = viewer, target, slices
        self._model, self._runner = model, runner
        self._image: Image | None = None
        self._live: LiveLabels | None = None
        self._looking = False
        self._used: Path | None = None
        self._surveyed: Labels | None = None
        self._added = False
        self._doubts = UncertaintyLayer(viewer)
        self._maker: Maker | None = None
        self.go = button("Predict", "Draw the labels of the whole image", primary=True)
        self.unsure = button("Uncertainty", UNSURE)
        self.halt = button("Stop", "Stop now and keep what is finished")
        self.form = SettingsForm(PredictSettings, hidden=("instances",))
        self.bar = QProgressBar()
        self.status = sentence()
        buttons = row(self.go, self.unsure, self.halt)
        buttons.setStretch(0, 1)
        self.body.addLayout(buttons)
        self.head.addWidget(self.form.fold)
        self.form.fold.toggled.connect(self.form.setVisible)
        self.form.hide()
        for widget in (self.bar, self.status, self.form):
            self.body.addWidget(widget)
        self.go.clicked.connect(self.start)
        self.unsure.clicked.connect(self.look)
        self.halt.clicked.connect(self._runner.stop)
        target.changed.connect(self._retarget)
        model.changed.connect(self.refresh)
        runner.busy_changed.connect(self.refresh)
        self.refresh()

    @property
    def running(self) -> bool:
        """Whether this step's own job is under way."""
        return self._live is not None or self._looking

    def refresh(self, *_: object) -> None:
        """Enable what makes sense now, and say why not."""
        missing = self._missing()
        self.go.setEnabled(not missing)
        self.go.setToolTip(
            missing or "Draw the labels of the whole image, nearest to the view first"
        )
        self.unsure.setEnabled(not missing)
        self.unsure.setToolTip(missing or UNSURE)
        self.halt.setVisible(self.running)
        self.bar.setVisible(self.running)
        header = self._model.header
        mirror = self.form.fields["tta"]
        mirror.enabled = header is None or header.spec.mirrored is not False
        if not mirror.enabled:  # it would spoil the labels of this model
            mirror.value = False

    def start(self) -> None:
        """Predict the whole image, beginning where the user looks."""
        header, path = self._model.header, self._model.path
        missing = self._missing()
        if header is None or path is None or missing:
            say(self.status, missing)
            return
        instances = self._model.objects
        try:
            settings = replace(self.form.value(), instances=instances)
            volume = cast(Volume, self._target.volume)
            shared = SharedArray.create(
                volume.grid.shape, layers.label_type(header.spec.classes, instances)
            )
            unsure = self._map(volume) if self._doubts.shown(self._target.image) else None
        except UNetError as error:
            self.on_failed(str(error))
            return
        chosen, labels = self._target.labels, self._layer(header.spec.classes, instances)
        self._added = labels is not chosen
        before = layers.prediction_before(labels, header.name)
        self._live, self._used = LiveLabels(labels, shared), path
        self._maker = Maker(header, settings)
        watch, near = self._watch(before, unsure), self._near()
        self._begin()

        def prepare() -> JobRequest:
            pixels = self._runner.share(volume)
            return PredictRequest(pixels, path, shared, settings, near, watch=watch)

        self._runner.start(prepare, self)

    def look(self) -> None:
        """Show where the model is unsure, beginning where the user looks; labels stay as they are."""
        header, path = self._model.header, self._model.path
        missing = self._missing()
        if header is None or path is None or missing:
            say(self.status, missing)
            return
        try:
            settings = self.form.value()
            volume = cast(Volume, self._target.volume)
            unsure = self._map(volume)
        except UNetError as error:
            self.on_failed(str(error))
            return
        labels = self._surveyed = self._target.labels
        before = None if labels is None else layers.prediction_before(labels, header.name)
        watch, near = self._watch(before, unsure), self._near()
        self._looking, self._used = True, path
        self._begin()

        def prepare() -> JobRequest:
            return SurveyRequest(self._runner.share(volume), path, watch, settings, near=near)

        self._runner.start(prepare, self)

    def stop_if_deleted(self) -> None:
        """Stop when what is being drawn was taken out of the viewer."""
        if self._deleted():
            self._runner.stop()

    def on_progress(self, reports: list[Progress]) -> None:
        """Show finished tiles and the time left."""
        boxes = [r.box for r in reports if r.box is not None]
        if self._live is not None:
            self._live.show(boxes)
        if boxes:
            self._doubts.refresh()
        last = reports[-1]
        self.bar.setRange(0, last.total)
        self.bar.setValue(last.done)
        if last.seconds_left is not None:
            self.bar.setFormat(f"{time_left(last.seconds_left)} left")
        say(self.status, last.message or STAGES.get(last.stage, ""))

    def on_finished(self, finished: Finished) -> None:
        """Make the labels one undoable step and say where and how fast it ran."""
        if gone := self._deleted():
            self.on_failed(f"The {gone} deleted, so nothing is shown.")
            return
        if self._live is None:
            self._looked(cast(SurveyResult, finished.payload))
            return
        result, live = cast(PredictResult, finished.payload), self._live
        maker = cast(Maker, self._maker)
        self._ended()
        live.finish(instances=result["instances"], maker=maker if result["complete"] else None)
        layers.change_about(live.layer, model=maker.header.name)
        part = "" if result["complete"] else STOPPED
        seconds, device = (
            result["seconds"]["total"],
            DEVICES.get(result["device"], result["device"]),
        )
        say(self.status, f"{part}{seconds:.1f} s on {device} ({result['backend']})")
        if result["complete"] and result["survey"] is not None:
            self.surveyed.emit(live.layer, self._used, result["survey"])
        self.predicted.emit(live.layer)

    def on_failed(self, message: str) -> None:
        """Keep what is finished, and say why there is no more."""
        live, looking = self._live, self._looking
        self._ended()
        if live is not None:
            live.finish()
            if self._added and live.untouched and live.layer in self._viewer.layers:
                self._viewer.layers.remove(live.layer)  # it was made for what never came
        elif looking:
            self._doubts.remove()
        say(self.status, message, "bad")

    def _deleted(self) -> str:
        """Return what is being drawn but is no longer in the viewer, with its verb; or nothing."""
        if self._live is not None:
            return "" if self._live.layer in self._viewer.layers else "labels were"
        return "uncertainty was" if self._looking and not self._doubts.there else ""

    def _retarget(self) -> None:
        """Say nothing of another image than the one in front."""
        if self._target.image is not self._image and not self.running:
            say(self.status, "")
        self._image = self._target.image
        self.refresh()

    def _begin(self) -> None:
        say(self.status, "Starting the network…")
        self.bar.setRange(0, 0)

    def _looked(self, result: SurveyResult) -> None:
        """Say what the new layer shows, and hand on what was found about the slices."""
        part = "" if result["complete"] else STOPPED
        say(self.status, f"{part}{result['seconds']:.1f} s. {SHOWS}")
        self._ended()
        if result["complete"] and self._surveyed is not None:
            self.surveyed.emit(self._surveyed, self._used, result["survey"])

    def _ended(self) -> None:
        self._live, self._maker, self._looking = None, None, False
        self.refresh()

    def _map(self, volume: Volume) -> SharedArray:
        return self._doubts.begin(cast(Image, self._target.image), volume)

    def _watch(self, before: SharedArray | None, unsure: SharedArray | None) -> SharedWatch:
        return SharedWatch(self._slices.axis or 0, before, unsure)

    def _missing(self) -> str:
        if self._target.image is None:
            return "Open an image first."
        if self._model.header is None:
            return "Choose a model first, or train one from painted slices."
        return self._model.misfit or ("A job is running." if self._runner.busy else "")

    def _layer(self, classes: tuple[LabelClass, ...], instances: bool) -> Labels:
        """Return the labels to write into: those chosen, or new ones where they can't hold the ids."""
        labels = self._target.labels
        if labels is None or not layers.can_hold(labels, classes, instances=instances):
            return self._target.add_labels(
                lambda volume: layers.new_labels(volume, classes, instances=instances)
            )
        known = layers.about(labels)
        drawn = known.classes if known.done else ()
        named = {c.id: c for c in united(drawn, classes, known.classes)}
        order = united(known.classes, classes)  # the one in the table, whoever names the classes
        layers.change_about(labels, classes=tuple(named[c.id] for c in order))
        return labels

    def _near(self) -> tuple[int, ...]:
        """Return the voxel in the middle of what is displayed."""
        image = self._target.image
        assert image is not None  # noqa: S101
        shape = cast(Volume, self._target.volume).grid.shape
        point = list(self._viewer.dims.point)
        centre = self._viewer.scene.camera.center
        displayed = self._viewer.dims.displayed
        for axis, where in zip(displayed, centre[-len(displayed) :], strict=True):
            point[axis] = where
        voxel = np.round(image.world_to_data(point))[: len(shape)]
        return tuple(int(np.clip(v, 0, n - 1)) for v, n in zip(voxel, shape, strict=True))


DEVICES = {"cpu": "the CPU", "cuda": "the GPU", "mps": "Apple's GPU"}

UNSURE = (
    "Show where the model is unsure, as a layer of its own: 0 (clear) where it is sure,\n"
    "1 (yellow) where all classes are as likely. Labels stay as they are."
)
SHOWS = "Clear: the model is sure (0). Yellow: all classes are as likely (1)."
STOPPED = "Stopped early; what was finished stays. "

STAGES = {
    "suggest": "What is unsure gets a colour; go on working.",
    "prepare": "Loading the network…",
    "predict": "Labels appear where you look first; go on working.",
    "objects": "Telling touching objects apart…",
}


def time_left(seconds: float) -> str:
    """Return a duration as people say it: ``"40 s"``, ``"2 min 10 s"``."""
    whole = max(0, round(seconds))
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60} s"
