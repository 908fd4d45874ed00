"""What the dock works on: one image and the labels that lie on it."""

from collections.abc import Callable
from typing import TypeGuard

from napari.layers import Image, Labels, Layer
from napari.utils.events import Event
from napari.viewer import Viewer
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QFormLayout, QWidget

from napari_unet.core.volume import Volume
from napari_unet.plugin import layers
from napari_unet.plugin.about import PREVIEW
from napari_unet.plugin.section import button, row
from napari_unet.plugin.traces import TRACES, painted, traces


class LayerPicker(QComboBox):
    """A list of the viewer's layers of one kind that keeps up with the viewer.

    Parameters
    ----------
    viewer : Viewer
        Whose layers are listed.
    fits : callable
        Tells which of them.
    """

    def __init__(self, viewer: Viewer, fits: Callable[[Layer], bool]) -> None:
        super().__init__()
        self._viewer = viewer
        self._fits = fits
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
        self.blockSignals(True)
        self.release()
        for layer in reversed(self._viewer.layers):
            if self._fits(layer):
                self.addItem(layer.name, layer)
                layer.events.name.connect(self._rename)
        self.setCurrentIndex(0 if self.count() else -1)
        self.choose(chosen)
        self.blockSignals(False)

    def release(self) -> None:
        """List nothing, and follow no layer's name any longer."""
        for index in range(self.count()):
            self.itemData(index).events.name.disconnect(self._rename)
        self.clear()

    def _rename(self, *_: object) -> None:
        for index in range(self.count()):
            self.setItemText(index, self.itemData(index).name)


class Target(QWidget):
    """Two lists, image and labels.

    Signals
    -------
    changed()
        Either is another one now.
    refused(str)
        Why there is no image, although there are layers that show one; empty when there is one again.
    """

    changed = Signal()
    refused = Signal(str)

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self._images = LayerPicker(viewer, _is_image)
        self._labels = LayerPicker(viewer, self._lies_on_image)
        self._last: tuple[Layer | None, Layer | None] = (None, None)
        self.refusal = ""
        form = QFormLayout(self)
        form.setContentsMargins(2, 0, 2, 0)
        self.open = button("Open…", "Open another image")
        images = row(self._images, self.open)
        images.setStretch(0, 1)
        form.addRow("Image", images)
        self.load = button("Load…", "Put labels from a file on the image")
        labels = row(self._labels, self.load)
        labels.setStretch(0, 1)
        form.addRow("Labels", labels)
        self._labels.setPlaceholderText("made by Predict")
        self._images.currentIndexChanged.connect(self.refresh)
        self._labels.currentIndexChanged.connect(self.refresh)
        self._events = viewer.layers.events
        self._events.inserted.connect(_part)
        for event in (self._events.inserted, self._events.removed, self._events.reordered):
            event.connect(self.refresh)
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
        """Work on these labels."""
        self._labels.choose(layer)

    def add_labels(self, make: Callable[[Volume], Labels]) -> Labels:
        """Add labels to the image on top of all layers, and work on them."""
        image = self.image
        assert image is not None  # noqa: S101
        labels = make(layers.volume_of(image))
        layers.lie_on(labels, image)
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
            if not isinstance(labels, Labels) or PREVIEW in labels.metadata:
                continue
            chosen = [self.image] if labels is self.labels and self.image is not None else []
            mates = chosen or [x for x in images if layers.matches(x, labels)]
            if mates and (layers.about(labels).done or painted(labels)):
                pairs.append((mates[0], labels))
        return pairs

    def refresh(self, *_: object) -> None:
        """Follow the viewer, and say so when the choice is another."""
        self._images.refresh()
        self._labels.refresh()
        now = (self.image, self.labels)
        if now != self._last:
            self._last = now
            self.changed.emit()
        self._explain()

    def release(self) -> None:
        """Stop following the viewer."""
        self._events.inserted.disconnect(_part)
        for event in (self._events.inserted, self._events.removed, self._events.reordered):
            event.disconnect(self.refresh)
        for picker in (self._images, self._labels):
            picker.blockSignals(True)
            picker.release()

    def _explain(self) -> None:
        """Say why no image is listed where somebody sees one."""
        shown = [x for x in reversed(self._viewer.layers) if _shows_image(x)]
        why = layers.refusal(shown[0]) if shown and self.image is None else ""
        if why != self.refusal:
            self.refusal = why
            self.refused.emit(why)

    def _lies_on_image(self, layer: Layer) -> bool:
        image = self.image
        return (
            isinstance(layer, Labels)
            and PREVIEW not in layer.metadata
            and image is not None
            and layers.matches(image, layer)
        )


def _part(event: Event) -> None:
    """Give a duplicate traces of its own before anybody paints on either."""
    if isinstance(event.value, Labels) and TRACES in event.value.metadata:
        traces(event.value)


def _shows_image(layer: Layer) -> TypeGuard[Image]:
    """Tell an image from a layer of ours that only shows something."""
    return isinstance(layer, Image) and PREVIEW not in layer.metadata


def _is_image(layer: Layer) -> TypeGuard[Image]:
    """Tell an image that can be worked on."""
    return _shows_image(layer) and not layers.refusal(layer)
