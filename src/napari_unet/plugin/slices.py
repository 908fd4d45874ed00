"""Which slice is in front of the user, which are done, and how to get to the next one."""

import numpy as np
from napari.layers import Labels
from napari.utils.events import EventEmitter
from napari.viewer import Viewer
from qtpy.QtCore import QObject, Signal

from napari_unet.plugin import layers
from napari_unet.plugin.about import Slice
from napari_unet.plugin.target import Target

DONE_KEY, NEXT_KEY = "D", "N"
"""Letters that neither the viewer nor a Labels layer uses."""

DONE_COLOUR, OPEN_COLOUR = "#6cc58a", "#e0b45c"


class Slices(QObject):
    """Marks slices of the target's labels as done, by key or button, and shows it on the canvas.

    Signals
    -------
    changed()
        Another slice is in front, or a mark was set or taken away.
    marked()
        A mark was set or taken away.
    """

    changed = Signal()
    marked = Signal()

    def __init__(self, viewer: Viewer, target: Target) -> None:
        super().__init__(target)
        self._viewer, self._target = viewer, target
        viewer.bind_key(DONE_KEY, lambda _: self.toggle(), overwrite=True)
        viewer.bind_key(NEXT_KEY, lambda _: self.next(), overwrite=True)
        for event in self._events():
            event.connect(self.refresh)
        target.changed.connect(self.refresh)

    @property
    def here(self) -> Slice | None:
        """The slice displayed; None without labels, or where more than one slice is seen (3D)."""
        labels = self._target.labels
        if labels is None:
            return None
        if labels.ndim == 2:
            return (0, 0)
        offset = self._viewer.dims.ndim - labels.ndim
        hidden = [d - offset for d in self._viewer.dims.not_displayed if d >= offset]
        if len(hidden) != 1:
            return None
        index = round(float(labels.world_to_data(self._viewer.dims.point)[hidden[0]]))
        return (hidden[0], min(max(index, 0), labels.data.shape[hidden[0]] - 1))

    @property
    def count(self) -> int:
        """How many slices there are along the axis in front."""
        return len(self._all(self.here))

    def done(self) -> frozenset[Slice]:
        """Every slice of the target's labels that is marked."""
        labels = self._target.labels
        return frozenset() if labels is None else layers.about(labels).done

    def toggle(self) -> None:
        """Mark the slice in front as done, or take its mark away."""
        if self.here is not None and self._target.labels is not None:
            layers.change_about(self._target.labels, done=self.done() ^ {self.here})
            self.refresh()
            self.marked.emit()

    def next(self) -> None:
        """Go to the next slice that is not done, from the last one on to the first."""
        here = self.here
        if here is None:
            return
        every = self._all(here)
        start = every.index(here) + 1
        for which in every[start:] + every[:start]:
            if which not in self.done():
                self.go(which[1])
                return

    def go(self, index: int) -> None:
        """Display another slice along the axis in front."""
        labels, here = self._target.labels, self.here
        if labels is None or here is None or labels.ndim == 2:
            return
        voxel = np.array(labels.world_to_data(self._viewer.dims.point))
        voxel[here[0]] = index
        axis = self._viewer.dims.ndim - labels.ndim + here[0]
        self._viewer.dims.set_point(axis, labels.data_to_world(voxel)[here[0]])

    def refresh(self, *_: object) -> None:
        """Show on the canvas whether the slice in front is done, and tell the dock."""
        overlay = self._viewer.canvas.overlays.text
        here = self.here
        overlay.visible = here is not None
        if here is not None:
            done = here in self.done()
            what = "Image" if self.count == 1 else f"Slice {here[1]}"
            overlay.text = f"{what} done" if done else f"{what}: mend it, then press {DONE_KEY}"
            overlay.color = DONE_COLOUR if done else OPEN_COLOUR
            overlay.position = "bottom_left"
        self.changed.emit()

    def release(self) -> None:
        """Give the keys and the canvas back."""
        for key in (DONE_KEY, NEXT_KEY):
            self._viewer.bind_key(key, None)
        for event in self._events():
            event.disconnect(self.refresh)
        self._viewer.canvas.overlays.text.visible = False

    def _events(self) -> tuple[EventEmitter, ...]:
        dims = self._viewer.dims.events
        return (dims.point, dims.order, dims.ndisplay)

    def _all(self, here: Slice | None) -> list[Slice]:
        labels = self._target.labels
        if here is None or labels is None:
            return []
        if labels.ndim == 2:
            return [here]
        return [(here[0], i) for i in range(labels.data.shape[here[0]])]


def known_voxels(labels: Labels) -> dict[int, int]:
    """Count the voxels of each id in the slices marked done; crossing slices count once."""
    done = layers.about(labels).done
    data = np.asarray(labels.data)
    counts: dict[int, int] = {}
    axes = {axis for axis, _ in done}
    if len(axes) == 1:
        pieces = [data[layers.slice_key(data.ndim, which)] for which in done]
    else:
        known = np.zeros(data.shape, dtype=bool)
        for which in done:
            known[layers.slice_key(data.ndim, which)] = True
        pieces = [data[known]]
    for piece in pieces:
        for found, number in zip(*np.unique(piece, return_counts=True), strict=True):
            counts[int(found)] = counts.get(int(found), 0) + int(number)
    return counts
