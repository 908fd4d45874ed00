"""What the dock shows while no image is open: what to do first."""

from pathlib import Path
from typing import cast

from qtpy.QtCore import Signal
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import QLayout, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from napari_unet.core.bundled import Sample, samples
from napari_unet.jobs import recent_sessions
from napari_unet.plugin.section import button, sentence

STEPS = (
    "Open an image and press Predict.",
    "Mend a few slices with the brush and mark each one done.",
    "Fine-tune: the model learns from exactly those slices.",
    "Predict again, and export.",
)


class StartPage(QWidget):
    """Open an image, or one of the samples.

    Signals
    -------
    open_image()
        The user wants to choose a file.
    open_session(Path)
        The user wants to go on with this session.
    choose_session(), open_folder()
        The user wants to choose a session, or a folder of images.
    open_sample(Sample)
        The user wants this sample.
    """

    open_image = Signal()
    open_session = Signal(object)
    choose_session = Signal()
    open_folder = Signal()
    open_sample = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.open = button(
            "Open an image…", "NIfTI, TIFF, OME-TIFF, OME-Zarr, PNG or NumPy", primary=True
        )
        self.samples = [
            (sample, _sample_button(sample)) for sample in samples() if sample.image.exists()
        ]
        layout = QVBoxLayout(self)
        layout.setContentsMargins(12, 16, 12, 12)
        layout.setSpacing(8)
        layout.addWidget(sentence("Teach a U-Net your images", "unet-title"))
        for number, step in enumerate(STEPS, 1):
            layout.addWidget(sentence(f"{number}.  {step}"))
        layout.addSpacing(6)
        layout.addWidget(self.open)
        layout.addWidget(
            sentence("or drop a file here. Nothing leaves this computer.", "unet-hint")
        )
        self.message = sentence()
        layout.addWidget(self.message)
        self.last = _last_button()
        self.session = button("Open a session…", "Go on with work that was kept as a folder")
        self.folder = button("Open a folder of images…", "Work through many images, one by one")
        if self.last is not None:
            layout.addWidget(self.last[1])
            path = self.last[0]
            self.last[1].clicked.connect(lambda: self.open_session.emit(path))
        layout.addWidget(self.session)
        layout.addWidget(self.folder)
        layout.addSpacing(10)
        layout.addWidget(sentence("No image at hand? Open a sample:", "unet-heading"))
        for sample, opener in self.samples:
            layout.addWidget(opener)
            opener.clicked.connect(lambda _=False, sample=sample: self.open_sample.emit(sample))
        self.tour = button("Tour of one minute", "Be shown one round on the hippocampus sample")
        self.tour.setObjectName("unet-fold")
        layout.addWidget(self.tour)
        layout.addStretch(1)
        self.open.clicked.connect(self.open_image)
        self.session.clicked.connect(self.choose_session)
        self.folder.clicked.connect(self.open_folder)

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802 - Qt's own name for it
        """Ask for no more height than the sentences need at this width, or it scrolls for nothing."""
        super().resizeEvent(event)
        layout = cast(QLayout, self.layout())
        self.setMinimumHeight(layout.heightForWidth(self.width()))


def _last_button() -> tuple[Path, QPushButton] | None:
    """Return the session opened last, with a button that goes on with it."""
    path = next(iter(recent_sessions()), None)
    if path is None:
        return None
    made = button(f"Go on with {path.name}", str(path))
    made.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    return path, made


def _sample_button(sample: Sample) -> QWidget:
    name, _, rest = sample.title.partition("(")
    short = name.partition(",")[0].strip()  # the whole title is wider than the button
    made = button(f"{short} ({rest.split(',')[0].rstrip(')')})", "")
    made.setToolTip(f"{sample.title}. {sample.origin}; {sample.licence}.")
    made.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    return made


def image_filter() -> str:
    """Return the file dialog's filter."""
    kinds = "*.nii *.nii.gz *.hdr *.img *.tif *.tiff *.png *.jpg *.jpeg *.npy"
    return f"Images ({kinds});;All files (*)"


def starter_of(path: Path) -> str:
    """Return the name of the starter that suits a sample's image; empty for any other image."""
    return next((s.starter for s in samples() if s.image == path), "")
