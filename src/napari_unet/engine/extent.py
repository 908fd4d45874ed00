"""How large images are in voxels as a model counts them, and the tile that suits them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from napari_unet.core.alignment import spacing_for
from napari_unet.core.grid import Grid
from napari_unet.core.orientation import turn
from napari_unet.core.spec import ModelSpec
from napari_unet.engine.cases import Case
from napari_unet.engine.sizes import nearest_tile

_MOST_VOXELS = {"cpu": {2: 192**2, 3: 48 * 64 * 64}, "gpu": {2: 512**2, 3: 96 * 128 * 128}}
"""Voxels of a tile that a device carries in a training of minutes, in 2D and 3D."""
_PATCH = 96
"""Longest side of what a step sees of a plane on a CPU: many small steps teach more than few large ones
(benchmarks/RESULTS.md)."""
_SIDE = 128
"""Longest side of a block that is predicted along three axes, so that stopping stays prompt."""


def kind_of(device: torch.device) -> str:
    """Return what a device is as far as speed goes: ``"cpu"`` or ``"gpu"``."""
    return "cpu" if device.type == "cpu" else "gpu"


def seen_spacing(
    grid: Grid, unit: str, axis: int = 0, thick: float = 1.0, orientation: str = ""
) -> tuple[float, float, float] | None:
    """Return the voxel size (z, y, x) of an image in a model's unit; None where it can't be told.

    A plane is `thick` along `axis`, as the model's slices are: it shows what these show. The axes of a
    volume are in the order of the model's orientation.
    """
    own = spacing_for(grid, unit)
    if own is None:
        return None
    return _deep(own, axis, thick) if grid.ndim == 2 else turn(grid, orientation).order(own)


def common_spacing(
    cases: Sequence[Case], unit: str, axis: int = 0, orientation: str = ""
) -> NDArray[np.float64]:
    """Median voxel size (z, y, x) of the images of which it can be told in a unit.

    Nobody knows how thick a plane is: along `axis` only volumes count, and without any it is 1.
    """
    own = [
        seen_spacing(volume.grid, unit, axis, math.nan, orientation=orientation)
        for volume, _ in cases
    ]
    known = np.array([s for s in own if s is not None])
    if np.isnan(known[:, axis]).all():
        known[:, axis] = 1
    return np.asarray(np.nanmedian(known, axis=0))


def typical_size(
    cases: Sequence[Case],
    unit: str,
    spacing: Sequence[float] | NDArray[np.float64] | None,
    axis: int = 0,
    orientation: str = "",
) -> NDArray[np.float64]:
    """Median size (z, y, x) of the images in voxels of a spacing; planes are 1 long along `axis`.

    Without a spacing, or where nobody knows how large an image's voxels are, it counts as it comes.
    """
    sizes = []
    for volume, _ in cases:
        whole, way = volume.grid.shape, turn(volume.grid, orientation)
        shape = np.array(_deep(whole, axis, 1) if len(whole) == 2 else way.order(whole))
        if spacing is not None:
            own = seen_spacing(volume.grid, unit, axis, spacing[axis], orientation)
            shape = shape if own is None else shape * own / spacing
        sizes.append(shape)
    return np.asarray(np.rint(np.median(sizes, axis=0)))


def tile_for(spec: ModelSpec, cases: Sequence[Case], device: torch.device) -> tuple[int, ...]:
    """Return the largest tile that fits the images and the device, in steps the network takes."""
    size = typical_size(cases, spec.unit, spec.spacing, spec.axis, spec.orientation)
    if spec.dims == 2:
        size = np.delete(size, spec.axis)
    tile = [-(-max(1, int(n)) // d) * d for n, d in zip(size, spec.divisor, strict=True)]
    while math.prod(tile) > _MOST_VOXELS[kind_of(device)][spec.dims]:
        longest = max(range(len(tile)), key=lambda i: tile[i] / spec.divisor[i])
        if tile[longest] == spec.divisor[longest]:
            break
        tile[longest] -= spec.divisor[longest]
    return nearest_tile(spec, tuple(tile))


def patch_of(spec: ModelSpec, device: torch.device) -> ModelSpec:
    """Return a spec whose tile is what a training step sees of an image.

    Slices of all orientations are seen whole, and the unpadded original would see little but margin.
    """
    whole = spec.dims == 3 or spec.block is not None or spec.network == "original"
    if whole or device.type != "cpu":
        return spec
    return replace(spec, tile=spec.nearest_tile(tuple(min(n, _PATCH) for n in spec.tile)))


def block_for(spec: ModelSpec, cases: Sequence[Case]) -> tuple[int, int, int]:
    """Return the block that holds a typical image, no side longer than stays prompt."""
    step = spec.divisor[0]
    size = typical_size(cases, spec.unit, spec.spacing, orientation=spec.orientation)
    z, y, x = (min(-(-max(1, int(n)) // step) * step, _SIDE) for n in size)
    return z, y, x


def three(values: NDArray[np.float64]) -> tuple[float, float, float]:
    """Turn an array of three into the tuple a spec holds."""
    z, y, x = (float(v) for v in values)
    return z, y, x


def _deep(lengths: Sequence[float], axis: int, missing: float) -> tuple[float, float, float]:
    """Give two lengths of a plane the one that it lacks."""
    all_three = [*lengths]
    all_three.insert(axis, missing)
    z, y, x = all_three
    return z, y, x
