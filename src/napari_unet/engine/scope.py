"""Which cells of a plan are to be computed: those of a box, but for those that are final already."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.progress import Box
from napari_unet.engine.tiles import Index, TilePlan
from napari_unet.engine.view import View
from napari_unet.errors import GridError


class Scope:
    """The part of a volume that is to be computed.

    Parameters
    ----------
    view, plan
        What is tiled, and how.
    within : Box, optional
        Along the grid's axes; its faces lie on edges of cells. All when absent.
    done : iterable of Box
        Along the grid's axes; cells that lie inside one of them are final already.

    Attributes
    ----------
    start, stop : tuple of int
        Voxels of the part, along the view's axes.
    whole : bool
        Whether every cell is to be computed.

    Raises
    ------
    GridError
        When a face of `within` cuts cells or lies outside the volume.
    """

    def __init__(
        self, view: View, plan: TilePlan, within: Box | None = None, done: Iterable[Box] = ()
    ) -> None:
        self._plan = plan
        self._edges = image_edges(view, plan)
        self.start: Index = (0, 0, 0)
        self.stop: Index = view.image_shape
        self._open = np.ones([len(e) - 1 for e in self._edges], np.bool_)
        if within is not None:
            self.start, self.stop = view.from_grid(within)
            self._require_edges(within)
            self._open[...] = False
            self._open[self._inside(self.start, self.stop)] = True
        for box in done:
            self._open[self._inside(*view.from_grid(box))] = False
        # A cell that resampling left without voxels is nobody's work.
        for axis, edges in enumerate(self._edges):
            empty = np.flatnonzero(np.diff(edges) == 0)
            self._open[(slice(None),) * axis + (empty,)] = False
        self.whole = bool(self._open.all())

    def wants(self, cell: Index) -> bool:
        """Whether a cell is to be computed."""
        return bool(self._open[cell])

    def tiles(self, near: tuple[float, ...] | None = None) -> list[Index]:
        """Return the tiles that its cells need, in the order of `TilePlan.tiles`."""
        if self.whole:
            return self._plan.tiles(near)
        cells = ((z, y, x) for z, y, x in np.argwhere(self._open).tolist())
        needed = self._plan.touching(cells)
        if near is None:
            return needed
        chosen = set(needed)
        return [tile for tile in self._plan.tiles(near) if tile in chosen]

    def _inside(self, start: Index, stop: Index) -> tuple[slice, ...]:
        """Cells that lie wholly inside a box."""
        return tuple(
            slice(
                int(np.searchsorted(edges[:-1], a, "left")),
                int(np.searchsorted(edges[1:], b, "right")),
            )
            for edges, a, b in zip(self._edges, start, stop, strict=True)
        )

    def _require_edges(self, within: Box) -> None:
        faces = zip(self.start, self.stop, self._edges, strict=True)
        if any(a >= b or a not in edges or b not in edges for a, b, edges in faces):
            raise GridError(
                f"The box {within} does not lie on the edges of this plan's cells: "
                "cut blocks with the same model, overlap and image."
            )


def image_edges(view: View, plan: TilePlan) -> tuple[NDArray[np.int64], ...]:
    """Return the edges of a plan's cells in voxels of the image, along the view's axes.

    Where the image is coarser than the network, some follow each other at once: a cell between
    them has no voxel.
    """
    return tuple(view.first_voxels(axis, edges) for axis, edges in enumerate(plan.edges))
