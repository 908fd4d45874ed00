"""Networks on images whose axes in space come in MONAI's order, (x, y) or (x, y, z)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from napari_unet.core.spec import ModelSpec
from napari_unet.engine.export import torchscript
from napari_unet.engine.export.network import example
from napari_unet.engine.model import Model


def scripted(model: Model) -> Any:  # noqa: ANN401 - torch gives it no type
    """Return the network as a script for images in MONAI's order of axes."""
    spec = model.spec
    if not stacked(spec):
        seen = example(spec, 1)
        reversed_ = seen.permute(0, 1, *range(seen.ndim - 1, 1, -1))
        return torchscript.trace(Reversed(model.build()).eval(), reversed_)
    network = torchscript.trace(model.build(), example(spec, 1))
    axes = [spec.axis] if spec.block is None else [0, 1, 2]
    return torch.jit.script(Slices(network, axes, spec.context).eval())


def stacked(spec: ModelSpec) -> bool:
    """Whether it is a 2D network made for volumes; one that reads planes alone is for planes here."""
    return spec.dims == 2 and (spec.context > 0 or spec.block is not None)


class Reversed(nn.Module):
    """A network on images whose axes in space come in MONAI's order, (x, y) or (x, y, z).

    Parameters
    ----------
    network : nn.Module
        Maps (batch, channels, [z,] y, x) to logits.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        """Return logits (batch, outputs, x, y[, z])."""
        space = list(range(image.ndim - 1, 1, -1))
        found: Tensor = self.network(image.permute(0, 1, *space))
        return found.permute(0, 1, *space)


class Slices(nn.Module):
    """A 2D network that goes through volumes in MONAI's order along one axis or along all three.

    Parameters
    ----------
    network : ScriptModule
        Maps (batch, channels * (2 context + 1), ...) to logits of slices.
    axes : list of int
        Axes (z, y, x) that it goes along; their logits are averaged.
    context : int
        Neighbours on each side that belong to a slice; beyond the volume its last slice stands for them.
    """

    def __init__(self, network: Any, axes: list[int], context: int) -> None:  # noqa: ANN401
        super().__init__()
        self.network = network
        self.axes, self.context = axes, context

    def forward(self, image: Tensor) -> Tensor:
        """Return logits (batch, outputs, x, y, z)."""
        volume = image.permute(0, 1, 4, 3, 2)
        total = self.along(volume, self.axes[0])
        for axis in self.axes[1:]:
            total = total + self.along(volume, axis)
        return (total / len(self.axes)).permute(0, 1, 4, 3, 2)

    def along(self, volume: Tensor, axis: int) -> Tensor:
        """Return logits (batch, outputs, z, y, x), slice after slice across an axis."""
        stack = volume.movedim(axis + 2, 0)
        last = stack.shape[0] - 1
        found: list[Tensor] = []
        for i in range(stack.shape[0]):
            near = [stack[min(max(i + j, 0), last)] for j in range(-self.context, self.context + 1)]
            found.append(self.network(torch.stack(near, 2).flatten(1, 2)))
        return torch.stack(found, 0).movedim(0, axis + 2)
