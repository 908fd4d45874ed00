"""A prediction that appears in its Labels layer while it is being made."""

from typing import Any

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray

from napari_unet.core.progress import Box
from napari_unet.jobs import SharedArray
from napari_unet.plugin import layers
from napari_unet.plugin.traces import Maker, traces

Ids = NDArray[np.integer[Any]]


class LiveLabels:
    """Copies finished boxes into a Labels layer, and makes all of them one undoable step at the end.

    A person comes first: slices marked done and painted voxels keep what the person gave them.

    Parameters
    ----------
    layer : Labels
        Where the labels appear; its data is a numpy array of the image's shape.
    shared : SharedArray
        What the child writes into.
    """

    def __init__(self, layer: Labels, shared: SharedArray) -> None:
        self.layer = layer
        self.shared = shared
        self._source = shared.open()
        self._before = np.array(layer.data)
        self._shown = self._before.copy()
        self._traces = traces(layer)
        self._boxes: list[Box] = []

    @property
    def untouched(self) -> bool:
        """Whether nothing was drawn yet, by a prediction or a person."""
        return not (self._boxes or self._traces.strokes or layers.about(self.layer).done)

    def show(self, boxes: list[Box]) -> None:
        """Copy the boxes that have just become final, and draw them."""
        for start, stop in boxes:
            at = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
            self._copy(at, self._source[at])
        if boxes:
            self._traces.predict(boxes)
            self._boxes += boxes
            self.layer.refresh(extent=False, thumbnail=False)

    def finish(self, *, instances: bool = False, maker: Maker | None = None) -> int:
        """Make all that was shown one step, which Ctrl+Z takes back; return the voxels changed.

        The prediction itself is kept beside the layer, so that parts of it can be had again.

        Parameters
        ----------
        instances : bool
            Whether ids are objects: those that a person has drawn on a finished slice then keep
            their ids beyond it.
        maker : Maker, optional
            Who made it, if all of it was made.
        """
        final = np.asarray(self._source)
        if instances:  # objects are told apart last, so every box is another one now
            everywhere = _whole(final.shape)
            kept = self._kept(everywhere)
            if kept.any():
                final = adopt_ids(final, self.layer.data, kept)
            self._copy(everywhere, final)
        data = self.layer.data
        changed = np.nonzero((self._shown != self._before) & (data == self._shown))
        values = data[changed]
        data[changed] = self._before[changed]
        with self.layer.events.paint.blocker():  # this event means that a person has painted
            layers.write(self.layer, changed, values)
        self._traces.stepped(self.layer, len(values))
        self._keep(final, maker, whole=instances)
        return len(values)

    def _keep(self, final: Ids, maker: Maker | None, *, whole: bool) -> None:
        """Keep the prediction; where it never came, what stood there before."""
        kept = self.shared.open(writable=True)
        size = sum(int(np.prod(np.subtract(stop, start))) for start, stop in self._boxes)
        if whole:
            kept[...] = final
        elif size < kept.size:
            whole_now = self._before.astype(kept.dtype)
            for start, stop in self._boxes:
                at = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
                whole_now[at] = final[at]
            kept[...] = whole_now
        del kept, final, self._source
        self._traces.keep_prediction(self.shared, maker)

    def _copy(self, at: tuple[slice, ...], new: Ids) -> None:
        data, shown = self.layer.data[at], self._shown[at]
        free = ~self._kept(at) & (data == shown)
        np.copyto(data, new, where=free, casting="unsafe")
        np.copyto(shown, new, where=free, casting="unsafe")

    def _kept(self, at: tuple[slice, ...]) -> NDArray[np.bool_]:
        """Return which voxels of a box a person has painted, or lie in slices marked done by now.

        What the prediction itself has drawn in a slice before it was marked is not a person's.
        """
        kept = self._traces.strokes.known(self.layer.data, at)
        for axis, index in layers.about(self.layer).done:
            if kept.ndim == 2:
                kept |= self._shown[at] == self._before[at]
            elif at[axis].start <= index < at[axis].stop:
                key = layers.slice_key(3, (axis, index - at[axis].start))
                kept[key] |= self._shown[at][key] == self._before[at][key]
        return kept


def _whole(shape: tuple[int, ...]) -> tuple[slice, ...]:
    return tuple(slice(0, n) for n in shape)


def adopt_ids(found: Ids, drawn: Ids, kept: NDArray[np.bool_]) -> Ids:
    """Give predicted objects the ids of the objects that a person drew over them.

    Parameters
    ----------
    found, drawn : ndarray of int
        Object ids, predicted and a person's, of one shape; 0 is background.
    kept : ndarray of bool
        Where the person's ids count.

    Returns
    -------
    ndarray of int
        `found` renumbered: an object of which more than half, as far as it lies in `kept`, was drawn
        as one object takes that one's id; every other gets an id that nobody drew.
    """
    top = int(drawn[kept].max(initial=0))
    lookup = np.arange(int(found.max(initial=0)) + 1, dtype=np.int64)
    lookup[1:] += top
    pairs = np.stack([found[kept], drawn[kept]]).astype(np.int64)
    sizes = np.bincount(pairs[0], minlength=len(lookup))
    (ours, theirs), overlaps = np.unique(pairs[:, pairs.all(axis=0)], axis=1, return_counts=True)
    most = overlaps > 0.5 * sizes[ours]
    lookup[ours[most]] = theirs[most]
    return lookup[found]
