"""Losses that see known voxels only: on all others the gradient is exactly zero."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor

from napari_unet.core.settings import Loss
from napari_unet.engine.borders import HEIGHT
from napari_unet.engine.cases import UNKNOWN

_SMOOTH = 1e-5
_GAMMA = 2.0
"""Focusing exponent of Lin et al. 2017, table 1b."""
_TVERSKY = (0.3, 0.7)
"""Weights of false positives and false negatives, Salehi et al. 2017, table 1."""


def loss_of(
    outputs: Tensor | list[Tensor], target: Tensor, kind: Loss, ridge: Tensor | None = None
) -> Tensor:
    """Loss of a network's output, deep supervision included.

    Parameters
    ----------
    outputs : Tensor or list of Tensor
        Logits (B, K, ...); a list holds further heads, the main one first, each counting half as
        much as the one before.
    target : Tensor of int
        Right channel (B, ...), `UNKNOWN` where nobody knows.
    kind : {"auto", "dice_ce", "focal", "tversky", "border"}
        ``"auto"`` is Dice + cross-entropy.
    ridge : Tensor, optional
        How near two objects are to each voxel (B, ...), from `borders.ridges`; only ``"border"``
        looks at it. None where no two are near.
    """
    heads = outputs if isinstance(outputs, list) else [outputs]
    weights = [0.5**i for i in range(len(heads))]
    total = torch.stack(
        [w * _one(h, target, kind, ridge) for w, h in zip(weights, heads, strict=True)]
    )
    return total.sum() / sum(weights)


def _one(logits: Tensor, target: Tensor, kind: Loss, ridge: Tensor | None) -> Tensor:
    known = target != UNKNOWN
    if not bool(known.any()):
        return logits.sum() * 0.0
    picked = logits.movedim(1, -1)[known]  # (N, K): unknown voxels end here
    truth = target[known]
    probabilities = picked.softmax(dim=1)
    one_hot = F.one_hot(truth, logits.shape[1]).to(picked.dtype)
    if kind == "tversky":
        return _overlap_loss(probabilities, one_hot, *_TVERSKY)
    surprise = F.cross_entropy(picked, truth, reduction="none")
    if kind == "border":
        weights = _balance(one_hot)[truth]
        if ridge is not None:
            weights = weights + HEIGHT * ridge[known]
        return (weights * surprise).sum() / weights.sum()
    if kind == "focal":
        right = (probabilities * one_hot).sum(dim=1)
        surprise = surprise * (1 - right) ** _GAMMA
    return surprise.mean() + _overlap_loss(probabilities, one_hot, 0.5, 0.5)


def _balance(one_hot: Tensor) -> Tensor:
    """Weigh each class so that all that occur in the batch count the same, and a voxel 1 on average."""
    counts = one_hot.sum(dim=0)
    return counts.sum() / (counts.clamp_min(1) * (counts > 0).sum())


def _overlap_loss(probabilities: Tensor, one_hot: Tensor, over: float, under: float) -> Tensor:
    """One minus the Tversky index, averaged over all foreground classes of the model.

    With both weights at one half it is the Dice loss. The sums go over all known voxels of the batch,
    so that a patch without a class does not count as a failure to find it. A class that the whole batch
    lacks counts as not found unless it gets next to no probability, and has hardly a gradient.
    """
    hit = (probabilities * one_hot).sum(dim=0)
    false_positive = (probabilities * (1 - one_hot)).sum(dim=0)
    false_negative = ((1 - probabilities) * one_hot).sum(dim=0)
    index = (hit + _SMOOTH) / (hit + over * false_positive + under * false_negative + _SMOOTH)
    return 1 - index[1:].mean()
