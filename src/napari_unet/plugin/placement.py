"""Where a layer's voxels lie: from a grid to a layer, from one layer to another, and back."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from napari.layers import Layer

from napari_unet.core.grid import Grid

UNITS = {
    "meter": "m",
    "centimeter": "cm",
    "millimeter": "mm",
    "micrometer": "um",
    "micron": "um",
    "nanometer": "nm",
}
"""Names that pint, and so napari, gives to the units of a `Grid`; any other counts as pixels."""


def placement(grid: Grid) -> dict[str, Any]:
    """Return the `scale`, `affine` and `units` that put a layer where its voxels lie.

    A grid whose axes run along world z, y, x, in this order and forwards or backwards, gets its exact
    place in scanner space. napari cuts only along straight axes in order, so any other grid (oblique,
    or stored sagittally) is shown straight, by its spacing; its metadata keep the exact grid.
    """
    size = np.array(grid.spacing)
    shown: dict[str, Any] = {"scale": tuple(size), "units": (grid.unit,) * grid.ndim}
    if grid.affine is None:
        return shown
    to_world = grid.matrix @ np.diag([*(1 / size), 1.0])
    directions = to_world[:-1, :-1]
    if np.allclose(np.abs(directions), np.eye(grid.ndim), atol=1e-3):
        clean = to_world.copy()
        clean[:-1, :-1] = np.diag(np.sign(np.diag(directions)))
        shown["affine"] = clean
    return shown


def lie_on(layer: Layer, other: Layer, start: Iterable[int] | None = None) -> None:
    """Put a layer where the voxels of another one lie, wherever its reader or a person put that.

    Parameters
    ----------
    layer, other : Layer
        Of as many axes.
    start : iterable of int, optional
        Voxel of `other` that the first voxel of `layer` lies on; its own first by default.
    """
    layer.units = other.units
    layer.scale, layer.rotate, layer.shear = other.scale, other.rotate, other.shear
    layer.affine = other.affine.affine_matrix
    layer.translate = (
        other.translate if start is None else other.affine.inverse(other.data_to_world([*start]))
    )


def grid_of(layer: Layer, shape: Iterable[int]) -> Grid:
    """Return the grid that a layer's own scale, affine and units tell."""
    shape = tuple(int(n) for n in shape)
    turned = layer.affine.linear_matrix @ layer.rotate
    sizes = np.abs(layer.scale) * np.linalg.norm(turned, axis=0)
    scale = tuple(float(s) for s in sizes[-len(shape) :])
    units = {UNITS.get(str(u), "pixel") for u in layer.units[-len(shape) :]}
    return Grid(shape, scale, units.pop() if len(units) == 1 else "pixel")
