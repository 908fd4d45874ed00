"""R2U-Net (Alom 2018): recurrent residual convolutions, t = 2."""

from __future__ import annotations

from torch import Tensor, nn

from napari_unet.core.spec import ModelSpec
from napari_unet.engine.blueprint import RECURRENCES
from napari_unet.engine.networks.blocks import convolution, max_pool
from napari_unet.engine.networks.encoder_decoder import EncoderDecoder
from napari_unet.engine.sizes import Lengths


class RecurrentConvolution(nn.Module):
    """One convolution, applied to its input and then `RECURRENCES` times to input + output."""

    def __init__(self, spec: ModelSpec, width: int, kernel: Lengths) -> None:
        super().__init__()
        self.convolution = convolution(spec, width, width, kernel)

    def forward(self, x: Tensor) -> Tensor:
        """Let each voxel see further with the same weights."""
        state: Tensor = self.convolution(x)
        for _ in range(RECURRENCES):
            state = self.convolution(x + state)
        return state


class RecurrentResidualBlock(nn.Module):
    """Pooling where it strides, a 1x1 convolution to its width, then two recurrent ones beside it."""

    def __init__(
        self, spec: ModelSpec, inputs: int, outputs: int, kernel: Lengths, stride: Lengths
    ) -> None:
        super().__init__()
        self.pool = max_pool(spec.dims, stride) if max(stride) > 1 else nn.Identity()
        self.widen = convolution(spec, inputs, outputs, 1, activated=False)
        self.recurrent = nn.Sequential(
            RecurrentConvolution(spec, outputs, kernel), RecurrentConvolution(spec, outputs, kernel)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Add what the recurrent convolutions found to what came in."""
        x = self.widen(self.pool(x))
        out: Tensor = x + self.recurrent(x)
        return out


def build(spec: ModelSpec) -> EncoderDecoder:
    """Build a U-Net of recurrent residual blocks."""
    return EncoderDecoder(spec, RecurrentResidualBlock)
