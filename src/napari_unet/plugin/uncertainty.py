"""Where the model is unsure: a layer of entropy, 0..1, over the image."""

import weakref

import numpy as np
from napari.layers import Image, Layer
from napari.utils.colormaps import Colormap
from napari.viewer import Viewer
from numpy.typing import NDArray

from napari_unet.core.volume import Volume
from napari_unet.jobs import SharedArray
from napari_unet.plugin import layers
from napari_unet.plugin.about import PREVIEW
from napari_unet.plugin.placement import lie_on

GLOW = Colormap(
    [(0.4, 0.0, 0.6, 0.0), (0.85, 0.1, 0.5, 0.6), (1.0, 0.55, 0.2, 0.9), (1.0, 1.0, 0.6, 1.0)],
    name="uncertainty",
)
"""Clear where the model is sure, so that image and labels stay in sight, then purple to yellow."""


class UncertaintyLayer:
    """At most one layer for an image; it shows the file that the child writes into.

    The file holds two bytes a voxel in the folder for temporary files, and goes with the layer.

    Parameters
    ----------
    viewer : Viewer
        Where the layer is.
    """

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self._layer: Image | None = None
        self._image: Layer | None = None
        self._forget: weakref.finalize[..., object] | None = None

    @property
    def there(self) -> bool:
        """Whether the layer is in the viewer."""
        return self._layer is not None and self._layer in self._viewer.layers

    def shown(self, image: Layer | None) -> bool:
        """Tell whether the uncertainty of an image is among the layers."""
        return self.there and self._image is image

    def begin(self, image: Image, volume: Volume) -> SharedArray:
        """Show no uncertainty yet; return what the child writes it into.

        Raises
        ------
        WriteError
            When the temporary folder has no room.
        """
        shared = SharedArray.create(volume.grid.shape, np.float16)
        if not self.shown(image):
            self.remove()
        if self._forget is not None:
            self._forget()
        if self._layer is None:
            self._layer, self._image = self._add(shared.open(), volume, image), image
        else:
            self._layer.data = shared.open()
        self._layer.visible = True
        self._forget = weakref.finalize(self._layer, shared.remove)
        return shared

    def refresh(self) -> None:
        """Draw what has come."""
        if self._layer is not None and self.there:
            self._layer.refresh(extent=False, thumbnail=False)

    def remove(self) -> None:
        """Take the layer away, and its file."""
        if self.there:
            self._viewer.layers.remove(self._layer)
        if self._forget is not None:
            self._forget()
        self._layer = self._image = self._forget = None

    def _add(self, entropy: NDArray[np.float16], volume: Volume, image: Image) -> Image:
        """Add the layer on top; what was selected stays so."""
        active = self._viewer.layers.selection.active
        layer = Image(
            entropy,
            name=f"{layers.short_name(volume)} uncertainty",
            colormap=GLOW,
            contrast_limits=(0.0, 1.0),
            metadata={PREVIEW: True},
        )
        lie_on(layer, image)
        self._viewer.add_layer(layer)
        if active is not None:
            self._viewer.layers.selection.active = active
        return layer
