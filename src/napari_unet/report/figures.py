"""Pictures that stand inside a page: slices as PNG, curves as SVG."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_unet.report.panels import Colour, outlined, stretched
from napari_unet.report.past import Points

SIDE = 280
"""Longer side of a slice in pixels."""

_WIDE, _HIGH = 320, 150
_LEFT, _TOP, _BOTTOM, _RIGHT = 44, 8, 26, 10


def slice_png(
    grey: NDArray[Any],
    labels: NDArray[np.integer[Any]] | None,
    spacing: tuple[float, float],
    colours: Mapping[int, Colour] | None,
    *,
    upright: bool = False,
) -> str:
    """Draw a slice with outlines; return it as a data URI.

    Parameters
    ----------
    grey, labels : ndarray
        Shape (rows, columns).
    spacing : tuple of float
        Size of a pixel (row, column): the picture has square ones.
    colours : mapping of int to colour, optional
        Of each id.
    upright : bool
        Whether rows go upwards, as in scanner space.
    """
    sides = np.array(grey.shape) * spacing
    rows, columns = (max(1, round(float(n))) for n in sides * SIDE / sides.max())
    smaller = rows < grey.shape[0]
    how = Image.Resampling.BOX if smaller else Image.Resampling.NEAREST
    picture = np.asarray(Image.fromarray(stretched(grey)).resize((columns, rows), how))
    if labels is not None:
        at = np.ix_(
            *(np.arange(n) * m // n for n, m in zip((rows, columns), grey.shape, strict=True))
        )
        labels = labels[at]
    drawn = outlined(picture, labels, colours)
    file = io.BytesIO()
    Image.fromarray(drawn[::-1] if upright else drawn).save(file, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"


def curve_svg(
    title: str, points: Points, colour: str, across: str, highest: float | None = None
) -> str:
    """Draw a curve.

    Parameters
    ----------
    title : str
        What is drawn.
    points : sequence of (float, float)
        From left to right.
    colour : str
        Of the line.
    across : str
        What is counted from left to right.
    highest : float, optional
        Top of the scale, which begins at 0; that of the points when not given.
    """
    top = highest or max((y for _, y in points), default=1.0) or 1.0
    last = max((x for x, _ in points), default=1.0) or 1.0
    wide, high = _WIDE - _LEFT - _RIGHT, _HIGH - _TOP - _BOTTOM
    places = [
        (_LEFT + wide * x / last, _TOP + high * (1 - min(max(y / top, 0.0), 1.0)))
        for x, y in points
    ]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2"/>' for x, y in places)
    rules = "".join(_rule(_TOP + high * (1 - part), f"{top * part:.3g}") for part in (0, 0.5, 1))
    foot = _TOP + high + 16
    return (
        f'<svg viewBox="0 0 {_WIDE} {_HIGH}" role="img" aria-label="{escape(title)}">{rules}'
        f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.8"/>'
        f'<g fill="{colour}">{dots}</g><text x="{_LEFT}" y="{foot}">0</text>'
        f'<text x="{_WIDE - _RIGHT}" y="{foot}" text-anchor="end">{last:g} {escape(across)}</text></svg>'
    )


def bars_svg(title: str, bars: Sequence[tuple[str, float]], colour: str) -> str:
    """Draw values of 0 to 1 as bars from left to right, each with its name below."""
    wide, high = (_WIDE - _LEFT - _RIGHT) / max(len(bars), 1), _HIGH - _TOP - _BOTTOM
    drawn = []
    for i, (name, value) in enumerate(bars):
        left, tall = _LEFT + wide * i, high * min(max(value, 0.0), 1.0)
        drawn.append(
            f'<rect x="{left + 0.15 * wide:.1f}" y="{_TOP + high - tall:.1f}" '
            f'width="{0.7 * wide:.1f}" height="{tall:.1f}" fill="{colour}"/>'
            f'<text x="{left + wide / 2:.1f}" y="{_TOP + high + 16}" text-anchor="middle">'
            f"{escape(name)}</text>"
        )
    rules = "".join(_rule(_TOP + high * (1 - part), f"{part:g}") for part in (0, 0.5, 1))
    return (
        f'<svg viewBox="0 0 {_WIDE} {_HIGH}" role="img" aria-label="{escape(title)}">'
        f"{rules}{''.join(drawn)}</svg>"
    )


def _rule(y: float, mark: str) -> str:
    return (
        f'<line x1="{_LEFT}" x2="{_WIDE - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>'
        f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{mark}</text>'
    )
