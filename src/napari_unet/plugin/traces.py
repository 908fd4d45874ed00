"""What has happened to the slices of a Labels layer: painted by a person, predicted by a model."""

import weakref
from collections.abc import Iterable
from typing import Any

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray

from napari_unet.core.progress import Box
from napari_unet.core.strokes import Strokes
from napari_unet.jobs import SharedArray

TRACES = "napari_unet_traces"
"""Where a Labels layer keeps its traces."""


class Traces:
    """The strokes of a person and the reach of predictions on one layer.

    Parameters
    ----------
    labels : ndarray of int
        As they are when somebody first looks. What is in them already came from elsewhere, and
        counts as predicted: nobody here has looked at it.

    Attributes
    ----------
    strokes : Strokes
        Voxels that a person has painted.
    prediction : SharedArray or None
        The last prediction, whole, as the model gave it. Its file goes with the layer.
    """

    def __init__(self, labels: Any) -> None:  # noqa: ANN401 - whatever napari holds
        shape = tuple(labels.shape)
        self.strokes = Strokes(shape)
        found = _filled(labels) if isinstance(labels, np.ndarray) else None
        self.prediction: SharedArray | None = None
        self._forget: weakref.finalize[..., Any] | None = None
        self._predicted = found or [np.zeros(n, dtype=bool) for n in shape]

    def predicted(self, axis: int) -> NDArray[np.bool_]:
        """Return which slices along an axis hold labels that nobody here painted; shape (n,)."""
        if len(self._predicted) == 2:  # a plane is one slice
            return np.array([self._predicted[0].any()])
        return self._predicted[axis]

    def predict(self, boxes: Iterable[Box]) -> None:
        """Remember that a model has drawn labels in these boxes."""
        for start, stop in boxes:
            for axis, known in enumerate(self._predicted):
                known[start[axis] : stop[axis]] = True

    def keep_prediction(self, shared: SharedArray) -> None:
        """Keep what a model gave in place of what one gave before."""
        if self._forget is not None:
            self._forget()
        self.prediction = shared
        self._forget = weakref.finalize(self, shared.remove)


def traces(layer: Labels) -> Traces:
    """Return the traces of a layer, begun now if there are none."""
    known = layer.metadata.get(TRACES)
    if not isinstance(known, Traces) or known.strokes.shape != tuple(layer.data.shape):
        known = Traces(layer.data)
        layer.metadata = {**layer.metadata, TRACES: known}
    return known


def painted(layer: Labels) -> bool:
    """Tell whether a person has painted on a layer."""
    known = layer.metadata.get(TRACES)
    return isinstance(known, Traces) and bool(known.strokes)


def _filled(labels: NDArray[np.integer[Any]]) -> list[NDArray[np.bool_]]:
    """Return, for each axis, which slices hold any label."""
    if labels.ndim == 2:
        return [np.asarray(labels.any(axis=1 - axis)) for axis in range(2)]
    rows = np.asarray(labels.any(axis=2))
    lines = np.asarray(labels.any(axis=0))
    return [np.asarray(found.any(axis=axis)) for found, axis in ((rows, 1), (rows, 0), (lines, 0))]
