"""ResU-Net: a residual unit in every block, on the way down and on the way up."""

from __future__ import annotations

from monai.networks.layers import Act
from torch import Tensor, nn

from napari_unet.core.spec import ModelSpec
from napari_unet.engine.networks.blocks import ACTIVATION, convolution
from napari_unet.engine.networks.encoder_decoder import EncoderDecoder
from napari_unet.engine.sizes import Lengths


class ResidualBlock(nn.Module):
    """Two convolutions beside a shortcut: MONAI's ``UnetResBlock``, for any stride."""

    def __init__(
        self, spec: ModelSpec, inputs: int, outputs: int, kernel: Lengths, stride: Lengths
    ) -> None:
        super().__init__()
        self.conv1 = convolution(spec, inputs, outputs, kernel, stride)
        self.conv2 = convolution(spec, outputs, outputs, kernel, activated=False)
        same = inputs == outputs and set(stride) == {1}
        self.shortcut = (
            nn.Identity()
            if same
            else convolution(spec, inputs, outputs, 1, stride, activated=False)
        )
        name, options = ACTIVATION
        self.activation = Act[name](**options)

    def forward(self, x: Tensor) -> Tensor:
        """Add what the convolutions found to what came in."""
        out: Tensor = self.activation(self.conv2(self.conv1(x)) + self.shortcut(x))
        return out


def build(spec: ModelSpec) -> EncoderDecoder:
    """Build a U-Net of residual blocks."""
    return EncoderDecoder(spec, ResidualBlock)
