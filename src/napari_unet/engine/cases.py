"""An annotated image made ready for learning."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from napari_unet.core.annotation import Annotation
from napari_unet.core.spec import ModelSpec
from napari_unet.core.volume import Volume
from napari_unet.engine.borders import pieces, ridges
from napari_unet.engine.instances import border_classes, depths
from napari_unet.engine.regions import cut
from napari_unet.engine.resample import positions
from napari_unet.engine.view import View
from napari_unet.errors import AnnotationError, GridError

UNKNOWN = -1
"""Target of a voxel that nobody vouches for."""

Case = tuple[Volume, Annotation]

_PART = 1 << 22
"""Voxels of an image that are read at a time."""
_FEWEST_ROWS = 8
"""Slices read at a time at least: the chunks of a file hold several."""


@dataclass(frozen=True, eq=False)
class Lesson:
    """One case at the model's spacing, in memory.

    Parameters
    ----------
    image : Tensor of float32
        Shape (C, Z, Y, X), intensities scaled.
    target : Tensor of int16
        Output channel that is right for each voxel, shape (Z, Y, X); `UNKNOWN` elsewhere.
    name : str
        Of the volume.
    depth : Tensor of float32, optional
        For an instance model, how deep each voxel lies in its object, shape (Z, Y, X): it can be
        bent and zoomed smoothly, which a border can't.
    ridge : Tensor of float32, optional
        How near two objects are to each voxel, shape (Z, Y, X), see `borders.ridges`.
    """

    image: Tensor
    target: Tensor
    name: str
    depth: Tensor | None = None
    ridge: Tensor | None = None

    @property
    def empty(self) -> bool:
        """Whether nothing in it is known, as where all of that lay in surroundings that were left out."""
        return bool((self.target == UNKNOWN).all())


def prepare(
    case: Case, spec: ModelSpec, before: Lesson | None = None, *, borders: bool = False
) -> Lesson:
    """Resample and scale a case for a model.

    Labels are taken from the nearest known voxel, so no id is ever interpolated and no annotated
    slice is lost.

    Parameters
    ----------
    case : (Volume, Annotation)
        The image and what is known of it.
    spec : ModelSpec
        The model.
    before : Lesson, optional
        The same image with what was known of it before: its voxels are taken from there.
    borders : bool
        Whether the loss wants to know how near two objects are to each voxel.

    Raises
    ------
    GridError
        When annotation and image differ in shape.
    AnnotationError
        When a label is none of the model's classes.
    """
    volume, annotation = case
    if annotation.labels.shape != volume.grid.shape:
        raise GridError(
            f"The labels have shape {annotation.labels.shape} but {volume.name} has "
            f"{volume.grid.shape}: use labels drawn on this image."
        )
    view = View(volume, spec)
    labels, known = view.oriented(annotation.labels), view.oriented(annotation.known)
    for axis, n in enumerate(view.shape):
        if labels.shape[axis] != n:
            labels, known = _resampled(labels, known, axis, n)
    target, depth = channels(labels, known, view, volume, spec)
    ridge = _ridge(labels, known, view, volume, spec) if borders else None
    image = torch.from_numpy(_image(view, len(spec.channels))) if before is None else before.image
    return Lesson(
        image,
        torch.from_numpy(np.ascontiguousarray(target)),
        volume.name,
        None if depth is None else torch.from_numpy(np.ascontiguousarray(depth)),
        None if ridge is None else torch.from_numpy(np.ascontiguousarray(ridge)),
    )


def _image(view: View, channels: int) -> NDArray[np.float32]:
    """Read all that is seen, part by part: scaling and resampling take several times a part's memory."""
    depth, height, width = view.shape
    voxels = max(math.prod(view.shape), math.prod(view.image_shape))  # brought to, or read
    rows = max(_FEWEST_ROWS, _PART * depth // (channels * voxels))
    out = np.empty((channels, *view.shape), np.float32)
    for z in range(0, depth, rows):
        stop = min(z + rows, depth)
        out[:, z:stop] = view.read((z, 0, 0), (stop, height, width))
    return out


def _ridge(
    labels: NDArray[Any], known: NDArray[np.bool_], view: View, volume: Volume, spec: ModelSpec
) -> NDArray[np.float32]:
    """Say how near two objects are to each voxel; of classes, each connected piece is an object."""
    dims = _whole(spec)
    if spec.target == "instances":
        ids = _filled(labels, known, dims)
    else:
        ids = pieces(np.where(known, labels, 0), dims)
    return ridges(ids, dims, _voxel(labels.shape, view, volume))


def _voxel(shape: tuple[int, ...], view: View, volume: Volume) -> tuple[float, float, float]:
    """Return the voxel size along a view's axes of labels that have this shape."""
    own = np.array((1.0,) * (3 - volume.grid.ndim) + volume.grid.spacing)
    z, y, x = own[list(view.turn.axes)] * view.image_shape / shape
    return float(z), float(y), float(x)


def _resampled(
    labels: NDArray[Any], known: NDArray[np.bool_], axis: int, n: int
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Bring an axis to `n` samples: each takes the nearest voxel, or a known one that it covers."""
    m = labels.shape[axis]
    nearest = np.clip(np.rint(positions(0, n, m, n)), 0, m - 1).astype(int)
    out, seen = labels.take(nearest, axis), known.take(nearest, axis)
    for away in range(1, int(m / (2 * n) + 0.5) + 1):
        for index in (nearest + away, nearest - away):
            covered = (2 * index + 1) * n // (2 * m) == np.arange(n)
            there = np.where(covered, index, nearest)
            better = known.take(there, axis) & ~seen
            out = np.where(better, labels.take(there, axis), out)
            seen = seen | better
    return out, seen


def channels(
    labels: NDArray[Any], known: NDArray[np.bool_], view: View, volume: Volume, spec: ModelSpec
) -> tuple[NDArray[np.int16], NDArray[np.float32] | None]:
    """Turn class or object ids into the output channels that are right.

    Parameters
    ----------
    labels, known : ndarray
        Along the view's axes, at the image's own sampling or at the model's.
    view, volume : View, Volume
        The image they belong to.
    spec : ModelSpec
        The model.

    Returns
    -------
    target : ndarray of int16
        `UNKNOWN` where nobody knows.
    depth : ndarray of float32, or None
        For an instance model, how deep each voxel lies in its object.

    Raises
    ------
    AnnotationError
        When a known label is none of the model's classes.
    """
    if spec.target == "instances":
        ids = _filled(labels, known, _whole(spec))
        depth = depths(ids, _whole(spec), _voxel(labels.shape, view, volume))
        return np.where(known, border_classes(ids > 0, depth).astype(np.int16), UNKNOWN), depth
    ids = labels[known]  # a few slices of many
    found = np.full(ids.shape, UNKNOWN, np.int16)
    for channel, entry in enumerate(spec.classes):
        found[ids == entry.id] = channel
    strange = np.unique(ids[found == UNKNOWN])
    if strange.size:
        raise AnnotationError(
            f"{volume.name} has label(s) {strange[:5].tolist()} that are no class of the model "
            f"({', '.join(f'{c.id} {c.name}' for c in spec.classes)}): add the class or relabel."
        )
    out = np.full(labels.shape, UNKNOWN, np.int16)
    out[known] = found
    return out, None


def _whole(spec: ModelSpec) -> Literal[2, 3]:
    """Return the axes that an object has: slices of all orientations show a whole."""
    return spec.dims if spec.block is None else 3


def _filled(labels: NDArray[Any], known: NDArray[np.bool_], dims: int) -> NDArray[Any]:
    """Say for unknown voxels which object they would be of, slice by slice in 2D.

    At the edge of an annotated slice or box an object goes on, so they take the id of the nearest
    known voxel: that edge is no border. Beside what was drawn by hand they take none: whoever
    outlines a single object ends it where it ends.
    """
    if known.all():
        return labels
    if dims == 2:
        some = known.any(axis=(1, 2))
        out = np.zeros_like(labels)
        for z in np.flatnonzero(some):
            out[z] = _nearest(labels[z : z + 1], known[z : z + 1])[0]
        return out
    return _nearest(labels, known)


def _nearest(labels: NDArray[Any], known: NDArray[np.bool_]) -> NDArray[Any]:
    if known.all():
        return labels
    nearest = ndimage.distance_transform_edt(~known, return_distances=False, return_indices=True)
    drawn = known & ~cut(labels, known)
    filled = np.where(drawn, 0, labels)[tuple(nearest)]
    return np.where(known, labels, filled)


def relabelled(cases: Sequence[Case], merged: Mapping[int, int]) -> list[Case]:
    """Return cases whose labels are of the classes that others were merged into."""
    if not merged:
        return list(cases)
    found, widest = [], np.min_scalar_type(max(merged.values()))
    for volume, annotation in cases:
        wide = np.promote_types(annotation.labels.dtype, widest)
        if wide.kind == "f":  # NumPy's answer to signed labels beside unsigned ones of 64 bits
            wide = np.dtype(np.int64)
        labels = annotation.labels.astype(wide)
        for one, into in merged.items():
            labels[annotation.labels == one] = into
        found.append((volume, replace(annotation, labels=labels)))
    return found
