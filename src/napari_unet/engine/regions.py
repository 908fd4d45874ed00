"""What a person annotated, cut into the pieces that they annotated: slices and boxes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_unet.core.annotation import Annotation
from napari_unet.core.grid import Grid
from napari_unet.core.progress import Box

_MOST = 0.5
"""Part of a plane that must be known for it to be an annotated slice, less what nobody could tell."""
_FULL = 0.8
"""Part of its bounding box that a connected piece fills if it is a box."""
_THIN = 0.5
"""Thickness of a box in its next longer side up to which it is slices, annotated in part."""
_FEWEST = 3
"""Regions below which boxes are cut into slices, so that some can be spared."""
_MANY = 300
"""Pieces from which they are strokes, and their slices count."""
_LONGER = 1.01
"""How much longer than the first axis' another axis' voxels are if it is the one of slices."""


def stack(array: NDArray[Any]) -> NDArray[Any]:
    """View an array with three axes; a plane is a stack of one slice."""
    return array if array.ndim == 3 else array[None]


def slicing_axis(annotation: Annotation, otherwise: int = 0) -> int:
    """Return the axis along which a person annotated slices.

    An image of one slice has no other. Else it is the axis with fewest slices touched.

    Parameters
    ----------
    annotation : Annotation
        What is known of an image.
    otherwise : int
        What is returned where that says nothing of slices: all is known, or a box as deep as it is wide.
    """
    known = stack(annotation.known)
    if 1 in known.shape:
        return known.shape.index(1)
    slices = [np.flatnonzero(touched(known, axis)) for axis in range(3)]
    counts = np.array([len(s) for s in slices])
    if (counts == known.shape).all():
        return otherwise
    around = known[tuple(slice(s[0], s[-1] + 1) for s in slices)]
    if around.mean() >= _FULL and np.sum(counts < known.shape) > 1:  # one box, and no whole slices
        thin, wide, _ = np.sort(counts)
        return int(np.argmin(counts)) if thin <= _THIN * wide else otherwise
    axis = int(np.argmin(counts / known.shape))
    others = tuple(i for i in range(3) if i != axis)
    # A stroke in every slice of a few touches all of them: they are fewest all the same.
    return axis if (known.mean(axis=others) >= _MOST).any() else int(np.argmin(counts))


def usual_axis(grid: Grid) -> int:
    """Return the axis along which an image was taken slice by slice: its voxels are the longest."""
    longest = int(np.argmax(grid.spacing)) if grid.ndim == 3 else 0
    return longest if grid.spacing[longest] > _LONGER * grid.spacing[0] else 0


def regions(annotation: Annotation, otherwise: int = 0) -> tuple[Box, ...]:
    """Cut what is known into slices and boxes.

    Planes of any orientation that are known for the most part are slices, boxes are boxes, and of
    all else (strokes, single objects) the slices that it touches count.

    Parameters
    ----------
    annotation : Annotation
        What is known of an image.
    otherwise : int
        Axis of the slices where that says nothing of it, such as `usual_axis`.

    Returns
    -------
    tuple of Box
        Start and stop along (z, y, x), in the order found; they may cross, and together they hold
        every known voxel.
    """
    rest = stack(annotation.known).copy()
    first = slicing_axis(annotation, otherwise)
    axes = sorted(range(3), key=lambda axis: axis != first) if min(rest.shape) > 1 else [first]
    found: list[Box] = []
    for axis in axes:
        if not rest.any():  # most often all is known in slices of one orientation
            break
        others = tuple(i for i in range(3) if i != axis)
        for index in np.flatnonzero(rest.mean(axis=others) >= _MOST):
            found.append(_plane(rest.shape, axis, int(index)))
            rest[inside(found[-1])] = False
    if rest.any():
        boxes = _boxes(rest, first)
        if len(found) + len(boxes) >= _FEWEST:
            found += boxes
            for box in boxes:
                rest[inside(box)] = False
        found += [_plane(rest.shape, first, int(i)) for i in np.flatnonzero(touched(rest, first))]
    return tuple(found)


def inside(box: Box) -> tuple[slice, ...]:
    """Return the index of a box."""
    return tuple(slice(a, b) for a, b in zip(*box, strict=True))


def touched(known: NDArray[np.bool_], axis: int) -> NDArray[np.bool_]:
    """Tell which slices along an axis hold a known voxel."""
    others = tuple(i for i in range(3) if i != axis)
    return np.asarray(stack(known).any(axis=others))


def grown(box: Box, voxels: int) -> Box:
    """Return a box with a rim, cut at the array's start; slicing cuts it at the end."""
    start, stop = box
    return tuple(max(0, a - voxels) for a in start), tuple(b + voxels for b in stop)


def shared(one: Box, other: Box) -> int:
    """Count the voxels that two boxes have in common."""
    edges = zip(*one, *other, strict=True)
    return math.prod(max(0, min(b, d) - max(a, c)) for a, b, c, d in edges)


def overlap(one: Box, other: Box) -> tuple[slice, ...]:
    """Return the index within `other` of what two boxes have in common."""
    return tuple(
        slice(max(a, c) - c, max(min(b, d) - c, 0)) for a, b, c, d in zip(*one, *other, strict=True)
    )


def size(box: Box) -> int:
    """Count the voxels of a box."""
    return shared(box, box)


def numbered(
    annotation: Annotation, otherwise: int = 0, held: Sequence[Box] = ()
) -> tuple[NDArray[np.int32], int]:
    """Say of each known voxel in which region it lies, and how many regions there are.

    Where slices cross the first one has it. What is said of unknown voxels means nothing: they are
    nearly all of a large volume, and are not looked at.

    Parameters
    ----------
    annotation : Annotation
        What is known of an image.
    otherwise : int
        As in `regions`.
    held : sequence of Box
        What was kept aside as one. Slices that teach may cross it, and the gaps around them leave of a
        slice many pieces, which are no slices of their own.
    """
    known = stack(annotation.known)
    numbers = np.zeros(known.shape, np.int32)
    found = [one for box in held for one in _unjoined(box, known.shape)]
    rest = known.copy()
    for box in found:
        rest[inside(box)] = False
    if rest.any():
        others = replace(annotation, known=rest.reshape(annotation.known.shape))
        found += regions(others, otherwise)
    for number, box in reversed(list(enumerate(found))):
        numbers[inside(box)] = number
    there, places = np.unique(numbers[known], return_inverse=True)
    numbers[known] = places
    return numbers.reshape(annotation.known.shape), len(there)


def cut(labels: NDArray[Any], known: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Tell which known voxels belong to slices and boxes, beyond whose edges objects may go on.

    All others were drawn by hand, as single objects or strokes: where an object ends there, it ends.

    Parameters
    ----------
    labels, known : ndarray
        Object ids and where they are known, three axes.
    """
    out, rest = np.zeros_like(known), known.copy()
    for axis in range(3) if known.shape[0] > 1 else (0,):
        others = tuple(i for i in range(3) if i != axis)
        for index in np.flatnonzero(rest.mean(axis=others) >= _MOST):
            place = (slice(None),) * axis + (index,)
            out[place] |= rest[place]
            rest[place] = False
    pieces, _ = ndimage.label(rest, np.ones((3, 3, 3)))
    for number, where in enumerate(ndimage.find_objects(pieces), start=1):
        piece = pieces[where] == number
        ids = np.unique(labels[where][piece])
        one_object = ids.size == 1 and ids[0] > 0
        if piece.mean() >= _FULL and not one_object:
            out[where] |= piece
    return out


def _boxes(rest: NDArray[np.bool_], axis: int) -> list[Box]:
    """Find the connected pieces that are boxes, thicker than a slice where there are slices."""
    pieces, count = ndimage.label(rest, np.ones((3, 3, 3)))
    if count > _MANY:
        return []
    found = []
    for number, where in enumerate(ndimage.find_objects(pieces), start=1):
        filled = float((pieces[where] == number).mean())
        thick = rest.shape[axis] == 1 or where[axis].stop - where[axis].start > 1
        if thick and filled >= _FULL:
            found.append((tuple(s.start for s in where), tuple(s.stop for s in where)))
    return found


def _unjoined(box: Box, shape: tuple[int, ...]) -> list[Box]:
    """Cut a box into the whole slices that were written as one; an image held out as a whole gives none."""
    cut = [i for i in range(3) if (box[0][i], box[1][i]) != (0, shape[i])]
    if len(cut) != 1 or 1 in shape:  # a box of a plane is no slices
        return [box] if cut else []
    return [_plane(shape, cut[0], index) for index in range(box[0][cut[0]], box[1][cut[0]])]


def _plane(shape: tuple[int, ...], axis: int, index: int) -> Box:
    start, stop = [0] * 3, list(shape)
    start[axis], stop[axis] = index, index + 1
    return tuple(start), tuple(stop)
