"""Mending labels: functions from labels to a `Delta`, numpy and scipy only.

Every function takes labels of shape (z, y, x) or (y, x), the ids it may work on, and distances, areas
or volumes in the unit of `spacing`; none changes its input. ``smooth(labels, ids, 0.5,
spacing).apply(labels)`` gives the new labels.
"""

from napari_unet.edit.clean import fill_holes, remove_islands
from napari_unet.edit.delta import Delta
from napari_unet.edit.interpolate import fill_between
from napari_unet.edit.objects import merge, split
from napari_unet.edit.shape import grow, shrink, smooth
from napari_unet.edit.transfer import copy_labels

__all__ = [
    "Delta",
    "copy_labels",
    "fill_between",
    "fill_holes",
    "grow",
    "merge",
    "remove_islands",
    "shrink",
    "smooth",
    "split",
]
