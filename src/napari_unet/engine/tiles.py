"""Which tiles cover a volume, in which order, and what is final after each.

Tiles overlap. Their first voxels and those one past their last cut the volume into cells::

    tile 0  |------------|
    tile 1           |------------|
    tile 2                    |------------|
    cells   |    0   | 1 |  2 | 3 |   4    |

Each cell lies wholly inside every tile that touches it, and is final as soon as all of these have been
computed. Only cells between their first and last tile hold floating-point sums: those are overlaps,
for the rest of a tile is final at once. Memory follows the front of the work, not the volume.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise, product

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
    grain : tuple of int, optional
        Longest that a cell may be, an axis each; longer ones are cut evenly.
    """

    shape: Index
    tile: Index
    overlap: tuple[float, float, float]
    grain: Index | None = None

    @cached_property
    def starts(self) -> tuple[tuple[int, ...], ...]:
        """First voxels of the tiles, an axis each."""
        return tuple(map(starts_along, self.shape, self.tile, self.overlap))

    @cached_property
    def edges(self) -> tuple[NDArray[np.int64], ...]:
        """Edges of the cells, an axis each: cell i is [edges[i], edges[i + 1])."""
        every = []
        for i, (starts, tile) in enumerate(zip(self.starts, self.tile, strict=True)):
            faces = np.unique(np.clip([*starts, *(s + tile for s in starts)], 0, self.shape[i]))
            longest = self.grain[i] if self.grain else tile
            pieces = [
                np.linspace(a, b, -(-(b - a) // longest), endpoint=False).astype(np.int64)
                for a, b in pairwise(faces.tolist())
            ]
            every.append(np.concatenate([*pieces, faces[-1:]]))
        return tuple(every)

    def tiles(self, near: tuple[float, ...] | None = None) -> list[Index]:
        """Return the tiles as indices into `starts`.

        Parameters
        ----------
        near : tuple of float, optional
            Voxel whose nearest tiles come first. Without it they come in raster order, slowest along
            the axis that leaves the least overlap open: the longest one, where tiles are cubes.
        """
        counts = [len(s) for s in self.starts]
        open_share = [
            o * t / n for o, t, n in zip(self.overlap, self.tile, self.shape, strict=True)
        ]
        order = sorted(range(3), key=open_share.__getitem__)
        slow_to_fast = product(*(range(counts[axis]) for axis in order))
        back = [order.index(axis) for axis in range(3)]
        every = [(t[back[0]], t[back[1]], t[back[2]]) for t in slow_to_fast]
        if near is None:
            return every
        centres = [np.array(s) + t / 2 for s, t in zip(self.starts, self.tile, strict=True)]
        away = [[abs(c - p) for c in axis] for axis, p in zip(centres, near, strict=True)]
        return sorted(every, key=lambda t: math.hypot(*(away[i][t[i]] for i in range(3))))

    def touching(self, cells: Iterable[Index]) -> list[Index]:
        """Return the tiles that touch any of some cells, in raster order."""
        needed = {
            tile
            for cell in cells
            for tile in product(*(self._touching[i][cell[i]] for i in range(3)))
        }
        return [tile for tile in self.tiles() if tile in needed]

    def every_cell(self) -> Iterator[Index]:
        """Yield all cells, x fastest."""
        z, y, x = (range(len(edges) - 1) for edges in self.edges)
        yield from product(z, y, x)

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
                range(
                    *np.searchsorted(edges, np.clip([start, start + tile], 0, edges[-1])).tolist()
                )
                for start in starts
            )
            for starts, edges, tile in zip(self.starts, self.edges, self.tile, strict=True)
        )

    @cached_property
    def _touching(self) -> tuple[tuple[range, ...], ...]:
        """For each axis and cell, the range of tiles that touch it."""
        ranges = []
        for touched, edges in zip(self._touched, self.edges, strict=True):
            first = np.searchsorted([t.stop for t in touched], range(len(edges) - 1), "right")
            last = np.searchsorted([t.start for t in touched], range(len(edges) - 1), "right")
            ranges.append(tuple(map(range, first.tolist(), last.tolist())))
        return tuple(ranges)
