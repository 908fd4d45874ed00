"""Step 3: mend some slices with napari's own brush, and mark them done."""

import numpy as np
from napari.layers import Labels
from napari.viewer import Viewer
from qtpy.QtCore import QTimer

from napari_unet.core.classes import PALETTE, LabelClass, default_classes
from napari_unet.plugin import layers
from napari_unet.plugin.about import joined
from napari_unet.plugin.class_table import ClassTable
from napari_unet.plugin.section import Section, button, row, say, sentence
from napari_unet.plugin.slice_strip import SliceStrip
from napari_unet.plugin.slices import DONE_KEY, NEXT_KEY, Slices, known_voxels
from napari_unet.plugin.target import Target

RECOUNT_MS = 300
"""Voxels are counted again this long after the last stroke."""


class CorrectSection(Section):
    """The classes, the slices, and the two keys."""

    def __init__(self, viewer: Viewer, target: Target, slices: Slices) -> None:
        super().__init__(3, "Correct")
        self._viewer, self._target, self._slices = viewer, target, slices
        self._followed: Labels | None = None
        self.table = ClassTable()
        self.add_class = button("Add class", "Add a class, with a colour of its own")
        self.new = button(
            "Paint from nothing", "Add empty labels to paint on, without a prediction"
        )
        self.strip = SliceStrip()
        self.done = button(f"Mark done  ({DONE_KEY})", "This slice is right, background included")
        self.next = button(f"Next  ({NEXT_KEY})", "Go to the next slice that is not done")
        self.hint = sentence(name="unet-hint")
        self._recount = QTimer(self, singleShot=True, interval=RECOUNT_MS)
        self._lay_out()
        self._connect()
        self.refresh()

    def refresh(self, *_: object) -> None:
        """Show classes, counts and slices of the labels as they are now."""
        labels = self._target.labels
        self.new.setVisible(labels is None)
        for widget in (self.table, self.add_class, self.done, self.next):
            widget.setVisible(labels is not None)
        if labels is None:
            self.strip.hide()
            self.note.setText("")
            say(self.hint, "Predict first, or paint from nothing.")
            return
        known = layers.about(labels)
        self.table.setVisible(not known.instances)
        self.add_class.setVisible(not known.instances)
        if not known.instances:
            self.table.show_classes(known.classes, known_voxels(labels))
            self.table.mark(int(labels.selected_label))
        self.show_slices()

    def show_slices(self) -> None:
        """Show which slices are done and which one is in front."""
        here, done = self._slices.here, self._slices.done()
        self.done.setEnabled(here is not None)
        self.next.setEnabled(here is not None and self._slices.count > 1)
        number = len(done)
        self.note.setText(f"{number} slice{'s' * (number != 1)} done")
        if here is None:
            if self._target.labels is not None:
                say(self.hint, "Show the volume in 2D (Ctrl+Y) to mark slices.")
            self.strip.hide()
            return
        mine = frozenset(index for axis, index in done if axis == here[0])
        self.strip.show_slices(self._slices.count, here[1], mine)
        self.done.setText(f"{'Unmark' if here in done else 'Mark done'}  ({DONE_KEY})")
        labels = self._target.labels
        objects = labels is not None and layers.about(labels).instances
        keys = "Brush 2, eraser 1, fill 4, pick 5" + (", new object M." if objects else ".")
        lesson = f"{keys} A slice marked done teaches the model, its background too."
        say(self.hint, "" if done else lesson)

    def release(self) -> None:
        """Stop following the labels."""
        self._follow(None)

    def _lay_out(self) -> None:
        slice_buttons = row(self.done, self.next, self.add_class)
        slice_buttons.setStretch(0, 1)
        self.body.addWidget(self.table)
        self.body.addWidget(self.new)
        self.body.addWidget(self.strip)
        self.body.addLayout(slice_buttons)
        self.body.addWidget(self.hint)

    def _connect(self) -> None:
        self._target.changed.connect(self._retarget)
        self._slices.changed.connect(self.show_slices)
        self._slices.marked.connect(self.refresh)
        self._recount.timeout.connect(self.refresh)
        self.table.edited.connect(self._edited)
        self.table.picked.connect(self._picked)
        self.table.dropped.connect(self._dropped)
        self.add_class.clicked.connect(self.table.add)
        self.new.clicked.connect(self._paint_from_nothing)
        self.strip.clicked.connect(self._slices.go)
        self.done.clicked.connect(self._slices.toggle)
        self.next.clicked.connect(self._slices.next)

    def _retarget(self) -> None:
        self._follow(self._target.labels)
        self.refresh()

    def _follow(self, labels: Labels | None) -> None:
        """Listen to the strokes on these labels, and no longer to those on the last ones."""
        if self._followed is not None:
            self._followed.events.paint.disconnect(self._painted)
            self._followed.events.selected_label.disconnect(self._selected)
        self._followed = labels
        if labels is not None:
            labels.events.paint.connect(self._painted)
            labels.events.selected_label.connect(self._selected)

    def _painted(self, *_: object) -> None:
        self._recount.start()

    def _selected(self, *_: object) -> None:
        if self._followed is not None:
            self.table.mark(int(self._followed.selected_label))

    def _edited(self, classes: tuple[LabelClass, ...]) -> None:
        if self._target.labels is not None:
            layers.change_about(self._target.labels, classes=classes)
            self.refresh()

    def _dropped(self, one: int, into: int) -> None:
        """Give a class's voxels to another one, or to background, and take it off the list."""
        labels = self._target.labels
        if labels is None:
            return
        at = np.nonzero(np.asarray(labels.data) == one)
        if len(at[0]):
            labels.data_setitem(at, np.full(len(at[0]), into, labels.data.dtype))
        known = layers.about(labels)
        layers.change_about(
            labels,
            classes=tuple(c for c in known.classes if c.id != one),
            merged=joined(known.merged, one, into),
        )
        labels.selected_label = into
        self.refresh()

    def _picked(self, label: int) -> None:
        labels = self._target.labels
        if labels is not None:
            self._viewer.layers.selection.active = labels
            labels.selected_label = label
            labels.mode = "paint" if label else "erase"

    def _paint_from_nothing(self) -> None:
        classes = (*default_classes([]), LabelClass(1, "class 1", PALETTE[0]))
        self._target.add_labels(lambda volume: layers.new_labels(volume, classes))
        self._picked(1)
