"""Arrays that two processes see at once: memory-mapped ``.npy`` files in private temporary folders."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from napari_unet.core.volume import Pixels
from napari_unet.errors import ReadError, WriteError
from napari_unet.jobs.owner import Owner

_PREFIX = "napari-unet-"


@dataclass(frozen=True)
class SharedArray:
    """A reference to a shared array, small enough to be sent through a pipe.

    Parameters
    ----------
    path : Path
        The ``.npy`` file, in a folder of its own that only this user may enter.
    """

    path: Path

    @classmethod
    def create(
        cls, shape: tuple[int, ...], dtype: DTypeLike, beside: SharedArray | None = None
    ) -> SharedArray:
        """Make a shared array of zeros.

        Parameters
        ----------
        shape, dtype
            Of the array; no axis may be empty.
        beside : SharedArray, optional
            Make it in the folder of this one, so that it is swept when *its* maker has died.

        Raises
        ------
        WriteError
            When the temporary folder has no room. The room is taken here and now, because a disk
            that fills up later would kill whoever writes into the mapping.
        """
        folder = (
            Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{Owner.here()}-"))
            if beside is None
            else beside.path.parent
        )
        descriptor, name = tempfile.mkstemp(suffix=".npy", dir=folder)
        os.close(descriptor)
        array = cls(Path(name))
        try:
            np.lib.format.open_memmap(array.path, mode="w+", dtype=np.dtype(dtype), shape=shape)
            _take_room(array.path)
        except OSError as error:
            array.remove()
            size = np.dtype(dtype).itemsize * np.prod(shape, dtype=np.float64) / 2**20
            raise WriteError(
                f"No room for {size:.0f} MiB in the temporary folder {folder.parent} "
                f"({error.strerror or error}): free some, or set TMPDIR to another folder."
            ) from error
        return array

    @classmethod
    def from_array(cls, array: Pixels) -> SharedArray:
        """Copy an array; a lazy (dask) one is computed chunk by chunk, never whole in memory.

        Raises
        ------
        WriteError
            When the temporary folder has no room.
        ReadError
            When the pixels of a lazy array can't be read.
        """
        shared = cls.create(tuple(array.shape), array.dtype)
        target = shared.open(writable=True)
        try:
            if hasattr(array, "store"):
                array.store(target)
            else:
                target[...] = array[:]
        except OSError as error:
            shared.remove()
            raise ReadError(
                f"The image's voxels can't be read ({error}): open it again."
            ) from error
        return shared

    def open(self, writable: bool = False) -> NDArray[Any]:
        """Map the array into this process; both sides see each other's writes at once.

        Raises
        ------
        ReadError
            When it was removed already.
        """
        try:
            mapped: NDArray[Any] = np.load(
                self.path, mmap_mode="r+" if writable else "r", allow_pickle=False
            )
        except (OSError, ValueError) as error:
            raise ReadError(
                f"The shared array {self.path} can't be opened ({error}): it was removed, perhaps "
                "by a program that tidies the temporary folder. Start the job again."
            ) from error
        return mapped

    def remove(self) -> None:
        """Delete the file, and its folder once empty. Mappings that are open stay valid.

        Windows refuses while a mapping is open; `sweep` then does it after this process has ended.
        """
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)
            self.path.parent.rmdir()


def sweep() -> int:
    """Remove the shared arrays of processes of this machine that have died; return how many."""
    swept = 0
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        owner = Owner.parse(folder.name.removeprefix(_PREFIX).partition("-")[0])
        if owner is not None and owner.local and not owner.alive():
            shutil.rmtree(folder, ignore_errors=True)
            swept += not folder.exists()
    return swept


def _take_room(path: Path) -> None:
    """Allocate every block of a file that may be sparse.

    Raises
    ------
    OSError
        When the disk has no room for them.
    """
    if sys.platform == "linux":
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    elif sys.platform == "darwin" and shutil.disk_usage(path).free < path.stat().st_size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    # Windows allocated them when the file was made.
