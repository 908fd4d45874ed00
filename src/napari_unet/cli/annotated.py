"""Which part of a label file is known: options and files turned into an annotation."""

from __future__ import annotations

import re
from argparse import ArgumentTypeError
from pathlib import Path
from typing import NamedTuple

from napari_unet.core.annotation import Annotation
from napari_unet.core.classes import LabelClass
from napari_unet.core.volume import Volume
from napari_unet.errors import AnnotationError
from napari_unet.io import read_labels


class Slices(NamedTuple):
    """Slices that are annotated in full: a letter of z, y, x, and their indices."""

    letter: str
    indices: tuple[int, ...]


def slices(text: str) -> Slices:
    """Read what ``--slices`` says of one image, such as ``z:3,17,40``."""
    found = re.fullmatch(r"([zyx]):(\d+(?:,\d+)*)", text)
    if found is None:
        raise ArgumentTypeError(f"{text!r} is not of the form z:3,17,40")
    return Slices(found[1], tuple(int(index) for index in found[2].split(",")))


def axis_of(letter: str, ndim: int) -> int:
    """Return the axis of an array of `ndim` axes that a letter names.

    Raises
    ------
    AnnotationError
        When a plane has no such axis.
    """
    letters = "zyx"[-ndim:]
    if letter not in letters:
        raise AnnotationError(f"It is a plane and has no {letter} axis: leave --slices out.")
    return letters.index(letter)


def read_annotation(
    labels: Path, volume: Volume, marked: Slices | None, unknown: int | None
) -> tuple[Annotation, tuple[LabelClass, ...]]:
    """Read what is known of an image, and the classes that the label file names.

    Parameters
    ----------
    labels : Path
        The label file; messages name it.
    volume : Volume
        Its image.
    marked : Slices, optional
        The slices that are annotated in full; every voxel is known without it.
    unknown : int, optional
        Label of voxels that are not known.
    """
    values, _, classes = read_labels(labels, volume.grid)
    try:
        annotation = Annotation.full(values, unknown)
        if marked is not None:
            axis = axis_of(marked.letter, values.ndim)
            there = Annotation.from_slices(values, axis, marked.indices)
            annotation = Annotation(annotation.labels, annotation.known & there.known)
    except AnnotationError as error:
        raise AnnotationError(f"{labels}: {error}") from None
    return annotation, classes
