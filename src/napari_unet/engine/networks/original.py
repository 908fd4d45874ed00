"""The U-Net of Ronneberger, Fischer and Brox (2015), to the letter; in 3D by analogy.

Its convolutions are unpadded: every output voxel has seen only real image around it, and the output
is smaller than the input by `margin` on each side (572 voxels in, 388 out).
"""

from __future__ import annotations

import math

from monai.networks.blocks import Convolution
from torch import Tensor, nn

from napari_unet.core.spec import ModelSpec
from napari_unet.engine.networks.blocks import Lengths, max_pool
from napari_unet.engine.networks.encoder_decoder import EncoderDecoder
from napari_unet.errors import SpecError

DROPOUT = 0.5


class OriginalUNet(EncoderDecoder):
    """Unpadded convolutions, max pooling, cropped skips, dropout at the end of the way down."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec, _unpadded_block, bias=True)
        self.encoder[-1].add_module("dropout", nn.Dropout(DROPOUT))
        self.borders = [_lost_below(spec, level) for level in range(len(self.ups))]

    def join(self, level: int, x: Tensor, skip: Tensor) -> Tensor:
        """Crop the skip to what came up."""
        centre = tuple(slice(n or None, -n or None) for n in self.borders[level])
        return super().join(level, x, skip[..., *centre])


def _unpadded_block(
    dims: int, inputs: int, outputs: int, kernel: Lengths, stride: Lengths
) -> nn.Sequential:
    """Make the paper's block: pooling where it strides, then two convolutions with ReLU."""
    block = nn.Sequential()
    if max(stride) > 1:
        block.append(max_pool(dims, stride))
    for width in (inputs, outputs):
        unpadded = Convolution(dims, width, outputs, kernel_size=kernel, padding=0, conv_only=True)
        block.extend((unpadded, nn.ReLU(inplace=True)))
    return block


def _scales(spec: ModelSpec) -> list[Lengths]:
    """Edge lengths of a voxel of each level, in voxels of level 0."""
    return [
        tuple(math.prod(s[axis] for s in spec.strides[:level]) for axis in range(spec.dims))
        for level in range(len(spec.features))
    ]


def _loss(spec: ModelSpec, block: int) -> Lengths:
    """Voxels of level 0 that a block of this level, of two convolutions, loses on each side."""
    pairs = zip(spec.kernels[block], _scales(spec)[block], strict=True)
    return tuple((kernel - 1) * scale for kernel, scale in pairs)


def _lost_below(spec: ModelSpec, level: int) -> Lengths:
    """Voxels of `level` lost on each side on the way to the deepest level and back up to it."""
    deeper = range(level + 1, len(spec.features))
    # Every level but the deepest has two blocks: one on the way down, one on the way up.
    blocks = [*deeper, *deeper[:-1]]
    totals = (sum(_loss(spec, block)[axis] for block in blocks) for axis in range(spec.dims))
    return tuple(n // scale for n, scale in zip(totals, _scales(spec)[level], strict=True))


def margin(spec: ModelSpec) -> tuple[int, ...]:
    """Voxels lost on each side, by axis: 92 for five levels of 3x3 convolutions."""
    pairs = zip(_lost_below(spec, 0), _loss(spec, 0), strict=True)
    return tuple(below + 2 * own for below, own in pairs)


def nearest_tile(spec: ModelSpec, wanted: tuple[int, ...]) -> tuple[int, ...]:
    """Nearest output that the network can have.

    A deepest map of n voxels comes out as n * divisor voxels, less what the way up loses on both
    sides. Every pooling on the way down then finds an even length, as the paper demands.
    """
    way_up = range(len(spec.features) - 1)
    lost = (2 * sum(_loss(spec, block)[axis] for block in way_up) for axis in range(spec.dims))
    return tuple(
        max(n_lost // step + 1, round((length + n_lost) / step)) * step - n_lost
        for length, n_lost, step in zip(wanted, lost, spec.divisor, strict=True)
    )


def build(spec: ModelSpec) -> OriginalUNet:
    """Build the original U-Net, whose *output* is `spec.tile`.

    Raises
    ------
    SpecError
        For a tile that its poolings and crops can't make; the message names the nearest.
    """
    nearest = nearest_tile(spec, spec.tile)
    if spec.tile != nearest:
        needed = tuple(n + 2 * lost for n, lost in zip(nearest, margin(spec), strict=True))
        raise SpecError(
            f"The original U-Net with these {len(spec.features)} levels can't put out a tile of "
            f"{spec.tile} voxels; the nearest is {nearest}, from an input of {needed}."
        )
    return OriginalUNet(spec)
