"""NIfTI-1 and -2, single files or pairs, gzipped or not; Analyze to read."""

from __future__ import annotations

import gzip
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from napari_unet.atomic import write_whole
from napari_unet.core.classes import LabelClass
from napari_unet.core.grid import Grid
from napari_unet.core.volume import Volume
from napari_unet.errors import ReadError, WriteError
from napari_unet.io import nifti_header
from napari_unet.io.axes import Choice, arrange, colour_names
from napari_unet.io.guard import reading, require_memory
from napari_unet.io.labels import classes_from_text, classes_to_text, only_channel

_GZIP_RATIO = 1032
"""Deflate can't shrink anything further, so a header that promises more is lying."""


class _Stored(NamedTuple):
    """A file as it lies on disk: the voxels unscaled, in C order (..., t, z, y, x)."""

    header: nifti_header.Header
    voxels: NDArray[Any]
    comments: list[str]


def read(path: Path, choice: Choice) -> Volume:
    """Read an image, its intensities scaled as the header says.

    A fourth axis is time, a fifth holds channels. `choice.channel_axis` may count axes as the file
    does (3, 4 or -1) or as arrays here do (0, 1).
    """
    choice.require_one_level(path.name)
    return _volume(_load(path), path, choice)


def _volume(stored: _Stored, path: Path, choice: Choice) -> Volume:
    values, axes = _scaled(stored), "QQCTZYX"[-len(stored.header.get_data_shape()) :]
    choice = Choice(_array_axis(choice.channel_axis, len(axes), path.name), choice.time)
    names: tuple[str, ...] = ()
    if values.ndim > len(axes):
        axes += "S"
        names = colour_names(values.shape[-1])
    array, _ = arrange(values, axes, choice, path.name)
    grid = nifti_header.grid_of(stored.header, path.name)
    return Volume(array, grid, names if len(names) == len(array) else (), path.name, str(path))


def read_labels(path: Path) -> tuple[NDArray[Any], Grid, tuple[LabelClass, ...]]:
    """Read stored ids, and the classes in the header's comment."""
    stored = _load(path)
    volume = _volume(stored, path, Choice())
    classes = next((c for c in map(classes_from_text, stored.comments) if c), ())
    return only_channel(volume), volume.grid, classes


def write_labels(
    path: Path,
    labels: NDArray[np.unsignedinteger[Any]],
    grid: Grid,
    classes: tuple[LabelClass, ...],
) -> Path:
    """Write ids with the geometry, codes and units of the header the grid was read with."""
    header = nifti_header.header_for(grid, labels.dtype)
    return _write(path, labels, header, classes_to_text(classes))


def write_probabilities(path: Path, probabilities: NDArray[Any], grid: Grid) -> Path:
    """Write shape (C, *spatial) as 32-bit floats with classes along the file's fourth axis."""
    dtype = np.dtype(np.float32)
    header = nifti_header.header_for(grid, dtype, classes=len(probabilities))
    return _write(path, probabilities.astype(dtype, copy=False), header, "")


def _load(path: Path) -> _Stored:
    with _open(path.with_suffix(".hdr") if path.suffix.lower() == ".img" else path) as (
        stream,
        capacity,
    ):
        header = nifti_header.parse(stream.read(nifti_header.LONGEST), path.name)
        if not nifti_header.is_pair(header):
            offset = int(header.get_data_offset())
            stream.seek(len(header.binaryblock))
            beyond = stream.read(max(0, min(offset, 1 << 20) - stream.tell()))
            comments = nifti_header.comments(header, beyond)
            return _Stored(header, _voxels(stream, capacity, header, path), comments)
    with _open(path.with_suffix(".img")) as (stream, capacity):
        return _Stored(header, _voxels(stream, capacity, header, path), [])


@contextmanager
def _open(path: Path) -> Iterator[tuple[IO[bytes], int]]:
    """Open a file by what it holds, gzip or not, whatever its name; give its largest length too.

    A gzip file is read to its end on leaving, where its checksum is.
    """
    if not path.is_file():
        raise ReadError(f"{path} is missing: .hdr and .img belong together in one folder.")
    with path.open("rb") as raw:
        zipped = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        size = path.stat().st_size
        if not zipped:
            yield raw, size
            return
        with gzip.GzipFile(fileobj=raw) as stream:
            yield cast("IO[bytes]", stream), size * _GZIP_RATIO
            while stream.read(1 << 20):
                pass


def _voxels(
    stream: IO[bytes], capacity: int, header: nifti_header.Header, path: Path
) -> NDArray[Any]:
    shape, dtype = nifti_header.shape_of(header, path.name), header.get_data_dtype()
    offset = int(header.get_data_offset())
    size = math.prod(shape) * dtype.itemsize
    if offset < 0 or offset + size > capacity:
        raise ReadError(
            f"{path} is cut short or damaged: its header promises {size:,} bytes of voxels for "
            f"shape {shape}, more than the file can hold; copy it anew from its source."
        )
    require_memory(size, path)
    stream.seek(offset)
    buffer = np.empty(size, np.uint8)
    filled = 0
    while filled < size:
        count = cast("Any", stream).readinto(buffer.data[filled:])
        if not count:
            raise ReadError(
                f"{path} is cut short: {filled:,} of {size:,} bytes of voxels are there; "
                "copy it anew from its source."
            )
        filled += count
    voxels: NDArray[Any] = buffer.view(dtype).reshape(shape)
    return voxels


def _scaled(stored: _Stored) -> NDArray[Any]:
    """Return values in this machine's byte order, scaled; colours as a last axis of samples."""
    voxels = stored.voxels
    if voxels.dtype.fields:
        return voxels.view(np.uint8).reshape(*voxels.shape, -1)
    dtype = voxels.dtype.newbyteorder("=")
    if dtype.itemsize > 8 and dtype.kind == "f":
        dtype = np.dtype(np.float64)
    voxels = voxels.astype(dtype, copy=False)
    slope, inter = stored.header.get_slope_inter()
    if slope is None or (slope, inter) == (1, 0):
        return voxels
    values = voxels.astype(np.result_type(dtype, np.float32))
    values *= slope
    values += inter or 0
    return values


def _array_axis(channel_axis: int | None, ndim: int, name: str) -> int | None:
    """Translate an axis as the file counts, x first, to the array's own count."""
    if channel_axis is None:
        return None
    axis = ndim - 1 - channel_axis % ndim if channel_axis < 0 or channel_axis > 2 else channel_axis
    if not 0 <= axis < ndim - 3:
        fitting = f"use {', '.join(map(str, range(3, ndim)))}" if ndim > 3 else "leave it out"
        raise ReadError(
            f"{name} has {ndim} axes, of which the first three are space: "
            f"channel_axis={channel_axis} (--channel-axis) can't hold channels; {fitting}."
        )
    return axis


def _write(path: Path, array: NDArray[Any], header: nifti_header.Header, comment: str) -> Path:
    dtype = array.dtype.newbyteorder(header.endianness)

    def write(temporary: Path) -> None:
        with temporary.open("wb") as raw:
            if not path.name.lower().endswith(".gz"):
                pour(raw)
                return
            # No name and no time inside: equal labels make equal files.
            with gzip.GzipFile("", "wb", compresslevel=6, fileobj=raw, mtime=0) as stream:
                pour(cast("IO[bytes]", stream))

    def pour(stream: IO[bytes]) -> None:
        stream.write(nifti_header.with_comment(header, comment))
        for part in array:
            stream.write(part.astype(dtype).tobytes())

    def check(temporary: Path) -> None:
        with reading(temporary, "NIfTI"):
            stored = _load(temporary)
        same = stored.header.binaryblock == header.binaryblock
        if not same or not np.array_equal(stored.voxels.reshape(array.shape), array):
            raise WriteError("the file read back differs from what was written")

    return write_whole(path, write, check)
