"""Which tiles cover a volume, in which order, and what is final after each.

Tiles overlap. The tiles' first voxels cut the volume into cells::

    tile 0  |------------|
    tile 1           |------------|
    tile 2                    |------------|
    cells   |   0    |    1   |     2      |

A cell is final as soon as every tile that touches it has been computed. Only cells between their
first and last tile hold floating-point sums, so memory follows the front of the work, not the
volume.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
from numpy.typing import NDArray

Index = tuple[int, int, int]


def starts_along(length: int, tile: int, overlap: float) -> tuple[int, ...]:
    """First voxels of the tiles along one axis, as MONAI's sliding window places them.

    An axis shorter than the tile gets one tile, centred on it, whose start is 0 or negative.
    """
    if length <= tile:
        return (-((tile - length) // 2),)
    step = max(1, int(tile * (1 - overlap)))
    count = math.ceil((length - tile) / step) + 1
    return tuple(min(i * step, length - tile) for i in range(count))


@dataclass(frozen=True)
class TilePlan:
    """Overlapping tiles over a volume.

    Parameters
    ----------
    shape : tuple of int
        Voxels along the three axes.
    tile : tuple of int
        Voxels of one tile.
    overlap : tuple of float
        Share that neighbours have in common, an axis each.
    """

    shape: Index
    tile: Index
    overlap: tuple[float, float, float]

    @cached_property
    def starts(self) -> tuple[tuple[int, ...], ...]:
        """First voxels of the tiles, an axis each."""
        return tuple(map(starts_along, self.shape, self.tile, self.overlap))

    @cached_property
    def edges(self) -> tuple[NDArray[np.int64], ...]:
        """Edges of the cells, an axis each: cell i is [edges[i], edges[i + 1])."""
        return tuple(
            np.array([*(max(0, s) for s in starts), length])
            for starts, length in zip(self.starts, self.shape, strict=True)
        )

    def tiles(self, near: tuple[float, ...] | None = None) -> list[Index]:
        """Return the tiles as indices into `starts`, those nearest to the voxel `near` first."""
        z, y, x = (range(len(s)) for s in self.starts)
        every = list(product(z, y, x))
        if near is None:
            return every
        centres = [np.array(s) + t / 2 for s, t in zip(self.starts, self.tile, strict=True)]
        away = [[abs(c - p) for c in axis] for axis, p in zip(centres, near, strict=True)]
        return sorted(every, key=lambda t: math.hypot(*(away[i][t[i]] for i in range(3))))

    def start(self, tile: Index) -> Index:
        """First voxel of a tile; negative where the volume is smaller than the tile."""
        z, y, x = (self.starts[i][tile[i]] for i in range(3))
        return z, y, x

    def cells(self, tile: Index) -> Iterator[Index]:
        """Yield the cells that a tile touches."""
        z, y, x = (self._touched[i][tile[i]] for i in range(3))
        yield from product(z, y, x)

    def box(self, cell: Index) -> tuple[Index, Index]:
        """Return the voxels (start, stop) of a cell."""
        low = tuple(int(self.edges[i][cell[i]]) for i in range(3))
        high = tuple(int(self.edges[i][cell[i] + 1]) for i in range(3))
        return (low[0], low[1], low[2]), (high[0], high[1], high[2])

    @cached_property
    def _touched(self) -> tuple[tuple[range, ...], ...]:
        """For each axis and tile, the range of cells it touches."""
        return tuple(
            tuple(
                range(i, int(np.searchsorted(edges[:-1], start + tile)))
                for i, start in enumerate(starts)
            )
            for starts, edges, tile in zip(self.starts, self.edges, self.tile, strict=True)
        )
