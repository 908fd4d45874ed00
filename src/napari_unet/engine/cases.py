"""An annotated image made ready for learning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from napari_unet.core.annotation import Annotation
from napari_unet.core.spec import ModelSpec
from napari_unet.core.volume import Volume
from napari_unet.engine.instances import border_classes
from napari_unet.engine.resample import positions
from napari_unet.engine.view import View
from napari_unet.errors import AnnotationError, GridError

UNKNOWN = -1
"""Target of a voxel that nobody vouches for."""

Case = tuple[Volume, Annotation]


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
    """

    image: Tensor
    target: Tensor
    name: str


def prepare(case: Case, spec: ModelSpec) -> Lesson:
    """Resample and scale a case for a model.

    Labels are taken from the nearest known voxel, so no id is ever interpolated and no annotated
    slice is lost.

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
        labels, known = _resampled(labels, known, axis, n)
    target = channels(labels, known, spec, volume.name)
    image = view.read((0, 0, 0), view.shape)
    return Lesson(torch.from_numpy(image), torch.from_numpy(target), volume.name)


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
    labels: NDArray[Any], known: NDArray[np.bool_], spec: ModelSpec, name: str
) -> NDArray[np.int16]:
    """Turn class or object ids (z, y, x) into the output channels that are right; else `UNKNOWN`.

    Raises
    ------
    AnnotationError
        When a known label is none of the model's classes.
    """
    if spec.target == "instances":
        return np.where(known, _borders(labels, known, spec.dims).astype(np.int16), UNKNOWN)
    out = np.full(labels.shape, UNKNOWN, np.int16)
    for channel, entry in enumerate(spec.classes):
        out[known & (labels == entry.id)] = channel
    strange = np.unique(labels[known & (out == UNKNOWN)])
    if strange.size:
        raise AnnotationError(
            f"{name} has label(s) {strange[:5].tolist()} that are no class of the model "
            f"({', '.join(f'{c.id} {c.name}' for c in spec.classes)}): add the class or relabel."
        )
    return out


def _borders(labels: NDArray[Any], known: NDArray[np.bool_], dims: int) -> NDArray[np.uint8]:
    """Turn object ids into background, interior and border.

    An edge between a known and an unknown voxel is no border of an object, so unknown voxels first
    take the label of the nearest known one.
    """
    if dims == 2:
        out = np.zeros(labels.shape, np.uint8)
        for z in np.flatnonzero(known.any(axis=(1, 2))):
            out[z] = border_classes(_filled(labels[z : z + 1], known[z : z + 1]))[0]
        return out
    return border_classes(_filled(labels, known))


def _filled(labels: NDArray[Any], known: NDArray[np.bool_]) -> NDArray[Any]:
    if known.all():
        return labels
    nearest = ndimage.distance_transform_edt(~known, return_distances=False, return_indices=True)
    filled: NDArray[Any] = labels[tuple(nearest)]
    return filled
