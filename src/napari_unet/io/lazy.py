"""A stored Zarr array as a dask array whose slices read no more than the chunks under them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import zarr
from numpy.typing import NDArray

from napari_unet.io.axes import Choice
from napari_unet.io.guard import reading

_STRAIGHT = ("ZYX", "YX", "CZYX", "CYX", "TCZYX", "TCYX")
"""Axes that need no turning, so that dask can pass a wanted slice on to the file as it is."""

_BLOCK = 1 << 21
"""Voxels that dask handles as one, where they are: it spends a millisecond on each that a tile
touches, and slows with the number of all. Only the stored chunks under a slice are read."""


def lazy(
    stored: zarr.Array, letters: str, choice: Choice, path: Path
) -> tuple[dask.array.Array, str]:
    """Return a stored array as a lazy one, and the letters of its axes.

    Its file is `path`, which is named where a chunk turns out to be damaged.
    """
    source = _Stored(stored, path)
    if choice.channel_axis is not None or letters not in _STRAIGHT:
        return dask.array.from_array(source, chunks=source.chunks, inline_array=True), letters
    if "C" not in letters:
        source, letters = _OneChannel(stored, path), "C" + letters
    blocks = _blocks(source, letters)
    return dask.array.from_array(source, chunks=blocks, inline_array=True), letters


class _Stored:
    """A stored array that says in one sentence what goes wrong when it is read, at any time."""

    def __init__(self, stored: zarr.Array, path: Path) -> None:
        self._stored, self._path = stored, path
        self.shape: tuple[int, ...] = stored.shape
        self.chunks: tuple[int, ...] = stored.chunks
        self.dtype, self.ndim = stored.dtype, len(self.shape)

    def __getitem__(self, key: tuple[Any, ...]) -> NDArray[Any]:
        with reading(self._path, "OME-Zarr"):
            values: NDArray[Any] = np.asarray(self._stored[key])
        return values

    def __dask_tokenize__(self) -> object:
        return type(self).__name__, dask.base.normalize_token(self._stored)


class _OneChannel(_Stored):
    """A stored array with an axis for its one channel in front.

    dask would add that axis after it has read whole blocks; a slice of this one is read alone.
    """

    def __init__(self, stored: zarr.Array, path: Path) -> None:
        super().__init__(stored, path)
        self.shape, self.chunks = (1, *self.shape), (1, *self.chunks)
        self.ndim += 1

    def __getitem__(self, key: tuple[Any, ...]) -> NDArray[Any]:
        channel, *place = key
        values: NDArray[Any] = super().__getitem__(tuple(place))[None][channel]
        return values


def _blocks(stored: _Stored, letters: str) -> tuple[int, ...]:
    """Join whole chunks along the shortest side of a block until it is large enough."""
    blocks = [min(c, n) for c, n in zip(stored.chunks, stored.shape, strict=True)]
    while math.prod(blocks) < _BLOCK:
        short = [i for i, n in enumerate(stored.shape) if letters[i] in "ZYX" and blocks[i] < n]
        if not short:
            break
        shortest = min(short, key=lambda i: blocks[i])
        blocks[shortest] = min(2 * blocks[shortest], stored.shape[shortest])
    return tuple(blocks)
