"""Slices between two annotated ones, filled with the shapes between theirs, or as an image has it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_unet.core.volume import Pixels
from napari_unet.edit.delta import Delta, Ids, Mask, box_of, having, voxels
from napari_unet.edit.evidence import log_odds
from napari_unet.errors import GridError

Depths = list[tuple[int, NDArray[np.float32]]]

_LEAST = np.float32(1e-3)
"""Log odds of what is inside only because all around it is."""

_NOISE, _SPECKS = 1.0, 0.7
"""Standard deviations, in voxels, that even out an image and then what it says."""


def fill_between(
    labels: Ids,
    ids: tuple[int, ...],
    slices: Sequence[int],
    spacing: tuple[float, ...],
    *,
    axis: int = 0,
    whole: Collection[int] = (),
    image: Pixels | None = None,
) -> Delta:
    """Fill the slices between annotated ones by shape-based interpolation.

    Each shape becomes its signed distance to the outline, distances are interpolated linearly, and
    what comes out positive is filled (Raya and Udupa 1990, doi:10.1109/42.52980). Shapes that do
    not overlap are first moved onto each other, so that a vessel may run aslant. Where one of the
    two slices has nothing, the shape of the other ends halfway.

    With an `image`, what comes out of that is where a voxel stands before anybody has looked: its log
    odds of being inside are its depth over half the distance to the nearer of the two slices, or
    over a quarter of the shape's own depth where that is less. What the intensities say is added
    (`evidence.log_odds`). So an outline moves to where they change, by no more than the slices are
    apart and the shape is deep, and stays where they say nothing.

    Parameters
    ----------
    labels : ndarray of int
        Shape (z, y, x).
    ids : tuple of int
        What is filled; other labels stay where they are.
    slices : sequence of int
        The annotated slices along `axis`. An id does not change on those that show it.
    spacing : tuple of float
        Of the array's axes.
    axis : int
        Along which slices lie.
    whole : collection of int
        Those of `slices` that are right in full: an id that they lack is not there. On the others
        an id counts only where it was painted.
    image : array-like, optional
        Shape (channels, z, y, x), in memory or lazy; only the box around what is filled is read.

    Raises
    ------
    GridError
        When image and labels differ in shape.
    """
    if image is not None and tuple(image.shape[1:]) != labels.shape:
        raise GridError(
            f"The image has the shape {tuple(image.shape[1:])} and the labels {labels.shape}: to follow "
            "an image, labels must lie on it; choose the image that they were drawn on."
        )
    stack = np.moveaxis(labels, axis, 0)
    plane = tuple(s for a, s in enumerate(spacing) if a != axis)
    if labels.ndim != 3 or len(set(slices)) < 2:
        return Delta.none(labels)
    first, last = min(slices), max(slices)
    gaps = list(_gaps(stack, ids, slices, whole))
    widest = max((high - low for _, low, high in gaps), default=0)
    reach = 0.0 if image is None else widest * spacing[axis]
    margin = tuple(n + 1 for n in voxels(reach, plane))
    flat = box_of(np.asarray(having(stack[first : last + 1], ids).any(axis=0)), margin)
    if flat is None:
        return Delta.none(labels)
    sides = list(flat)
    sides.insert(axis, slice(first, last + 1))
    before = stack[(slice(first, last + 1), *flat)]
    pixels = None
    if image is not None:
        pixels = np.moveaxis(np.asarray(image[(slice(None), *sides)]), axis + 1, 1)
    after = before.copy()
    together: dict[tuple[int, int], list[int]] = {}
    for one, low, high in gaps:
        together.setdefault((low, high), []).append(one)
    for (low, high), those in together.items():
        gap = slice(low + 1 - first, high - first)
        after[gap][having(before[gap], tuple(those))] = 0
    free = after == 0
    best = np.zeros(before.shape, dtype=np.float32)
    for one, low, high in gaps:
        ends = np.stack([having(before[end - first], (one,)) for end in (low, high)])
        around = box_of(np.asarray(ends.any(axis=0)), margin)
        if around is None:
            continue
        ends = ends[(slice(None), *around)]
        depths = _between(ends[0], ends[1], high - low, plane)
        if pixels is not None:
            seen = pixels[(slice(None), slice(low - first, high - first + 1), *around)]
            depths = _followed(depths, ends, seen, spacing[axis], plane)
        for index, depth in depths:
            at = low - first + index
            wins = (depth > best[at][around]) & free[at][around]
            best[at][around][wins] = depth[wins]
            after[at][around][wins] = one
    return Delta(tuple(sides), np.moveaxis(before, 0, axis), np.moveaxis(after, 0, axis))


def _gaps(
    stack: Ids, ids: tuple[int, ...], slices: Sequence[int], whole: Collection[int]
) -> Iterator[tuple[int, int, int]]:
    """Yield each id with two slices that tell where it is, where all between them don't."""
    for one in ids:
        shown = [s for s in sorted(set(slices)) if s in whole or (stack[s] == one).any()]
        for low, high in pairwise(shown):
            if high > low + 1:
                yield one, low, high


def _followed(
    depths: Depths,
    ends: Mask,
    image: NDArray[Any],
    apart: float,
    plane: tuple[float, ...],
) -> Depths:
    """Weigh what the shapes say against what the image says, in log odds.

    Parameters
    ----------
    depths : list of (int, ndarray)
        How deep each pixel lies in the shape, slice by slice.
    ends : ndarray of bool
        Shape (2, y, x): the shape on both annotated slices.
    image : ndarray
        Shape (channels, slices, y, x), from one annotated slice to the other.
    apart, plane : float, tuple of float
        Spacing across slices, and in them.
    """
    steps = image.shape[1] - 1
    low, high = (_depth(end, plane) for end in ends)
    deepest = max(float(low.max()), float(high.max()))
    size = np.array([0, *(min(plane) / s for s in plane)])
    seen = [ndimage.gaussian_filter(one.astype(np.float32), _NOISE * size) for one in image]
    said = log_odds(np.stack(seen), (low, high), steps * apart)
    said = ndimage.gaussian_filter(said, _SPECKS * size)
    followed = []
    for index, depth in depths:
        # The farther from both slices, the farther the outline may have moved; but not by more than
        # the shape is deep, or thick slices would let it run anywhere.
        doubt = 0.5 * min(min(index, steps - index) * apart, 0.5 * deepest)
        followed.append((index, _whole(depth / doubt, said[index - 1])))
    return followed


def _whole(shape: NDArray[np.float32], said: NDArray[np.float32]) -> NDArray[np.float32]:
    """Add what an image says to the odds of a shape, without holes and islands that are not its own."""
    odds = shape + said
    inside, drawn = odds > 0, shape > 0
    own = ndimage.binary_fill_holes(drawn) & ~drawn
    holes = ndimage.binary_fill_holes(inside) & ~inside & ~own
    islands = inside & ~ndimage.binary_propagation(inside & drawn, mask=inside)
    found: NDArray[np.float32] = np.where(holes, np.maximum(shape, _LEAST), odds)
    found[islands] = 0
    return found


def _between(low: Mask, high: Mask, steps: int, spacing: tuple[float, ...]) -> Depths:
    """Return, for each slice between two shapes, how deep each pixel lies in the shape there."""
    if steps < 2 or not (low.any() or high.any()):
        return []
    apart = low.any() and high.any() and not (low & high).any()
    move = _centre(high) - _centre(low) if apart else np.zeros(low.ndim)
    room = [(n, n) for n in np.ceil(np.abs(move)).astype(int)]
    below, above = (_depth(np.pad(shape, room), spacing) for shape in (low, high))
    if not low.any():
        below = np.full_like(above, -above.max())
    if not high.any():
        above = np.full_like(below, -below.max())
    inside = tuple(slice(a, a + n) for (a, _), n in zip(room, low.shape, strict=True))
    found = []
    for index in range(1, steps):
        share = index / steps
        near = ndimage.shift(below, share * move, order=1, mode="nearest") if apart else below
        far = ndimage.shift(above, (share - 1) * move, order=1, mode="nearest") if apart else above
        found.append((index, ((1 - share) * near + share * far)[inside]))
    return found


def _depth(shape: Mask, spacing: tuple[float, ...]) -> NDArray[np.float32]:
    """Return the distance to the outline, negative outside, in the spacing's unit."""
    if not shape.any():
        return np.zeros(shape.shape, np.float32)
    inner = ndimage.distance_transform_edt(np.pad(shape, 1), sampling=spacing)
    core = (slice(1, -1),) * shape.ndim
    outer = ndimage.distance_transform_edt(~shape, sampling=spacing)
    # The outline runs halfway between the last pixel inside and the first outside.
    half = 0.5 * min(spacing)
    depth: NDArray[np.float32] = np.where(shape, inner[core] - half, half - outer)
    return depth.astype(np.float32)


def _centre(shape: Mask) -> NDArray[np.float64]:
    return np.array(ndimage.center_of_mass(shape))
