"""Attention U-Net (Oktay 2018): what comes up decides how much of each skip passes."""

from __future__ import annotations

import torch
from monai.networks.nets.attentionunet import AttentionBlock
from torch import Tensor, nn
from torch.nn.functional import interpolate

from napari_unet.core.spec import ModelSpec
from napari_unet.engine.networks.blocks import initialise, plain_block
from napari_unet.engine.networks.encoder_decoder import EncoderDecoder
from napari_unet.errors import SpecError


class AttentionUNet(EncoderDecoder):
    """A U-Net whose skips pass through MONAI's additive attention gates."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec, plain_block)
        self.gates = nn.ModuleList(_gate(spec.dims, width) for width in spec.features[:-1])
        self.gates.apply(initialise)

    def join(self, level: int, x: Tensor, skip: Tensor) -> Tensor:
        """Weigh the skip, voxel by voxel, by what came up."""
        return super().join(level, x, self.gates[level](g=x, x=skip))


def _gate(dims: int, width: int) -> nn.Module:
    """Make one gate, without the batch norm that MONAI adds.

    The paper has none there.
    """
    gate: nn.Module = AttentionBlock(dims, f_int=max(1, width // 2), f_g=width, f_l=width)
    for stage in ("W_g", "W_x", "psi"):
        gate.set_submodule(f"{stage}.1", nn.Identity())
    return gate


def gate_maps(network: nn.Module, x: Tensor) -> list[Tensor]:
    """See what the gates of an attention U-Net let through.

    Parameters
    ----------
    network : nn.Module
        Built for ``"attention"``; run as it is, without gradients.
    x : Tensor
        An image as the network takes it, shape (batch, channels, *tile).

    Returns
    -------
    list of Tensor
        One map a level, full resolution first, each of shape (batch, 1, *tile): 0 where the skip
        is shut, 1 where it passes whole.

    Raises
    ------
    SpecError
        For a network without gates.
    """
    if not isinstance(network, AttentionUNet):
        raise SpecError('Only a model with the network "attention" has gates to show.')
    maps: list[Tensor] = []

    def keep(_psi: nn.Module, _inputs: object, output: Tensor) -> None:
        maps.append(output)

    hooks = [gate.get_submodule("psi").register_forward_hook(keep) for gate in network.gates]
    try:
        with torch.no_grad():
            network(x)
    finally:
        for hook in hooks:
            hook.remove()
    mode = "bilinear" if x.ndim == 4 else "trilinear"
    # The deepest gate is the first to run.
    return [interpolate(psi, x.shape[2:], mode=mode) for psi in reversed(maps)]


def build(spec: ModelSpec) -> AttentionUNet:
    """Build a U-Net with attention gates."""
    return AttentionUNet(spec)
