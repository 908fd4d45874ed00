"""The layer that shows what two models say of an image, and where they differ."""

from enum import StrEnum
from typing import Any

import numpy as np
from napari.layers import Labels
from napari.utils.colormaps import direct_colormap
from napari.viewer import Viewer
from numpy.typing import NDArray

from napari_unet.core.difference import Change
from napari_unet.plugin.about import PREVIEW
from napari_unet.plugin.placement import lie_on

Ids = NDArray[np.integer[Any]]

CHANGE_COLOURS = {Change.NEW: "#0072b2", Change.GONE: "#d55e00", Change.OTHER: "#f0e442"}
"""Blue, vermilion and yellow of Okabe and Ito, told apart by colour-blind eyes and by lightness."""


class View(StrEnum):
    """What the layer shows."""

    BEFORE = "Before"
    AFTER = "New"
    CHANGED = "Changed"


class ComparisonLayer:
    """One layer that takes the place of the labels while two models are compared.

    Adding a layer costs the window more than giving it other voxels (see benchmarks/RESULTS.md), so
    there is one for all three views.

    Parameters
    ----------
    viewer : Viewer
        Where.
    labels : Labels
        Where it lies, and what is hidden meanwhile.
    arrays : dict of View to ndarray
        The voxels of each view, shape of the labels.
    """

    def __init__(self, viewer: Viewer, labels: Labels, arrays: dict[View, Ids]) -> None:
        self._viewer, self._labels, self._arrays = viewer, labels, arrays
        self._seen = labels.visible
        self.view = View.CHANGED
        self.layer = Labels(
            arrays[self.view],
            name="comparison",
            opacity=0.8,
            metadata={PREVIEW: True},
            visible=False,
        )
        self.layer.editable = False
        lie_on(self.layer, labels)
        viewer.add_layer(self.layer)
        viewer.layers.selection.active = labels
        labels.visible = False
        labels.mode = "pan_zoom"  # nobody paints on what is hidden
        self.show(self.view)

    @property
    def there(self) -> bool:
        """Whether the layer is still in the viewer, and the labels too."""
        return self.layer in self._viewer.layers and self._labels in self._viewer.layers

    def show(self, view: View) -> None:
        """Show one of the views."""
        self.view = view
        self.layer.visible = False  # napari draws nothing until all of it is there
        self.layer.data = self._arrays[view]
        if view is View.CHANGED:
            colours: dict[int | None, Any] = {None: (0, 0, 0, 0), 0: (0, 0, 0, 0)}
            self.layer.colormap = direct_colormap(colours | dict(CHANGE_COLOURS))
        else:
            self.layer.colormap = self._labels.colormap
        self.layer.name = f"comparison: {view.lower()}"
        self.layer.visible = True

    def remove(self) -> None:
        """Take the layer away and show the labels again."""
        selection = self._viewer.layers.selection
        elsewhere = selection.active not in (None, self.layer)  # somebody works on another layer
        if self.layer in self._viewer.layers:
            self._viewer.layers.remove(self.layer)
        if self._labels in self._viewer.layers:
            self._labels.visible = self._seen
            if not elsewhere:
                selection.active = self._labels
