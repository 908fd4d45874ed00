"""Which part of a label file is known: options and files turned into an annotation."""

from __future__ import annotations

import re
from argparse import ArgumentTypeError
from pathlib import Path
from typing import Any, NamedTuple

from numpy.typing import NDArray

from napari_unet.core.annotation import Annotation
from napari_unet.core.classes import LabelClass
from napari_unet.core.volume import Volume
from napari_unet.errors import AnnotationError
from napari_unet.io import read_labels


class Slices(NamedTuple):
    """Slices that are annotated in full: a letter of z, y, x, and their indices."""

    letter: str
    indices: tuple[int, ...]


class Known(NamedTuple):
    """What of an image is annotated in full: slices, of any orientation, and boxes."""

    slices: tuple[Slices, ...]
    boxes: tuple[tuple[slice, ...], ...] = ()


def known_parts(text: str) -> Known:
    """Read what ``--slices`` says of one image, such as ``z:3,17+y:20+box:0:9,40:80,40:80``."""
    slices, boxes = [], []
    for part in text.split("+"):
        plane = re.fullmatch(r"([zyx]):(\d+(?:,\d+)*)", part)
        box = re.fullmatch(r"box:(\d+:\d+(?:,\d+:\d+){1,2})", part)
        if plane is not None:
            slices.append(Slices(plane[1], tuple(int(index) for index in plane[2].split(","))))
        elif box is not None:
            edges = [tuple(map(int, pair.split(":"))) for pair in box[1].split(",")]
            boxes.append(tuple(slice(start, stop) for start, stop in edges))
        else:
            raise ArgumentTypeError(
                f"{part!r} is not of the form z:3,17,40 (slices, also of y and x) or "
                "box:0:9,40:80,40:80 (from z, y, x up to and without z, y, x); join several with +"
            )
    return Known(tuple(slices), tuple(boxes))


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


def annotated(values: NDArray[Any], marked: Known) -> Annotation:
    """Know the parts of labels that are annotated in full.

    Raises
    ------
    AnnotationError
        When one of them lies outside.
    """
    places = [(axis_of(s.letter, values.ndim), s.indices) for s in marked.slices]
    return Annotation.from_parts(values, places, marked.boxes)


def read_annotation(
    labels: Path, volume: Volume, marked: Known | None, unknown: int | None
) -> tuple[Annotation, tuple[LabelClass, ...]]:
    """Read what is known of an image, and the classes that the label file names.

    Parameters
    ----------
    labels : Path
        The label file; messages name it.
    volume : Volume
        Its image.
    marked : Known, optional
        What is annotated in full; every voxel is known without it.
    unknown : int, optional
        Label of voxels that are not known.
    """
    values, _, classes = read_labels(labels, volume.grid)
    try:
        annotation = Annotation.full(values, unknown)
        if marked is not None:
            there = annotated(values, marked)
            annotation = Annotation(annotation.labels, annotation.known & there.known)
    except AnnotationError as error:
        raise AnnotationError(f"{labels}: {error}") from None
    return annotation, classes
