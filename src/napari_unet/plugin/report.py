"""A page about the model in use, on the image in front."""

from pathlib import Path

import numpy as np
from qtpy.QtWidgets import QFileDialog, QVBoxLayout, QWidget

from napari_unet.core.model_header import ModelHeader
from napari_unet.errors import UNetError
from napari_unet.plugin import layers
from napari_unet.plugin.background import in_thread
from napari_unet.plugin.model_section import ModelSection
from napari_unet.plugin.section import button, say, sentence
from napari_unet.plugin.target import Target
from napari_unet.plugin.traces import traces
from napari_unet.report import Example, write_report


class Report(QWidget):
    """A button, and what came of it."""

    def __init__(self, target: Target, model: ModelSection) -> None:
        super().__init__()
        self._target, self._model = target, model
        self.go = button("Report…", "")
        self.status = sentence()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.go)
        layout.addWidget(self.status)
        self.go.clicked.connect(self._ask)
        model.changed.connect(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Enable the button where there is a model."""
        there = self._model.header is not None
        self.go.setEnabled(there)
        self.go.setToolTip(
            "One HTML page: what the model is, what it learned from, how good it is, with pictures"
            if there
            else "Choose a model first."
        )

    def write(self, path: Path) -> None:
        """Write the page about the model in use, with what is done and predicted on the image."""
        header, file = self._model.header, self._model.path
        if header is None or file is None:
            return
        labels = self._target.labels
        made = () if labels is None else layers.about(labels).corrections
        try:
            example = self._example(header)
        except UNetError as error:
            say(self.status, str(error), "bad")
            return
        source = Path(example.volume.source) if example is not None else Path()
        files = [one for one in (file, source) if one.is_file()]

        def work() -> None:
            write_report(path, header, example=example, corrections=made, files=files)

        def told(words: str, tone: str) -> None:
            self.refresh()
            say(self.status, words, tone)

        self.go.setEnabled(False)
        say(self.status, f"Writing {path.name}…")
        in_thread(work, lambda _: told(f"Saved {path}", "good"), lambda why: told(why, "bad"))

    def _example(self, header: ModelHeader) -> Example | None:
        """Return the image with the slices that are done; without any, with what is predicted."""
        volume, labels = self._target.volume, self._target.labels
        if volume is None:
            return None
        if labels is None:
            return Example(volume, header.spec.classes)
        about, kept = layers.about(labels), traces(labels).kept
        mine = [k for k in kept if k.maker is not None and k.maker.header.sha256 == header.sha256]
        prediction = np.array(mine[-1].shared.open()) if mine else None
        done = tuple(sorted(about.done | about.held_out))
        left = np.array(labels.data) if done else None
        return Example(
            volume, about.classes, left, prediction, done or None, instances=about.instances
        )

    def _ask(self) -> None:
        file = self._model.path
        volume = self._target.volume
        folder = Path(volume.source).parent if volume is not None and volume.source else Path.home()
        name = "model" if file is None else file.stem
        chosen, _ = QFileDialog.getSaveFileName(
            self, "Write a report", str(folder / f"{name}-report.html"), "Page (*.html)"
        )
        if chosen:
            self.write(Path(chosen))
