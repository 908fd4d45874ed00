"""Which slice is in front of the user, which are done, and how to get to the next one."""

from collections.abc import Iterable, Mapping

import numpy as np
from napari.layers import Labels
from napari.utils.events import EventEmitter
from napari.utils.theme import get_theme
from napari.viewer import Viewer
from qtpy.QtCore import QObject, Signal

from napari_unet.plugin import layers
from napari_unet.plugin.about import Slice
from napari_unet.plugin.slice_states import States, states
from napari_unet.plugin.target import Target
from napari_unet.plugin.traces import traces

DONE_KEY, NEXT_KEY = "D", "N"
"""Letters that neither the viewer nor a Labels layer uses."""

DONE_COLOURS = {"dark": "#6cc58a", "light": "#00674c"}
OPEN_COLOURS = {"dark": "#e0b45c", "light": "#8a4b00"}
"""Of the words on the canvas, for napari's two types of theme."""


class Slices(QObject):
    """Marks slices of the target's labels as done, by key or button, and shows it on the canvas.

    Attributes
    ----------
    suggested_by : str
        Identity of the model that suggested slices; empty where none did, or it is in use no longer.

    Signals
    -------
    changed()
        Another slice is in front, or a mark was set or taken away.
    marked()
        A mark was set or taken away.
    refused(str)
        Why a mark was left as it is.
    """

    changed = Signal()
    marked = Signal()
    refused = Signal(str)

    def __init__(self, viewer: Viewer, target: Target) -> None:
        super().__init__(target)
        self._viewer, self._target = viewer, target
        self._suggested: dict[Slice, str] = {}
        self.suggested_by = ""
        viewer.bind_key(DONE_KEY, lambda _: self.toggle(), overwrite=True)
        for event in self._events():
            event.connect(self.refresh)
        target.changed.connect(lambda: self.suggest({}))

    @property
    def axis(self) -> int | None:
        """The axis that is cut; None without labels, or where more than one slice is seen (3D)."""
        labels = self._target.labels
        if labels is None:
            return None
        if labels.ndim == 2:
            return 0
        offset = self._viewer.dims.ndim - labels.ndim
        cut = [d - offset for d in self._viewer.dims.not_displayed if d >= offset]
        return cut[0] if len(cut) == 1 else None

    @property
    def here(self) -> Slice | None:
        """The slice displayed; None where no axis is cut, or beyond the labels' ends."""
        labels, axis = self._target.labels, self.axis
        if labels is None or axis is None:
            return None
        if labels.ndim == 2:
            return (0, 0)
        offset = self._viewer.dims.ndim - labels.ndim
        index = round(_cut(labels, axis, self._viewer.dims.point[offset + axis]))
        return (axis, index) if 0 <= index < labels.data.shape[axis] else None

    @property
    def count(self) -> int:
        """How many slices there are along the axis that is cut."""
        labels, axis = self._target.labels, self.axis
        if labels is None or axis is None:
            return 0
        return 1 if labels.ndim == 2 else int(labels.data.shape[axis])

    def done(self) -> frozenset[Slice]:
        """Every slice of the target's labels that is marked."""
        labels = self._target.labels
        return frozenset() if labels is None else layers.about(labels).done

    def held_out(self) -> frozenset[Slice]:
        """Every slice of the target's labels that is kept aside to measure on."""
        labels = self._target.labels
        return frozenset() if labels is None else layers.about(labels).held_out

    def suggested(self) -> dict[Slice, str]:
        """Slices worth annotating next and why, the best first, less those done since."""
        settled = self._settled()
        return {which: why for which, why in self._suggested.items() if which not in settled}

    def suggest(self, slices: Mapping[Slice, str], by: str = "") -> None:
        """Show which slices are worth annotating next and why, the best first, and who says so."""
        self._suggested, self.suggested_by = dict(slices), by
        self.refresh()

    def states(self) -> States:
        """Return how far each slice along the axis that is cut is; empty where none is."""
        labels, axis = self._target.labels, self.axis
        if labels is None or axis is None:
            return np.zeros(0, np.uint8)
        known = traces(labels)
        done, held = (
            [index for a, index in slices if a == axis] for slices in (self.done(), self.held_out())
        )
        return states(known.predicted(axis), known.strokes.touched(axis), done, held)

    def toggle(self) -> None:
        """Mark the slice in front as done, or take its mark away."""
        if self.here is not None:
            self._mark([self.here], self.here not in self.done())

    def mark(self, first: int, last: int, done: bool = True) -> None:
        """Mark a range of slices along the axis that is cut as done, or take their marks away."""
        axis = self.axis
        if axis is not None:
            self._mark([(axis, i) for i in range(first, last + 1)], done)

    def hold_out(self, labels: Labels, slices: Iterable[Slice]) -> None:
        """Hear which slices of some labels a training has kept aside."""
        layers.change_about(labels, held_out=frozenset(slices))
        self.refresh()
        self.marked.emit()

    def go(self, index: int) -> None:
        """Display another slice along the axis that is cut."""
        labels, axis = self._target.labels, self.axis
        if labels is None or axis is None or labels.ndim == 2:
            return
        first, second = (_cut(labels, axis, world) for world in (0.0, 1.0))
        if first != second:
            offset = self._viewer.dims.ndim - labels.ndim
            self._viewer.dims.set_point(offset + axis, (index - first) / (second - first))

    def refresh(self, *_: object) -> None:
        """Show on the canvas whether the slice in front is done, and tell the dock."""
        overlay = self._viewer.canvas.overlays.text
        here = self.here
        overlay.visible = here is not None
        if here is not None:
            done = here in self._settled()
            what = "Image" if self.count == 1 else f"Slice {here[1]}"
            overlay.text = f"{what} done" if done else f"{what}: mend it, then press {DONE_KEY}"
            kind = get_theme(self._viewer.theme).type
            overlay.color = (DONE_COLOURS if done else OPEN_COLOURS)[kind]
            overlay.position = "bottom_left"
        self.changed.emit()

    def release(self) -> None:
        """Give the keys and the canvas back."""
        self._viewer.bind_key(DONE_KEY, None)
        for event in self._events():
            event.disconnect(self.refresh)
        self._viewer.canvas.overlays.text.visible = False

    def _events(self) -> tuple[EventEmitter, ...]:
        dims = self._viewer.dims.events
        return (dims.point, dims.order, dims.ndisplay, self._viewer.events.theme)

    def _mark(self, slices: list[Slice], done: bool) -> None:
        """Set or take marks; slices held out keep theirs."""
        labels = self._target.labels
        if labels is None:
            return
        held = frozenset() if done else self.held_out().intersection(slices)
        chosen = frozenset(slices) - held
        marks = self.done() | chosen if done else self.done() - chosen
        if marks != self.done():
            layers.change_about(labels, done=marks)
            self.refresh()
            self.marked.emit()
        if held:
            which = "This slice is" if len(slices) == 1 else f"{len(held)} of these slices are"
            self.refused.emit(f"{which} held out to measure the model: the mark stays.")

    def _settled(self) -> frozenset[Slice]:
        return self.done() | self.held_out()


def _cut(labels: Labels, axis: int, world: float) -> float:
    """Return where napari cuts labels along an axis, in voxels; it leaves the other axes out of it."""
    point = np.zeros(labels.ndim)
    point[axis] = world
    return float(labels.world_to_data(point)[axis])
