"""What the dock works on: one image and the labels that lie on it."""

import weakref
from collections.abc import Callable
from typing import TypeGuard

from napari.layers import Image, Labels, Layer
from napari.utils.events import Event
from napari.viewer import Viewer
from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import QComboBox, QFormLayout, QWidget

from napari_unet.core.grid import Grid, size_in_words
from napari_unet.core.volume import Volume
from napari_unet.plugin import layers
from napari_unet.plugin.about import PREVIEW
from napari_unet.plugin.pairing import belong, bind, drawn_on, fits, mate
from napari_unet.plugin.placement import lie_on
from napari_unet.plugin.section import button, row
from napari_unet.plugin.traces import TRACES, painted, traces

SIZES = ("scale", "units", "affine")
"""Events of a layer after which its voxels may have another size."""

LOAD = "Put labels from a file on the image"


class LayerPicker(QComboBox):
    """A list of the viewer's layers of one kind that keeps up with the viewer.

    Parameters
    ----------
    viewer : Viewer
        Whose layers are listed.
    fits : callable
        Tells which of them.
    suits : callable, optional
        Tells which of those may be chosen without being asked for; any by default.
    """

    def __init__(
        self,
        viewer: Viewer,
        fits: Callable[[Layer], bool],
        suits: Callable[[Layer], bool] = lambda _: True,
    ) -> None:
        super().__init__()
        self._viewer = viewer
        self._fits, self._suits = fits, suits
        self.setMinimumContentsLength(12)
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.refresh()

    @property
    def layer(self) -> Layer | None:
        """The chosen layer."""
        return self.currentData()

    def choose(self, layer: Layer) -> None:
        """Choose a layer that is listed."""
        for index in range(self.count()):
            if self.itemData(index) is layer:
                self.setCurrentIndex(index)

    def refresh(self) -> None:
        """List the layers anew, topmost first; the choice stays where it can."""
        chosen = self.currentData()
        with QSignalBlocker(self):
            self.release()
            listed = [x for x in reversed(self._viewer.layers) if self._fits(x)]
            for layer in listed:
                self.addItem(layer.name, layer)
                self.setItemData(self.count() - 1, layer.name, Qt.ItemDataRole.ToolTipRole)
                layer.events.name.connect(self._rename)
            suiting = [layer for layer in listed if self._suits(layer)]
            self.setCurrentIndex(listed.index(suiting[0]) if suiting else -1)
            if chosen in suiting:
                self.choose(chosen)

    def release(self) -> None:
        """List nothing, and follow no layer's name any longer."""
        for index in range(self.count()):
            self.itemData(index).events.name.disconnect(self._rename)
        self.clear()

    def _rename(self, *_: object) -> None:
        for index in range(self.count()):
            name = self.itemData(index).name
            self.setItemText(index, name)
            self.setItemData(index, name, Qt.ItemDataRole.ToolTipRole)


class Target(QWidget):
    """Two lists, image and labels.

    Signals
    -------
    changed()
        Either is another one now.
    refused(str)
        Why there is no image although there are layers that show one, or why labels on the image can't
        be worked on; empty when that is over.
    respaced(str)
        What came of another voxel size that somebody has given the image's layer.
    """

    changed = Signal()
    refused = Signal(str)
    respaced = Signal(str)

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self._images = LayerPicker(viewer, _is_image)
        self._labels = LayerPicker(viewer, self._lies_on_image, self._belongs)
        self._last: tuple[Layer | None, Layer | None] = (None, None)
        self._grids: weakref.WeakKeyDictionary[Image, Grid] = weakref.WeakKeyDictionary()
        self.refusal = ""
        form = QFormLayout(self)
        form.setContentsMargins(2, 0, 2, 0)
        self.open = button("Open…", "Open another image")
        images = row(self._images, self.open)
        images.setStretch(0, 1)
        form.addRow("Image", images)
        self.load = button("Load…", LOAD)
        labels = row(self._labels, self.load)
        labels.setStretch(0, 1)
        form.addRow("Labels", labels)
        self._labels.setPlaceholderText("made by Predict")
        self._images.currentIndexChanged.connect(self.refresh)
        self._labels.currentIndexChanged.connect(self._pair)
        self._selection = viewer.layers.selection.events.active
        self._selection.connect(self._follow)
        self._events = viewer.layers.events
        self._events.inserted.connect(_part)
        for event in (self._events.inserted, self._events.removed, self._events.reordered):
            event.connect(self.refresh)
        self._events.connect(self._resize)
        self.refresh()

    @property
    def image(self) -> Image | None:
        """The image to work on."""
        return self._images.layer

    @property
    def labels(self) -> Labels | None:
        """The labels on that image."""
        return self._labels.layer

    @property
    def volume(self) -> Volume | None:
        """The image as a volume."""
        return None if self.image is None else layers.volume_of(self.image)

    def choose_image(self, layer: Image) -> None:
        """Work on this image."""
        self._images.choose(layer)

    def choose_labels(self, layer: Labels) -> None:
        """Work on these labels, and take them for labels of the image."""
        self._labels.choose(layer)

    def add_labels(self, make: Callable[[Volume], Labels]) -> Labels:
        """Add labels to the image on top of all layers, and work on them."""
        image = self.image
        assert image is not None  # noqa: S101
        labels = make(layers.volume_of(image))
        lie_on(labels, image)
        bind(image, labels)
        self._viewer.add_layer(labels)
        self.choose_labels(labels)
        return labels

    def candidates(self) -> list[Labels]:
        """Return every Labels layer that lies on the image, topmost first."""
        return [x for x in reversed(self._viewer.layers) if self._lies_on_image(x)]

    def volumes(self) -> list[Volume]:
        """Return what every image layer shows, less those that are no image here."""
        return [layers.volume_of(layer) for layer in self._viewer.layers if _is_image(layer)]

    def labelled(self) -> list[tuple[Image, Labels]]:
        """Return every pair of an image and labels of its shape in which something is known."""
        pairs = []
        images = [x for x in reversed(self._viewer.layers) if _is_image(x)]
        for labels in self._viewer.layers:
            if not is_workable(labels):
                continue
            image = self.image if labels is self.labels else mate(labels, images, self._viewer)
            if image is not None and (layers.about(labels).done or painted(labels)):
                pairs.append((image, labels))
        return pairs

    def refresh(self, *_: object) -> None:
        """Follow the viewer, and say so when the choice is another."""
        self._images.refresh()
        self._labels.refresh()
        now = (self.image, self.labels)
        if now != self._last:
            self._last = now
            self._hand_over()
            self.changed.emit()
        self._explain()

    def release(self) -> None:
        """Stop following the viewer."""
        self._selection.disconnect(self._follow)
        self._events.inserted.disconnect(_part)
        self._events.disconnect(self._resize)
        for event in (self._events.inserted, self._events.removed, self._events.reordered):
            event.disconnect(self.refresh)
        for picker in (self._images, self._labels):
            picker.blockSignals(True)
            picker.release()

    def _pair(self, *_: object) -> None:
        """Take labels for those of the image, since somebody has chosen both."""
        if self.image is not None and self.labels is not None:
            bind(self.image, self.labels)
        self.refresh()

    def _follow(self, *_: object) -> None:
        """Work on the labels chosen in napari's own list, for they are what its brush paints on."""
        active = self._viewer.layers.selection.active
        if not _is_labels(active) or active is self.labels:
            return
        images = [x for x in (self.image, *reversed(self._viewer.layers)) if _is_image(x)]
        image = mate(active, images, self._viewer)
        if image is None:
            return
        with QSignalBlocker(self._images), QSignalBlocker(self._labels):
            self._images.refresh()
            self._images.choose(image)
            self._labels.refresh()
            self._labels.choose(active)
        self._pair()

    def _hand_over(self) -> None:
        """Pair what is worked on, and take the brush away from other labels."""
        if self.image is None:
            return
        self._grids[self.image] = layers.volume_of(self.image).grid
        if self.labels is not None and drawn_on(self.labels, self._viewer) is None:
            bind(self.image, self.labels)
        selection = self._viewer.layers.selection
        if _is_labels(selection.active) and selection.active is not self.labels:
            selection.active = self.labels or self.image

    def _resize(self, event: Event) -> None:
        """Take labels along when somebody gives the image that they were drawn on another voxel size."""
        index = getattr(event, "index", None)  # the list has units of its own, too
        image = None if index is None or event.type not in SIZES else self._viewer.layers[index]
        if not _is_image(image) or image not in self._grids:
            return
        before, grid = self._grids[image], layers.volume_of(image).grid
        if grid == before:
            return
        self._grids[image] = grid
        for labels in self._viewer.layers:
            mine = is_workable(labels) and drawn_on(labels, self._viewer) is image
            if mine and layers.about(labels).grid == before:
                layers.change_about(labels, grid=grid)
                lie_on(labels, image)
        told = (
            f"A voxel of {image.name} is {size_in_words(grid.spacing, grid.unit)} now, as its layer "
            "says, for its labels, too: predict again, since a model minds the size."
        )
        if image is self.image:
            self.changed.emit()
            self.respaced.emit(told)

    def _explain(self) -> None:
        """Say why no image is listed where somebody sees one, or why labels of it are not."""
        self.load.setEnabled(self.image is not None)
        self.load.setToolTip(LOAD if self.load.isEnabled() else "Open an image first.")
        image, every = self.image, [*reversed(self._viewer.layers)]
        if image is None:
            whys = [layers.refusal(x) for x in every if _shows_image(x)][:1]
        else:
            mine = (x for x in every if _is_labels(x) and fits(image, x))
            whys = [layers.labels_refusal(x) for x in mine]
        why = next(filter(None, whys), "")
        if why != self.refusal:
            self.refusal = why
            self.refused.emit(why)

    def _lies_on_image(self, layer: Layer) -> bool:
        image = self.image
        return image is not None and is_workable(layer) and fits(image, layer)

    def _belongs(self, layer: Layer) -> bool:
        image = self.image
        return self._lies_on_image(layer) and belong(image, layer, self._viewer)


def _part(event: Event) -> None:
    """Give a duplicate traces of its own before anybody paints on either."""
    if isinstance(event.value, Labels) and TRACES in event.value.metadata:
        traces(event.value)


def _is_labels(layer: Layer | None) -> TypeGuard[Labels]:
    """Tell labels from a layer of ours that only shows something."""
    return isinstance(layer, Labels) and PREVIEW not in layer.metadata


def is_workable(layer: Layer) -> TypeGuard[Labels]:
    """Tell labels that can be worked on, wherever they lie."""
    return _is_labels(layer) and not layers.labels_refusal(layer)


def _shows_image(layer: Layer | None) -> TypeGuard[Image]:
    """Tell an image from a layer of ours that only shows something."""
    return isinstance(layer, Image) and PREVIEW not in layer.metadata


def _is_image(layer: Layer | None) -> TypeGuard[Image]:
    """Tell an image that can be worked on."""
    return _shows_image(layer) and not layers.refusal(layer)
