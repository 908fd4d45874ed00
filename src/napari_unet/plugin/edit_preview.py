"""A layer that shows what an edit would change."""

from typing import Any

import numpy as np
from napari.layers import Labels
from napari.utils.colormaps import direct_colormap
from napari.viewer import Viewer

from napari_unet.plugin.about import PREVIEW
from napari_unet.plugin.edit_proposal import Proposal

GONE = (1.0, 1.0, 1.0, 0.9)
"""Colour of voxels that become background."""


class Preview:
    """At most one layer: changed voxels in the colours they will have, white where labels go."""

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self._layer: Labels | None = None

    def show(self, labels: Labels, proposal: Proposal, title: str) -> None:
        """Show what would change in these labels."""
        self.hide()
        if not len(proposal.after):
            return
        look: dict[int | None, Any] = {None: GONE, 0: (0, 0, 0, 0), proposal.gone: GONE}
        for found in np.unique(proposal.after).tolist():
            look.setdefault(found, labels.get_color(found))
        start = [side.start for side in proposal.at]
        layer = Labels(
            proposal.shown,
            name=f"preview: {title.lower()}",
            opacity=0.9,
            scale=labels.scale,
            translate=labels.translate + np.multiply(start, labels.scale),
            affine=labels.affine,
            units=labels.units,
            colormap=direct_colormap(look),
            metadata={PREVIEW: True},
        )
        layer.editable = False
        self._layer = self._viewer.add_layer(layer)
        self._viewer.layers.selection.active = labels

    def hide(self) -> None:
        """Take the layer away."""
        if self._layer is not None and self._layer in self._viewer.layers:
            active = self._viewer.layers.selection.active
            self._viewer.layers.remove(self._layer)
            if active in self._viewer.layers:
                self._viewer.layers.selection.active = active
        self._layer = None
