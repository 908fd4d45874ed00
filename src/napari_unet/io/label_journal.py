"""Boxes of labels in one file that only grows: what a kill at any moment leaves can be trusted.

::

    header   magic, length and checksum, then JSON: what the labels are of
    record   length of the rest, checksum, kind, box (start, stop), labels by Zstandard
    record   ...

A record either has its checksum right or was being written when the process or the machine
stopped; reading ends there and the next record takes its place. So no order of flushing between
data and bookkeeping has to be right: a box's mark comes after its labels in the same file.
"""

from __future__ import annotations

import json
import os
import struct
import time
import zlib
from array import array
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from napari_unet.core.progress import Box

_MAGIC = b"napari-unet labels 1\n"
_HEAD = struct.Struct("<II")
"""Bytes after it, and their checksum."""

_BODY = struct.Struct("<B6q")
"""Kind and box of a record; what follows is its labels."""

_LONGEST_HEADER = 1 << 20

_LABELS, _FINAL = 0, 1
"""Kinds of record: labels of a box, and the mark that a box is final."""

_SYNC_SECONDS = 5.0
"""What a power cut may cost at most. A kill of the process alone costs nothing that was written."""

_CACHE = 1 << 25
"""Bytes of decoded boxes kept for the next read, which mostly needs the same ones."""

_ROW = 8
"""Numbers kept of a record: offset and length of its labels, start and stop along three axes."""


class LabelJournal:
    """Labels of one volume, written box by box in any order and read back likewise.

    One process at a time may have it open, and one thread at a time may use it.

    Parameters
    ----------
    path : Path
        An existing journal.

    Attributes
    ----------
    header : mapping
        What `create` was given.

    Raises
    ------
    ValueError
        When the file is no journal, or its header is damaged.
    OSError
        When it can't be read or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: BinaryIO = path.open("r+b", buffering=0)
        try:
            self.header = _read_header(self._file)
            self._shape: tuple[int, ...] = tuple(self.header["shape"])
            self._dtype: np.dtype[np.unsignedinteger[Any]] = np.dtype(self.header["dtype"])
            self._labels, self._final = array("q"), array("q")
            self._end = self._file.tell()
            self._read_records()
        except BaseException:
            self._file.close()
            raise
        self._decoded: OrderedDict[int, NDArray[Any]] = OrderedDict()
        self._held = 0
        self._synced = time.monotonic()

    @staticmethod
    def create(path: Path, header: Mapping[str, Any]) -> None:
        """Write the beginning of a journal; `header` has ``shape`` and ``dtype`` among its keys."""
        text = json.dumps(header).encode()
        path.write_bytes(_MAGIC + _HEAD.pack(len(text), zlib.crc32(text)) + text)

    @property
    def final(self) -> frozenset[Box]:
        """The boxes marked final."""
        n = len(self._shape)
        rows = np.frombuffer(self._final, np.int64).reshape(-1, _ROW).tolist()
        return frozenset((tuple(row[5 - n : 5]), tuple(row[8 - n :])) for row in rows)

    def write(self, box: Box, labels: NDArray[Any]) -> None:
        """Append the labels of a box; they take the place of earlier ones.

        Raises
        ------
        OSError
            Such as a full disk; what was written before stands, and more may be tried.
        """
        values = np.ascontiguousarray(labels, dtype=self._dtype)
        self._append(_LABELS, box, bytes(imagecodecs.zstd_encode(values.tobytes(), level=1)))

    def mark(self, box: Box) -> None:
        """Append that a box is final. Same errors as `write`."""
        self._append(_FINAL, box, b"")
        if time.monotonic() - self._synced > _SYNC_SECONDS:
            self.sync()

    def read(self, box: Box) -> NDArray[Any]:
        """Return the labels of a box, 0 where none were written."""
        start, stop = _filled(box)
        out = np.zeros(_lengths((start, stop)), self._dtype)
        rows = np.frombuffer(self._labels, np.int64).reshape(-1, _ROW)
        inside = (rows[:, 2:5] < stop).all(axis=1) & (rows[:, 5:] > start).all(axis=1)
        for offset, length, *corners in rows[inside].tolist():
            low, high = tuple(corners[:3]), tuple(corners[3:])
            labels = self._decode(offset, length, _lengths((low, high)))
            first, last = list(map(max, low, start)), list(map(min, high, stop))
            out[_within(first, last, start)] = labels[_within(first, last, low)]
        return out.reshape(_lengths(box))

    def sync(self) -> None:
        """Have the system put everything on the disk now."""
        os.fsync(self._file.fileno())
        self._synced = time.monotonic()

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def _append(self, kind: int, box: Box, payload: bytes) -> None:
        start, stop = _filled(box)
        body = _BODY.pack(kind, *start, *stop) + payload
        record = _HEAD.pack(len(body), zlib.crc32(body)) + body
        try:
            self._file.seek(self._end)
            _write_all(self._file, record)
        except OSError:
            self._file.truncate(self._end)
            raise
        self._end += len(record)
        self._note(kind, start, stop, len(payload))

    def _note(self, kind: int, start: tuple[int, ...], stop: tuple[int, ...], length: int) -> None:
        """Keep where a record is whose payload ends at `_end`."""
        rows = self._labels if kind == _LABELS else self._final
        rows.extend((self._end - length, length, *start, *stop))

    def _read_records(self) -> None:
        """Go through all records, check them, and end before the first that is not whole."""
        with self.path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(self._end)
            while len(head := file.read(_HEAD.size)) == _HEAD.size:
                length, checksum = _HEAD.unpack(head)
                if not _BODY.size <= length <= size - file.tell():
                    break
                body = file.read(length)
                if zlib.crc32(body) != checksum:
                    break
                kind, *box = _BODY.unpack_from(body)
                self._end += _HEAD.size + length
                self._note(kind, tuple(box[:3]), tuple(box[3:]), length - _BODY.size)
        self._file.truncate(self._end)

    def _decode(self, offset: int, length: int, shape: tuple[int, ...]) -> NDArray[Any]:
        found = self._decoded.pop(offset, None)
        if found is None:
            self._file.seek(offset)
            raw = imagecodecs.zstd_decode(self._file.read(length))
            found = np.frombuffer(raw, self._dtype).reshape(shape)
            self._held += found.nbytes
        self._decoded[offset] = found  # the last used is the last to go
        while self._held > _CACHE and len(self._decoded) > 1:
            self._held -= self._decoded.popitem(last=False)[1].nbytes
        return found


def _read_header(file: BinaryIO) -> dict[str, Any]:
    head = file.read(len(_MAGIC) + _HEAD.size)
    if len(head) < len(_MAGIC) + _HEAD.size or not head.startswith(_MAGIC):
        raise ValueError("it does not begin as a journal of labels does")
    length, checksum = _HEAD.unpack(head[len(_MAGIC) :])
    text = file.read(min(length, _LONGEST_HEADER))
    if zlib.crc32(text) != checksum:
        raise ValueError("its header is damaged")
    header: dict[str, Any] = json.loads(text)
    return header


def _write_all(file: BinaryIO, data: bytes) -> None:
    """Write, and where the disk takes a part only, the rest: that says why it took no more."""
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


def _filled(box: Box) -> Box:
    """Give a box in a plane a third axis, so that all records are alike."""
    missing = 3 - len(box[0])
    return (0,) * missing + tuple(box[0]), (1,) * missing + tuple(box[1])


def _within(start: list[int], stop: list[int], origin: tuple[int, ...]) -> tuple[slice, ...]:
    """Return [start, stop) as slices of an array whose first voxel is at `origin`."""
    return tuple(slice(a - o, b - o) for a, b, o in zip(start, stop, origin, strict=True))


def _lengths(box: Box) -> tuple[int, ...]:
    return tuple(b - a for a, b in zip(*box, strict=True))
