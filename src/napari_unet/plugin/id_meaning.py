"""What the ids of some labels mean: classes, or an object each."""

import weakref

import numpy as np
from napari.layers import Labels
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox

from napari_unet.core.classes import LabelClass, default_classes, nameless
from napari_unet.plugin import layers
from napari_unet.plugin.about import count_ids

MANY = 12
"""Ids without a name from which they may well be objects."""


class IdMeaning(QCheckBox):
    """Tells whether each id is an object of its own, and lets a person say otherwise.

    A file of labels says nothing of that, and whoever begins with empty labels has said nothing yet.

    Signals
    -------
    decided()
        A person has said what the ids of the labels mean.
    refused(str)
        Why these labels stay as they are.
    """

    decided = Signal()
    refused = Signal(str)

    def __init__(self) -> None:
        super().__init__("Every id is an object of its own")
        self.setToolTip(
            "For cells, nuclei and the like: a new model learns where one ends and the next begins.\n"
            "Off, ids are classes, each with a name."
        )
        self._labels: Labels | None = None
        self._names: weakref.WeakKeyDictionary[Labels, tuple[LabelClass, ...]] = (
            weakref.WeakKeyDictionary()
        )
        self.clicked.connect(self._decide)
        self.follow(None)

    def follow(self, labels: Labels | None) -> None:
        """Tell of these labels from now on."""
        self._labels = labels
        self.setVisible(labels is not None)
        self.setChecked(labels is not None and layers.about(labels).instances)

    @property
    def doubt(self) -> str:
        """What to ask where labels seem to be objects but count as classes; else empty."""
        known = None if self._labels is None else layers.about(self._labels)
        if known is None or known.instances or len(nameless(known.classes)) < MANY:
            return ""
        count = len(nameless(known.classes))
        return f"{count} classes have no name: if they are cells or the like, tick “{self.text()}”."

    def _decide(self, objects: bool) -> None:
        labels = self._labels
        if labels is None:
            return
        if why := layers.read_only(labels):
            self.setChecked(not objects)
            self.refused.emit(why)
            return
        if objects:
            self._names[labels] = layers.about(labels).classes
            layers.make_room(labels)
            classes = default_classes([1])
        else:
            ids = count_ids(np.asarray(labels.data)).keys() - {0}
            before = {c.id: c for c in self._names.get(labels, ())}
            found = default_classes(ids or {1})
            classes = tuple(before.get(c.id, c) for c in found)
        layers.change_about(
            labels, classes=classes, instances=objects, locked=frozenset(), merged=()
        )
        self.decided.emit()
