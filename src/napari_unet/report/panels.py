"""Slices side by side, with outlines and captions: what a person looks at to judge a result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage
from skimage.segmentation import find_boundaries

from napari_unet.core.classes import PALETTE

Colour = tuple[float, float, float]

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
    drawn = [_panel(_zoomed(stretched(plane), zoom), panel, zoom) for panel in panels]
    gap = np.full((drawn[0].shape[0], _GAP, 3), 255, np.uint8)
    row = [part for picture in drawn for part in (gap, picture)]
    return np.concatenate([*row[1:]], axis=1)


def stretched(plane: NDArray[Any]) -> NDArray[np.uint8]:
    """Return intensities as greys, the lowest and highest half percent black and white, as NaN is black."""
    values = np.asarray(plane, dtype=np.float32)
    finite = values[np.isfinite(values)]
    low, high = np.percentile(finite, (0.5, 99.5)) if finite.size else (0.0, 0.0)
    values = np.nan_to_num(values, nan=low, posinf=high, neginf=low)
    grey = np.clip((values - low) / max(high - low, 1e-12), 0, 1)
    drawn: NDArray[np.uint8] = (grey * 255).astype(np.uint8)
    return drawn


def outlined(
    grey: NDArray[np.uint8],
    labels: NDArray[np.integer[Any]] | None,
    colours: Mapping[int, Colour] | None = None,
) -> NDArray[np.uint8]:
    """Draw the outlines of labels on a picture.

    Parameters
    ----------
    grey : ndarray of uint8
        Shape (y, x).
    labels : ndarray of int, optional
        Same shape.
    colours : mapping of int to colour, optional
        Of each id, red, green and blue in 0..1; from `PALETTE` by turns where none is given.

    Returns
    -------
    ndarray of uint8
        Shape (y, x, 3).
    """
    picture = np.repeat(grey[..., None], 3, axis=2)
    if labels is None:
        return picture
    # Two pixels wide, and inside its own object, so that touching outlines keep their colours.
    edges = ndimage.binary_dilation(find_boundaries(labels, mode="inner")) & (labels > 0)
    ids, which = np.unique(labels[edges], return_inverse=True)
    turns = [PALETTE[int(i) % len(PALETTE)] for i in ids]
    chosen = [(colours or {}).get(int(i), turn) for i, turn in zip(ids, turns, strict=True)]
    if chosen:
        picture[edges] = (np.array(chosen) * 255).astype(np.uint8)[which]
    return picture


def _panel(grey: NDArray[np.uint8], panel: Panel, zoom: int) -> NDArray[np.uint8]:
    labels = None if panel.labels is None else _zoomed(panel.labels, zoom)
    picture = outlined(grey, labels)
    head = Image.new("RGB", (picture.shape[1], _CAPTION), "white")
    ImageDraw.Draw(head).text(
        (4, _CAPTION // 2), panel.caption, "black", ImageFont.load_default(18), anchor="lm"
    )
    return np.concatenate([np.asarray(head), picture])


def _zoomed(plane: NDArray[Any], zoom: int) -> NDArray[Any]:
    return plane.repeat(zoom, axis=0).repeat(zoom, axis=1)
