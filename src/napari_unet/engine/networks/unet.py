"""The plain U-Net: two convolutions a level, strided on the way down."""

from __future__ import annotations

from napari_unet.core.spec import ModelSpec
from napari_unet.engine.networks.blocks import plain_block
from napari_unet.engine.networks.encoder_decoder import EncoderDecoder


def build(spec: ModelSpec) -> EncoderDecoder:
    """Build the default network."""
    return EncoderDecoder(spec, plain_block)
