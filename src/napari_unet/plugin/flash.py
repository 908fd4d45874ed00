"""What has just changed, shown for a moment."""

import numpy as np
from napari.layers import Labels
from napari.utils.colormaps import direct_colormap
from napari.viewer import Viewer
from numpy.typing import NDArray
from qtpy.QtCore import QTimer

from napari_unet.plugin.edit_preview import Preview
from napari_unet.plugin.placement import lie_on

COLOUR = (1.0, 0.95, 0.3, 1.0)
SHOWN_MS = 1000


class Flash(Preview):
    """Lights up voxels for about a second."""

    def __init__(self, viewer: Viewer) -> None:
        super().__init__(viewer)
        self._off = QTimer(singleShot=True, interval=SHOWN_MS)
        self._off.timeout.connect(self.hide)

    @property
    def lit(self) -> bool:
        """Whether something is lit now."""
        return self._layer is not None and self._there() and bool(self._layer.visible)

    def light(self, labels: Labels, start: tuple[int, ...], changed: NDArray[np.bool_]) -> None:
        """Light up the voxels of a box of these labels that have changed."""
        self.hide()
        if not changed.any():
            return
        layer = self._layer if self._there() else self._add(labels)
        assert layer is not None  # noqa: S101
        layer.data = changed.astype(np.uint8)
        lie_on(layer, labels, start)
        layer.colormap = direct_colormap({None: COLOUR, 0: (0, 0, 0, 0), 1: COLOUR})
        layer.name = "what changed"
        layer.visible = True
        self._off.start()

    def remove(self) -> None:
        """Take the layer away."""
        self._off.stop()
        super().remove()
