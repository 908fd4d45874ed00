"""Lengths in and out of a network, known from its spec alone.

The padded networks give what they take. The original's convolutions are unpadded: every output voxel
has seen only real image around it, and the output is smaller than the input by `margin` on each side
(572 voxels in, 388 out).
"""

from __future__ import annotations

import math

from napari_unet.core.spec import ModelSpec
from napari_unet.errors import SpecError

Lengths = tuple[int, ...]


def margin(spec: ModelSpec) -> Lengths:
    """Voxels that the network loses on each side of its input, by axis; 0 if it pads.

    92 for the original with five levels of 3x3 convolutions.
    """
    if spec.network != "original":
        return (0,) * spec.dims
    pairs = zip(lost_below(spec, 0), _loss(spec, 0), strict=True)
    return tuple(below + 2 * own for below, own in pairs)


def input_tile(spec: ModelSpec) -> Lengths:
    """Shape of the image that gives an output of `spec.tile`."""
    return tuple(n + 2 * lost for n, lost in zip(spec.tile, margin(spec), strict=True))


def nearest_tile(spec: ModelSpec, wanted: Lengths) -> Lengths:
    """Nearest output, `dims` lengths in voxels, that a network with these levels can have.

    In the original a deepest map of n voxels comes out as n * divisor voxels, less what the way up
    loses on both sides. Every pooling on the way down then finds an even length, as the paper demands.
    """
    if spec.network != "original":
        return spec.nearest_tile(wanted)
    way_up = range(len(spec.features) - 1)
    lost = (2 * sum(_loss(spec, block)[axis] for block in way_up) for axis in range(spec.dims))
    return tuple(
        max(n_lost // step + 1, round((length + n_lost) / step)) * step - n_lost
        for length, n_lost, step in zip(wanted, lost, spec.divisor, strict=True)
    )


def require_possible(spec: ModelSpec) -> None:
    """Raise `SpecError` for a tile that the network can't put out; the message names the nearest."""
    nearest = nearest_tile(spec, spec.tile)
    if spec.tile != nearest:
        needed = tuple(n + 2 * lost for n, lost in zip(nearest, margin(spec), strict=True))
        raise SpecError(
            f"The original U-Net with these {len(spec.features)} levels can't put out a tile of "
            f"{spec.tile} voxels; the nearest is {nearest}, from an input of {needed}."
        )


def lost_below(spec: ModelSpec, level: int) -> Lengths:
    """Voxels of `level` that the original loses on each side on its way to the bottom and back."""
    deeper = range(level + 1, len(spec.features))
    # Every level but the deepest has two blocks: one on the way down, one on the way up.
    blocks = [*deeper, *deeper[:-1]]
    totals = (sum(_loss(spec, block)[axis] for block in blocks) for axis in range(spec.dims))
    return tuple(n // scale for n, scale in zip(totals, _scale(spec, level), strict=True))


def _loss(spec: ModelSpec, block: int) -> Lengths:
    """Voxels of level 0 that a block of this level, of two convolutions, loses on each side."""
    pairs = zip(spec.kernels[block], _scale(spec, block), strict=True)
    return tuple((kernel - 1) * scale for kernel, scale in pairs)


def _scale(spec: ModelSpec, level: int) -> Lengths:
    """Edge lengths of a voxel of a level, in voxels of level 0."""
    return tuple(math.prod(s[axis] for s in spec.strides[:level]) for axis in range(spec.dims))
