"""The next images of the queue are predicted while the child has nothing else to do."""

from collections.abc import Callable
from pathlib import Path
from typing import cast

import numpy as np
from qtpy.QtCore import QObject, QTimer

from napari_unet import io
from napari_unet.core.grid import Grid
from napari_unet.core.progress import Progress
from napari_unet.core.settings import PredictSettings
from napari_unet.jobs import (
    Drawing,
    DrawnLabels,
    FileVolume,
    Finished,
    JobRequest,
    PredictRequest,
    PredictResult,
    SessionImage,
    SharedArray,
    find_image,
    label_file,
)
from napari_unet.plugin import layers
from napari_unet.plugin.model_section import ModelSection
from napari_unet.plugin.runner import Runner
from napari_unet.plugin.session_gather import files_of
from napari_unet.plugin.session_keeper import SessionKeeper

COUNT = 2
"""Images that are predicted ahead: the next opens at once, and the one after it is under way."""

PATIENCE_MS = 1500
"""The child has to be idle this long, so that a person comes first."""


class Ahead(QObject):
    """Predicts the images that come next, for as long as nobody else wants the child.

    Parameters
    ----------
    keeper, model, runner
        The session, the model in use, and the child.
    coming : callable
        Returns the images that come next, the nearest first.
    """

    def __init__(
        self,
        keeper: SessionKeeper,
        model: ModelSection,
        runner: Runner,
        coming: Callable[[], list[SessionImage]],
    ) -> None:
        super().__init__(keeper)
        self._keeper, self._model, self._runner, self._coming = keeper, model, runner, coming
        self.failed: dict[str, str] = {}
        self._image: SessionImage | None = None
        self._shared: SharedArray | None = None
        self._grid: Grid | None = None
        self._name = ""
        self._soon = QTimer(self, singleShot=True, interval=PATIENCE_MS)
        self._soon.timeout.connect(self._look)
        model.changed.connect(self.failed.clear)
        for signal in (keeper.opened, keeper.changed, runner.busy_changed, model.changed):
            signal.connect(self._wake)

    def on_progress(self, reports: list[Progress]) -> None:
        """Nobody watches."""

    def on_finished(self, finished: Finished) -> None:
        """Put the labels into the session, unless the image was opened meanwhile."""
        result, image, shared = cast(PredictResult, finished.payload), self._image, self._shared
        if image is not None and shared is not None and result["complete"]:
            now = self._keeper.session.image(image.path)
            if now == image and self._grid is not None:
                self._store(image, np.array(shared.open()), self._grid, result)
        self._ended()

    def on_failed(self, message: str) -> None:
        """Leave this image out from now on."""
        if self._image is not None:
            self.failed[self._image.path] = message
        self._ended()

    def release(self) -> None:
        """Look no further."""
        self._soon.stop()

    def _store(
        self, image: SessionImage, labels: np.ndarray, grid: Grid, result: PredictResult
    ) -> None:
        taken = {f for i in self._keeper.session.images for f in files_of(i)}
        old = image.labels[0].file if image.labels else ""
        about = DrawnLabels(
            f"{image.name.removesuffix(io.suffix_of(image.name))} labels",
            old or label_file(image.name, taken),
            classes=result["classes"],
            instances=result["instances"],
            model=self._name,
            ahead=True,
        )
        self._keeper.write_labels(Drawing(about, labels, grid))
        self._keeper.change(image, labels=(about,))

    def _wake(self, *_: object) -> None:
        if self._keeper.folder is not None and not self._soon.isActive():
            self._soon.start()

    def _look(self) -> None:
        """Begin the next prediction that is wanted, if the child is free."""
        folder, header, path = self._keeper.folder, self._model.header, self._model.path
        if folder is None or header is None or path is None or not self._runner.idle:
            return
        image = next((one for one in self._coming()[:COUNT] if self._wanted(one)), None)
        found = None if image is None else find_image(folder, image)
        if image is None or found is None:
            return
        self._image, self._name = image, path.stem
        instances = header.spec.target == "instances"
        dtype = layers.label_type(header.spec.classes, instances)
        source, model = found, path

        def prepare() -> JobRequest:
            self._grid = io.read(source).grid
            self._shared = SharedArray.create(self._grid.shape, dtype)
            settings = PredictSettings(instances=instances)
            return PredictRequest(FileVolume(Path(source)), model, self._shared, settings)

        self._runner.start(prepare, self, aside=True)

    def _wanted(self, image: SessionImage) -> bool:
        if image.open or image.path in self.failed or self._model.path is None:
            return False
        if image.spacing:  # a person's, while the child would see the file's
            return False
        if not image.labels:
            return True
        # Labels that were loaded, or mended by whatever means, are somebody's.
        ours = all(one.ahead for one in image.labels)
        return ours and image.labels[0].model != self._model.path.stem

    def _ended(self) -> None:
        if self._shared is not None:
            self._shared.remove()
        self._image = self._shared = self._grid = None
        self._wake()
