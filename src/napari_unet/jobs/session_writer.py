"""A session's folder is kept up to date by a thread, while the window goes on."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from napari_unet.atomic import write_whole
from napari_unet.core.model_header import read_model_header
from napari_unet.errors import ModelFileError, UNetError, WriteError
from napari_unet.jobs.owner import Owner
from napari_unet.jobs.recovery import LOCK, in_use
from napari_unet.jobs.session import (
    DrawnLabels,
    Session,
    SessionModel,
    is_session,
    read_session,
    require_inside,
    write_session,
)
from napari_unet.jobs.session_labels import Drawing, LabelWriter
from napari_unet.jobs.session_log import append_log, changes

_LOG = logging.getLogger(__name__)


class SessionWriter:
    """Writes one session; nothing but `flush` and `close` waits for the disk.

    Labels go first and `session.json` last, so that what it names is there. Strokes between two
    saves are the journal's, whose name `session.json` keeps.

    Parameters
    ----------
    folder : Path
        An existing session, or a folder for a new one, made when missing.

    Raises
    ------
    WriteError
        When another napari has it open, or the folder holds something else or can't be written to.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._last = Session()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if in_use(folder):
                raise WriteError(
                    f"The session {folder} is open in another napari: close it there first."
                )
            if is_session(folder):
                self._last = read_session(folder)
            elif any(folder.iterdir()):
                raise WriteError(
                    f"{folder} holds other files: choose a new folder for the session."
                )
            self._owner = str(Owner.here())
            (folder / LOCK).write_text(self._owner, encoding="ascii")
        except OSError as error:
            raise WriteError(
                f"No session can be kept in {folder} ({error.strerror}): choose another folder."
            ) from error
        self._labels = LabelWriter(folder)
        self._problem = ""
        self._worker = ThreadPoolExecutor(1, "napari-unet session")

    @property
    def problem(self) -> str:
        """One sentence about what the last save could not write; empty when all was."""
        return self._problem

    def save(
        self,
        session: Session,
        drawings: Iterable[Drawing] = (),
        models: Iterable[tuple[SessionModel, Path]] = (),
    ) -> Future[bool]:
        """Write what has changed; the answer tells whether all of it was written.

        Parameters
        ----------
        session : Session
            All but the voxels.
        drawings : iterable of Drawing
            Labels that may be others than the last time.
        models : iterable of (SessionModel, Path)
            Models that the session names and where they lie, to be copied in where it says so.
        """
        return self._worker.submit(self._save, session, tuple(drawings), tuple(models))

    def write_labels(self, drawing: Drawing) -> Future[bool]:
        """Write labels that no image in the window shows."""
        return self._worker.submit(self._guarded, lambda: self._labels.write(drawing))

    def adopt(self, other: Path, names: Iterable[str]) -> Future[bool]:
        """Copy files of another session, which keeps them.

        Those that are in the viewer are written anew later; the copies serve the others.
        """
        wanted = tuple(names)

        def copy() -> None:
            for name in wanted:
                source, target = require_inside(other, name), self.folder / name
                target.parent.mkdir(exist_ok=True)
                copying = shutil.copytree if source.is_dir() else shutil.copyfile
                if source.exists():
                    write_whole(target, partial(copying, source))

        return self._worker.submit(self._guarded, copy)

    def stay(self) -> None:
        """Tell other machines that this process lives, which they can't ask."""
        # Its success is none of a save that failed, so `problem` stays.
        self._worker.submit(self._trouble, lambda: (self.folder / LOCK).touch())

    def flush(self) -> str:
        """Wait until all that was asked for is written; return `problem`."""
        self._worker.submit(lambda: None).result()
        return self._problem

    def close(self) -> None:
        """Finish writing and leave the folder to others."""
        self._worker.shutdown()
        if self._ours():
            (self.folder / LOCK).unlink(missing_ok=True)

    def _save(
        self,
        session: Session,
        drawings: tuple[Drawing, ...],
        models: tuple[tuple[SessionModel, Path], ...],
    ) -> bool:
        # Each by itself: labels that can't be written must not keep others from it.
        whys = {d.about.file: self._trouble(partial(self._labels.write, d)) for d in drawings}
        told = self._as_written(session, {file for file, why in whys.items() if why})

        def write() -> None:
            for model, source in models:
                self._keep_model(model, source)
            if told != self._last:
                write_session(self.folder, told)
                append_log(self.folder, changes(self._last, told))
                self._last = told
            (self.folder / LOCK).touch()

        self._problem = next(filter(None, [*whys.values(), self._trouble(write)]), "")
        return not self._problem

    def _as_written(self, session: Session, failed: set[str]) -> Session:
        """Return what is true of the files: marks of labels that failed are those of their last save.

        Strokes and marks since then are in their journal.
        """
        last = {one.file: one for image in self._last.images for one in image.labels}

        def true(one: DrawnLabels) -> DrawnLabels:
            known = last.get(one.file) if one.file in failed else None
            return one if known is None else replace(known, journal=one.journal)

        images = (replace(i, labels=tuple(map(true, i.labels))) for i in session.images)
        return replace(session, images=tuple(images))

    def _guarded(self, write: Callable[[], None]) -> bool:
        self._problem = self._trouble(write)
        return not self._problem

    def _trouble(self, write: Callable[[], None]) -> str:
        """Write, and say in one sentence why not; empty where it was done."""
        try:
            self._require_ours()
            write()
        except UNetError as error:
            return f"The session is not up to date: {error}"
        except Exception as error:
            _LOG.exception("session %s", self.folder)
            why = getattr(error, "strerror", None) or error
            return (
                f"The session {self.folder} is not up to date ({why}): strokes are kept in the "
                "journal; save it as another folder."
            )
        return ""

    def _ours(self) -> bool:
        """Tell whether the lock still names this process; one that slept may have been taken for dead."""
        try:
            return (self.folder / LOCK).read_text(encoding="ascii", errors="replace") == self._owner
        except FileNotFoundError:
            return False

    def _require_ours(self) -> None:
        self._take_again()
        if not self._ours():
            raise WriteError(
                f"{self.folder} was opened by another napari meanwhile, or is gone, so nothing more is "
                "written there: save the session as another folder."
            )

    def _take_again(self) -> None:
        """Take back a lock that somebody deleted, unless the folder is no longer as this process left it.

        It is another one's then, which opened it, worked and closed it.
        """
        lock = self.folder / LOCK
        if lock.exists():
            return
        known = read_session(self.folder) if is_session(self.folder) else Session()
        if known == self._last:
            with suppress(FileExistsError), lock.open("x", encoding="ascii") as file:
                file.write(self._owner)

    def _keep_model(self, wanted: SessionModel, source: Path) -> None:
        """Copy a model into the folder, unless it is there or everybody has it."""
        if not wanted.file:
            return
        target = require_inside(self.folder, wanted.file)
        if source == target:
            return
        try:
            if read_model_header(target).sha256 == wanted.sha256:
                return
        except ModelFileError:
            pass  # not there yet, or damaged
        target.parent.mkdir(exist_ok=True)
        write_whole(target, lambda new: shutil.copyfile(source, new), read_model_header)
