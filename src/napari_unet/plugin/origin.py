"""The file that an image layer came from, where another reader than ours has opened it."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from napari.layers import Image

from napari_unet import io
from napari_unet.core.grid import Grid
from napari_unet.core.volume import Pixels, Volume
from napari_unet.errors import UNetError

_MOST = 1 << 28
"""Bytes up to which an image is looked at in its file, for the window waits meanwhile."""
_LOOKS = 9
"""Planes of a volume, or rows of a plane, that are compared; both ends are among them."""


def from_file(layer: Image, data: Pixels, shown: Grid) -> Volume | None:
    """Return what a layer shows as a `Volume` with its file and the file's grid, or None.

    The file counts only if our reader finds in it what the layer shows, so that labels drawn here lie on
    the file when it is opened again. A place that somebody gave the layer goes before the file's.

    Parameters
    ----------
    layer : Image
        Any reader's.
    data : array-like
        Its voxels, channels first.
    shown : Grid
        Where the layer lies.
    """
    path = layer.source.path
    if not path or io.suffix_of(path) not in io.FORMATS:
        return None
    if math.prod(data.shape) * data.dtype.itemsize > _MOST:
        return None
    try:
        read = io.read(path)
    except UNetError:
        return None
    if tuple(read.data.shape) != tuple(data.shape) or read.data.dtype != data.dtype:
        return None
    placed = not np.allclose(shown.spacing, 1.0)
    if placed and not np.allclose(shown.spacing, read.grid.spacing):
        return None
    same = all(_equal(read.data[:, row], data[:, row]) for row in _spread(data.shape[1]))
    return replace(read, data=data) if same else None


def _spread(count: int) -> set[int]:
    return {round(i) for i in np.linspace(0, count - 1, _LOOKS)}


def _equal(one: Any, other: Any) -> bool:  # noqa: ANN401
    return np.array_equal(np.asarray(one), np.asarray(other), equal_nan=True)
