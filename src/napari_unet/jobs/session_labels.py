"""The label images of a session: written where they differ, read back with the strokes since."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet import io
from napari_unet.core.grid import Grid
from napari_unet.core.strokes import Strokes
from napari_unet.errors import ReadError
from napari_unet.jobs.recovery import JournalEntry, unfinished
from napari_unet.jobs.session import LABELS, DrawnLabels, require_inside

_NIFTI = (".nii", ".nii.gz", ".hdr", ".img")


@dataclass(frozen=True)
class Drawing:
    """Labels on their way into a session.

    Parameters
    ----------
    about : DrawnLabels
        All but the voxels.
    labels : ndarray of int
        Shape of the grid; read a moment later, in a thread.
    grid : Grid
        Of image and labels.
    strokes : Strokes, optional
        What a person has painted; nobody else may change it (`Strokes.still`).
    """

    about: DrawnLabels
    labels: NDArray[np.integer[Any]]
    grid: Grid
    strokes: Strokes | None = None


@dataclass(frozen=True)
class Drawn:
    """Labels that come out of a session.

    Parameters
    ----------
    about : DrawnLabels
        As they were last, marks of the journal included.
    labels : ndarray of int
        Shape of the grid.
    painted : ndarray of bool
        Which voxels a person has painted.
    journal : JournalEntry, optional
        Where the last of it comes from, or that holds the same: discarded once the session has it.
    """

    about: DrawnLabels
    labels: NDArray[np.integer[Any]]
    painted: NDArray[np.bool_]
    journal: JournalEntry | None = None


def label_file(image: str, taken: Collection[str]) -> str:
    """Return a free name for the labels of an image, in the format that fits it.

    NIfTI stays NIfTI and OME-Zarr stays OME-Zarr; the others get OME-TIFF, one file as they are.
    """
    name = re.split(r"[/\\]", image)[-1]
    suffix = io.suffix_of(name)
    stem = re.sub(r"[^\w.+-]+", "_", name[: len(name) - len(suffix)]).strip(".") or "image"
    zarr = suffix.endswith(".zarr")
    ending = ".nii.gz" if suffix in _NIFTI else ".ome.zarr" if zarr else ".ome.tif"
    number, found = 1, f"{LABELS}/{stem}{ending}"
    while found.lower() in {one.lower() for one in taken}:
        number += 1
        found = f"{LABELS}/{stem}-{number}{ending}"
    return found


def painted_file(file: str) -> str:
    """Return the name of the mask that lies beside labels."""
    suffix = io.suffix_of(file)
    return f"{file.removesuffix(suffix)}.painted{suffix}"


class LabelWriter:
    """Writes label images into a session's folder, each only where it has become another one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._written: dict[str, bytes] = {}

    def write(self, drawing: Drawing) -> None:
        """Write labels and what of them was painted.

        Raises
        ------
        WriteError, ReadError
            When they could not be written; older ones still stand.
        """
        about = drawing.about
        labels = np.array(drawing.labels)  # the window may go on painting
        known = drawing.strokes.known(labels) if drawing.strokes is not None else None
        self._one(about.file, labels, drawing, () if about.instances else about.classes)
        if about.painted and known is not None:
            self._one(about.painted, known.astype(np.uint8), drawing, ())

    def _one(
        self, file: str, labels: NDArray[Any], drawing: Drawing, classes: tuple[Any, ...]
    ) -> None:
        digest = hashlib.blake2b(labels.data if labels.flags.c_contiguous else labels.tobytes())
        digest.update(f"{labels.dtype} {classes} {drawing.grid}".encode())
        if self._written.get(file) == digest.digest():
            return
        path = require_inside(self._folder, file)
        path.parent.mkdir(exist_ok=True)
        io.write_labels(path, labels, drawing.grid, classes)
        self._written[file] = digest.digest()


def read_drawing(folder: Path, about: DrawnLabels, grid: Grid) -> Drawn:
    """Read labels of a session, and what the journal has of strokes after the last save.

    Raises
    ------
    ReadError
        When the file is missing or damaged.
    GridError
        When the labels do not lie on `grid`, that of the image.
    """
    entry = _unsaved(about, grid)
    if entry is not None and entry.state.asked > about.asked:
        state = entry.state
        latest = replace(
            about,
            classes=state.classes,
            done=state.done,
            held_out=state.held_out,
            locked=state.locked,
            corrections=state.corrections,
        )
        return Drawn(latest, entry.read(), entry.read_painted(), entry)
    labels, _, classes = io.read_labels(require_inside(folder, about.file), grid)
    _require_marks(about, grid, folder)
    painted = np.zeros(grid.shape, dtype=bool)
    if about.painted:
        mask, _, _ = io.read_labels(require_inside(folder, about.painted), grid)
        painted = mask.astype(bool)
    told = replace(about, classes=about.classes or classes)
    return Drawn(told, labels, painted, entry if _same(entry, labels, painted) else None)


def _unsaved(about: DrawnLabels, grid: Grid) -> JournalEntry | None:
    """Return the journal of these labels, if it does not say itself that it was saved.

    One that could not be written any more knows nothing of the file, which then holds more.
    """
    if not about.journal:
        return None
    mine = (entry for entry in unfinished() if entry.folder.name == about.journal)
    return next((entry for entry in mine if entry.state.grid.shape == grid.shape), None)


def _same(
    entry: JournalEntry | None, labels: NDArray[np.integer[Any]], painted: NDArray[np.bool_]
) -> bool:
    """Tell whether a journal holds what the file holds, so that nobody needs it."""
    if entry is None:
        return False
    try:
        return np.array_equal(entry.read(), labels) and np.array_equal(
            entry.read_painted(), painted
        )
    except ReadError:
        return False


def _require_marks(about: DrawnLabels, grid: Grid, folder: Path) -> None:
    for marks in (about.done, about.held_out):
        for axis, indices in marks.items():
            if axis >= grid.ndim or any(index >= grid.shape[axis] for index in indices):
                raise ReadError(
                    f"{folder} marks slices that {about.name} has not got (axis {axis}): "
                    "take a copy of the session from before."
                )
