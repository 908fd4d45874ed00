"""A layer that shows what an edit would change."""

from typing import Any

import numpy as np
from napari.layers import Labels
from napari.utils.colormaps import direct_colormap
from napari.viewer import Viewer

from napari_unet.plugin.about import LARGEST_CLASS, PREVIEW
from napari_unet.plugin.edit_proposal import Proposal
from napari_unet.plugin.placement import lie_on

GONE = (1.0, 1.0, 1.0, 0.9)
"""Colour of voxels that become background."""


class Preview:
    """At most one layer: changed voxels in the colours they will have, white where labels go.

    It is emptied and hidden between previews, not removed: adding a layer of labels and
    removing it cost the window 0.2 to 0.4 s each (see benchmarks/RESULTS.md).
    """

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self._layer: Labels | None = None

    def show(self, labels: Labels, proposal: Proposal, title: str) -> None:
        """Show what would change in these labels."""
        self.hide()
        if not len(proposal.after):
            return
        shown, gone, ids = proposal.shown, proposal.gone, np.unique(proposal.after)
        numbers = ids
        if gone > LARGEST_CLASS:  # of which napari draws none: they go by their places here
            ids = np.union1d(ids, [0, gone])
            shown = np.searchsorted(ids, shown)
            numbers, gone = np.arange(len(ids)), len(ids) - 1
        look: dict[int | None, Any] = {None: GONE, 0: (0, 0, 0, 0), gone: GONE}
        for number, found in zip(numbers.tolist(), ids.tolist(), strict=True):
            look.setdefault(number, labels.get_color(found))
        layer = self._layer if self._there() else self._add(labels)
        assert layer is not None  # noqa: S101
        # All of it while the layer is hidden: napari draws nothing until it is seen.
        layer.data = shown
        lie_on(layer, labels, [side.start for side in proposal.at])
        layer.colormap = direct_colormap(look)
        layer.name = f"preview: {title.lower()}"
        layer.visible = True

    def hide(self) -> None:
        """Show nothing, and let go of what was shown."""
        if self._layer is not None and self._there():
            self._layer.visible = False
            self._layer.data = np.zeros((1,) * self._layer.ndim, np.uint8)

    def remove(self) -> None:
        """Take the layer away."""
        if self._there():
            active = self._viewer.layers.selection.active
            self._viewer.layers.remove(self._layer)
            if active in self._viewer.layers:
                self._viewer.layers.selection.active = active
        self._layer = None

    def _there(self) -> bool:
        return self._layer is not None and self._layer in self._viewer.layers

    def _add(self, labels: Labels) -> Labels:
        """Add an empty layer."""
        layer = Labels(
            np.zeros((1,) * labels.ndim, np.uint8),
            name="preview",
            opacity=0.9,
            metadata={PREVIEW: True},
            visible=False,
        )
        layer.editable = False
        self._layer = self._viewer.add_layer(layer)
        self._viewer.layers.selection.active = labels
        return layer
