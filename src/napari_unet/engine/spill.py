"""Arrays put aside in a temporary file until they are needed again."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Hashable
from typing import IO

import numpy as np
from numpy.typing import NDArray

from napari_unet.errors import WriteError


class Spill:
    """Arrays of float32 in a file that nobody else sees, made when the first one comes.

    It is read and written, not mapped: what lies in it counts as no memory of this process. The
    place of an array that was taken back is used again for the next of its size.
    """

    def __init__(self) -> None:
        self._file: IO[bytes] | None = None
        self._places: dict[Hashable, tuple[int, list[tuple[int, ...]]]] = {}
        self._free: dict[int, list[int]] = defaultdict(list)
        self._end = 0

    def put(self, key: Hashable, *arrays: NDArray[np.float32]) -> None:
        """Put arrays aside under a key.

        Raises
        ------
        WriteError
            When the folder of temporary files is full or can't be written to.
        """
        size = sum(a.nbytes for a in arrays)
        free = self._free[size]
        place = free.pop() if free else self._end
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(prefix="napari-unet-")  # noqa: SIM115
            self._file.seek(place)
            for array in arrays:
                self._file.write(np.ascontiguousarray(array).data)
        except OSError as error:
            raise WriteError(
                f"Sums of {size:,} bytes can't be put aside in {tempfile.gettempdir()} "
                f"({error.strerror}): free space there, or name another folder in TMPDIR."
            ) from error
        self._end = max(self._end, place + size)
        self._places[key] = place, [a.shape for a in arrays]

    def take(self, key: Hashable) -> list[NDArray[np.float32]] | None:
        """Take back what was put aside under a key; None when nothing was."""
        if key not in self._places or self._file is None:
            return None
        place, shapes = self._places.pop(key)
        arrays = [np.empty(shape, np.float32) for shape in shapes]
        self._file.seek(place)
        for array in arrays:
            self._file.readinto(array.data)  # type: ignore[attr-defined]
        self._free[sum(a.nbytes for a in arrays)].append(place)
        return arrays

    def close(self) -> None:
        """Remove the file."""
        if self._file is not None:
            self._file.close()
            self._file = None
        self._places.clear()
