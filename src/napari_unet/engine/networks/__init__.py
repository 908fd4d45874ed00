"""The closed table of architectures: nothing outside it is ever built, whatever a file says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from torch import nn

from napari_unet.core.spec import ModelSpec
from napari_unet.engine.networks import attention, original, r2, residual, unet, unetpp
from napari_unet.engine.networks.attention import gate_maps
from napari_unet.errors import SpecError

__all__ = ["build_network", "gate_maps"]

_BUILDERS: Mapping[str, Callable[[ModelSpec], nn.Module]] = MappingProxyType(
    {
        "unet": unet.build,
        "original": original.build,
        "unetpp": unetpp.build,
        "attention": attention.build,
        "residual": residual.build,
        "r2": r2.build,
    }
)


def build_network(spec: ModelSpec) -> nn.Module:
    """Build the network of `spec`, He-initialised from torch's random state, in training mode.

    Parameters
    ----------
    spec : ModelSpec
        What to build.

    Returns
    -------
    nn.Module
        Maps (batch, spec.in_channels, *input_tile(spec)) to logits (batch, spec.out_channels,
        *spec.tile). While training, ``"unetpp"`` returns a list of such logits, the main one first.

    Raises
    ------
    SpecError
        For a name outside the table, or a tile that the network can't put out.
    """
    if spec.network not in _BUILDERS:
        raise SpecError(f"Unknown network {spec.network!r}; choose one of {', '.join(_BUILDERS)}.")
    return _BUILDERS[spec.network](spec)
