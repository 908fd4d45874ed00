"""A 2D network on blocks of a volume: it goes through them along each axis, and the answers are averaged.

One network that sees slices of three orientations learns more from few of them, and errs less where all
three agree (Perslev et al. 2019, "One network to segment them all", MICCAI; theirs uses more planes).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.spec import ModelSpec
from napari_unet.engine.arrays import Array, joined, moved, on_host, to_host
from napari_unet.engine.backends import Forward
from napari_unet.engine.view import View


def crosses(view: View, spec: ModelSpec) -> bool:
    """Whether a 2D network goes through a view along all its axes."""
    return spec.dims == 2 and not view.sliced


class Planes:
    """Runs a 2D network on blocks, along their three axes.

    Parameters
    ----------
    forward : callable
        The network, which takes slices (B, in_channels, h, w).
    context : int
        Neighbours on each side that belong to a slice.
    batch : int
        Slices run at once.
    """

    def __init__(self, forward: Forward, context: int, batch: int) -> None:
        self._forward, self._context, self._batch = forward, context, batch

    def __call__(self, blocks: NDArray[np.float32]) -> Array:
        """Return the logits (B, K, d, h, w) of blocks that have `context` more voxels on each side.

        Parameters
        ----------
        blocks : ndarray of float32
            Shape (B, C, d + 2 context, h + 2 context, w + 2 context).
        """
        return joined([self._one(block)[None] for block in blocks])

    def _one(self, block: NDArray[np.float32]) -> Array:
        """Average the logits (K, d, h, w) of one block over its axes."""
        total: Array = None
        for axis in range(3):
            some = slices(block, axis, self._context, self._batch)
            logits = moved(joined([self._forward(stack) for stack in some]), 0, axis + 1)
            if total is None:
                total = logits
                continue
            if on_host(total) != on_host(logits):  # a GPU ran out of memory in between
                total, logits = to_host(total), to_host(logits)
            total += logits
        total /= 3
        return total


def slices(
    block: NDArray[np.float32], axis: int, context: int, batch: int
) -> Iterator[NDArray[np.float32]]:
    """Yield the slices of a block across an axis with their neighbours, some at once.

    Parameters
    ----------
    block : ndarray
        Shape (C, ...), with `context` more voxels on each side than are wanted.
    axis : int
        0, 1 or 2.
    context, batch : int
        Neighbours on each side of a slice; slices yielded at once.

    Yields
    ------
    ndarray
        Shape (n, C * (2 context + 1), h, w): each channel with its neighbours, then the next channel.
    """
    core = (
        slice(None) if i == axis else slice(context, n - context)
        for i, n in enumerate(block.shape[1:])
    )
    stack = np.moveaxis(block[(slice(None), *core)], axis + 1, 0)
    windows = np.lib.stride_tricks.sliding_window_view(stack, 2 * context + 1, axis=0)
    windows = np.moveaxis(windows, -1, 2)  # (d, C, 2 context + 1, h, w)
    for first in range(0, len(windows), batch):
        some = windows[first : first + batch].copy()  # windows share their memory
        yield some.reshape(len(some), -1, *some.shape[-2:])
