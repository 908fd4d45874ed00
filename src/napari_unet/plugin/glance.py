"""The slice in front and its neighbours, predicted again by a model that is better."""

from pathlib import Path

import numpy as np
from napari.layers import Labels
from napari.viewer import Viewer
from numpy.typing import NDArray

from napari_unet.core.progress import Box, Progress
from napari_unet.jobs import Finished, GlanceRequest, SharedArray
from napari_unet.plugin import layers
from napari_unet.plugin.about import Slice
from napari_unet.plugin.flash import Flash
from napari_unet.plugin.runner import Runner
from napari_unet.plugin.slices import Slices
from napari_unet.plugin.target import Target
from napari_unet.plugin.traces import traces

NEIGHBOURS = 1
"""Slices on each side that are predicted together with the one in front."""


class Glance:
    """Predicts a few slices, writes them where nobody has said what is there, and lights up changes.

    It is no step for Ctrl+Z: that takes back what the person did last, whatever came in between.

    Attributes
    ----------
    last : Box or None
        The part that was predicted last.
    """

    def __init__(self, viewer: Viewer, target: Target, slices: Slices, runner: Runner) -> None:
        self._target, self._slices, self._runner = target, slices, runner
        self.flash = Flash(viewer)
        self.last: Box | None = None
        self._labels: Labels | None = None
        self._out: SharedArray | None = None
        self._part: Box = ((), ())
        self._before = np.zeros(0, np.uint8)

    def start(self, model: Path) -> frozenset[Slice]:
        """Predict what is in front; return the slices that this covers, none where it can't be."""
        labels, volume, here = self._target.labels, self._target.volume, self._slices.here
        if self._runner.busy or labels is None or volume is None or here is None:
            return frozenset()
        axis, index = here
        start, stop = [0] * labels.ndim, list(labels.data.shape)
        if labels.ndim == 3:
            start[axis] = max(0, index - NEIGHBOURS)
            stop[axis] = min(stop[axis], index + NEIGHBOURS + 1)
        part = self._part = tuple(start), tuple(stop)
        self._labels, self._before = labels, np.array(labels.data[_at(part)])
        out = self._out = SharedArray.create(self._before.shape, self._before.dtype)

        def prepare() -> GlanceRequest:
            return GlanceRequest(self._runner.share(volume), model, part, out)

        self._runner.start(prepare, self)
        return frozenset((axis, i) for i in range(start[axis], stop[axis]))

    def on_progress(self, reports: list[Progress]) -> None:
        """Wait for the end: it is near."""

    def on_finished(self, finished: Finished) -> None:  # noqa: ARG002
        """Write the labels where they are free, and light up what changed."""
        labels, out = self._labels, self._out
        if labels is not None and out is not None:
            changed = write(labels, self._part, out.open(), self._before)
            self.last = self._part
            self.flash.light(labels, self._part[0], changed)
            self._slices.refresh()
        self._end()

    def on_failed(self, message: str) -> None:  # noqa: ARG002
        """Leave the labels as they are: who trains hears of it by another way."""
        self._end()

    def release(self) -> None:
        """Take the lights away, and delete what was shared."""
        self.flash.remove()
        self._end()

    def _end(self) -> None:
        if self._out is not None:
            self._out.remove()
        self._labels = self._out = None


def write(
    labels: Labels, part: Box, found: NDArray[np.integer], before: NDArray[np.integer]
) -> NDArray[np.bool_]:
    """Put predicted labels into a part of a layer; return which voxels have changed.

    Voxels in slices marked done, those that a person has painted, and those that have changed
    since `before` stay.
    """
    at = _at(part)
    data = labels.data[at]
    kept = traces(labels).strokes.known(np.asarray(labels.data), at)
    for axis, index in layers.about(labels).done:
        if at[axis].start <= index < at[axis].stop:
            kept[layers.slice_key(labels.ndim, (axis, index - at[axis].start))] = True
    changed = ~kept & (data == before) & (data != found)
    np.copyto(data, found, where=changed, casting="unsafe")
    known = traces(labels)
    known.predict([part])
    known.stepped(labels, 0)
    labels.refresh(extent=False, thumbnail=False)
    return np.asarray(changed)


def _at(part: Box) -> tuple[slice, ...]:
    return tuple(slice(a, b) for a, b in zip(*part, strict=True))
