"""Labels on their way to an OME-Zarr: kept box by box, through any crash, until they are whole."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from napari_unet.atomic import behind_links, write_whole
from napari_unet.core.classes import LabelClass
from napari_unet.core.grid import Grid
from napari_unet.core.progress import Box
from napari_unet.errors import WriteError
from napari_unet.io import ome_zarr
from napari_unet.io.label_journal import LabelJournal
from napari_unet.io.lock import Lock


class LabelStore:
    """An array of labels that lives in ``<name>.partial`` until `finish` makes it ``<name>``.

    ::

        open ──> store[box] = labels, commit(box), ... ──> finish ──> an OME-Zarr pyramid
          ^                         │
          └── close, or any crash ──┘

    Boxes go to a journal (`label_journal.py`) and not into Zarr chunks at once: they are smaller
    than chunks, so each chunk would be read, unpacked, changed and packed again many times, and a
    kill in between would tear it.

    Parameters
    ----------
    path : Path
        Final name.
    grid : Grid
        Where the labels lie.
    dtype : dtype
        Of the labels, unsigned.
    classes : tuple of LabelClass
        Names and colours for the final file.
    identity : mapping of str to str
        What the labels are of.

    Attributes
    ----------
    shape : tuple of int
        That of the grid.
    dtype : dtype
        Of the labels.
    partial : Path
        The folder they are kept in meanwhile.
    """

    def __init__(
        self,
        path: Path,
        grid: Grid,
        dtype: np.dtype[Any],
        classes: tuple[LabelClass, ...],
        identity: Mapping[str, str],
    ) -> None:
        self.path = path = behind_links(path)
        self.partial = path.with_name(path.name + ".partial")
        self.shape = grid.shape
        self.dtype = dtype
        self._grid, self._classes = grid, classes
        self._forgotten = False
        with self._writing():
            ome_zarr.require_ours(path)
            self.partial.mkdir(exist_ok=True)
            try:
                self._lock = Lock(self.partial / "lock")
            except BlockingIOError as error:
                raise WriteError(
                    f"{path} is being written by another process: wait for that one, "
                    "or choose another name."
                ) from error
            try:
                self._journal = self._open_journal(identity)
            except BaseException:
                self._lock.release()
                raise

    @property
    def done(self) -> frozenset[Box]:
        """Boxes committed so far, by this run or an earlier one. Made anew at each call."""
        return self._journal.final

    @classmethod
    def open(
        cls,
        path: Path,
        grid: Grid,
        dtype: DTypeLike,
        classes: tuple[LabelClass, ...],
        identity: Mapping[str, str],
    ) -> Self:
        """Begin a store, or go on with the one that a run with the same identity left.

        Parameters
        ----------
        path : Path
            Final name, ending in ``.zarr``; its folder must exist.
        grid : Grid
            Where the labels lie.
        dtype : dtype
            Unsigned whole numbers, wide enough for every id.
        classes : tuple of LabelClass
            Names and colours for the final file; empty for objects.
        identity : mapping of str to str
            What the labels are of, such as model hash, image and settings: whatever makes other
            labels. The keys are words for the user.

        Raises
        ------
        WriteError
            When another process is at it, another image or model was, or the place can't be
            written to. Nothing that was there is removed.
        """
        return cls(Path(path), grid, np.dtype(dtype), classes, identity)

    def __setitem__(self, key: tuple[slice, ...], labels: NDArray[Any]) -> None:
        """Write the labels of a box; they count after `commit`.

        Raises
        ------
        WriteError
            Such as a full disk. What was committed stands; the same command goes on there.
        """
        with self._writing():
            box = _box(key, self.shape)
            size = [b - a for a, b in zip(*box, strict=True)]
            self._journal.write(box, np.broadcast_to(labels, size))

    def __getitem__(self, key: tuple[slice, ...]) -> NDArray[Any]:
        """Return the labels of a box as written so far, 0 elsewhere."""
        return self._journal.read(_box(key, self.shape))

    def commit(self, box: Box) -> None:
        """Declare a box final. A kill of the process right after loses nothing of it.

        Raises
        ------
        WriteError
            As when writing labels.
        """
        with self._writing():
            self._journal.mark(box)

    def finish(self) -> Path:
        """Write the OME-Zarr pyramid, read it back, give it the final name, remove the rest.

        What was never written is background. A kill meanwhile costs this step alone: open the
        store again and finish it.

        Returns
        -------
        Path
            The final name.

        Raises
        ------
        WriteError
            When it could not be written; what was committed stands.
        """
        with self._writing():
            self._journal.sync()
            built = self.partial / self.path.name
            shutil.rmtree(built, ignore_errors=True)  # what a kill left of an earlier attempt
            ome_zarr.build_labels(built, self.path.name, self, self._grid, self._classes)
        write_whole(self.path, built.rename)
        self._forget()  # the labels are safe
        return self.path

    def close(self) -> None:
        """Stop writing; what was committed is kept for the next `open`, and no folder without it."""
        if self._forgotten:
            return
        if not self.done:
            self._forget()
            return
        self._journal.close()
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _forget(self) -> None:
        """Remove what is kept meanwhile; what can't be removed does no harm."""
        self._forgotten = True
        with suppress(OSError):
            self._journal.close()
            (self.partial / "journal").unlink()
            self._lock.release()
            (self.partial / "lock").unlink()
            self.partial.rmdir()

    def _open_journal(self, identity: Mapping[str, str]) -> LabelJournal:
        path = self.partial / "journal"
        header = {
            "shape": list(self.shape),
            "dtype": self.dtype.name,
            "identity": dict(identity),
        }
        if not path.exists():
            write_whole(path, lambda temporary: LabelJournal.create(temporary, header))
        try:
            journal = LabelJournal(path)
        except ValueError as error:
            raise WriteError(
                f"{self.partial} can't be gone on with ({error}): delete that folder, or choose "
                "another name."
            ) from error
        if journal.header != header:
            journal.close()
            what = ", ".join(_differing(journal.header, header))
            raise WriteError(
                f"{self.partial} holds unfinished labels with another {what}: delete that folder "
                "to begin anew, or choose another name."
            )
        return journal

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Say what a failing disk means for this store."""
        try:
            yield
        except OSError as error:
            raise WriteError(
                f"{self.path} could not be written ({error.strerror or error}): see that its folder "
                "exists, may be written to and has room, and run the same again; what was finished "
                f"is kept in {self.partial.name}."
            ) from error


def _differing(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Name what two headers do not share, in the words of their keys."""
    flat = [{**header, **header["identity"], "identity": None} for header in (found, wanted)]
    keys = {key: None for header in flat for key in header}  # a set that keeps its order
    return [key for key in keys if flat[0].get(key) != flat[1].get(key)]


def _box(key: tuple[slice, ...], shape: tuple[int, ...]) -> Box:
    bounds = [part.indices(n) for part, n in zip(key, shape, strict=True)]
    return tuple(low for low, _, _ in bounds), tuple(high for _, high, _ in bounds)
