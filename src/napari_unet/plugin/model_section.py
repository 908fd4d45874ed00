"""Step 1: which model."""

from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QFileDialog

from napari_unet.core.bundled import model_paths, starter_paths
from napari_unet.core.grid import size_in_words
from napari_unet.core.model_header import ModelHeader, read_model_header
from napari_unet.errors import ModelFileError
from napari_unet.plugin.section import Section, button, row, say, sentence

NETWORKS = {
    "unet": "U-Net",
    "original": "U-Net of 2015",
    "unetpp": "U-Net++",
    "attention": "Attention U-Net",
    "residual": "Residual U-Net",
    "r2": "R2U-Net",
}


class ModelSection(Section):
    """A list of the starters and the user's own models, and one line about the chosen one.

    Signals
    -------
    changed()
        Another model was chosen.
    """

    changed = Signal()

    def __init__(self) -> None:
        super().__init__(1, "Model")
        self.list = QComboBox()
        self.list.setMinimumContentsLength(12)
        self.list.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.browse = button("Browse…", "Use a model file (.safetensors) from elsewhere")
        self.about = sentence(name="unet-hint")
        chooser = row(self.list, self.browse)
        chooser.setStretch(0, 1)
        self.body.addLayout(chooser)
        self.body.addWidget(self.about)
        self.header: ModelHeader | None = None
        self.refresh()
        self.list.currentIndexChanged.connect(self._chosen)
        self.browse.clicked.connect(self._browse)

    @property
    def path(self) -> Path | None:
        """File of the chosen model; None for a new one, or when there is none."""
        return self.list.currentData()

    @property
    def objects(self) -> bool:
        """Whether the chosen model tells objects apart; not so for a new one, and when there is none."""
        return self.header is not None and self.header.spec.target == "instances"

    def choose(self, path: Path) -> None:
        """Choose a model file; one that is not listed yet is listed first."""
        if self._index(path) < 0:
            self.refresh()
        if self._index(path) < 0:
            self.list.insertItem(0, path.stem, path)
        self.list.setCurrentIndex(self._index(path))

    def suggest(self, starter: str) -> None:
        """Choose a starter by name, where it is installed."""
        index = self.list.findText(starter)
        if index >= 0:
            self.list.setCurrentIndex(index)

    def refresh(self) -> None:
        """List the models anew: the user's own, newest first, then the starters."""
        chosen = self.path
        starters, known = starter_paths(), model_paths()
        own = [(name, path) for name, path in known.items() if starters.get(name) != path]
        self.list.blockSignals(True)
        self.list.clear()
        for name, path in [*reversed(own), *starters.items()]:
            self.list.addItem(name, path)
        self.list.addItem("New model (learn from scratch)", None)
        if chosen is not None and chosen.exists():
            if self._index(chosen) < 0:  # a file from elsewhere stays chosen
                self.list.insertItem(0, chosen.stem, chosen)
            self.list.setCurrentIndex(self._index(chosen))
        self.list.blockSignals(False)
        self._chosen()

    def _index(self, path: Path) -> int:
        return next((i for i in range(self.list.count()) if self.list.itemData(i) == path), -1)

    def _chosen(self) -> None:
        self.header = None
        if self.path is None:
            say(self.about, "Starts from nothing: paint, mark slices done, then press Train.")
        else:
            try:
                self.header = read_model_header(self.path)
                say(self.about, describe(self.header))
            except ModelFileError as error:
                say(self.about, str(error), "bad")
        self.changed.emit()

    def _browse(self) -> None:
        chosen, _ = QFileDialog.getOpenFileName(
            self, "Choose a model", "", "napari-unet models (*.safetensors)"
        )
        if chosen:
            self.choose(Path(chosen))


def describe(header: ModelHeader) -> str:
    """Return one line about a model: network, classes, voxel size, and what it was measured on."""
    spec = header.spec
    network = f"{spec.dims}D {NETWORKS[spec.network]}"
    if spec.context:
        network = f"2.5D {NETWORKS[spec.network]} ({2 * spec.context + 1} slices)"
    if spec.block is not None:
        network += ", three orientations"
    names = ", ".join(c.name for c in spec.classes if c.id)
    parts = [network, f"{names} (objects)" if spec.target == "instances" else names]
    if spec.spacing is not None:
        parts.append(size_in_words(spec.spacing, spec.unit))
    return " · ".join(parts)
