"""Slices side by side, with outlines and captions: what a person looks at to judge a result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage
from skimage.segmentation import find_boundaries

from napari_unet.core.classes import PALETTE

_SIDE = 440
"""Height of a panel in pixels, about."""
_CAPTION = 40
_GAP = 8


@dataclass(frozen=True, eq=False)
class Panel:
    """One picture of a row.

    Parameters
    ----------
    caption : str
        Printed above it.
    labels : ndarray of int, optional
        Shape (y, x); drawn as coloured outlines.
    """

    caption: str
    labels: NDArray[np.integer[Any]] | None = None


def side_by_side(plane: NDArray[Any], panels: Sequence[Panel]) -> NDArray[np.uint8]:
    """Draw one slice several times, each with its own labels.

    Parameters
    ----------
    plane : ndarray
        Grey values, shape (y, x).
    panels : sequence of Panel
        From left to right.

    Returns
    -------
    ndarray of uint8
        Shape (height, width, 3).
    """
    zoom = max(1, _SIDE // plane.shape[0])
    low, high = np.percentile(plane, (0.5, 99.5))
    grey = np.clip((plane - low) / max(high - low, 1e-12), 0, 1)
    drawn = [_panel(_zoomed(grey, zoom), panel, zoom) for panel in panels]
    gap = np.full((drawn[0].shape[0], _GAP, 3), 255, np.uint8)
    row = [part for picture in drawn for part in (gap, picture)]
    return np.concatenate([*row[1:]], axis=1)


def _panel(grey: NDArray[np.floating[Any]], panel: Panel, zoom: int) -> NDArray[np.uint8]:
    picture = np.repeat((grey * 255).astype(np.uint8)[..., None], 3, axis=2)
    if panel.labels is not None:
        labels = _zoomed(panel.labels, zoom)
        # Two pixels wide, and inside its own object, so that touching outlines keep their colours.
        edges = ndimage.binary_dilation(find_boundaries(labels, mode="inner")) & (labels > 0)
        colours = np.array(PALETTE) * 255
        picture[edges] = colours[labels[edges].astype(np.int64) % len(colours)]
    head = Image.new("RGB", (picture.shape[1], _CAPTION), "white")
    ImageDraw.Draw(head).text(
        (4, _CAPTION // 2), panel.caption, "black", ImageFont.load_default(18), anchor="lm"
    )
    return np.concatenate([np.asarray(head), picture])


def _zoomed(plane: NDArray[Any], zoom: int) -> NDArray[Any]:
    return plane.repeat(zoom, axis=0).repeat(zoom, axis=1)
