"""A ``.npy`` file of labels that is compared and written plane by plane."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray


class LabelFile:
    """Labels on disk, all zero at first.

    It is written with plain writes, not through a memory map. Both outlive ``kill -9``, but on a
    full disk a write fails with an error that can be told, where a map ends the process.

    Parameters
    ----------
    path : Path
        File to make.
    shape : tuple of int
        (z, y, x), or (y, x) for a single plane.
    dtype : dtype
        Of the labels.
    """

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self._path, self._shape, self._dtype = path, shape, dtype
        self._plane = shape[-2:]
        self._stride = dtype.itemsize * self._plane[0] * self._plane[1]
        self._file = cast(BinaryIO, path.open("x+b", buffering=0))
        header = np.lib.format.header_data_from_array_1_0(np.empty(0, dtype)) | {"shape": shape}
        np.lib.format.write_array_header_1_0(self._file, header)
        self._start = self._file.tell()
        self._file.truncate(self._start + self._stride * self.planes)

    @property
    def planes(self) -> int:
        """Number of planes."""
        return self._shape[0] if len(self._shape) == 3 else 1

    def read(self, index: int) -> NDArray[Any]:
        """Read a plane, shape (y, x)."""
        self._file.seek(self._start + index * self._stride)
        return np.frombuffer(self._file.read(self._stride), self._dtype).reshape(self._plane)

    def write(self, index: int, plane: ArrayLike) -> None:
        """Write a plane.

        Raises
        ------
        OSError
            When the disk is full, or gone.
        """
        data = np.ascontiguousarray(plane, self._dtype).tobytes()
        self._file.seek(self._start + index * self._stride)
        if self._file.write(data) != len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def widen(self, dtype: np.dtype[Any]) -> None:
        """Make room for labels of another type, if need be; the old file stands until it is done."""
        if np.can_cast(dtype, self._dtype):
            return
        wide = np.promote_types(dtype, self._dtype)
        if not np.issubdtype(wide, np.integer):  # uint64 and a signed one: ids are never negative
            wide = np.dtype(np.uint64)
        draft = self._path.with_suffix(".wider")
        draft.unlink(missing_ok=True)
        other = LabelFile(draft, self._shape, wide)
        for index in range(self.planes):
            if (plane := self.read(index)).any():
                other.write(index, plane)
        other.sync()
        other.close()
        self.close()  # Windows replaces no open file
        draft.replace(self._path)
        self._file = cast(BinaryIO, self._path.open("r+b", buffering=0))
        self._start, self._stride, self._dtype = other._start, other._stride, wide

    def sync(self) -> None:
        """Wait until the disk has it all, so that it outlives a power cut too."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()
