"""Logits lie where they are computed: in numpy on the host, in torch on a GPU. What both can do.

Nothing here imports torch: where a tensor comes in, it is loaded already.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.resample import along

Array: TypeAlias = Any
"""An ndarray of float32, or a Tensor of float32 on a GPU."""


def on_host(array: Array) -> bool:
    """Whether an array lies in the host's memory."""
    return isinstance(array, np.ndarray)


def to_host(array: Array) -> NDArray[Any]:
    """Return an array in the host's memory; one that is there already itself."""
    return array if isinstance(array, np.ndarray) else np.asarray(array.cpu().numpy())


def beside(array: NDArray[np.float32], other: Array) -> Array:
    """Return an array where another one lies."""
    return array if on_host(other) else _tensor(array, other)


def flipped(array: Array, axes: Sequence[int]) -> Array:
    """Return an array mirrored along some axes."""
    return np.flip(array, tuple(axes)) if on_host(array) else array.flip(axes)


def moved(array: Array, axis: int, to: int) -> Array:
    """View an array with one of its axes in another place."""
    return np.moveaxis(array, axis, to) if on_host(array) else array.movedim(axis, to)


def joined(parts: list[Array]) -> Array:
    """Join parts along their first axis, some of which may have moved to the host; spends the list."""
    if any(map(on_host, parts)):
        return np.concatenate([to_host(part) for part in parts])
    first = parts[0]
    whole = first.new_empty((sum(map(len, parts)), *first.shape[1:]))
    at = 0
    while parts:
        part = parts.pop(0)  # given back as soon as it is copied
        whole[at : at + len(part)] = part
        at += len(part)
    return whole


def resampled(array: Array, axis: int, weights: NDArray[np.float32]) -> Array:
    """Apply weights (m, n) along an axis of length n."""
    if on_host(array):
        return along(array, axis, weights)
    moved = array.movedim(axis, -1)
    return (moved @ _tensor(weights, array).T).movedim(-1, axis)


def winner(logits: Array) -> NDArray[np.integer[Any]]:
    """Return the channel with the highest logit, the first of equal ones, in the host's memory.

    It is found where the logits are: from a GPU only these small numbers come.
    """
    if on_host(logits):
        return np.asarray(logits.argmax(axis=0))  # PyTorch's own is up to 20 times slower here
    best = logits.argmax(0)
    return np.asarray((best.byte() if len(logits) <= 256 else best.int()).cpu().numpy())


def softmax(logits: Array) -> NDArray[np.float32]:
    """Return the probability of each channel, in the host's memory."""
    found = to_host(logits)
    likely = np.exp(found - found.max(axis=0))
    return np.asarray(likely / likely.sum(axis=0))


def _tensor(array: NDArray[np.float32], other: Array) -> Array:
    return other.new_tensor(array)
