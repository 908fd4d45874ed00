"""The model in use, for other programs."""

from pathlib import Path

from qtpy.QtWidgets import QFileDialog, QVBoxLayout, QWidget

from napari_unet.core.export_formats import EXPORT_FORMATS, ExportFormat
from napari_unet.core.progress import Progress
from napari_unet.jobs import ExportRequest, Finished
from napari_unet.plugin.model_section import ModelSection
from napari_unet.plugin.runner import Runner
from napari_unet.plugin.section import button, say, sentence

EXPORT = (
    "Write the model for other programs: ONNX, TorchScript, bioimage.io (Fiji, ilastik, QuPath) or a MONAI "
    "bundle (MONAI Label). What was written is run and compared with the model before it is put in place"
)


class ModelExport(QWidget):
    """A button, and what came of it; the child writes, since that takes PyTorch.

    Parameters
    ----------
    model : ModelSection
        Says which model is in use.
    runner : Runner
        The door to the child.
    """

    def __init__(self, model: ModelSection, runner: Runner) -> None:
        super().__init__()
        self._model, self._runner = model, runner
        self.go = button("Export model…", EXPORT)
        self.status = sentence()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.go)
        layout.addWidget(self.status)
        self.go.clicked.connect(self._ask)
        model.changed.connect(self.refresh)
        runner.busy_changed.connect(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Enable the button where there is a model and no job runs."""
        why = "" if self._model.header is not None else "Choose a model first."
        why = why or ("A job is running." if self._runner.busy else "")
        self.go.setEnabled(not why)
        self.go.setToolTip(why or EXPORT)

    def write(self, path: Path, to: str) -> None:
        """Write the model in use as one of `EXPORT_FORMATS`; the end of the name is seen to."""
        file, ending = self._model.path, EXPORT_FORMATS[to].ending
        if file is None:
            return
        out = path if path.name.lower().endswith(ending) else path.with_name(path.name + ending)
        if out != path and out.exists():  # nobody was asked about this one
            say(self.status, f"{out} exists: to replace it, choose it by its whole name.", "bad")
            return
        self._runner.start(lambda: ExportRequest(file, out, to), self)

    def on_progress(self, reports: list[Progress]) -> None:
        """Say what is written."""
        say(self.status, f"{reports[-1].message}…")

    def on_finished(self, finished: Finished) -> None:
        """Say where it is."""
        say(self.status, f"Saved {finished.payload['exported']}", "good")  # type: ignore[typeddict-item]

    def on_failed(self, message: str) -> None:
        """Say why there is nothing."""
        say(self.status, message, "bad")

    def _ask(self) -> None:
        filters = {_filter(one): name for name, one in EXPORT_FORMATS.items()}
        name = "model" if self._model.path is None else self._model.path.stem
        chosen, taken = QFileDialog.getSaveFileName(
            self, "Export the model", str(Path.home() / name), ";;".join(filters)
        )
        if chosen:
            path = Path(chosen)
            ends = {one.ending: name for name, one in EXPORT_FORMATS.items() if one.ending}
            self.write(path, ends.get(path.suffix.lower()) or filters.get(taken, "onnx"))


def _filter(one: ExportFormat) -> str:
    return f"{one.title} (*{one.ending})" if one.ending else f"{one.title}, a folder (*)"
