"""Which image some labels lie on: files tell, or else where they were drawn."""

import weakref
from collections.abc import Iterable

from napari.layers import Image, Labels, Layer
from napari.viewer import Viewer

from napari_unet.plugin import layers
from napari_unet.plugin.about import KEY, About

DRAWN_ON = "napari_unet_drawn_on"
"""Where a Labels layer keeps a weak reference to the image layer it was drawn on."""


def fits(image: Image, labels: Layer) -> bool:
    """Tell whether labels can lie on an image: their shapes agree, and no two files contradict it."""
    if tuple(labels.data.shape) != layers.spatial_shape(image):
        return False
    volume, known = layers.read_volume(image), labels.metadata.get(KEY)
    if volume is None or not isinstance(known, About):
        return True
    return volume.source == known.source or not volume.source or not known.source


def bind(image: Image, labels: Labels) -> None:
    """Remember that labels are drawn on this image, for others may have its shape."""
    labels.metadata = {**labels.metadata, DRAWN_ON: weakref.ref(image)}


def drawn_on(labels: Layer, viewer: Viewer) -> Image | None:
    """Return the image that labels were drawn on, if that is known and it is still there."""
    known = labels.metadata.get(DRAWN_ON)
    image = known() if isinstance(known, weakref.ref) else None
    return image if image is not None and image in viewer.layers else None


def belong(image: Image, labels: Labels, viewer: Viewer) -> bool:
    """Tell whether labels lie on an image, and were not drawn on another one that is still there."""
    other = drawn_on(labels, viewer)
    return fits(image, labels) and (other is None or _same(image, other))


def mate(labels: Labels, images: Iterable[Image], viewer: Viewer) -> Image | None:
    """Return the image among several that labels belong to: the one they were drawn on if it is there."""
    fitting = [image for image in images if belong(image, labels, viewer)]
    other = drawn_on(labels, viewer)
    return other if other in fitting else next(iter(fitting), None)


def _same(image: Image, other: Image) -> bool:
    """Tell whether two layers show one image, such as its channels."""
    volume = layers.read_volume(image)
    return image is other or (volume is not None and volume is layers.read_volume(other))
