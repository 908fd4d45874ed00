"""A look at half the resolution, which says where to look closely."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from itertools import product

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.spec import ModelSpec
from napari_unet.engine.backends import Forward
from napari_unet.engine.infer import infer
from napari_unet.engine.scope import image_edges
from napari_unet.engine.sums import Cell
from napari_unet.engine.tiles import Index, TilePlan
from napari_unet.engine.view import View

_AROUND = 4
"""Part of a tile, as 1 / this, around what was found that is looked at closely too."""


class CoarseLook:
    """Finds the tiles of a plan that hold, or are close to, anything but background.

    Axes longer than a tile are halved; those that a 2D network goes along are not. The tiles have
    the shape of the plan's, so that a network made ready for these runs.

    Parameters
    ----------
    view, spec, plan
        The volume, the model and the tiles to choose from.

    Attributes
    ----------
    found : set of Index
        Tiles worth looking at closely.
    """

    def __init__(self, view: View, spec: ModelSpec, plan: TilePlan) -> None:
        halved = [n > t > 1 for n, t in zip(view.shape, plan.tile, strict=True)]
        self._spec, self._fine = spec, plan
        self._worth = any(halved)
        self._view = view.coarser((1 + halved[0], 1 + halved[1], 1 + halved[2]))
        self._plan = TilePlan(self._view.shape, plan.tile, plan.overlap, plan.grain)
        self._boxes = [self._around(view, axis) for axis in range(3)]
        self.found: set[Index] = set()

    def through(self, tiles: list[Index], forward: Forward, batch: int) -> Iterator[float]:
        """Look at the surroundings of some tiles; yields the share of the work that is done."""
        if not self._worth:  # nothing to gain
            self.found = set(tiles)
            return
        asked = set(tiles)
        edges = image_edges(self._view, self._plan)
        wanted = {
            cell
            for cell in self._plan.every_cell()
            if any(t in asked for t in self._near(*_box(edges, cell)))
        }
        needed = self._plan.touching(wanted)
        looks = infer(
            self._view,
            self._spec,
            forward,
            self._plan,
            needed,
            batch=batch,
            wanted=wanted.__contains__,
        )
        with closing(looks):
            for i, cells in enumerate(looks):
                for cell in cells:
                    self._mark(cell, asked)
                yield min(1.0, (i + 1) * batch / len(needed))

    def _mark(self, cell: Cell, asked: set[Index]) -> None:
        """Note the tiles whose surroundings hold something in a cell."""
        something = cell.winner() > 0
        if not something.any():
            return
        for tile in self._near(cell.start, cell.stop):
            place = tuple(
                slice(max(0, int(self._boxes[i][0][tile[i]]) - cell.start[i]),
                      max(0, int(self._boxes[i][1][tile[i]]) - cell.start[i]))
                for i in range(3)
            )  # fmt: skip
            if tile in asked and tile not in self.found and something[place].any():
                self.found.add(tile)

    def _near(self, start: Index, stop: Index) -> Iterator[Index]:
        """Yield the tiles whose surroundings meet a box of the image's voxels."""
        z, y, x = (
            np.flatnonzero((low < b) & (high > a)).tolist()
            for (low, high), a, b in zip(self._boxes, start, stop, strict=True)
        )
        yield from product(z, y, x)

    def _around(self, view: View, axis: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """First and last image voxels of the surroundings of the plan's tiles along an axis."""
        starts, tile = np.array(self._fine.starts[axis]), self._fine.tile[axis]
        around, length = tile // _AROUND, view.shape[axis]
        low = view.first_voxels(axis, np.clip(starts - around, 0, length))
        return low, view.first_voxels(axis, np.clip(starts + tile + around, 0, length))


def _box(edges: tuple[NDArray[np.int64], ...], cell: Index) -> tuple[Index, Index]:
    z, y, x = ((int(e[i]), int(e[i + 1])) for e, i in zip(edges, cell, strict=True))
    return (z[0], y[0], x[0]), (z[1], y[1], x[1])
