"""The U: a path down, a path up, and skips between them. Networks differ in block and join."""

from __future__ import annotations

import torch
from monai.networks.layers import Conv
from torch import Tensor, nn

from napari_unet.core.spec import ModelSpec
from napari_unet.engine.networks.blocks import Block, initialise


class EncoderDecoder(nn.Module):
    """Levels of `spec.features` maps, joined by skips; level 0 is at full resolution.

    MONAI's ``DynUNet`` is the same network (a test compares them), but it needs three levels,
    refuses some strides, and lists every weight twice in its state dict.

    Parameters
    ----------
    spec : ModelSpec
        Features, kernels and strides of each level.
    block : Block
        Makes the block of one level, on the way down and on the way up.
    bias : bool
        Whether the up-convolutions have one; useless where the block normalises.
    """

    def __init__(self, spec: ModelSpec, block: Block, *, bias: bool = False) -> None:
        super().__init__()
        dims, features, same = spec.dims, spec.features, (1,) * spec.dims
        inputs = (spec.in_channels, *features)
        strides = (same, *spec.strides)
        self.encoder = nn.ModuleList(
            block(spec, *shape)
            for shape in zip(inputs, features, spec.kernels, strides, strict=False)
        )
        # One of each for every level but the deepest, numbered like the encoder's.
        self.ups = nn.ModuleList(
            Conv[Conv.CONVTRANS, dims](deep, shallow, stride, stride, bias=bias)
            for deep, shallow, stride in zip(features[1:], features, spec.strides, strict=False)
        )
        self.decoder = nn.ModuleList(
            block(spec, 2 * width, width, kernel, same)
            for width, kernel in zip(features[:-1], spec.kernels, strict=False)
        )
        self.head = Conv[Conv.CONV, dims](features[0], spec.out_channels, kernel_size=1)
        self.apply(initialise)

    def join(self, level: int, x: Tensor, skip: Tensor) -> Tensor:  # noqa: ARG002
        """Bring together what came up to `level` and what was there on the way down."""
        return torch.cat((x, skip), dim=1)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of an image of shape (batch, channels, *tile)."""
        *levels, bottom = self.encoder
        skips = []
        for block in levels:
            x = block(x)
            skips.append(x)
        x = bottom(x)
        for level in reversed(range(len(levels))):
            # Popped, so that its memory is free again as soon as it is joined.
            x = self.decoder[level](self.join(level, self.ups[level](x), skips.pop()))
        logits: Tensor = self.head(x)
        return logits
