"""U-Net++ (Zhou 2018): nested dense skips, deep supervision, pruning."""

from __future__ import annotations

import torch
from monai.networks.layers import Conv
from torch import Tensor, nn

from napari_unet.core.spec import ModelSpec
from napari_unet.engine.networks.blocks import initialise, max_pool, plain_block


class NestedUNet(nn.Module):
    """U-Nets of every depth, one inside the other, that share what they can.

    Node ``i_j`` lies at level i and is the j-th there: it sees all nodes before it at its level,
    and node ``i+1_j-1`` from below. The head on node ``0_j`` is that of the U-Net of depth j.
    MONAI's ``BasicUNetPlusPlus`` is the same network (a test compares them) of five levels with
    strides of 2.

    Parameters
    ----------
    spec : ModelSpec
        Features, kernels and strides of each level. All modules are built whatever `spec.depth`,
        so that a pruned model has the weights of the whole one; only what leads to its head runs.
    """

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        dims, features, same = spec.dims, spec.features, (1,) * spec.dims
        self.deepest = len(features) - 1
        self.depth = spec.depth or self.deepest
        self.pools = nn.ModuleList(max_pool(dims, stride) for stride in spec.strides)
        self.nodes, self.ups, self.heads = nn.ModuleDict(), nn.ModuleDict(), nn.ModuleDict()
        inputs = (spec.in_channels, *features)
        for i, j in _nodes(self.deepest):
            width = inputs[i] if j == 0 else (j + 1) * features[i]
            self.nodes[f"{i}_{j}"] = plain_block(spec, width, features[i], spec.kernels[i], same)
            if j > 0:
                stride = spec.strides[i]
                self.ups[f"{i}_{j}"] = Conv[Conv.CONVTRANS, dims](
                    features[i + 1], features[i], stride, stride, bias=False
                )
            if i == 0 and j > 0:
                self.heads[f"{i}_{j}"] = Conv[Conv.CONV, dims](features[0], spec.out_channels, 1)
        self.apply(initialise)

    def forward(self, x: Tensor) -> Tensor | list[Tensor]:
        """Logits at `depth`; while training a list of those at every depth up to it, deepest first."""
        maps: dict[tuple[int, int], Tensor] = {}
        for i, j in _nodes(self.depth):
            if j > 0:
                before = [maps[i, earlier] for earlier in range(j)]
                x = torch.cat((*before, self.ups[f"{i}_{j}"](maps[i + 1, j - 1])), dim=1)
            elif i > 0:
                x = self.pools[i - 1](maps[i - 1, 0])
            maps[i, j] = self.nodes[f"{i}_{j}"](x)
        depths = range(self.depth, 0, -1) if self.training else [self.depth]
        logits = [self.heads[f"0_{j}"](maps[0, j]) for j in depths]
        return logits if self.training else logits[0]


def _nodes(depth: int) -> list[tuple[int, int]]:
    """Nodes (i, j) of the U-Net of `depth` in an order in which each finds its inputs ready."""
    return [(total - j, j) for total in range(depth + 1) for j in range(total + 1)]


def build(spec: ModelSpec) -> NestedUNet:
    """Build a U-Net++, pruned to `spec.depth` if that is given."""
    return NestedUNet(spec)
