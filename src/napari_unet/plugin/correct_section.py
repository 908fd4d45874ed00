"""Step 3: mend some slices with napari's own brush, and mark them done."""

import numpy as np
from napari.layers import Labels
from napari.utils.theme import get_theme
from napari.viewer import Viewer
from numpy.typing import NDArray
from qtpy.QtCore import QTimer, Signal

from napari_unet.core.classes import PALETTE, LabelClass, default_classes
from napari_unet.core.strokes import Region
from napari_unet.plugin import layers
from napari_unet.plugin.about import Slice, count_ids, fresh_id, joined
from napari_unet.plugin.brush import Brush
from napari_unet.plugin.brush_rules import BrushRules
from napari_unet.plugin.class_keys import ClassKeys
from napari_unet.plugin.class_table import ClassTable
from napari_unet.plugin.edit_tools import EditTools
from napari_unet.plugin.id_meaning import IdMeaning
from napari_unet.plugin.known_counts import KnownCounts
from napari_unet.plugin.model_section import ModelSection
from napari_unet.plugin.section import Section, button, row, say, sentence
from napari_unet.plugin.slice_ruler import SliceRuler, summary
from napari_unet.plugin.slices import DONE_KEY, NEXT_KEY, Slices
from napari_unet.plugin.target import Target
from napari_unet.plugin.traces import traces

NEXT, STOP = f"Next  ({NEXT_KEY})", f"Stop  ({NEXT_KEY})"
NEXT_TIP = (
    "Go to the slice that would teach most: beyond the ends of the structure, where the model is\n"
    "unsure, and far from what is done. Press again for the one after it."
)
STOP_TIP = "Stop looking, and go to the best slice seen so far"
DONE_TIP = "This slice is right, background included"
NEW_TIP = "Add empty labels to paint on, without a prediction"
NO_IMAGE = "Open an image first."
IN_2D = "Show the volume in 2D (Ctrl+Y) to mark slices."
BEYOND = "The labels end before this slice: click on the ruler to go back to theirs."

FOLDED, OPENED = "▸ Tools", "▾ Tools"

RECOUNT_MS = 300
"""Voxels are counted again this long after the last stroke."""


class CorrectSection(Section):
    """The classes, the slices, and the two keys.

    Signals
    -------
    stroked(tuple of slice)
        A person has painted in this box, background on background too.
    rested()
        The hand rests after strokes, an undo or another change.
    described()
        Classes or their locks have changed.
    """

    stroked = Signal(object)
    rested = Signal()
    described = Signal()

    def __init__(self, viewer: Viewer, target: Target, model: ModelSection, slices: Slices) -> None:
        super().__init__(3, "Correct")
        self._viewer, self._target, self._model, self._slices = viewer, target, model, slices
        self._followed: Labels | None = None
        self._brush: Brush | None = None
        self._seen: Slice | None = None
        self.counts = KnownCounts(self)
        self.meaning = IdMeaning()
        self.table = ClassTable()
        self.add_class = button("Add class", "Add a class, with a colour of its own")
        self.new = button("Paint from nothing", NEW_TIP)
        self.ruler = SliceRuler()
        self.done = button(f"Mark done  ({DONE_KEY})", DONE_TIP)
        self.next = button(NEXT, NEXT_TIP)
        self.advice = sentence(name="unet-hint")
        self.hint = sentence(name="unet-hint")
        self.rules = BrushRules(target, slices, self._refused)
        self.tools = EditTools(viewer, target, slices)
        self.keys = ClassKeys(viewer, self._pick_place)
        self.fold = button(FOLDED, "Edits beside the brush, and what the brush may not change")
        self._recount = QTimer(self, singleShot=True, interval=RECOUNT_MS)
        self._lay_out()
        self._connect()
        self.refresh()

    def refresh(self, *_: object) -> None:
        """Show classes, counts and slices of the labels as they are now."""
        labels = self._target.labels
        known = None if labels is None else layers.about(labels)
        self.new.setVisible(known is None)
        there = self._target.image is not None  # a session may lack all of its images
        self.new.setEnabled(there)
        self.new.setToolTip(NEW_TIP if there else NO_IMAGE)
        self.meaning.follow(labels)
        for widget in (self.done, self.next, self.fold):
            widget.setVisible(known is not None)
        # Each once: Qt keeps the room of what is shown and hidden again at once.
        for widget in (self.table, self.add_class):
            widget.setVisible(known is not None and not known.instances)
        if labels is None or known is None:
            self._fold(False)
            self.ruler.hide()
            self.note.setText("")
            say(self.hint, "Predict first, or paint from nothing." if there else NO_IMAGE)
            return
        if not known.instances:
            self.table.show_classes(known.classes)
            self.table.show_locked(known.locked)
            self.table.mark(int(labels.selected_label))
            self.counts.refresh()
        self.show_slices()

    def show_slices(self) -> None:
        """Show which slices are done and which one is in front."""
        axis, here, done = self._slices.axis, self._slices.here, self._slices.done()
        self.done.setEnabled(here is not None)
        astray = IN_2D if axis is None else BEYOND
        self.done.setToolTip(astray if here is None else DONE_TIP)
        self.next.setEnabled(axis is not None and self._slices.count > 1)
        why = IN_2D if axis is None else "A plane is one slice: there is no other to go to."
        tip = STOP_TIP if self.next.text() == STOP else NEXT_TIP
        self.next.setToolTip(tip if self.next.isEnabled() else why)
        states = self._slices.states()
        elsewhere = sum(along != axis for along, _ in done) if axis is not None else 0
        more = f", {elsewhere} crossing" if elsewhere else ""  # there is no room for more
        self.note.setToolTip(f"Slices done along other axes: {elsewhere}" if elsewhere else "")
        all_done = f"{len(done)} {'slice' if len(done) == 1 else 'slices'} done"
        self.note.setText(all_done if axis is None else f"{summary(states)}{more}")
        suggested = {i: why for (a, i), why in self._slices.suggested().items() if a == axis}
        self.ruler.show_slices(states, here[1] if here else None, suggested)
        if here is None:
            if self._target.labels is not None:
                say(self.hint, astray)
            return
        self.done.setText(f"{'Unmark' if here in done else 'Mark done'}  ({DONE_KEY})")
        labels = self._target.labels
        objects = labels is not None and layers.about(labels).instances
        keys = "Brush 2, eraser 1, fill 4, pick 5" + (", new object M." if objects else ".")
        lesson = f"{keys} What you paint or erase teaches; a slice marked done teaches whole."
        say(self.hint, self.meaning.doubt or ("" if done else lesson))

    def advise(self, text: str) -> None:
        """Say why to annotate the slice in front, or what the search for the next one is at."""
        say(self.advice, text)

    def show_looking(self, looking: bool) -> None:
        """Let the button that goes to the next slice end the search for it."""
        self.next.setText(STOP if looking else NEXT)
        self.next.setToolTip(STOP_TIP if looking else NEXT_TIP)

    def release(self) -> None:
        """Stop following the labels."""
        self._follow(None)
        self.counts.release()
        self.tools.end()
        self.keys.release()

    def restyle(self, theme: str) -> None:
        """Take the colours of a napari theme."""
        self.ruler.set_dark(get_theme(theme).type == "dark")

    def _lay_out(self) -> None:
        slice_buttons = row(self.done, self.next, self.add_class)
        slice_buttons.setStretch(0, 1)
        self.body.addWidget(self.meaning)
        self.body.addWidget(self.table)
        self.body.addWidget(self.new)
        self.body.addWidget(self.ruler)
        self.body.addLayout(slice_buttons)
        self.body.addWidget(self.advice)
        self.body.addWidget(self.hint)
        self.fold.setObjectName("unet-fold")
        self.fold.setCheckable(True)
        for widget in (self.fold, self.tools, self.rules):
            self.body.addWidget(widget)
        self._fold(False)

    def _connect(self) -> None:
        self._target.changed.connect(self._retarget)
        self._slices.changed.connect(self._moved)
        self._slices.refused.connect(self._refused)
        self.fold.toggled.connect(self._fold)
        self.tools.applied.connect(self._edited_whole)
        self.meaning.decided.connect(self._target.changed)  # tools and export differ for objects
        self.meaning.decided.connect(self.described)
        self.meaning.refused.connect(self._refused)
        self.table.locked.connect(self._locked)
        self._slices.marked.connect(self.refresh)
        self._recount.timeout.connect(self._look_again)
        self.table.edited.connect(self._edited)
        self.table.picked.connect(self._picked)
        self.table.dropped.connect(self._dropped)
        self.add_class.clicked.connect(self._add_class)
        self.new.clicked.connect(self._paint_from_nothing)
        self.counts.counted.connect(self.table.show_known)
        self.ruler.went.connect(self._slices.go)
        self.ruler.ranged.connect(self._slices.mark)
        self.done.clicked.connect(self._slices.toggle)

    def _retarget(self) -> None:
        self._follow(self._target.labels)
        self.refresh()

    def _follow(self, labels: Labels | None) -> None:
        """Listen to the strokes on these labels, and no longer to those on the last ones."""
        if self._followed is not None:
            self._followed.events.paint.disconnect(self._changed)
            self._followed.events.set_data.disconnect(self._redrawn)
            self._followed.events.selected_label.disconnect(self._selected)
        if self._brush is not None:
            self._brush.release()
            self._brush = None
        self._followed = labels
        self.counts.follow(labels)
        if labels is not None:
            self._brush = Brush(labels, self.rules.allowed, self._painted)
            labels.events.paint.connect(self._changed)
            labels.events.set_data.connect(self._redrawn)
            labels.events.selected_label.connect(self._selected)

    def _painted(self, at: Region, mask: NDArray[np.bool_], label: int) -> None:
        """Remember what was painted, background too, and look at it when the hand rests."""
        if self._followed is not None:
            traces(self._followed).strokes.add(at, mask, label)
            self.counts.forget(
                (axis, i) for axis, side in enumerate(at) for i in range(side.start, side.stop)
            )
            self._recount.start()
            self.tools.renew()
            self.stroked.emit(at)

    def _changed(self, *_: object) -> None:
        """Hear of any change that can be undone; what a program wrote may lie anywhere."""
        if self._slices.here is None:
            self.counts.forget()
        self.tools.renew()
        self._recount.start()

    def _redrawn(self, *_: object) -> None:
        """Hear that the layer was drawn anew, after an undo among others, which says nothing else."""
        if self._followed is not None and traces(self._followed).recheck(self._followed):
            self.counts.forget()
            self.tools.recheck()
        self._recount.start()

    def _moved(self) -> None:
        """Show another slice, and find out whether the last one still holds strokes."""
        if self._seen != self._slices.here:
            self._recheck(self._seen)
            self._seen = self._slices.here
        self.show_slices()

    def _look_again(self) -> None:
        here = self._slices.here
        self._recheck(here)
        self.counts.forget(() if here is None else (here,))
        self.refresh()
        self.rested.emit()

    def _recheck(self, which: Slice | None) -> None:
        labels = self._followed
        if labels is not None and which is not None and which[1] < labels.data.shape[which[0]]:
            traces(labels).strokes.recheck(np.asarray(labels.data), *which)

    def _selected(self, *_: object) -> None:
        if self._followed is not None:
            self.table.mark(int(self._followed.selected_label))
            self.tools.reselect()

    def _refused(self, why: str) -> None:
        say(self.hint, why)

    def _fold(self, opened: bool) -> None:
        self.fold.setText(OPENED if opened else FOLDED)
        self.fold.setChecked(opened)
        self.tools.setVisible(opened)
        self.rules.setVisible(opened)
        if not opened:
            self.tools.end()

    def _edited_whole(self) -> None:
        """Hear that an edit has changed labels anywhere."""
        self.counts.forget()
        self.refresh()

    def _locked(self, ids: frozenset[int]) -> None:
        if self._target.labels is not None:
            layers.change_about(self._target.labels, locked=ids)
            self.tools.renew()
            self.described.emit()

    def _edited(self, classes: tuple[LabelClass, ...]) -> None:
        if self._target.labels is not None:
            layers.change_about(self._target.labels, classes=classes)
            self.refresh()
            self.described.emit()

    def _dropped(self, one: int, into: int) -> None:
        """Give a class's voxels to another one, or to background, and take it off the list."""
        labels = self._target.labels
        if labels is None:
            return
        if why := layers.read_only(labels):
            self._refused(why)
            return
        at = np.nonzero(np.asarray(labels.data) == one)
        if into:  # what is left to background nobody has called background
            traces(labels).strokes.merge(np.asarray(labels.data), one, into)
        if len(at[0]):
            layers.write(labels, at, np.full(len(at[0]), into, labels.data.dtype))
        known = layers.about(labels)
        layers.change_about(
            labels,
            classes=tuple(c for c in known.classes if c.id != one),
            locked=known.locked - {one},
            merged=joined(known.merged, one, into),
        )
        labels.selected_label = into
        self.tools.renew()
        self.counts.forget()
        self.refresh()
        self.described.emit()

    def _picked(self, label: int) -> None:
        labels = self._target.labels
        if labels is None:
            return
        self._viewer.layers.selection.active = labels
        if label > np.iinfo(labels.data.dtype).max:  # a mask of 255 and 0 gets a class 256
            if why := layers.read_only(labels):
                self._refused(why)
                return
            layers.make_room(labels, label)
        labels.selected_label = label
        labels.mode = "paint" if label else "erase"

    def _add_class(self) -> None:
        """Add a class: for voxels that have none so far, or with an id that nothing has."""
        labels = self._target.labels
        if labels is not None:
            known = layers.about(labels)
            named = {0, *(c.id for c in known.classes)}
            nameless = count_ids(np.asarray(labels.data)).keys() - named
            self.table.add(min(nameless, default=fresh_id(known)))

    def _pick_place(self, place: int) -> None:
        """Paint with the class at a place of the table, by its key; 0 is background."""
        labels = self._target.labels
        if labels is not None:
            classes = [c.id for c in layers.about(labels).classes if c.id]
            ids = [0, *classes]
            if place < len(ids):
                self._picked(ids[place])

    def _paint_from_nothing(self) -> None:
        classes = (*default_classes([]), LabelClass(1, "class 1", PALETTE[0]))
        objects = self._model.objects
        self._target.add_labels(lambda v: layers.new_labels(v, classes, instances=objects))
        self._picked(1)
