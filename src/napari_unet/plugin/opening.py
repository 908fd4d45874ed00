"""What a user opens: images, sessions, folders of images, and labels for the image in front."""

from pathlib import Path

from napari.layers import Layer
from napari.settings import get_settings
from napari.viewer import Viewer
from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QFileDialog, QWidget

from napari_unet import io
from napari_unet.core.bundled import Sample
from napari_unet.errors import UNetError
from napari_unet.jobs import is_session
from napari_unet.plugin import layers
from napari_unet.plugin.contributions import PLUGIN, read_layers
from napari_unet.plugin.model_section import ModelSection
from napari_unet.plugin.session_bar import SessionBar
from napari_unet.plugin.session_keeper import SessionKeeper
from napari_unet.plugin.start_page import image_filter, starter_of
from napari_unet.plugin.target import Target

QUEUE = "napari-unet-session"
"""Name of the session inside a folder of images."""
OURS_ALONE = ("*.nii", "*.nii.gz")
"""napari's own reader claims these too, and can't read them: a dropped file would raise a question."""


class Opening(QObject):
    """Opens files as what they hold, by name or by asking for one.

    Signals
    -------
    told(str)
        Why something could not be opened; empty takes it back.
    """

    told = Signal(str)

    def __init__(
        self,
        viewer: Viewer,
        target: Target,
        model: ModelSection,
        keeper: SessionKeeper,
        session: SessionBar,
        window: QWidget,
    ) -> None:
        super().__init__(window)
        self._viewer, self._target, self._model = viewer, target, model
        self._keeper, self._session, self._window = keeper, session, window

    def paths(self, paths: list[str]) -> None:
        """Open images with our own reader and show the last one whole; folders as what they hold.

        What can't be opened is named, and the others open all the same.
        """
        self.told.emit("")
        failed = []
        for path in map(Path, paths):
            try:
                self._open(path)
            except UNetError as error:
                failed.append(str(error))
        if failed:
            self.told.emit(" ".join(failed))
        if len(failed) < len(paths):
            self.face_up()

    def sample(self, sample: Sample) -> None:
        """Open a bundled sample and choose the starter that suits it."""
        self.paths([str(sample.image)])

    def folder(self, folder: Path) -> None:
        """Work through the images of a folder, with a session inside it that keeps states and labels."""
        try:
            images = io.images_in(folder)
        except OSError as error:
            images, why = [], f"{folder} can't be listed ({error.strerror}): choose another folder."
        else:
            why = f"{folder} holds no image that can be opened here: choose another folder."
        if not images:
            self._session.tell(why)
        elif self._session.may_clear():
            self._session.attempt(lambda: self._keeper.new_queue(folder / QUEUE, images))

    def labels(self, path: Path) -> None:
        """Put labels from a file on the image, if they lie on its grid."""
        volume = self._target.volume
        if volume is None:
            return
        try:
            found, _, classes = io.read_labels(path, volume.grid)
        except UNetError as error:
            self.told.emit(str(error))
            return
        self.told.emit("")
        about = layers.about_found(found, volume, classes, objects=self._model.objects)
        self._target.add_labels(lambda _: layers.labels_layer(found, about, path.name))

    def face_up(self) -> None:
        """Show what lies in scanner space as radiologists expect it: anterior and superior up."""
        volume = self._target.volume
        if volume is not None and volume.grid.affine is not None and volume.grid.unit == "mm":
            self._viewer.scene.camera.orientation2d = ("up", "right")
        self._viewer.reset_view()

    def ask_image(self) -> None:
        """Let the user choose images."""
        paths, _ = QFileDialog.getOpenFileNames(self._window, "Open an image", "", image_filter())
        if paths:
            self.paths(paths)

    def ask_folder(self) -> None:
        """Let the user choose a folder of images."""
        path = QFileDialog.getExistingDirectory(self._window, "Open a folder of images")
        if path:
            self.folder(Path(path))

    def ask_labels(self) -> None:
        """Let the user choose labels for the image in front."""
        path, _ = QFileDialog.getOpenFileName(self._window, "Load labels", "", image_filter())
        if path:
            self.labels(Path(path))

    def _open(self, path: Path) -> None:
        """Open a session, a folder of images or an image."""
        if is_session(path):
            self._session.open_session(path)
        elif path.is_dir() and io.suffix_of(path) not in io.FORMATS:
            self.folder(path)
        else:
            # Not viewer.open: where no reader fits the name, npe2 raises before ours can say why.
            shown = [self._viewer.add_layer(Layer.create(*x)) for x in read_layers(str(path))]
            self._target.choose_image(shown[0])
            self._model.suggest(starter_of(path))


def prefer_our_reader() -> None:
    """Have napari open with ours what it can't read itself, unless the user has chosen a reader."""
    preferred = get_settings().plugins.extension2reader
    missing = {pattern: PLUGIN for pattern in OURS_ALONE if pattern not in preferred}
    if missing:
        get_settings().plugins.extension2reader = {**preferred, **missing}
