"""Logits on their way: weighted sums of the cells between their first and their last tile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.arrays import Array, beside, on_host, resampled, to_host, winner
from napari_unet.engine.memory import out_of_memory
from napari_unet.engine.resample import interpolation, positions
from napari_unet.engine.scope import image_edges
from napari_unet.engine.spill import Spill
from napari_unet.engine.tiles import Index, TilePlan
from napari_unet.engine.view import View

_HOST_BUDGET = 192 << 20
"""Bytes of open sums held in the host's memory; what exceeds them waits in a file."""
_SIGMA, _FLOOR = 0.125, 1e-3
"""Of the Gaussian weights, in tile lengths, and their least value: both are MONAI's."""
_NEVER = 60.0
"""Logit by which background wins where nothing was computed."""


@dataclass(frozen=True, eq=False)
class Cell:
    """A part of the image whose logits are final.

    Parameters
    ----------
    start, stop : tuple of int
        Its voxels along the view's axes, in the image's own sampling.
    logits : Array of float32
        Shape (K, *(stop - start)), on the device that it was summed on.
    """

    start: Index
    stop: Index
    logits: Array

    def winner(self) -> NDArray[np.integer[Any]]:
        """Return the channel with the highest logit, the first of equal ones; shape stop - start."""
        return winner(self.logits)


@dataclass(eq=False)
class _Sum:
    """A cell on its way: weighted logits (K, ...) and the sum of their weights."""

    logits: Array
    weights: Array

    @property
    def nbytes(self) -> int:
        return int(self.logits.nbytes + self.weights.nbytes)

    def mean(self) -> Array:
        """Turn the sum, which is spent, into the mean."""
        self.logits /= self.weights
        return self.logits


class Sums:
    """The cells between their first and their last tile, in the image's sampling.

    They lie on the device that the logits come on. When that runs out of memory they all move to the
    host and stay there; what is too much for the host waits in a temporary file. A cell's sum is
    built in the order of the tiles, whatever other cells are wanted.

    Parameters
    ----------
    view, plan
        What is tiled, and how.
    tiles : list of Index
        The tiles to come.
    wanted : callable, optional
        Says of a cell whether it is summed; all are when absent.

    Attributes
    ----------
    most_bytes : int
        The most that open sums in memory have had so far.
    """

    def __init__(
        self,
        view: View,
        plan: TilePlan,
        tiles: list[Index],
        wanted: Callable[[Index], bool] | None = None,
    ) -> None:
        self._view, self._plan = view, plan
        self._edges = image_edges(view, plan)
        self._visits = Counter(cell for tile in tiles for cell in plan.cells(tile))
        if wanted is not None:
            self._visits = Counter({c: n for c, n in self._visits.items() if wanted(c)})
        self._missing = self._visits.copy()
        self._open: dict[Index, _Sum] = {}  # the one touched longest ago first
        self._bytes = self.most_bytes = 0
        self._spill = Spill()
        self._on_host: bool | None = None
        self._weight: Array = importance(plan.tile)

    def add(self, tile: Index, logits: Array) -> list[Cell]:
        """Add one tile's logits (K, *tile); return the cells it completes."""
        if self._on_host is None:
            self._on_host = on_host(logits)
            self._weight = beside(self._weight, logits)
        elif self._on_host != on_host(logits):
            self._to_host()
            logits = to_host(logits)
        finished = []
        for cell, low, high in self._parts(tile):
            short_of_memory = False
            try:
                done = self._add(tile, cell, (low, high), logits)
            except RuntimeError as error:
                short_of_memory = out_of_memory(error) and not self._on_host
                if not short_of_memory:
                    raise
            if short_of_memory:  # outside the except block, whose traceback holds tensors
                self._to_host()
                logits = to_host(logits)
                done = self._add(tile, cell, (low, high), logits)
            if done is not None:
                finished.append(done)
        return finished

    def skip(self, tile: Index, classes: int) -> list[Cell]:
        """Count a tile that is not run; return the cells it completes.

        Where other tiles were run they decide; elsewhere it is background.
        """
        finished = []
        for cell, low, high in self._parts(tile):
            self._missing[cell] -= 1
            if self._missing[cell]:
                continue
            total = self._take(cell)
            if total is None:
                column = np.full((classes, 1, 1, 1), -_NEVER, np.float32)
                column[0] = 0
                lengths = (b - a for a, b in zip(low, high, strict=True))
                logits = np.broadcast_to(column, (classes, *lengths))
            else:
                logits = total.mean()
            finished.append(Cell(low, high, logits))
        return finished

    def close(self) -> None:
        """Give back memory and the temporary file."""
        self._open.clear()
        self._spill.close()

    def _parts(self, tile: Index) -> Iterator[tuple[Index, Index, Index]]:
        """Yield the wanted cells of a tile with their boxes, but for those without any voxel."""
        for cell in self._plan.cells(tile):
            if cell in self._visits:
                low = tuple(int(e[i]) for e, i in zip(self._edges, cell, strict=True))
                high = tuple(int(e[i + 1]) for e, i in zip(self._edges, cell, strict=True))
                if all(a < b for a, b in zip(low, high, strict=True)):
                    yield cell, (low[0], low[1], low[2]), (high[0], high[1], high[2])

    def _add(
        self, tile: Index, cell: Index, box: tuple[Index, Index], logits: Array
    ) -> Cell | None:
        """Add a tile to one cell. Whatever may fail for want of memory comes before any change."""
        part = self._cut(logits, tile, box)
        if self._visits[cell] == 1:
            self._missing[cell] = 0
            return Cell(*box, part)
        weight = self._cut(self._weight[None], tile, box)[0]
        total = self._take(cell)
        if total is None:
            total = _Sum(part * weight, weight * 1)
        else:
            for features, more in zip(total.logits, part, strict=True):
                features += more * weight  # one by one: no copy of all the product
            total.weights += weight
        self._missing[cell] -= 1
        if self._missing[cell]:
            self._hold(cell, total)
            return None
        return Cell(*box, total.mean())

    def _cut(self, array: Array, tile: Index, box: tuple[Index, Index]) -> Array:
        """Cut a box of image voxels out of a tile's array (K, *tile), interpolated to them."""
        begin = self._plan.start(tile)
        weights: list[tuple[int, NDArray[np.float32]]] = []
        for i, (low, high) in enumerate(zip(*box, strict=True)):
            n, m = self._view.shape[i], self._view.image_shape[i]
            if n == m:
                first, last = low - begin[i], high - begin[i]
            else:
                at = positions(low, high, n, m) - begin[i]
                first, last, matrix = interpolation(at, self._plan.tile[i], n / m)
                weights.append((i + 1, matrix))
            array = array[(slice(None),) * (i + 1) + (slice(first, last),)]
        for axis, matrix in weights:
            array = resampled(array, axis, matrix)
        return array

    def _take(self, cell: Index) -> _Sum | None:
        """Take an open sum out, from memory or from the file."""
        total = self._open.pop(cell, None)
        if total is not None:
            self._bytes -= total.nbytes
            return total
        aside = self._spill.take(cell)
        return None if aside is None else _Sum(*aside)

    def _hold(self, cell: Index, total: _Sum) -> None:
        """Put an open sum back; those touched longest ago make room for it."""
        self._open[cell] = total
        self._bytes += total.nbytes
        self.most_bytes = max(self.most_bytes, self._bytes)
        while self._on_host and self._bytes > _HOST_BUDGET:
            oldest = next(iter(self._open))
            put_aside = self._open.pop(oldest)
            self._bytes -= put_aside.nbytes
            self._spill.put(oldest, put_aside.logits, put_aside.weights)

    def _to_host(self) -> None:
        """Move all sums to the host, for good."""
        self._on_host = True
        self._weight = to_host(self._weight)
        for cell in list(self._open):
            total = self._open.pop(cell)
            self._bytes -= total.nbytes
            self._hold(cell, _Sum(to_host(total.logits), to_host(total.weights)))


def importance(tile: Index) -> NDArray[np.float32]:
    """Return the weight of each voxel of a tile: MONAI's Gaussian importance map, less at the rim."""
    weight = np.ones((1, 1, 1), np.float32)
    for axis, length in enumerate(tile):
        away = np.arange(length, dtype=np.float32) - (length - 1) / 2
        bell = np.exp(away**2 / np.float32(-2 * (_SIGMA * length) ** 2)).astype(np.float32)
        weight = weight * bell.reshape([-1 if i == axis else 1 for i in range(3)])
    # MONAI's own floor, so that a voxel in a corner never divides by nothing.
    return np.maximum(weight, max(float(weight.min()), _FLOOR))
