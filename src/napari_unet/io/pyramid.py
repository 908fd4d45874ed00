"""Resolution levels of labels: every second voxel along the long axes, until all are short."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import zarr
from numpy.typing import NDArray

from napari_unet.errors import WriteError
from napari_unet.io.guard import reading

SHORT = 256
"""Voxels along an axis that need no coarser level: a viewer draws them at once."""

_CHUNKS = {2: (512, 512), 3: (64, 128, 128)}
"""A megavoxel or less: a few of them are in memory at any time."""


Steps = tuple[int, ...]
"""Every how manieth voxel of the image a level keeps, along each axis."""


class Source(Protocol):
    """What labels are read from: an array in memory, or a store that reads box by box."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of a voxel."""

    def __getitem__(self, key: tuple[slice, ...], /) -> Any:  # noqa: ANN401
        """Return the voxels of a box."""


def strides(shape: tuple[int, ...], spacing: tuple[float, ...]) -> list[Steps]:
    """Return the step of each level along each axis, first that of the whole image.

    Of the axes that are still long, those are halved whose spacing is finest, so that the voxels
    of a stack with thick slices become cubes first.
    """
    levels = [(1,) * len(shape)]
    while True:
        steps = levels[-1]
        sizes = [s * step for s, step in zip(spacing, steps, strict=True)]
        long = [math.ceil(n / step) > SHORT for n, step in zip(shape, steps, strict=True)]
        if not any(long):
            return levels
        finest = min(size for size, is_long in zip(sizes, long, strict=True) if is_long)
        levels.append(
            tuple(
                # Halving what is less than sqrt(2) coarser brings the two sizes closer.
                2 * step if is_long and size < finest * math.sqrt(2) else step
                for step, size, is_long in zip(steps, sizes, long, strict=True)
            )
        )


def between(levels: list[Steps]) -> Iterator[Steps]:
    """Yield the step of each level in voxels of the one before it, 1 for the first."""
    for before, steps in zip([levels[0], *levels], levels, strict=False):
        yield tuple(b // a for a, b in zip(before, steps, strict=True))


def build(group: zarr.Group, name: str, above: Source, step: Steps, axes: str) -> Source:
    """Write one level chunk by chunk, and read each chunk back.

    Parameters
    ----------
    group : zarr.Group
        Where the level goes.
    name : str
        Of its array.
    above : Source
        The level before it, or what the labels come from.
    step : tuple of int
        Every how manieth voxel of `above` it keeps.
    axes : str
        A letter an axis.

    Returns
    -------
    Source
        The level, for the next one to be built from.

    Raises
    ------
    WriteError
        When what is read back differs.
    """
    shape = tuple(math.ceil(n / k) for n, k in zip(above.shape, step, strict=True))
    stored: Any = group.create_array(
        name,
        shape=shape,
        dtype=above.dtype,
        chunks=tuple(map(min, shape, _CHUNKS[len(shape)])),
        dimension_names=list(axes),
    )
    for brick in _bricks(shape):
        labels = _taken(above, brick, step)
        stored[brick] = labels
        if not np.array_equal(_read_back(stored, brick), labels):
            raise WriteError(f"level {name} read back differs from what was written")
    level: Source = stored
    return level


def _read_back(stored: Any, brick: tuple[slice, ...]) -> NDArray[Any]:  # noqa: ANN401
    with reading(Path("the chunk just written"), "OME-Zarr"):
        return np.asarray(stored[brick])


def _taken(above: Source, brick: tuple[slice, ...], step: tuple[int, ...]) -> NDArray[Any]:
    wide = tuple(
        slice(b.start * k, min(b.stop * k, n))
        for b, k, n in zip(brick, step, above.shape, strict=True)
    )
    read: NDArray[Any] = above[wide]
    return read[tuple(slice(None, None, k) for k in step)]


def _bricks(shape: tuple[int, ...]) -> Iterator[tuple[slice, ...]]:
    """Cut a volume into its chunks, the last axis fastest."""
    sides = list(zip(shape, _CHUNKS[len(shape)], strict=True))
    for corner in product(*(range(0, n, side) for n, side in sides)):
        yield tuple(
            slice(low, min(low + side, n)) for low, (n, side) in zip(corner, sides, strict=True)
        )
