"""What a journal holds, and how work that was never saved is found again."""

from __future__ import annotations

import hashlib
import logging
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
from numpy.typing import NDArray
from pydantic import TypeAdapter

from napari_unet.core.classes import LabelClass
from napari_unet.core.correction import Correction
from napari_unet.core.grid import Grid
from napari_unet.errors import ReadError, UNetError
from napari_unet.jobs.owner import Owner
from napari_unet.jobs.wire import CONFIG

LABELS, PAINTED, STATE, LOCK = "labels.npy", "painted.npy", "state.json", "lock"
"""Files of one generation of a journal; the lock names the process that writes it."""

_LOG = logging.getLogger(__name__)

_ABROAD = 3600.0
"""Seconds without a write after which a process of another machine is taken for dead."""


@dataclass(frozen=True)
class JournalState:
    """All that a journal remembers beside the voxels.

    Parameters
    ----------
    source : str
        Path of the image, or a layer's name where there is none.
    grid : Grid
        Of image and labels.
    fingerprint : str
        `fingerprint` of the image's file when painting began.
    classes : tuple of LabelClass
        Names and colours.
    done, held_out : dict of int to tuple of int
        Axis to the slices along it that are marked done, or kept aside to measure on.
    locked : tuple of int
        Ids that neither brush nor edits change.
    model : str
        Name of the model in use.
    clean : bool
        Whether all of it was saved elsewhere or given up.
    corrections : tuple of Correction
        What models had said of slices done, against what a person left there.
    merged : tuple of (int, int)
        Classes that became part of others.
    instances : bool
        Whether ids are objects.
    asked : int
        How many changes it had been asked for (`Journal.asked`), up to the last that it holds.
    """

    source: str
    grid: Grid
    fingerprint: str = ""
    classes: tuple[LabelClass, ...] = ()
    done: dict[int, tuple[int, ...]] = field(default_factory=dict)
    held_out: dict[int, tuple[int, ...]] = field(default_factory=dict)
    locked: tuple[int, ...] = ()
    model: str = ""
    clean: bool = False
    corrections: tuple[Correction, ...] = ()
    merged: tuple[tuple[int, int], ...] = ()
    instances: bool = False
    asked: int = 0


STATE_FILE = TypeAdapter(tuple[JournalState], config=CONFIG)
"""Reads and writes `state.json`."""


@dataclass(frozen=True)
class JournalEntry:
    """Labels that were painted, never saved, and can be had back.

    Parameters
    ----------
    folder : Path
        One generation of a journal.
    state : JournalState
        What it remembers.
    time : float
        Of the last stroke, in seconds since 1970.
    """

    folder: Path
    state: JournalState
    time: float

    def read(self) -> NDArray[np.integer[Any]]:
        """Read the labels, shape of the grid.

        Raises
        ------
        ReadError
            When the file is damaged.
        """
        try:
            labels: NDArray[np.integer[Any]] = np.load(self.folder / LABELS, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise ReadError(
                f"The journal {self.folder} is damaged ({error}): nothing can be had back from it."
            ) from error
        return labels

    def read_painted(self) -> NDArray[np.bool_]:
        """Read which voxels a person had painted; none where that is lost, for the labels count more."""
        shape = self.state.grid.shape
        try:
            bits = np.load(self.folder / PAINTED, allow_pickle=False)
            return np.unpackbits(bits, axis=-1, count=shape[-1]).astype(bool).reshape(shape)
        except FileNotFoundError:  # from before they were kept
            pass
        except (OSError, ValueError, TypeError, EOFError) as error:
            _LOG.warning("%s is damaged (%s): no voxel counts as painted.", self.folder, error)
        return np.zeros(shape, dtype=bool)

    def source_unchanged(self) -> bool:
        """Tell whether the image is still the file that was painted on."""
        return fingerprint(self.state.source) == self.state.fingerprint

    def discard(self) -> None:
        """Delete these labels for good."""
        shutil.rmtree(self.folder, ignore_errors=True)


def journal_home() -> Path:
    """Return the folder that holds all journals."""
    return platformdirs.user_data_path("napari-unet", appauthor=False) / "journal"


def unfinished() -> list[JournalEntry]:
    """Find the work of earlier runs that was never saved, newest first.

    Journals that are in use are left out; damaged ones too, with a line in the log.
    """
    found = []
    # Where nothing was ever painted there is no state yet.
    for folder in (state.parent for state in journal_home().glob(f"*/*/{STATE}")):
        if in_use(folder):
            continue
        try:
            entry = read_entry(folder)
        except ReadError as error:
            _LOG.warning("%s", error)
            continue
        if not entry.state.clean:
            found.append(entry)
    return sorted(found, key=lambda entry: entry.time, reverse=True)


def read_entry(folder: Path) -> JournalEntry:
    """Read one generation, and check that its labels are there without reading them.

    Raises
    ------
    ReadError
        When it is damaged.
    """
    try:
        (state,) = STATE_FILE.validate_json((folder / STATE).read_bytes())
        labels = np.load(folder / LABELS, mmap_mode="r", allow_pickle=False)
        if labels.shape != state.grid.shape or not np.issubdtype(labels.dtype, np.integer):
            raise ReadError(f"{labels.dtype} of shape {labels.shape} are no labels of its grid")
        return JournalEntry(folder, state, (folder / LABELS).stat().st_mtime)
    except (OSError, ValueError, EOFError, UNetError) as error:  # pydantic's is a ValueError
        raise ReadError(f"The journal {folder} is damaged and left alone: {error}") from error


def in_use(folder: Path) -> bool:
    """Tell whether some process is writing this generation of a journal."""
    try:
        lock = folder / LOCK
        owner = Owner.parse(lock.read_text(encoding="ascii"))
        touched = lock.stat().st_mtime
    except (OSError, ValueError):
        return False
    if owner is None or owner.local:
        return owner is not None and owner.alive()
    return time.time() - touched < _ABROAD


def fingerprint(source: str) -> str:
    """Return a cheap sign that a file is the same: sha256 of its size, first and last MiB.

    It does not see a change in the middle of a large file that keeps its length. Of a folder (zarr,
    DICOM) it sees the names at its top and the files there, each by its size and first 64 KiB: no times,
    which a copy for somebody else does not keep. Empty for what is no file at all.
    """
    if not source:
        return ""
    path = Path(source)
    digest = hashlib.sha256()
    try:
        if path.is_dir():
            for item in sorted(path.iterdir()):
                digest.update(f"{item.name}\n".encode())
                if item.is_file():
                    with item.open("rb") as file:
                        digest.update(f"{item.stat().st_size}\n".encode() + file.read(2**16))
        elif not path.is_file():  # a pipe or a device may have no end
            return ""
        else:
            with path.open("rb") as file:
                size = path.stat().st_size
                digest.update(str(size).encode() + file.read(2**20))
                file.seek(max(0, size - 2**20))
                digest.update(file.read(2**20))
    except (OSError, ValueError):
        return ""
    return digest.hexdigest()
