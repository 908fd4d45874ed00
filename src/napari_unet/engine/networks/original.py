"""The U-Net of Ronneberger, Fischer and Brox (2015), to the letter; in 3D by analogy.

Its convolutions are unpadded: every output voxel has seen only real image around it, and the output
is smaller than the input (572 voxels in, 388 out; `engine/sizes.py`).
"""

from __future__ import annotations

from monai.networks.blocks import Convolution
from torch import Tensor, nn

from napari_unet.core.spec import ModelSpec
from napari_unet.engine.networks.blocks import max_pool
from napari_unet.engine.networks.encoder_decoder import EncoderDecoder
from napari_unet.engine.sizes import Lengths, lost_below, require_possible

DROPOUT = 0.5


class OriginalUNet(EncoderDecoder):
    """Unpadded convolutions, max pooling, cropped skips, dropout at the end of the way down."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec, _unpadded_block, bias=True)
        self.encoder[-1].add_module("dropout", nn.Dropout(DROPOUT))
        self.borders = [lost_below(spec, level) for level in range(len(self.ups))]

    def join(self, level: int, x: Tensor, skip: Tensor) -> Tensor:
        """Crop the skip to what came up."""
        centre = tuple(slice(n or None, -n or None) for n in self.borders[level])
        return super().join(level, x, skip[..., *centre])


def _unpadded_block(
    spec: ModelSpec, inputs: int, outputs: int, kernel: Lengths, stride: Lengths
) -> nn.Sequential:
    """Make the paper's block: pooling where it strides, then two convolutions with ReLU."""
    block = nn.Sequential()
    if max(stride) > 1:
        block.append(max_pool(spec.dims, stride))
    for width in (inputs, outputs):
        unpadded = Convolution(
            spec.dims, width, outputs, kernel_size=kernel, padding=0, conv_only=True
        )
        block.extend((unpadded, nn.ReLU(inplace=True)))
    return block


def build(spec: ModelSpec) -> OriginalUNet:
    """Build the original U-Net, whose *output* is `spec.tile`.

    Raises
    ------
    SpecError
        For a tile that its poolings and crops can't make; the message names the nearest.
    """
    require_possible(spec)
    return OriginalUNet(spec)
