"""Labels are safe from the first stroke: a copy on disk that outlives a killed process."""

from __future__ import annotations

import hashlib
import logging
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from napari_unet.atomic import write_whole
from napari_unet.core.classes import LabelClass
from napari_unet.core.correction import Correction
from napari_unet.core.grid import Grid
from napari_unet.core.strokes import Strokes
from napari_unet.errors import GridError, ReadError, WriteError
from napari_unet.jobs.labelfile import LabelFile
from napari_unet.jobs.owner import Owner
from napari_unet.jobs.recovery import (
    LABELS,
    LOCK,
    PAINTED,
    STATE,
    STATE_FILE,
    JournalState,
    fingerprint,
    in_use,
    journal_home,
    read_entry,
)

_LOG = logging.getLogger(__name__)

_GENERATIONS = 3
"""Journals kept of one image, as long as there are saved ones to go; unsaved ones wait for their user."""

_SAVED_DAYS = 30
"""How long a journal stays whose labels were saved."""


class Journal:
    """The journal of one label layer; `open` one at the first stroke.

    Nothing but `flush` and `close` waits for the disk: a thread compares and writes, in the order
    asked. What went wrong is told by `problem`, and tried again with the next write. Two journals
    of one image, in one process or in two, never touch each other's files.
    """

    def __init__(
        self, folder: Path, state: JournalState, file: LabelFile, painted: LabelFile
    ) -> None:
        self.folder = folder
        self._state = state
        self._on_disk: JournalState | None = None
        self._begun = False
        self._file, self._painted = file, painted
        self._marked: set[int] = set()  # slices of which `painted` holds something
        self._owed: set[int] = set()
        self._asked = 0
        self._problem = ""
        self._worker = ThreadPoolExecutor(1, "napari-unet journal")

    @classmethod
    def open(cls, source: str, grid: Grid, dtype: DTypeLike = np.uint8) -> Journal:
        """Begin a new generation of an image's journal, and drop those that are too many.

        Parameters
        ----------
        source : str
            Path of the image, or the layer's name where it has none.
        grid : Grid
            Of image and labels.
        dtype : dtype
            Of the labels; wider ones may come later.

        Raises
        ------
        WriteError
            When the folder can't be written to.
        """
        home = journal_home()
        # A path that is not UTF-8 can't be put into JSON; labels are worth more than its spelling.
        source = source.encode(errors="replace").decode()
        name = f"{datetime.now(UTC):%Y%m%dT%H%M%S.%f}-{secrets.token_hex(3)}"
        folder = home / _key(source, grid) / name
        try:
            folder.mkdir(parents=True)
            (folder / LOCK).write_text(str(Owner.here()), encoding="ascii")
            file = LabelFile(folder / LABELS, grid.shape, np.dtype(dtype))
            packed = (*grid.shape[:-1], -(-grid.shape[-1] // 8))  # eight voxels a byte
            painted = LabelFile(folder / PAINTED, packed, np.dtype(np.uint8))
        except OSError as error:
            raise WriteError(
                f"Labels can't be kept safe in {folder.parent} ({error.strerror}): make room there "
                "or make it writable, and save often until then."
            ) from error
        journal = cls(folder, JournalState(source, grid), file, painted)
        journal._do(lambda: _prune(home))
        return journal

    @property
    def problem(self) -> str:
        """One sentence about what is not safe at this moment; empty when all is."""
        return self._problem

    @property
    def asked(self) -> int:
        """How many changes it was asked to write down, so that a file can tell whether it has them."""
        return self._asked

    def write_slices(
        self,
        labels: NDArray[np.integer[Any]],
        indices: Iterable[int] | None = None,
        painted: Strokes | None = None,
    ) -> None:
        """Copy the slices along axis 0 that differ; the others cost no more than a comparison.

        Parameters
        ----------
        labels : ndarray of int
            The whole array, shape of the grid. It is read a moment later by the thread. A stroke
            painted meanwhile may be in it already; its own call copies it again.
        indices : iterable of int, optional
            Slices that may have changed; all when not given. A plane is one slice, 0.
        painted : Strokes, optional
            What a person has painted, as it is now; nobody else may change it (`Strokes.still`).
        """
        wanted = range(self._file.planes) if indices is None else tuple(indices)
        strokes = Strokes(labels.shape) if painted is None else painted
        self._asked = number = self._asked + 1
        self._do(lambda: self._copy(labels, wanted, strokes, number))

    def write_state(
        self,
        *,
        classes: tuple[LabelClass, ...] | None = None,
        done: Mapping[int, Iterable[int]] | None = None,
        held_out: Mapping[int, Iterable[int]] | None = None,
        locked: Iterable[int] | None = None,
        model: str | None = None,
        corrections: tuple[Correction, ...] | None = None,
        merged: tuple[tuple[int, int], ...] | None = None,
        instances: bool | None = None,
    ) -> None:
        """Remember what is given (see `JournalState`), and leave the rest as it is."""
        changes: dict[str, Any] = {
            "classes": classes,
            "model": model,
            "corrections": corrections,
            "merged": merged,
            "instances": instances,
            "done": None if done is None else _sorted(done),
            "held_out": None if held_out is None else _sorted(held_out),
            "locked": None if locked is None else tuple(sorted(locked)),
        }
        given = {name: value for name, value in changes.items() if value is not None}
        self._asked = number = self._asked + 1
        self._do(lambda: self._describe(given, number))

    def mark_saved(self) -> None:
        """Say that the labels were saved elsewhere; the next change takes that back."""
        self._do(lambda: self._remember(clean=True))

    def stay(self) -> None:
        """Tell other machines that this process lives, which they can't ask."""
        self._do(lambda: None)  # which touches the lock

    def flush(self) -> str:
        """Wait until all that was asked for is on the disk; return `problem`."""
        self._do(self._file.sync).result()
        return self._problem

    def close(self, clean: bool) -> None:
        """Finish writing and let go of the files.

        Parameters
        ----------
        clean : bool
            Whether the labels were saved or given up; if not, they are offered at the next start.
        """
        if clean:
            self.mark_saved()
        self._worker.shutdown()
        self._file.close()
        self._painted.close()
        if self._begun:
            (self.folder / LOCK).unlink(missing_ok=True)
        else:  # nothing was ever painted
            shutil.rmtree(self.folder, ignore_errors=True)

    def _do(self, action: Callable[[], None]) -> Future[None]:
        """Hand work to the thread; its trouble becomes `problem`, never an exception."""

        def guarded() -> None:
            try:
                action()
                self._save_state()
                (self.folder / LOCK).touch()
            except Exception as error:
                _LOG.exception("journal %s", self.folder)
                self._problem = (
                    f"The latest labels are not in the journal {self.folder} "
                    f"({getattr(error, 'strerror', None) or error}): save them to a file now."
                )
            else:
                self._problem = self._problem if self._owed else ""

        return self._worker.submit(guarded)

    def _copy(
        self, labels: NDArray[Any], indices: Iterable[int], painted: Strokes, number: int
    ) -> None:
        self._owed.update(indices)
        if labels.shape != self._state.grid.shape:
            raise GridError(f"labels of shape {labels.shape} are not on its grid")
        self._file.widen(labels.dtype)
        changed = False
        for index in sorted(self._owed):
            changed |= self._copy_plane(labels, index, painted)
            self._owed.discard(index)
        if changed:
            self._file.sync()
            self._painted.sync()
            self._remember(asked=number)  # last, when all that was owed is there

    def _copy_plane(self, labels: NDArray[Any], index: int, painted: Strokes) -> bool:
        """Copy a slice and which of its voxels are painted; tell whether that was news."""
        plane = np.asarray(labels[index] if labels.ndim == 3 else labels)
        whole = (slice(None), slice(None))
        known = painted.known(labels, (slice(index, index + 1), *whole)[-labels.ndim :])
        bits = np.packbits(known.reshape(plane.shape), axis=-1)
        old = self._painted.read(index) if index in self._marked else np.zeros_like(bits)
        same, same_bits = np.array_equal(self._file.read(index), plane), np.array_equal(old, bits)
        if same and same_bits:
            return False
        if not self._begun or self._state.clean:
            self._remember(clean=False)
        self._save_state()  # first: a crash in between must not leave voxels unmentioned
        # A kill in between may cost a painted voxel its mark, and must never give one to another.
        if (old & ~bits).any():
            self._painted.write(index, old & bits)
        if not same:
            self._file.write(index, plane)
        if not same_bits:
            self._marked.add(index)
            self._painted.write(index, bits)
        return True

    def _describe(self, given: dict[str, Any], number: int) -> None:
        before = self._state
        self._remember(clean=False, **given)
        if self._state != before and not self._owed:
            self._remember(asked=number)

    def _remember(self, **changes: Any) -> None:  # noqa: ANN401 - fields of JournalState
        if not self._begun:
            changes["fingerprint"] = fingerprint(self._state.source)
        self._state, self._begun = replace(self._state, **changes), True

    def _save_state(self) -> None:
        if self._begun and self._state != self._on_disk:
            text = STATE_FILE.dump_json((self._state,), indent=1)
            write_whole(self.folder / STATE, lambda path: path.write_bytes(text))
            self._on_disk = self._state


def _sorted(slices: Mapping[int, Iterable[int]]) -> dict[int, tuple[int, ...]]:
    return {axis: tuple(sorted(indices)) for axis, indices in slices.items()}


def _key(source: str, grid: Grid) -> str:
    """Name the folder of an image and its grid, so that a person can still recognise it."""
    identity = f"{source}\n{replace(grid, header=b'')}"
    stem = re.sub(r"\W+", "_", Path(source).name)[:40]
    return f"{stem}-{hashlib.sha256(identity.encode()).hexdigest()[:16]}"


def _prune(home: Path) -> None:
    """Keep a few generations of each image; leave those in use alone, and those that were never saved."""
    long_ago = time.time() - _SAVED_DAYS * 86400
    for place in home.glob("*/"):
        generations = list(place.glob("*/"))
        surplus = len(generations) - _GENERATIONS
        # The oldest go first: a name begins with its time. What is in no file of the user's stays.
        saved = sorted(g for g in generations if not in_use(g) and not _unsaved(g))
        for rank, folder in enumerate(saved):
            if rank < surplus or folder.stat().st_mtime < long_ago:
                shutil.rmtree(folder, ignore_errors=True)


def _unsaved(folder: Path) -> bool:
    try:
        return not read_entry(folder).state.clean
    except ReadError:
        return False
