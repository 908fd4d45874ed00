"""One line of the dock about where the work is kept, and the menu of sessions."""

from collections.abc import Callable, Iterable
from pathlib import Path

from napari.layers import Layer
from napari.viewer import Viewer
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QFrame, QMenu, QMessageBox, QVBoxLayout

from napari_unet.errors import UNetError
from napari_unet.jobs import fingerprint
from napari_unet.plugin import layers
from napari_unet.plugin.section import button, row, say, sentence
from napari_unet.plugin.session_keeper import SessionKeeper
from napari_unet.plugin.session_layers import of_no_session, without_file
from napari_unet.plugin.start_page import image_filter
from napari_unet.plugin.target import Target


class SessionBar(QFrame):
    """Saves and opens sessions, and says what is missing.

    Signals
    -------
    failed(str)
        Why something could not be done; the bar says so, too.
    open_folder()
        The user wants to open a folder of images.
    tour()
        The user wants the tour.
    """

    failed = Signal(str)
    open_folder = Signal()
    tour = Signal()

    def __init__(self, viewer: Viewer, target: Target, keeper: SessionKeeper) -> None:
        super().__init__()
        self._viewer, self._target, self._keeper = viewer, target, keeper
        self._events = viewer.layers.events
        self.ask: Callable[[str], bool] = self._question
        self.where = sentence(name="unet-hint")
        self.problem = sentence()
        self.find = button("Find the image…", "Choose the file that the labels were drawn on")
        self.menu = QMenu(self)
        self.more = button("Session", "Keep the work as a folder, go on with one, or open many")
        self.more.setMenu(self.menu)
        self.save_as = self.menu.addAction("&Save session as a folder…")
        self.open = self.menu.addAction("&Open session…")
        self.many = self.menu.addAction("Open a &folder of images…")
        self.menu.addSeparator()
        self.help = self.menu.addAction("&Tour of one minute")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(2, 0, 2, 0)
        layout.setSpacing(4)
        line = row(self.where, self.more)
        line.setStretch(0, 1)
        layout.addLayout(line)
        layout.addWidget(self.problem)
        layout.addLayout(row(self.find, None))
        self._connect()
        self.refresh()

    def refresh(self, *_: object) -> None:
        """Say where the work is kept, and what is wrong with it."""
        keeper, folder = self._keeper, self._keeper.folder
        something = self._target.image is not None or folder is not None
        self.save_as.setEnabled(something)
        self.save_as.setToolTip("" if something else "Open an image first.")
        if folder is None:
            say(self.where, "Not kept as a session yet")
            self.where.setToolTip(
                "Strokes are in the journal; a session keeps all of it in a folder"
            )
        else:
            told = f" · saved {keeper.saved:%H:%M}" if keeper.saved is not None else ""
            say(self.where, folder.name + (" · saving…" if keeper.saving else told))
            self.where.setToolTip(str(folder))
        missing = keeper.missing
        self.find.setVisible(bool(missing))
        if keeper.problem:
            say(self.problem, keeper.problem, "bad")
        elif missing:
            more = f" ({len(missing) - 1} more are missing.)" if len(missing) > 1 else ""
            say(self.problem, keeper.reason(missing[0]) + more, "bad")
        else:
            left_out = self._left_out() if folder is not None else ""
            say(self.problem, f"{keeper.warning} {left_out}".strip(), "bad")

    def save_to(self, folder: Path) -> None:
        """Keep the session in this folder from now on."""
        self.attempt(lambda: self._keeper.save_as(folder))

    def open_session(self, folder: Path) -> None:
        """Open a session in place of what is in the viewer."""
        if self.may_clear():
            self.attempt(lambda: self._keeper.open(folder))

    def point_to(self, path: Path) -> None:
        """Open the first missing image from here; ask first where it is another file."""
        if not self._keeper.missing:
            return
        image = self._keeper.missing[0]
        same = fingerprint(str(path)) == image.fingerprint
        if same or self.ask(
            f"{path.name} is another file than the one that the labels of {image.name} were drawn "
            "on. Use it all the same?"
        ):
            self.attempt(lambda: self._keeper.point_to(image, path))

    def may_clear(self) -> bool:
        """Tell whether the viewer may be emptied; ask where something in it belongs to no session."""
        lost = of_no_session(self._viewer, kept=self._keeper.folder is not None)
        return not lost or self.ask(
            f"The window is emptied first, and no session has these: {_listed(lost)}. What you "
            "painted stays in the journal. Go on?"
        )

    def attempt(self, action: Callable[[], None]) -> None:
        """Do something with sessions, and say why it could not be done."""
        try:
            action()
        except UNetError as error:
            self.tell(str(error))
        else:
            self.refresh()
            self.failed.emit("")

    def tell(self, why: str) -> None:
        """Say why something could not be done."""
        self.refresh()
        say(self.problem, why, "bad")
        self.failed.emit(why)

    def ask_open(self) -> None:
        """Let the user choose a session."""
        chosen = QFileDialog.getExistingDirectory(self, "Open a session's folder")
        if chosen:
            self.open_session(Path(chosen))

    def release(self) -> None:
        """Stop following the viewer."""
        for event in (self._events.inserted, self._events.removed):
            event.disconnect(self.refresh)

    def _left_out(self) -> str:
        """Name the images that the session does not have, and how to get them into it."""
        images = without_file(self._viewer)
        if not images:
            return ""
        was, it, its = ("was", "it", "its") if len(images) == 1 else ("were", "they", "their")
        return (
            f"{_listed(images)} {was} not opened here from a file, so neither {it} nor {its} labels "
            "are in the session: save what has no file to one, and open that with Open…."
        )

    def _connect(self) -> None:
        for event in (self._events.inserted, self._events.removed):
            event.connect(self.refresh)
        self._keeper.changed.connect(self.refresh)
        self._keeper.opened.connect(self.refresh)
        self._target.changed.connect(self.refresh)
        self.save_as.triggered.connect(self._ask_save)
        self.open.triggered.connect(self.ask_open)
        self.many.triggered.connect(self.open_folder)
        self.help.triggered.connect(self.tour)
        self.find.clicked.connect(self._ask_find)

    def _ask_save(self) -> None:
        volume = self._target.volume
        source = Path(volume.source) if volume is not None and volume.source else Path("image")
        name = f"{layers.short_name(volume)}-session" if volume is not None else "session"
        chosen, _ = QFileDialog.getSaveFileName(
            self, "Save the session as a new folder", str(source.parent / name)
        )
        if chosen:
            self.save_to(Path(chosen))

    def _ask_find(self) -> None:
        chosen, _ = QFileDialog.getOpenFileName(
            self, f"Where is {self._keeper.missing[0].name}?", "", image_filter()
        )
        if chosen:
            self.point_to(Path(chosen))

    def _question(self, text: str) -> bool:
        return bool(QMessageBox.question(self, "Session", text) == QMessageBox.StandardButton.Yes)


def _listed(some: Iterable[Layer]) -> str:
    return ", ".join(x.name for x in some)
