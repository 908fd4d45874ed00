"""Step 1: which model."""

from pathlib import Path

from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QComboBox, QFileDialog

from napari_unet.core.alignment import misfit, strangeness
from napari_unet.core.bundled import model_paths, starter_paths
from napari_unet.core.channels import named
from napari_unet.core.grid import size_in_words
from napari_unet.core.model_header import ModelHeader, read_model_header
from napari_unet.core.volume import Volume
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

    Until somebody chooses, it is one that has something to say about the image in front.

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
        self.misfit = ""
        """Why the chosen model has nothing to say about the image in front; empty where it has."""
        self._volume: Volume | None = None
        self._asked = False
        self.refresh()
        self.list.currentIndexChanged.connect(self._chosen)
        self.list.activated.connect(self._insist)
        self.browse.clicked.connect(self._browse)

    @property
    def path(self) -> Path | None:
        """File of the chosen model; None for a new one, or when there is none."""
        return self.list.currentData()

    @property
    def objects(self) -> bool:
        """Whether the chosen model tells objects apart; not so for a new one, and when there is none."""
        return self.header is not None and self.header.spec.target == "instances"

    def choose(self, path: Path | None) -> None:
        """Choose a model file, None for a new model; one that is not listed yet is listed first."""
        if self._index(path) < 0:
            self.refresh()
        if self._index(path) < 0 and path is not None:
            self.list.insertItem(0, path.stem, path)
        self._asked = True
        self.list.setCurrentIndex(self._index(path))

    def suggest(self, starter: str) -> None:
        """Choose a starter by name, where it is installed, for somebody who has not chosen."""
        index = self.list.findText(starter)
        if index >= 0:
            self._turn_to(index)

    def suit(self, volume: Volume | None) -> None:
        """Mind the image in front, and choose a model that suits it for somebody who has not chosen."""
        before, self._volume = self._volume, volume
        another = volume is not None and (
            before is None or (before.grid, before.channels) != (volume.grid, volume.channels)
        )
        if another and not self._asked:
            self._turn_to(self._best())
        elif self._misfit() != self.misfit:
            self._tell()
            self.changed.emit()

    def refresh(self) -> None:
        """List the models anew: the user's own, newest first, then the starters."""
        chosen = self.path
        starters, known = starter_paths(), model_paths()
        own = [(name, path) for name, path in known.items() if starters.get(name) != path]
        with QSignalBlocker(self.list):
            self.list.clear()
            for name, path in [*reversed(own), *starters.items()]:
                self.list.addItem(name, path)
            self.list.addItem("New model (learn from scratch)", None)
            if chosen is not None and chosen.exists():
                if self._index(chosen) < 0:  # a file from elsewhere stays chosen
                    self.list.insertItem(0, chosen.stem, chosen)
                self.list.setCurrentIndex(self._index(chosen))
            elif chosen is None and self._asked:
                self.list.setCurrentIndex(self._index(None))
        self._read()

    def _index(self, path: Path | None) -> int:
        return next((i for i in range(self.list.count()) if self.list.itemData(i) == path), -1)

    def _best(self) -> int:
        """Return which of the list suits the image best: a new model where none has anything to say."""
        assert self._volume is not None  # noqa: S101
        starters, suiting = set(starter_paths().values()), {}
        for index in range(self.list.count()):
            path = self.list.itemData(index)
            header = None if path is None else _header_of(path)
            if header is not None and not misfit(self._volume, header.spec):
                unsized, unlike = strangeness(self._volume.grid, header.spec)
                suiting[index] = unsized, path in starters, unlike
        return min(suiting, key=lambda index: suiting[index], default=self._index(None))

    def _turn_to(self, index: int) -> None:
        with QSignalBlocker(self.list):
            self.list.setCurrentIndex(index)
        self._read()

    def _chosen(self) -> None:
        self._insist()
        self._read()

    def _insist(self) -> None:
        """Keep what somebody chose, which may be what was there already."""
        self._asked = True

    def _read(self) -> None:
        self.header = None
        try:
            self.header = None if self.path is None else read_model_header(self.path)
        except ModelFileError as error:
            self.misfit = ""
            say(self.about, str(error), "bad")
        else:
            self._tell()
        self.changed.emit()

    def _misfit(self) -> str:
        if self._volume is None or self.header is None:
            return ""
        return misfit(self._volume, self.header.spec)

    def _tell(self) -> None:
        self.misfit = self._misfit()
        if self.misfit:
            say(self.about, self.misfit, "bad")
        elif self.header is not None:
            say(self.about, describe(self.header))
        else:
            say(self.about, "Starts from nothing: paint, mark slices done, then press Train.")

    def _browse(self) -> None:
        chosen, _ = QFileDialog.getOpenFileName(
            self, "Choose a model", "", "napari-unet models (*.safetensors)"
        )
        if chosen:
            self.choose(Path(chosen))


def _header_of(path: Path) -> ModelHeader | None:
    try:
        return read_model_header(path)
    except ModelFileError:
        return None


def describe(header: ModelHeader) -> str:
    """Return one line about a model: network, classes, the channels it reads, and its voxel size."""
    spec = header.spec
    network = f"{spec.dims}D {NETWORKS[spec.network]}"
    if spec.context:
        network = f"2.5D {NETWORKS[spec.network]} ({2 * spec.context + 1} slices)"
    if spec.block is not None:
        network += ", three orientations"
    names = ", ".join(c.name for c in spec.classes if c.id)
    parts = [network, f"{names} (objects)" if spec.target == "instances" else names]
    if named(spec.channels):
        parts.append(f"reads {', '.join(spec.channels)}")
    if spec.spacing is not None:
        parts.append(size_in_words(spec.spacing, spec.unit))
    return " · ".join(parts)
