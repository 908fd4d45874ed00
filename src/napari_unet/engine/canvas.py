"""Where final cells go: labels into the output, probabilities beside them."""

from __future__ import annotations

import os
import tempfile

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.prediction import Labels
from napari_unet.core.progress import Box
from napari_unet.core.spec import INTERIOR, ModelSpec
from napari_unet.engine.arrays import softmax
from napari_unet.engine.scope import Scope
from napari_unet.engine.sums import Cell
from napari_unet.engine.view import View
from napari_unet.errors import WriteError

_IN_MEMORY = 256 << 20
"""Bytes of probabilities or uncertainty from which they lie in a mapped file."""


class Canvas:
    """The output of a prediction, along the grid's own axes.

    Parameters
    ----------
    view : View
        The volume.
    spec : ModelSpec
        The model.
    scope : Scope
        The part to be computed.
    labels : Labels
        Of the grid's shape, or of the shape of the part.
    keep : bool
        Whether probabilities are kept.
    """

    def __init__(
        self, view: View, spec: ModelSpec, scope: Scope, labels: Labels, *, keep: bool
    ) -> None:
        self.labels = labels
        self._view, self._spec, self._scope = view, spec, scope
        self._ids = np.array([c.id for c in spec.classes]).astype(labels.dtype)
        part = view.in_grid(scope.start, scope.stop)
        alone = labels.shape == tuple(b - a for a, b in zip(*part, strict=True))
        self._origin = part[0] if alone else (0,) * len(part[0])
        lengths = tuple(b - a for a, b in zip(scope.start, scope.stop, strict=True))
        self.kept = room((spec.out_channels, *lengths)) if keep else None

    def write(self, cell: Cell) -> Box:
        """Write a final cell; return its box along the grid's own axes."""
        if self.kept is not None:
            place = (
                slice(a - o, b - o)
                for a, b, o in zip(cell.start, cell.stop, self._scope.start, strict=True)
            )
            self.kept[(slice(None), *place)] = softmax(cell.logits)
        winner = cell.winner()
        if self._spec.target == "instances":
            winner = (winner >= INTERIOR).astype(np.uint8)
        box = self._view.in_grid(cell.start, cell.stop)
        self.labels[self._place(box)] = self._view.as_grid(self._ids[winner])
        return box

    def probabilities(self) -> NDArray[np.float16] | None:
        """Return the probabilities (K, ...) along the grid's own axes, if they were kept."""
        if self.kept is None:
            return None
        found = self._view.as_grid(self.kept)
        if found.shape[1:] == self.labels.shape:
            return found
        whole = room((len(found), *self.labels.shape))  # the surroundings are background
        whole[0] = 1
        box = self._view.in_grid(self._scope.start, self._scope.stop)
        whole[(slice(None), *self._place(box))] = found
        return whole

    def _place(self, box: Box) -> tuple[slice, ...]:
        return tuple(slice(a - o, b - o) for a, b, o in zip(*box, self._origin, strict=True))


def room(shape: tuple[int, ...]) -> NDArray[np.float16]:
    """Make zeros of float16; large ones in a temporary file that goes when they are forgotten."""
    size = 2 * int(np.prod(shape))
    if size <= _IN_MEMORY:
        return np.zeros(shape, np.float16)
    try:
        with tempfile.TemporaryFile(prefix="napari-unet-") as file:
            if hasattr(os, "posix_fallocate"):  # a full disk would kill the process at some write
                os.posix_fallocate(file.fileno(), 0, size)
            return np.memmap(file, np.float16, "w+", shape=shape)
    except OSError as error:
        raise WriteError(
            f"{size:,} bytes of probabilities or uncertainty can't be kept in {tempfile.gettempdir()} "
            f"({error.strerror}): free space there, or name another folder in TMPDIR."
        ) from error
