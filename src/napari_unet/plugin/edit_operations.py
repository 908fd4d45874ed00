"""What can be done to labels beside painting: a closed table that the tools of the dock are made of."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet import edit
from napari_unet.core.volume import Pixels
from napari_unet.edit import Delta

Ids = NDArray[np.integer[Any]]


@dataclass(frozen=True, eq=False)
class Request:
    """One edit, asked for.

    Parameters
    ----------
    labels : ndarray of int
        A volume, or one slice of it.
    ids : tuple of int
        Which labels the edit is about.
    number : float
        A distance or a size in the unit of `spacing`, or an id; see `Operation.number`.
    spacing : tuple of float
        Of the axes of `labels`.
    axis : int
        Along which the user annotates slices.
    slices, whole : tuple of int
        Slices with annotations, and those of them that are right in full.
    source : ndarray of int, optional
        Labels to take over from, of the same shape.
    image : array-like, optional
        What the labels lie on, channels first; it may be lazy, and is read where the edit runs.
    volume : ndarray of int, optional
        All labels, where `labels` are one slice of them.
    """

    labels: Ids
    ids: tuple[int, ...]
    number: float
    spacing: tuple[float, ...]
    axis: int = 0
    slices: tuple[int, ...] = ()
    whole: tuple[int, ...] = ()
    source: Ids | None = None
    image: Pixels | None = None
    volume: Ids | None = None


DISTANCE, SIZE, ID = "distance", "size", "id"
"""What a number means: with the unit, with its square or cube, or another label."""


@dataclass(frozen=True)
class Operation:
    """One entry of the list of edits.

    Parameters
    ----------
    title, help : str
        What people read.
    run : callable
        From a request to what changes.
    number : str
        `DISTANCE`, `SIZE`, `ID`, or empty for none.
    prefix : str
        What stands before the number.
    start : float
        Where the number begins, in voxels.
    slice, objects : bool
        Whether it makes sense on one slice, and whether only for objects.
    source : bool
        Whether it takes over from other labels.
    image : bool
        Whether it looks at the image.
    strokes : bool
        Whether voxels that a person has painted stay as they are.
    """

    title: str
    help: str
    run: Callable[[Request], Delta]
    number: str = ""
    prefix: str = ""
    start: float = 1.0
    slice: bool = True
    objects: bool = False
    source: bool = False
    image: bool = False
    strokes: bool = False


def _copy(asked: Request) -> Delta:
    assert asked.source is not None  # noqa: S101
    return edit.copy_labels(asked.labels, asked.ids, asked.source)


def _fill(asked: Request) -> Delta:
    return edit.fill_between(
        asked.labels,
        asked.ids,
        asked.slices,
        asked.spacing,
        axis=asked.axis,
        whole=asked.whole,
        image=asked.image,
    )


OPERATIONS = (
    Operation(
        "Fill between slices",
        "Fill the slices between those done or painted with the shapes between theirs",
        _fill,
        slice=False,
        strokes=True,
    ),
    Operation(
        "Fill between slices, following the image",
        "The same, with the outlines moved to where the intensities on those slices say they run",
        _fill,
        slice=False,
        image=True,
        strokes=True,
    ),
    Operation(
        "Remove islands",
        "Turn connected pieces smaller than this into background",
        lambda r: edit.remove_islands(r.labels, r.ids, r.number, r.spacing),
        SIZE,
        "below ",
        30,
    ),
    Operation(
        "Fill holes",
        "Fill enclosed background smaller than this",
        lambda r: edit.fill_holes(r.labels, r.ids, r.number, r.spacing),
        SIZE,
        "below ",
        30,
    ),
    Operation(
        "Smooth",
        "Smooth surfaces; details below this size go",
        lambda r: edit.smooth(r.labels, r.ids, r.number, r.spacing),
        DISTANCE,
    ),
    Operation(
        "Grow",
        "Grow by this distance into the background; no other label gives way",
        lambda r: edit.grow(r.labels, r.ids, r.number, r.spacing),
        DISTANCE,
        "by ",
    ),
    Operation(
        "Shrink",
        "Shrink by this distance from every surface",
        lambda r: edit.shrink(r.labels, r.ids, r.number, r.spacing),
        DISTANCE,
        "by ",
    ),
    Operation(
        "Copy from",
        "Take over the last prediction, or other labels of this image",
        _copy,
        source=True,
        strokes=True,
    ),
    Operation(
        "Split",
        "Cut objects at necks that are this much thinner, in radius, than what they join",
        lambda r: edit.split(r.labels, r.ids, r.number, r.spacing, within=r.volume),
        DISTANCE,
        "neck ",
        objects=True,
    ),
    Operation(
        "Merge into",
        "Give the chosen object or class this id",
        lambda r: edit.merge(r.labels, r.ids, round(r.number)),
        ID,
        "id ",
    ),
)
