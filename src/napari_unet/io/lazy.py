"""A stored Zarr array as a dask array whose slices read no more than the chunks under them."""

from __future__ import annotations

import math
from typing import Any

import dask.array
import numpy as np
import zarr
from numpy.typing import NDArray

from napari_unet.io.axes import Choice

_STRAIGHT = ("ZYX", "YX", "CZYX", "CYX", "TCZYX", "TCYX")
"""Axes that need no turning, so that dask can pass a wanted slice on to the file as it is."""

_BLOCK = 1 << 21
"""Voxels that dask handles as one, where they are: it spends a millisecond on each that a tile
touches, and slows with the number of all. Only the stored chunks under a slice are read."""


def lazy(stored: zarr.Array, letters: str, choice: Choice) -> tuple[dask.array.Array, str]:
    """Return a stored array as a lazy one, and the letters of its axes."""
    source: Any = stored
    if choice.channel_axis is not None or letters not in _STRAIGHT:
        return dask.array.from_zarr(stored), letters
    if "C" not in letters:
        source, letters = _OneChannel(stored), "C" + letters
    blocks = _blocks(source, letters)
    return dask.array.from_array(source, chunks=blocks, inline_array=True), letters


class _OneChannel:
    """A stored array with an axis for its one channel in front.

    dask would add that axis after it has read whole blocks; a slice of this one is read alone.
    """

    def __init__(self, stored: zarr.Array) -> None:
        self._stored = stored
        self.shape = (1, *stored.shape)
        self.chunks = (1, *stored.chunks)
        self.dtype, self.ndim = stored.dtype, len(self.shape)

    def __getitem__(self, key: tuple[Any, ...]) -> NDArray[Any]:
        channel, *place = key
        values: NDArray[Any] = np.asarray(self._stored[tuple(place)])[None][channel]
        return values

    def __dask_tokenize__(self) -> object:
        return "one channel", dask.base.normalize_token(self._stored)


def _blocks(stored: zarr.Array | _OneChannel, letters: str) -> tuple[int, ...]:
    """Join whole chunks along the shortest side of a block until it is large enough."""
    blocks = [min(c, n) for c, n in zip(stored.chunks, stored.shape, strict=True)]
    while math.prod(blocks) < _BLOCK:
        short = [i for i, n in enumerate(stored.shape) if letters[i] in "ZYX" and blocks[i] < n]
        if not short:
            break
        shortest = min(short, key=lambda i: blocks[i])
        blocks[shortest] = min(2 * blocks[shortest], stored.shape[shortest])
    return tuple(blocks)
