"""Edits in the dock: an operation, its number, what it is about, Preview and Apply."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from napari.layers import Labels
from napari.viewer import Viewer
from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QComboBox, QDoubleSpinBox, QVBoxLayout, QWidget

from napari_unet.core.strokes import Region
from napari_unet.errors import UNetError
from napari_unet.plugin import layers
from napari_unet.plugin.about import Slice
from napari_unet.plugin.background import in_thread
from napari_unet.plugin.edit_operations import DISTANCE, ID, OPERATIONS, SIZE, Operation, Request
from napari_unet.plugin.edit_preview import Preview
from napari_unet.plugin.edit_proposal import Proposal, finished_in, proposed
from napari_unet.plugin.section import button, row, say, sentence
from napari_unet.plugin.slices import Slices
from napari_unet.plugin.target import Target
from napari_unet.plugin.traces import Step, traces

HERE, VOLUME, ALL = "This slice", "Whole volume", "Whole volume, slices done too"
LAST = "last prediction"
UNITS = {"um": "µm", "pixel": "px"}
AGAIN_MS = 250
"""A preview is computed again this long after a setting was changed."""


class EditTools(QWidget):
    """One row for what to do, one for what to do it to, and two buttons.

    Computing takes place in a thread, on a copy. What a person paints meanwhile stays, and so do
    locked classes and, in the whole volume, slices marked done.

    Signals
    -------
    applied()
        Labels were changed by an edit.
    """

    applied = Signal()

    def __init__(self, viewer: Viewer, target: Target, slices: Slices) -> None:
        super().__init__()
        self.setObjectName("unet-rows")
        self._target, self._slices = target, slices
        self._shown = Preview(viewer)
        self._job = 0
        self._previewed: Proposal | None = None
        self._written: tuple[Step | None, str] = None, ""
        self._seen: Slice | None = None
        self.operation, self.scope, self.about, self.source = (QComboBox() for _ in range(4))
        self.number = QDoubleSpinBox()
        self.preview = button("Preview", "Show what would change, before it does")
        self.apply = button("Apply", "Change the labels; one Ctrl+Z takes all of it back")
        self.status = sentence(name="unet-hint")
        self._again = QTimer(self, singleShot=True, interval=AGAIN_MS)
        self._lay_out()
        self._connect()
        self.refresh()

    @property
    def chosen(self) -> Operation:
        """The operation chosen."""
        return next(o for o in OPERATIONS if o.title == self.operation.currentText())

    def refresh(self, *_: object) -> None:
        """Offer what makes sense for the labels as they are."""
        labels = self._target.labels
        self.setEnabled(labels is not None)
        if labels is None:
            self.end()
            return
        objects = layers.about(labels).instances
        flat = labels.ndim == 2
        _offer(
            self.operation,
            [o.title for o in OPERATIONS if (objects or not o.objects) and (o.slice or not flat)],
        )
        scopes = [HERE, VOLUME, ALL] if self.chosen.slice else [VOLUME]
        _offer(self.scope, [HERE] if flat else scopes)
        _offer(self.about, [self._named(labels), "All objects" if objects else "All classes"])
        self._offer_sources(labels)
        self.operation.setToolTip(self.chosen.help)

    def renew(self, *_: object) -> None:
        """Drop a preview of what is no longer so, and work it out anew when the hand rests."""
        if not self.preview.isChecked():
            return
        self._job += 1
        if self._previewed is not None:
            self._previewed = None
            self._shown.hide()
            say(self.status, f"{self.chosen.title}…")
        self._again.start()

    def reselect(self) -> None:
        """Hear that another class or object is chosen to paint with."""
        self.refresh()
        if self.about.currentIndex() == 0:
            self.renew()

    def recheck(self) -> None:
        """Hear that a step was undone or done again: no more is said of an edit than is there."""
        step, words = self._written
        undone = f"Undone: {words[:1].lower()}{words[1:]}"
        if step is not None and self.status.text() in (words, undone):
            say(self.status, undone if step.undone else words)

    def end(self) -> None:
        """Take the preview's layer away, and forget what is being computed."""
        self._rest()
        self._shown.remove()

    def compute(self, then: Callable[[Labels, Proposal], None]) -> None:
        """Work the edit out in a thread, and go on with it in the window."""
        labels = self._target.labels
        try:
            asked, at = self._request()
        except UNetError as error:
            say(self.status, str(error))
            return
        assert labels is not None  # noqa: S101
        self._job += 1
        job, operation = self._job, self.chosen
        finished = finished_in(
            layers.about(labels),
            np.asarray(labels.data),
            traces(labels).strokes.still() if operation.strokes else None,
            done=self.scope.currentText() == VOLUME,
        )
        say(self.status, f"{operation.title}…")

        def told(what: Callable[[], None]) -> None:
            if job == self._job and labels is self._target.labels:
                what()

        in_thread(
            lambda: proposed(operation, asked, at, finished),
            lambda found: told(lambda: then(labels, found)),
            lambda why: told(lambda: say(self.status, why)),
        )

    def _rest(self) -> None:
        """Show no preview, and forget what is being computed."""
        self._job += 1
        self._again.stop()
        self._previewed = None
        self._shown.hide()
        self.preview.setChecked(False)
        say(self.status, "")

    def _show(self, labels: Labels, proposal: Proposal) -> None:
        self._previewed = proposal
        self._shown.show(labels, proposal, self.chosen.title)
        say(self.status, proposal.words())

    def _apply(self) -> None:
        """Apply what the preview shows, and nothing while it has nothing to show yet."""
        labels = self._target.labels
        if not self.preview.isChecked():
            self.compute(self._write)
        elif labels is not None and self._previewed is not None:
            self._write(labels, self._previewed)

    def _moved(self) -> None:
        """Hear that another slice is in front, or that the volume is cut along another axis."""
        before, self._seen = self._seen, self._slices.here
        turned = before is None or self._seen is None or before[0] != self._seen[0]
        if before != self._seen and (turned or self.scope.currentText() == HERE):
            self.renew()

    def _write(self, labels: Labels, proposal: Proposal) -> None:
        self._rest()
        step, words = None, proposal.words(past=True)
        if written := proposal.write(labels):
            start, stop = zip(*((s.start, s.stop) for s in proposal.at), strict=True)
            traces(labels).predict([(start, stop)])
            step = traces(labels).stepped(labels, written)
            self.applied.emit()
        self._written = step, words
        say(self.status, words)

    def _request(self) -> tuple[Request, Region]:
        """Return the edit asked for, and the part of the labels that it is about.

        Raises
        ------
        UNetError
            When something is missing; the message says what.
        """
        labels = self._target.labels
        here = self._slices.here
        if labels is None or here is None:
            raise UNetError("Show the labels in 2D (Ctrl+Y) to edit them.")
        if why := layers.read_only(labels):
            raise UNetError(why)
        everything = self.about.currentIndex() == 1
        chosen = int(labels.selected_label)
        if not everything and not chosen:
            raise UNetError("Choose a class to work on, not the background.")
        data = np.asarray(labels.data)
        flat = self.scope.currentText() == HERE and labels.ndim == 3
        at = tuple(slice(0, n) for n in data.shape)
        spacing = layers.about(labels).grid.spacing
        key: tuple[slice | int, ...] = ()
        if flat:
            key = layers.slice_key(3, here)
            at = tuple(slice(here[1], here[1] + 1) if a == here[0] else s for a, s in enumerate(at))
            spacing = tuple(s for a, s in enumerate(spacing) if a != here[0])
        source, volume = self._source(labels), self._target.volume
        asked = Request(
            data[key],
            () if everything else (chosen,),
            self.number.value(),
            spacing,
            source=None if source is None else source[key],
            image=volume.data if volume is not None and self.chosen.image else None,
            volume=data if flat else None,
        )
        return (asked if flat or labels.ndim == 2 else self._with_slices(asked, here)), at

    def _with_slices(self, asked: Request, here: Slice) -> Request:
        """Add which slices are annotated along the axis in front."""
        labels = self._target.labels
        assert labels is not None  # noqa: S101
        axis = here[0]
        whole = tuple(sorted(i for a, i in self._slices.done() if a == axis))
        touched = np.flatnonzero(traces(labels).strokes.touched(axis)).tolist()
        slices = tuple(sorted({*whole, *touched}))
        if not self.chosen.slice and len(slices) < 2:
            raise UNetError("Paint or mark done two slices or more; what lies between is filled.")
        return replace(asked, axis=axis, slices=slices, whole=whole)

    def _source(self, labels: Labels) -> np.ndarray | None:
        if not self.chosen.source:
            return None
        layer = self.source.currentData()
        if layer is not None:
            return np.asarray(layer.data)
        kept = traces(labels).prediction
        if kept is None:
            raise UNetError("There is no prediction to copy from: press Predict first.")
        return kept.open()

    def _offer_sources(self, labels: Labels) -> None:
        others = [x for x in self._target.candidates() if x is not labels]
        names = [LAST, *(x.name for x in others)]
        _offer(self.source, names)
        for index, layer in enumerate(others, start=1):
            self.source.setItemData(index, layer)

    def _named(self, labels: Labels) -> str:
        """Say what is chosen to paint with."""
        about, chosen = layers.about(labels), int(labels.selected_label)
        if about.instances:
            return f"Object {chosen}"
        return next((c.name for c in about.classes if c.id == chosen), f"Label {chosen}")

    def _lay_out(self) -> None:
        _offer(self.operation, [o.title for o in OPERATIONS])
        self.number.setDecimals(2)
        self.number.setRange(0.0, 1e9)
        self.number.setMinimumWidth(110)
        self.preview.setCheckable(True)
        self.scope.setToolTip("What may change; slices marked done stay unless you ask")
        self.about.setToolTip("The class chosen to paint with, or all")
        first = row(self.operation, self.number, self.source)
        second = row(self.scope, self.about)
        for line in (first, second):
            line.setStretch(0, 1)
            line.setStretch(1, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        for layout in (first, second, row(None, self.preview, self.apply)):
            column.addLayout(layout)
        column.addWidget(self.status)
        for box in (self.operation, self.scope, self.about, self.source):
            box.setSizeAdjustPolicy(
                QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
            )
            box.setMinimumContentsLength(8)

    def _connect(self) -> None:
        self._target.changed.connect(self._retarget)
        self.operation.currentTextChanged.connect(self._operation_chosen)
        self.scope.currentTextChanged.connect(self._unit)
        for box in (self.scope, self.about, self.source):
            box.currentTextChanged.connect(self.renew)
        self.number.valueChanged.connect(self.renew)
        self._slices.changed.connect(self._moved)
        self._slices.marked.connect(self.renew)
        self.preview.toggled.connect(self._toggled)
        self.apply.clicked.connect(self._apply)
        self._again.timeout.connect(lambda: self.compute(self._show))
        self._operation_chosen()

    def _retarget(self) -> None:
        self.end()
        self.refresh()
        self._operation_chosen()

    def _operation_chosen(self) -> None:
        """Ask for the number this operation needs, beginning with a useful one."""
        labels, chosen = self._target.labels, self.chosen
        self.number.setVisible(bool(chosen.number))
        self.source.setVisible(chosen.source)
        self.refresh()
        smallest = min(layers.about(labels).grid.spacing) if labels is not None else 1.0
        start = {DISTANCE: chosen.start * smallest, SIZE: chosen.start * smallest**2, ID: 1.0}
        self.number.setDecimals(0 if chosen.number == ID else 2)
        self.number.setSingleStep(1.0 if chosen.number == ID else 0.5 * smallest)
        self.number.setValue(start.get(chosen.number, 0.0))
        self._unit()
        self.renew()

    def _unit(self, *_: object) -> None:
        labels, number = self._target.labels, self.chosen.number
        unit = layers.about(labels).grid.unit if labels is not None else "pixel"
        power = ""
        if number == SIZE:
            flat = self.scope.currentText() == HERE
            power = "²" if flat else "³"
        self.number.setPrefix(self.chosen.prefix)
        self.number.setSuffix("" if number == ID else f" {UNITS.get(unit, unit)}{power}")

    def _toggled(self, on: bool) -> None:
        if on:
            self.compute(self._show)
        else:
            self._rest()


def _offer(box: QComboBox, items: list[str]) -> None:
    """List items; the choice stays where it is one of them, or where their number is the same."""
    if [box.itemText(i) for i in range(box.count())] == items:
        return
    chosen, place = box.currentText(), box.currentIndex() if box.count() == len(items) else 0
    box.blockSignals(True)
    box.clear()
    box.addItems(items)
    box.setCurrentIndex(items.index(chosen) if chosen in items else place)
    box.blockSignals(False)
