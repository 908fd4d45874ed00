"""A volume cut into blocks that can be computed anywhere, and put together without a seam.

Blocks lie on edges of the cells of the whole volume's tile plan (`tiles`), so each voxel is decided by
the same tiles, summed in the same order, as if the volume were computed in one piece. What a block
needs around it, its halo, is the tiles that reach into it from outside; two blocks both run those.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np

from napari_unet.core.progress import Box
from napari_unet.core.spec import ModelSpec
from napari_unet.core.volume import Volume
from napari_unet.engine.infer import plan_tiles
from napari_unet.engine.scope import image_edges
from napari_unet.engine.tiles import Index
from napari_unet.engine.view import predictable


@dataclass(frozen=True)
class Block:
    """A part of a volume that is computed by itself.

    Parameters
    ----------
    box : Box
        Its voxels along the grid's axes, for `predicting(within=...)`.
    tiles : int
        Tiles that it runs, its halo included.
    """

    box: Box
    tiles: int


class Layout:
    """Where tiles and cells of a volume lie.

    Parameters
    ----------
    volume : Volume
        The image; none of its voxels decides anything here.
    spec : ModelSpec
        The model.
    overlap : float
        Of the prediction's settings.

    Attributes
    ----------
    tiles : int
        Tiles that the whole volume needs.
    parts : int
        Cells that have a voxel: the smallest parts that become final by themselves.

    Raises
    ------
    SpecError
        When the image does not fit the model.
    """

    def __init__(self, volume: Volume, spec: ModelSpec, overlap: float) -> None:
        self._view = predictable(volume, spec)
        self._plan = plan_tiles(self._view, spec, overlap)
        self._edges = image_edges(self._view, self._plan)
        self.tiles = math.prod(map(len, self._plan.starts))
        self.parts = math.prod(len(np.unique(edges)) - 1 for edges in self._edges)

    def blocks(self, count: int) -> list[Block]:
        """Cut the volume into at least `count` blocks, so that few tiles are run twice.

        Long volumes become slabs along their longest axis; where that would make slabs hardly
        thicker than their halo, more axes are cut. There are fewer blocks where tiles are few.

        Parameters
        ----------
        count : int
            Blocks wished for, 1 or more.
        """
        ways = _ways(tuple(map(len, self._plan.starts)), count)
        known = {
            (axis, pieces): self._ranges(axis, pieces)
            for axis in range(3)
            for pieces in {way[axis] for way in ways}
        }

        def cost(way: Index) -> tuple[int, int]:
            """Tiles run in all, then the blocks that must be kept account of."""
            rows = (sum(r.tiles for r in known[at]) for at in enumerate(way))
            return math.prod(rows), math.prod(way)

        best: Index = min(ways, key=cost)
        z_ranges, y_ranges, x_ranges = (known[at] for at in enumerate(best))
        return [
            Block(
                self._view.in_grid((z.start, y.start, x.start), (z.stop, y.stop, x.stop)),
                z.tiles * y.tiles * x.tiles,
            )
            for z, y, x in product(z_ranges, y_ranges, x_ranges)
        ]

    def around(self, box: Box) -> Box | None:
        """Return the smallest box of whole cells that holds a box; both along the grid's axes.

        It ends where the model's view of the image does; None when the box lies outside of that.
        """
        start, stop = self._view.from_grid(box)
        sides = list(zip(self._edges, start, stop, strict=True))
        if any(b <= edges[0] or a >= edges[-1] for edges, a, b in sides):
            return None
        low, high = [0, 0, 0], [0, 0, 0]
        for axis, (edges, a, b) in enumerate(sides):
            low[axis] = int(edges[max(0, int(np.searchsorted(edges, a, "right")) - 1)])
            high[axis] = int(edges[min(len(edges) - 1, int(np.searchsorted(edges, b, "left")))])
        return self._view.in_grid((low[0], low[1], low[2]), (high[0], high[1], high[2]))

    def _ranges(self, axis: int, pieces: int) -> list[_Range]:
        """Cut one axis where tiles begin: there the two sides have one row of tiles in common."""
        starts, tile = np.array(self._plan.starts[axis]), self._plan.tile[axis]
        cells, voxels = self._plan.edges[axis], self._edges[axis]
        firsts = [starts[i * len(starts) // pieces] for i in range(1, pieces)]
        faces = [0, *np.searchsorted(cells, firsts).tolist(), len(cells) - 1]
        ranges = []
        for low, high in pairwise(faces):
            # Resampling leaves some cells without a voxel, for which no tile is run.
            filled = np.flatnonzero(np.diff(voxels[low : high + 1])) + low
            reached = (starts[:, None] < cells[filled + 1]) & (
                starts[:, None] + tile > cells[filled]
            )
            if filled.size:
                rows = int(reached.any(axis=1).sum())
                ranges.append(_Range(int(voxels[low]), int(voxels[high]), rows))
        return ranges


@dataclass(frozen=True)
class _Range:
    """Voxels [start, stop) of the image along one axis, and rows of tiles that touch them."""

    start: int
    stop: int
    tiles: int


def _ways(tiles: tuple[int, ...], count: int) -> list[Index]:
    """Every way to cut the axes into about `count` blocks, none thinner than a tile."""
    count = max(1, min(count, math.prod(tiles)))
    ways = []
    for z in range(1, min(tiles[0], count) + 1):
        for y in range(1, min(tiles[1], -(-count // z)) + 1):
            x = -(-count // (z * y))
            if x <= tiles[2]:
                ways.append((z, y, x))
    return ways
