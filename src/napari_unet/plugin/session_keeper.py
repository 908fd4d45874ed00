"""Keeps what is in the window in a session's folder, and puts it back."""

from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path

from napari.layers import Labels
from napari.viewer import Viewer
from qtpy.QtCore import QObject, QTimer, Signal

from napari_unet.errors import ReadError
from napari_unet.jobs import (
    Drawing,
    Round,
    Session,
    SessionImage,
    SessionWriter,
    TrainResult,
    fingerprint,
    is_session,
    path_in,
    read_session,
    remember_session,
)
from napari_unet.plugin.finetune_section import FineTuneSection
from napari_unet.plugin.model_section import ModelSection
from napari_unet.plugin.safety import Safety
from napari_unet.plugin.session_gather import Gatherer, files_of, thinned
from napari_unet.plugin.session_layers import (
    OpenImage,
    open_images,
    show_view,
    window_view,
)
from napari_unet.plugin.session_models import SessionModels
from napari_unet.plugin.session_opener import Opener
from napari_unet.plugin.session_saves import Saves
from napari_unet.plugin.slices import Slices
from napari_unet.plugin.target import Target

SAVE_MS = 500
"""A session is saved this long after the last mark, job or other event."""

STAY_MS = 300_000
"""Other machines hear this often that the window lives; they take it for dead after an hour."""

LEAVE_S = 2.0
"""A window that is closing waits this long for the last save; its thread goes on after that."""


class SessionKeeper(QObject):
    """The session of this window, once it has a folder.

    ::

        none ── save_as, open ──> kept: event -> (0.5 s) -> gather -> a thread writes
                                   └── release: one last save

    The folder follows events: marks, jobs, images that come and go. Strokes in between are the
    journal's, whose name the session knows: opening it takes them from there.

    Signals
    -------
    changed()
        A save has begun or ended, or the session is another one.
    opened()
        The images of a session are in the viewer.
    """

    changed = Signal()
    opened = Signal()

    def __init__(
        self,
        viewer: Viewer,
        target: Target,
        slices: Slices,
        safety: Safety,
        model: ModelSection,
        tune: FineTuneSection,
    ) -> None:
        super().__init__(target)
        self._viewer, self._target, self._slices = viewer, target, slices
        self._safety, self._model, self._tune = safety, model, tune
        self._models = SessionModels(model, tune)
        self.session = Session()
        self.warning = ""
        self.saved: datetime | None = None
        self._writer: SessionWriter | None = None
        self._gatherer = Gatherer(safety)
        self._opener: Opener | None = None
        self._loading = self._unsaved = False
        self._events = 0
        self._saves = Saves(self)
        self._soon = QTimer(self, singleShot=True, interval=SAVE_MS)
        self._alive = QTimer(self, interval=STAY_MS)
        self._connect()

    @property
    def folder(self) -> Path | None:
        """Where the session is kept; None while it is not."""
        return None if self._writer is None else self._writer.folder

    @property
    def missing(self) -> list[SessionImage]:
        """Images that are not where the session says, or can't be read."""
        return [] if self._opener is None else self._opener.missing

    def reason(self, image: SessionImage) -> str:
        """Return why an image is missing, in one sentence with the remedy."""
        return "" if self._opener is None else self._opener.reasons.get(image.path, "")

    @property
    def saving(self) -> bool:
        """Whether something has yet to reach the folder."""
        return bool(self._saves) or self._soon.isActive()

    @property
    def problem(self) -> str:
        """What could not be written, in one sentence."""
        return "" if self._writer is None else self._writer.problem

    def save_as(self, folder: Path) -> None:
        """Keep the session in another folder from now on; one that is kept already is copied.

        Raises
        ------
        WriteError, ReadError
            When the folder holds another session or other files, or can't be written to.
        """
        if folder == self.folder:
            self.save()
            return
        if is_session(folder):
            raise ReadError(f"{folder} holds another session: open it, or choose a new name.")
        writer, old = SessionWriter(folder), self.folder
        if old is not None:
            self.save()
            writer.adopt(old, [f for i in self.session.images for f in files_of(i)])
            moved = [replace(i, path=path_in(folder, old / i.path)) for i in self.session.images]
            self.session = replace(self.session, images=tuple(moved))
            self._close()
        self._begin(writer)
        self.save()

    def new_queue(self, folder: Path, images: list[Path]) -> None:
        """Begin a session of images that are not open yet, or add them to the one in the folder.

        Raises
        ------
        WriteError, ReadError
            When the folder can't hold a session, or the one in it is damaged.
        """
        if is_session(folder):
            self.open(folder)
        else:
            self._clear(SessionWriter(folder), Session())
        known = {one.path for one in self.session.images}
        paths = [path for path in (path_in(folder, i) for i in images) if path not in known]
        fresh = tuple(SessionImage(path, open=False) for path in paths)
        self.session = replace(self.session, images=self.session.images + fresh)
        self.save()
        self.opened.emit()

    def open(self, folder: Path) -> None:
        """Open a session in place of what is in the viewer.

        Raises
        ------
        WriteError, ReadError
            When there is no session, it is damaged, or another napari has it open. The viewer is
            as it was then.
        """
        if folder == self.folder:
            return
        session = read_session(folder)
        self._clear(SessionWriter(folder), session)
        problems = [self.show_image(image) for image in session.images if image.open]
        self._loading = True
        try:
            problems.append(self._show_window(session))
        finally:
            self._loading = False
        self.warning = " ".join(p for p in problems if p)
        self._take_from_journal()
        self.opened.emit()

    def is_there(self, image: SessionImage) -> bool:
        """Tell whether an image can be found; if not, it counts as missing from now on."""
        assert self._opener is not None  # noqa: S101
        return self._opener.locate(image) is not None

    def show_image(self, image: SessionImage) -> str:
        """Open one image of the session with its labels; return what went wrong, if anything."""
        assert self._opener is not None  # noqa: S101
        self._loading = True
        try:
            here, problem = self._opener.open(image)
        finally:
            self._loading = False
        self._replace(image, here)
        return problem

    def point_to(self, image: SessionImage, path: Path) -> None:
        """Hear where a missing image is, and open it.

        Raises
        ------
        ReadError, GridError
            When that is no image, or another one than the labels lie on; the image is still missing.
        """
        assert self._opener is not None and self.folder is not None  # noqa: S101
        found = replace(image, path=path_in(self.folder, path), fingerprint=fingerprint(str(path)))
        self._opener.require_fit(found)
        self._replace(image, found)
        self._opener.found(image)
        self.warning = self.show_image(found)
        self._take_from_journal()
        self.touch()

    def change(self, image: SessionImage, **changes: object) -> None:
        """Change what the session says of one image, and save it."""
        self._replace(image, replace(image, **changes))  # type: ignore[arg-type]
        self.touch()

    def open_paths(self) -> dict[str, OpenImage]:
        """Return the images in the viewer by the path that the session calls them."""
        if self.folder is None:
            return {}
        folder = self.folder
        return {path_in(folder, Path(s)): o for s, o in open_images(self._viewer).items()}

    def save(self) -> None:
        """Write what has changed, in a thread."""
        self._soon.stop()
        if self._writer is None or self._loading:
            return
        images = self.open_paths()
        if not images and any(one.open for one in self.session.images) and not self.missing:
            return  # napari takes out all layers when it closes; the session has them
        self._safety.flush()  # a journal that is older than the file would be taken for newer
        self.session, drawings = self._now(images)
        future = self._writer.save(self.session, drawings, self._models.files(self.session))
        drawn = [layer for image in images.values() for layer in image.labels]
        self._saves.add(future, partial(self._saved, self._events, drawn))
        self._unsaved = False
        self.changed.emit()

    def write_labels(self, drawing: Drawing) -> None:
        """Write labels that are not in the viewer."""
        if self._writer is not None:
            self._writer.write_labels(drawing)

    def touch(self, *_: object) -> None:
        """Hear of an event after which the folder is no longer up to date."""
        self._events += 1
        if self._writer is not None and not self._loading:
            self._unsaved = True
            self._soon.start()
            self.changed.emit()

    def stroked(self, *_: object) -> None:
        """Hear of a stroke or an undo: the folder gets it with the next save."""
        self._events += 1
        self._unsaved = self._writer is not None

    def flush(self) -> None:
        """Save before the window goes; a long save ends by itself afterwards."""
        if self._writer is None:
            return
        self.save()
        self._saves.wait(LEAVE_S)

    def release(self) -> None:
        """Save, and leave the folder."""
        self._alive.stop()
        self.flush()
        self._viewer.layers.events.removing.disconnect(self._removing)
        self._close()

    def _connect(self) -> None:
        self._soon.timeout.connect(self.save)
        self._saves.ended.connect(self.changed)
        self._alive.timeout.connect(self._stay)
        self._alive.start()
        self._viewer.layers.events.removing.connect(self._removing)
        for signal in (self._slices.marked, self._model.changed, self._safety.began):
            signal.connect(self.touch)
        self._target.changed.connect(self._layers_changed)
        self._tune.ended.connect(self._trained)

    def _stay(self) -> None:
        self._safety.stay()
        if self._writer is not None:
            self._writer.stay()

    def _layers_changed(self) -> None:
        if self._writer is not None and not self._loading:
            self._soon.start()

    def _removing(self, *_: object) -> None:
        """Take down what is there before a layer goes."""
        if self._unsaved:
            self.save()

    def _trained(self, result: TrainResult) -> None:
        score = result["validation"]
        done = Round(
            Path(result["model"]).stem,
            result["steps"],
            score["mean_dice"],
            score["slices"],
            score["voxels"],
            result["promoted"],
            self._tune.verdict,
        )
        self.session = replace(self.session, rounds=(*self.session.rounds, done))
        self.touch()

    def _now(self, images: dict[str, OpenImage]) -> tuple[Session, list[Drawing]]:
        """Return the session as it is now, and all labels in the viewer."""
        assert self.folder is not None  # noqa: S101
        away = {one.path for one in self.missing}
        entries, drawings = self._gatherer.gather(self.session.images, images, away)
        volume, curve = self._target.volume, self._tune.curve
        session = replace(
            self.session,
            images=entries,
            current=path_in(self.folder, Path(volume.source)) if volume and volume.source else "",
            model=self._models.in_use(self.folder),
            verdict=self._tune.verdict,
            rivals=self._models.rivals(self.folder),
            losses=thinned(curve.losses),
            dices=thinned(curve.dices),
            view=window_view(self._viewer, self._slices),
        )
        return session, drawings

    def _saved(self, events: int, drawn: list[Labels]) -> None:
        """Note that all stands in the folder; labels that nobody touched since need no journal."""
        self.saved = datetime.now().astimezone()
        if events == self._events:
            for layer in drawn:
                self._safety.saved(layer)

    def _clear(self, writer: SessionWriter, session: Session) -> None:
        """Leave the session of before, and empty the viewer for another one."""
        self.flush()
        self._close()
        self._viewer.layers.clear()
        self.session = session
        self._begin(writer)

    def _begin(self, writer: SessionWriter) -> None:
        self._writer, self._gatherer = writer, Gatherer(self._safety)
        self._opener = Opener(writer.folder, self._viewer, self._target, self._gatherer)
        self.warning, self.saved = "", None
        self._soon.stop()
        remember_session(writer.folder)
        self.changed.emit()

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._soon.stop()
            self._saves.look()
        self._writer = self._opener = None

    def _show_window(self, session: Session) -> str:
        """Choose image and model, and show curve and slices, as they were."""
        assert self.folder is not None  # noqa: S101
        shown = self.open_paths().get(session.current)
        if shown is not None:
            self._target.choose_image(shown.shown[0])
            if shown.labels:
                self._target.choose_labels(shown.labels[-1])
                self._viewer.layers.selection.active = shown.labels[-1]
        problem = self._models.show(session, self.folder)
        self._viewer.reset_view()
        show_view(session.view, self._viewer, self._slices)
        return problem

    def _take_from_journal(self) -> None:
        """Save the strokes that came from the journal, and then let go of it there."""
        if self._writer is None or self._opener is None or not self._opener.absorbed:
            return
        self.save()
        if not self._writer.flush():
            while self._opener.absorbed:
                self._opener.absorbed.pop().discard()
        self._safety.refresh()

    def _replace(self, old: SessionImage, new: SessionImage) -> None:
        images = tuple(new if one.path == old.path else one for one in self.session.images)
        self.session = replace(self.session, images=images)
