"""Inputs without any structure give the same logits each time: they are run once."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.arrays import Array
from napari_unet.engine.backends import Forward

Key = int | tuple[float, ...]
"""The values of a constant tile's channels, or the place of any other tile in its batch."""

_KEPT = 4
"""Answers that are remembered, the last ones used."""
_BYTES = 64 << 20
"""Size from which an answer is too large to be remembered."""


class Repeats:
    """Runs a network on tiles; of those with one value a channel, each value only once.

    Parameters
    ----------
    forward : callable
        The network.
    """

    def __init__(self, forward: Forward) -> None:
        self._forward = forward
        self._known: dict[Key, Array] = {}  # the one used longest ago first

    def __call__(self, tiles: Sequence[NDArray[np.float32]]) -> list[Array]:
        """Return the logits (K, ...) of each tile (C, ...)."""
        values = [_constant(tile) for tile in tiles]
        keys = [i if value is None else value for i, value in enumerate(values)]
        fresh = {key: i for i, key in enumerate(keys) if key not in self._known}
        logits: dict[Key, Array] = {}
        if fresh:
            stack = np.stack([tiles[i] for i in fresh.values()])
            logits = dict(zip(fresh, self._forward(stack), strict=True))
        answers = [logits[key] if key in fresh else self._known[key] for key in keys]
        for key, answer in zip(keys, answers, strict=True):
            if isinstance(key, tuple) and answer.nbytes <= _BYTES:
                # A copy of a new one: a backend may use its memory again.
                self._known[key] = self._known.pop(key) if key in self._known else deepcopy(answer)
        while len(self._known) > _KEPT:
            del self._known[next(iter(self._known))]
        return answers


def _constant(tile: NDArray[np.float32]) -> tuple[float, ...] | None:
    """Return the values of a tile's channels if each has only one, else None."""
    flat = tile.reshape(len(tile), -1)
    first = flat[:, :1]
    # A few voxels tell most tiles apart.
    if (flat[:, ::997] != first).any() or (flat != first).any():
        return None
    return tuple(first[:, 0].tolist())
