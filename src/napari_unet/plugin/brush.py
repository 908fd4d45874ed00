"""Where a person's brush goes on a Labels layer, and what it may not change there."""

from collections.abc import Callable
from typing import Any

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray

from napari_unet.core.strokes import Region

Rule = Callable[[Region, NDArray[np.integer[Any]], int], NDArray[np.bool_]]
"""Tells which voxels of a box, holding these labels, a label may be painted on."""

HOOK = "_apply_mask_to_data"
"""The one place in napari through which brush, eraser, fill and polygon pass.

It is private, but nothing public does: `events.paint` comes after the change and says nothing of
background painted on background, and a change taken back then would come again with a redo.
"""


class Brush:
    """Rules for the brush on one layer; `release` gives the layer back as it was.

    Parameters
    ----------
    layer : Labels
        Whose brush is meant. What programs write (`data_setitem`) is not touched.
    allowed : callable
        The rule, asked before anything is painted.
    painted : callable
        Told the box, the mask of what was painted in it, and the label; voxels that had the label
        before are in the mask.
    """

    def __init__(
        self,
        layer: Labels,
        allowed: Rule,
        painted: Callable[[Region, NDArray[np.bool_], int], None],
    ) -> None:
        self._layer, self._allowed, self._painted = layer, allowed, painted
        self.works = callable(getattr(layer, HOOK, None))
        if self.works:
            self._paint = getattr(layer, HOOK)
            setattr(layer, HOOK, self._apply)

    def release(self) -> None:
        """Take the rules away."""
        if self.works:
            delattr(self._layer, HOOK)
            self.works = False

    def _apply(
        self,
        data: NDArray[np.integer[Any]],
        mask: NDArray[np.bool_],
        new_label: int,
        volume_slice: Region,
    ) -> NDArray[np.bool_] | None:
        """Paint as napari does, on the voxels that may be painted."""
        label = int(new_label)
        mask = np.broadcast_to(mask, data.shape) & self._allowed(volume_slice, data, label)
        changed = self._paint(data, mask, new_label, volume_slice)
        # napari may have kept some back (preserve labels); those do not hold the label now.
        mask &= data == new_label
        if mask.any():
            self._painted(volume_slice, mask, label)
        return changed
