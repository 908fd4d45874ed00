"""How unsure a model is of each slice: sums over a volume, taken cell by cell."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_unet.core.progress import Box
from napari_unet.core.spec import ModelSpec
from napari_unet.engine.instances import INTERIOR
from napari_unet.engine.sums import Cell
from napari_unet.engine.view import View

_AT_ONCE = 1 << 22
"""Logits turned into probabilities at once: 16 MiB a copy, whatever the size of a cell."""
_LEAST = 1.0
"""Voxels of full uncertainty below which a class counts for less: it was hardly met at all."""


class Doubt:
    """Entropy and change of a prediction, summed for each slice and class.

    A voxel's entropy is shared out among the classes by their probabilities, so that it counts near
    the region of each class, on both sides of its border. No array of the volume's size is held.

    Parameters
    ----------
    view : View
        The volume.
    spec : ModelSpec
        The model.
    axis : int
        Axis of the view that the slices are counted along.
    known : ndarray of bool, optional
        In the view's order of axes; voxels that somebody vouches for, and that count no more.
    before : ndarray of int, optional
        In the view's order of axes: class ids by an earlier model.
    uncertainty : ndarray of float16, optional
        In the view's order of axes; takes the entropy of each voxel, 0..1.
    """

    def __init__(
        self,
        view: View,
        spec: ModelSpec,
        axis: int,
        *,
        known: NDArray[np.bool_] | None = None,
        before: NDArray[Any] | None = None,
        uncertainty: NDArray[np.float16] | None = None,
    ) -> None:
        self._view, self._spec, self._axis = view, spec, axis
        self._known, self._before, self._map = known, before, uncertainty
        self._slice = math.prod(n for i, n in enumerate(view.image_shape) if i != axis)
        count = view.image_shape[axis]
        self._entropy = np.zeros((spec.out_channels, count))
        self._changed = np.zeros((len(spec.classes), count))
        self._seen = np.zeros(count, np.int64)

    def write(self, cell: Cell) -> Box:
        """Count a final cell; return its box along the grid's own axes."""
        first, stop = cell.start[self._axis], cell.stop[self._axis]
        voxels = math.prod(b - a for a, b in zip(cell.start, cell.stop, strict=True))
        self._seen[first:stop] += voxels // (stop - first)
        rows = max(1, _AT_ONCE * (stop - first) // cell.logits.numel())
        for low in range(first, stop, rows):
            high = min(low + rows, stop)
            place = [slice(a, b) for a, b in zip(cell.start, cell.stop, strict=True)]
            place[self._axis] = slice(low, high)
            part = cell.logits.narrow(self._axis + 1, low - first, high - low)
            self._entropy[:, low:high] += self._sums(part, tuple(place))
        if self._before is not None:
            self._changed[:, first:stop] += self._differences(cell, self._before)
        return self._view.in_grid(cell.start), self._view.in_grid(cell.stop)

    @property
    def complete(self) -> NDArray[np.bool_]:
        """Which slices have been seen in full."""
        return np.asarray(self._seen == self._slice)

    def entropy(self) -> NDArray[np.float64]:
        """Return the entropy of each output channel and slice, (K, slices), 1 where it is highest."""
        return _shares(self._entropy)

    def change(self) -> NDArray[np.float64] | None:
        """Return the change of each class and slice, (classes, slices); None with nothing before."""
        return None if self._before is None else _shares(self._changed)

    def _sums(self, logits: Tensor, place: tuple[slice, ...]) -> NDArray[np.float64]:
        """Return the entropy near each class, summed over each slice of a box, (K, slices)."""
        log = logits.log_softmax(0)
        likely = log.exp()
        entropy = (likely * log).sum(0).div_(-math.log(len(logits)))
        if self._map is not None:
            self._map[place] = entropy.cpu().numpy()
        if self._known is not None:
            known = torch.from_numpy(np.ascontiguousarray(self._known[place]))
            entropy.masked_fill_(known.to(entropy.device), 0)
        others = [i + 1 for i in range(3) if i != self._axis]
        return np.asarray((likely * entropy).sum(others).cpu().numpy(), np.float64)

    def _differences(self, cell: Cell, before: NDArray[Any]) -> NDArray[np.int64]:
        """Count voxels whose class is another now, under both, for each slice; (classes, slices)."""
        place = tuple(slice(a, b) for a, b in zip(cell.start, cell.stop, strict=True))
        winner = cell.winner()
        if self._spec.target == "instances":
            winner = (winner >= INTERIOR).astype(np.uint8)
        ids = np.array([c.id for c in self._spec.classes])
        now, then = ids[winner], before[place]
        differs = now != then
        if self._known is not None:
            differs &= ~self._known[place]
        others = tuple(i for i in range(3) if i != self._axis)
        return np.stack([(differs & ((now == k) | (then == k))).sum(axis=others) for k in ids])


def _shares(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bring each row to a highest value of 1, or less where there is hardly anything to share."""
    return np.asarray(sums / np.maximum(sums.max(axis=1, keepdims=True), _LEAST))
