"""Where an image holds something: the box outside of which each channel has one value."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.annotation import Annotation
from napari_unet.core.progress import Box
from napari_unet.core.volume import Volume

_SLAB = 16
"""Planes that are read at once once the outermost one was found empty."""
_BYTES = 1 << 27
"""What they may have together; a single plane may have more."""


def content_box(volume: Volume) -> Box:
    """Return the smallest box outside of which each channel has the value of its first voxel.

    Air that a scanner or a program has set to one value lies outside of it. Only what lies outside, and
    a little more, is read; an image of a single value has no outside.

    Returns
    -------
    Box
        First voxels and those one past the last, along the grid's axes.
    """
    start, stop = [0] * volume.grid.ndim, list(volume.grid.shape)
    corner = (slice(None), *(slice(0, 1),) * volume.grid.ndim)
    outside = np.asarray(volume.data[corner])
    for axis in range(volume.grid.ndim):
        first = _empty(volume, start, stop, axis, outside, forward=True)
        if first is None:
            return (0,) * volume.grid.ndim, volume.grid.shape
        last = _empty(volume, start, stop, axis, outside, forward=False) or 0
        start[axis], stop[axis] = start[axis] + first, stop[axis] - last
    return tuple(start), tuple(stop)


def _empty(
    volume: Volume,
    start: list[int],
    stop: list[int],
    axis: int,
    outside: NDArray[Any],
    *,
    forward: bool,
) -> int | None:
    """Count the planes without content from one end of an axis; None when all are."""
    length, done, thick = stop[axis] - start[axis], 0, 1
    whole = outside.nbytes * math.prod(b - a for a, b in zip(start, stop, strict=True))
    slab = max(1, min(_SLAB, _BYTES * length // whole))
    while done < length:
        thick = min(thick, length - done)
        low = start[axis] + done if forward else stop[axis] - done - thick
        part = [slice(a, b) for a, b in zip(start, stop, strict=True)]
        part[axis] = slice(low, low + thick)
        others = tuple(i for i in range(len(part) + 1) if i != axis + 1)
        found = (np.asarray(volume.data[(slice(None), *part)]) != outside).any(axis=others)
        if found.any():
            return done + int(np.argmax(found if forward else found[::-1]))
        done, thick = done + thick, slab
    return None


def empty_outside(cases: Sequence[tuple[Volume, Annotation]]) -> bool | None:
    """Whether nothing is labelled outside of the images' content; None where no image has an outside."""
    found = None
    for volume, annotation in cases:
        box = content_box(volume)
        if box == ((0,) * volume.grid.ndim, volume.grid.shape):
            continue
        inside = tuple(map(slice, *box))
        labelled = annotation.known & (annotation.labels > 0)
        if labelled.sum() > labelled[inside].sum() or not annotation.known[inside].any():
            return False
        found = True
    return found
