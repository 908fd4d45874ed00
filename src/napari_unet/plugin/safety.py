"""Labels are on the disk from the first stroke, and offered back after a crash."""

from collections.abc import Iterable
from datetime import datetime
from functools import partial

from napari.layers import Labels
from napari.viewer import Viewer
from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QFrame, QHBoxLayout

from napari_unet.core.strokes import Region, Strokes
from napari_unet.errors import UNetError
from napari_unet.jobs import Journal, JournalEntry, unfinished
from napari_unet.plugin import layers
from napari_unet.plugin.about import about_again, by_axis
from napari_unet.plugin.section import button, say, sentence
from napari_unet.plugin.slices import Slices
from napari_unet.plugin.target import Target
from napari_unet.plugin.traces import traces

STROKE_MS, SWEEP_MS, LOOK_MS = 400, 10_000, 1_000
"""A painted slice is copied this long after a stroke; all slices are compared, and the journals asked
for trouble, this often."""


class Safety(QFrame):
    """Keeps a journal of the target's labels, and is a bar when there is something to restore.

    A journal begins with the first stroke or mark of a person, not with a prediction: that one can
    be had again.

    Signals
    -------
    restored(Labels)
        Lost labels are back, in this layer.
    began()
        A journal was begun.
    """

    restored = Signal(object)
    began = Signal()

    def __init__(self, viewer: Viewer, target: Target, slices: Slices) -> None:
        super().__init__()
        self.setObjectName("unet-recovery")
        self._viewer, self._target, self._slices = viewer, target, slices
        self._journals: list[tuple[Labels, Journal]] = []
        self._followed: Labels | None = None
        self._source = ""  # of what is followed: path of its image, or the layer's name
        self._waiting: set[int] = set()
        self._offered: JournalEntry | None = None
        self._told = self._unopened = ""
        self.text = sentence()
        self.restore = button("Restore", "Put these labels on the image")
        self.discard = button("Discard", "Delete these labels for good")
        self._stroke = QTimer(self, singleShot=True, interval=STROKE_MS)
        self._sweep = QTimer(self, singleShot=True, interval=SWEEP_MS)
        self._look = QTimer(self, interval=LOOK_MS)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(10, 6, 10, 6)
        layout.addWidget(self.text, 1)
        layout.addWidget(self.restore)
        layout.addWidget(self.discard)
        self._stroke.timeout.connect(self._copy_slice)
        self._sweep.timeout.connect(self._copy_all)
        self._look.timeout.connect(self._complain)
        self.restore.clicked.connect(self._restore)
        self.discard.clicked.connect(self._discard)
        target.changed.connect(self.refresh)
        slices.marked.connect(self.remember)
        # A window that is closed deletes its widgets without a word; this much is done even then.
        self.destroyed.connect(partial(_close, self._journals))
        self.refresh()

    def refresh(self) -> None:
        """Follow the target's labels, and look for lost ones of its image."""
        self._follow(self._target.labels)
        volume = self._target.volume
        self._source = "" if volume is None else volume.source or volume.name
        lost = self._lost()
        self._offered = lost[0] if lost else None
        self._told = self._trouble()
        self.setVisible(self._offered is not None or bool(self._told))
        for widget in (self.restore, self.discard):
            widget.setVisible(not self._told)
        if self._told:
            say(self.text, self._told)
        elif self._offered is not None:
            when = datetime.fromtimestamp(self._offered.time).astimezone()
            day = "" if when.date() == datetime.now().astimezone().date() else f"{when:%d %B}, "
            changed = "" if self._offered.source_unchanged() else " The image has changed since."
            more = f", and {len(lost) - 1} older" if len(lost) > 1 else ""
            say(self.text, f"Unsaved labels of {day}{when:%H:%M} found{more}.{changed}")

    def remember(self, *_: object) -> None:
        """Write down labels, classes, marks and model."""
        self._copy_all()
        self.describe()

    def describe(self, *_: object) -> None:
        """Write down what has changed beside the voxels, of all labels whose journal has begun."""
        for labels, journal in self._journals:  # a training holds out slices of several
            about = layers.about(labels)
            journal.write_state(
                classes=about.classes,
                done=by_axis(about.done),
                held_out=by_axis(about.held_out),
                locked=about.locked,
                model=about.model,
                corrections=about.corrections,
                merged=about.merged,
                instances=about.instances,
            )

    def saved(self, labels: Labels) -> None:
        """Hear that labels are in a file of the user's."""
        journal = self.journal_of(labels)
        if journal is not None:
            journal.mark_saved()

    def journal_of(self, labels: Labels) -> Journal | None:
        """Return the journal that keeps these labels; None before it begins."""
        return next((journal for known, journal in self._journals if known is labels), None)

    def follow_up(self, labels: Labels) -> None:
        """Hear that a prediction has changed labels: write them down if a journal has begun."""
        journal = self.journal_of(labels)  # of need not those followed, for the job took its time
        if journal is not None:
            _copy(labels, journal)

    def stay(self) -> None:
        """Tell other machines that the journals are in use."""
        for _labels, journal in self._journals:
            journal.stay()

    def rested(self) -> None:
        """Hear that an undo or another change is over: write it down if a journal has begun."""
        if self._followed is not None and self.journal_of(self._followed) is not None:
            if not self._stroke.isActive():
                self._stroke.start()
            if not self._sweep.isActive():
                self._sweep.start()

    def release(self) -> None:
        """Finish the journals; what was not saved is offered at the next start."""
        self._follow(None)
        self._look.stop()
        _close(self._journals)

    def flush(self) -> None:
        """Write down the strokes and edits that are still waiting for their turn."""
        if self._stroke.isActive() or self._sweep.isActive():
            self._stroke.stop()
            self._sweep.stop()
            self._copy_all()

    def _follow(self, labels: Labels | None) -> None:
        if labels is self._followed:
            return
        if self._followed is not None:
            self.flush()  # the timers are about what is followed, and an edit may lie anywhere in it
            self._followed.events.paint.disconnect(self._painted)
            self._followed.events.data.disconnect(self._replaced)
        self._followed = labels
        self._waiting.clear()
        if labels is not None:
            labels.events.paint.connect(self._painted)
            labels.events.data.connect(self._replaced)

    def stroked(self, at: Region) -> None:
        """Hear of a stroke in a box of the labels followed."""
        self._waiting.update(range(at[0].start, at[0].stop) if len(at) == 3 else (0,))
        self._painted()

    def _replaced(self, *_: object) -> None:
        """Hear that a script has given the layer other voxels, which may differ anywhere."""
        labels, volume = self._followed, self._target.volume
        if labels is not None and volume is not None and labels.data.shape == volume.grid.shape:
            self.stroked(tuple(slice(0, n) for n in volume.grid.shape))

    def _painted(self, *_: object) -> None:
        self._stroke.start()
        if not self._sweep.isActive():
            self._sweep.start()

    def _copy_slice(self) -> None:
        journal, here = self._journal(), self._slices.here
        if journal is not None and self._followed is not None:
            planes = {*self._waiting, here[1]} if here is not None and here[0] == 0 else None
            _copy(self._followed, journal, planes)
            self._waiting.clear()

    def _copy_all(self) -> None:
        journal = self._journal()
        if journal is not None and self._followed is not None:
            _copy(self._followed, journal)

    def _complain(self) -> None:
        """Say what the journals' threads could not write since the last look, or that it is over."""
        if self._trouble() != self._told:
            self.refresh()

    def _trouble(self) -> str:
        """Return what is not safe at this moment; empty when all is."""
        problems = (journal.problem for _, journal in self._journals)
        return self._unopened or next(filter(None, problems), "")

    def _journal(self) -> Journal | None:
        """Return the journal of the labels followed, begun now if need be."""
        labels = self._followed
        if labels is None:
            return None
        if (journal := self.journal_of(labels)) is not None:
            return journal
        about = layers.about(labels)
        try:
            journal = Journal.open(self._source, about.grid, labels.data.dtype)
        except UNetError as error:
            self._unopened = str(error)
            self._complain()
            return None
        self._unopened = ""
        self._journals.append((labels, journal))
        self._look.start()
        self.describe()
        self.began.emit()
        return journal

    def _lost(self) -> list[JournalEntry]:
        """Return what is not saved of the image, the newest first."""
        volume = self._target.volume
        if volume is None:
            return []
        mine = (e for e in unfinished() if e.state.source == self._source)
        return [e for e in mine if e.state.grid.shape == volume.grid.shape]

    def _restore(self) -> None:
        entry, volume = self._offered, self._target.volume
        if entry is None or volume is None:
            return
        try:
            found, painted = entry.read(), entry.read_painted()
        except UNetError as error:
            say(self.text, str(error))
            return
        about = about_again(entry.state, volume)
        name = f"{layers.short_name(volume)} labels (restored)"
        layer = layers.labels_layer(found, about, name)
        traces(layer).strokes = Strokes.of(found, painted)
        labels = self._target.add_labels(lambda _: layer)
        self.remember()
        journal = self._journal()
        if journal is not None and not journal.flush():
            entry.discard()
        self.refresh()
        self.restored.emit(labels)

    def _discard(self) -> None:
        if self._offered is not None:
            self._offered.discard()
        self.refresh()


def _copy(labels: Labels, journal: Journal, only: Iterable[int] | None = None) -> None:
    journal.write_slices(labels.data, only, traces(labels).strokes.still())


def _close(journals: list[tuple[Labels, Journal]], *_: object) -> None:
    """Finish the journals; what was not saved is offered at the next start."""
    for _labels, journal in journals:
        journal.close(clean=False)
    journals.clear()
