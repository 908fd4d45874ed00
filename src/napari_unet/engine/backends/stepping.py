"""A forward that steps down when memory runs out: half the tiles at once, at last another device."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.arrays import Array, joined
from napari_unet.engine.memory import out_of_memory
from napari_unet.errors import DeviceError


class Unfit(Exception):  # noqa: N818 - it is a way of running that is unfit, not an error of ours
    """What runs the network now can't go on, whatever the number of tiles; its text says why."""


class Stepping(ABC):
    """Runs tiles, and lowers its demands until they run.

    ::

        n tiles at once -> n/2 -> ... -> 1 -> what `lower` still has -> DeviceError

    Each step is taken once and holds for the tiles to come, so that it ends. It is taken outside
    the ``except`` block, because the traceback there still holds the tensors that were too many.
    """

    def __init__(self) -> None:
        self._most: int | None = None
        self._news: list[str] = []

    @abstractmethod
    def run(self, tiles: NDArray[np.float32]) -> Array:
        """Run tiles (B, C, ...) at once; return logits (B, K, ...) in float32.

        Raises
        ------
        Unfit
            When fewer tiles would not help.
        """

    @abstractmethod
    def lower(self, why: str) -> str | None:
        """Change to a way that can do with less; say which in a sentence, or None for no such way.

        Parameters
        ----------
        why : str
            What went wrong.
        """

    def __call__(self, tiles: NDArray[np.float32]) -> Array:
        """Run tiles (B, C, ...); return logits (B, K, ...) in float32, where they were computed.

        Raises
        ------
        DeviceError
            When one tile does not fit into the memory of the machine.
        """
        while True:
            answer = self._attempt(tiles)
            if not isinstance(answer, str):
                return answer
            self._step_down(answer, tiles)

    def news(self) -> str:
        """Return what has changed since the last time it was asked, in words for the user."""
        said, self._news = " ".join(self._news), []
        return said

    def _attempt(self, tiles: NDArray[np.float32]) -> Array | str:
        """Return logits, or what went wrong."""
        most = self._most or len(tiles)
        try:
            if len(tiles) <= most:
                return self.run(tiles)
            parts = [self.run(tiles[i : i + most]) for i in range(0, len(tiles), most)]
            return joined(parts)
        except Unfit as error:
            return str(error)
        except Exception as error:
            if not out_of_memory(error):
                raise
        return ""

    def _step_down(self, trouble: str, tiles: NDArray[np.float32]) -> None:
        count = min(self._most or len(tiles), len(tiles))
        if not trouble and count > 1:
            self._most = count // 2
            self._news.append(f"Memory ran out: {self._most} tiles at once instead of {count}.")
            return
        change = self.lower(trouble or "its memory is too small for one tile")
        if change is None:
            shape = "×".join(str(n) for n in tiles.shape[2:])
            raise DeviceError(
                f"Memory ran out on one tile of {shape} voxels: close other programs, or choose a "
                "model with smaller tiles or fewer classes."
            )
        self._most = None
        self._news.append(change)
