"""The convolutions that the padded networks share: MONAI's, each with its norm."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Protocol

import torch
from monai.networks.blocks import Convolution
from monai.networks.layers import Norm, Pool
from torch import Tensor, nn

from napari_unet.core.spec import ModelSpec, NormName
from napari_unet.engine.blueprint import EPSILON
from napari_unet.engine.sizes import Lengths

_MOMENTUM = 0.1
"""Share of a batch in the running averages of batch norm, as PyTorch has it."""


class Block(Protocol):
    """Makes the block of one level, which divides the resolution of its input by `stride`."""

    def __call__(
        self, spec: ModelSpec, inputs: int, outputs: int, kernel: Lengths, stride: Lengths
    ) -> nn.Module:
        """Make a block from `inputs` to `outputs` feature maps."""
        ...


class AnySizeInstanceNorm(nn.InstanceNorm3d):
    """Instance norm of images and volumes of any size.

    Torch's own refuses a channel of one voxel, although the bottleneck of a small tile may well be
    that. Such a voxel is its own mean: its centred value is 0, and that level then says nothing.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Normalise each channel of each image by its own mean and standard deviation."""
        cudnn = torch.backends.cudnn.enabled
        return torch.instance_norm(x, self.weight, self.bias, None, None, True, 0, self.eps, cudnn)


class AnySizeBatchNorm(nn.Module):
    """Batch norm of images and volumes of any size.

    Torch's own refuses a channel of one voxel, too, and counts its batches in an integer, which can't be
    averaged as weights are.

    Parameters
    ----------
    num_features : int
        Channels.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(num_features))
        self.bias = nn.Parameter(torch.zeros(num_features))
        self.register_buffer("running_mean", torch.zeros(num_features))
        self.register_buffer("running_var", torch.ones(num_features))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise each channel by the batch while learning, else by the running averages.

        A single number has no deviation, so it is left to the averages also while learning.
        """
        cudnn = torch.backends.cudnn.enabled
        learned = self.weight, self.bias, self.running_mean, self.running_var
        by_batch = self.training and x.numel() > x.shape[1]
        return torch.batch_norm(x, *learned, by_batch, _MOMENTUM, EPSILON, cudnn)


@Norm.factory_function("any_size_instance")  # type: ignore[untyped-decorator]
def _any_size_instance(dims: int) -> type[nn.Module]:  # noqa: ARG001
    """Tell MONAI's blocks what to build under this name."""
    return AnySizeInstanceNorm


@Norm.factory_function("any_size_batch")  # type: ignore[untyped-decorator]
def _any_size_batch(dims: int) -> type[nn.Module]:  # noqa: ARG001
    """Tell MONAI's blocks what to build under this name."""
    return AnySizeBatchNorm


NORMS: Mapping[NormName, tuple[str, dict[str, Any]]] = MappingProxyType(
    {"instance": ("any_size_instance", {"affine": True}), "batch": ("any_size_batch", {})}
)
ACTIVATION = ("leakyrelu", {"negative_slope": 0.01, "inplace": True})


def convolution(
    spec: ModelSpec,
    inputs: int,
    outputs: int,
    kernel: Lengths | int,
    stride: Lengths | int = 1,
    *,
    activated: bool = True,
) -> nn.Module:
    """Make a padded convolution, the norm of the spec and, if `activated`, leaky ReLU."""
    block: nn.Module = Convolution(
        spec.dims,
        inputs,
        outputs,
        kernel_size=kernel,
        strides=stride,
        bias=False,  # the norm's own shift stands in for it
        adn_ordering="NA",
        norm=NORMS[spec.norm],
        act=ACTIVATION if activated else None,
    )
    return block


def max_pool(dims: int, stride: Lengths) -> nn.Module:
    """Make a max pooling over windows of `stride`."""
    pool: nn.Module = Pool[Pool.MAX, dims](kernel_size=stride)
    return pool


def plain_block(
    spec: ModelSpec, inputs: int, outputs: int, kernel: Lengths, stride: Lengths
) -> nn.Module:
    """Make two convolutions, the first of which strides."""
    return nn.Sequential(
        convolution(spec, inputs, outputs, kernel, stride),
        convolution(spec, outputs, outputs, kernel),
    )


def initialise(module: nn.Module) -> None:
    """He initialisation of one convolution's weights, zero for its bias; for `nn.Module.apply`."""
    if isinstance(module, (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)):
        if module.weight.is_meta:
            return  # nothing to fill, and PyTorch would load its compiler first: three seconds
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
