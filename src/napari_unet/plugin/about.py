"""What a Labels layer knows about itself beyond its voxels."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.classes import LabelClass, default_classes
from napari_unet.core.correction import Correction
from napari_unet.core.grid import Grid
from napari_unet.core.volume import Volume
from napari_unet.jobs import DrawnLabels, JournalState

KEY = "napari_unet"

PREVIEW = "napari_unet_preview"
"""Marks a layer that only shows something, an edit or doubts: it is nobody's labels and no image."""

FEW = 64
"""More ids than this in somebody else's labels are objects, not classes."""

LARGEST_CLASS = 1 << 16
"""Ids above it have no colour of their own: napari (0.9) draws none without numba, a large compiler."""

Slice = tuple[int, int]
"""A slice of a volume: (axis, index). An image of two dimensions has the one slice (0, 0)."""


@dataclass(frozen=True)
class About:
    """What a Labels layer knows about itself beyond its voxels.

    Parameters
    ----------
    grid : Grid
        Geometry of the image it was drawn on, source header included.
    classes : tuple of LabelClass
        Meaning of the ids, background first.
    done : frozenset of (axis, index)
        Slices that a person vouches for, background included: the training mask.
    held_out : frozenset of (axis, index)
        Those that measured the last model trained on them. They never teach it nor what is
        fine-tuned from it, and keep their marks.
    locked : frozenset of int
        Ids that are finished: neither brush nor edits change their voxels.
    instances : bool
        Whether ids are objects rather than classes.
    source : str
        Path of the image, or empty.
    model : str
        Name of the model that made the last prediction, or empty.
    merged : tuple of (int, int)
        Classes that became part of others, so that a model keeps what it knows of both; into 0 those
        that were removed.
    corrections : tuple of Correction
        What models had said of slices that are done, against what stands there, as they were marked.
    """

    grid: Grid
    classes: tuple[LabelClass, ...]
    done: frozenset[Slice] = frozenset()
    held_out: frozenset[Slice] = frozenset()
    locked: frozenset[int] = frozenset()
    instances: bool = False
    source: str = ""
    model: str = ""
    merged: tuple[tuple[int, int], ...] = ()
    corrections: tuple[Correction, ...] = ()


def joined(merged: tuple[tuple[int, int], ...], one: int, into: int) -> tuple[tuple[int, int], ...]:
    """Add a merge; what went into that class before goes on into the other. Into 0 is removal."""
    return (*((a, into if b == one else b) for a, b in merged if a != one), (one, into))


def fresh_id(about: About) -> int:
    """Return an id for a new class: above all that are or were in use.

    A model knows classes by their ids, and would take the new one for one that was merged or removed.
    """
    return 1 + max((0, *(c.id for c in about.classes), *(a for a, _ in about.merged)))


def by_axis(slices: frozenset[Slice]) -> dict[int, tuple[int, ...]]:
    """Gather slices by their axis, in order; files keep them so."""
    axes = sorted({a for a, _ in slices})
    return {axis: tuple(sorted(i for a, i in slices if a == axis)) for axis in axes}


def slices_of(by_axis: Mapping[int, Iterable[int]]) -> frozenset[Slice]:
    """Return what `by_axis` gathered."""
    return frozenset((axis, i) for axis, every in by_axis.items() for i in every)


def about_again(told: JournalState | DrawnLabels, volume: Volume) -> About:
    """Return what a file tells of labels that were drawn on a volume, as they know it themselves."""
    return About(
        volume.grid,
        told.classes,
        slices_of(told.done),
        slices_of(told.held_out),
        frozenset(told.locked),
        instances=told.instances,
        source=volume.source,
        model=told.model,
        merged=told.merged,
        corrections=told.corrections,
    )


def about_ids(labels: Any, grid: Grid) -> About:  # noqa: ANN401
    """Find out what labels are: classes, or objects where ids are too many or too large for that."""
    ids = count_ids(np.asarray(labels))
    instances = len(ids) > FEW or max(ids, default=0) > LARGEST_CLASS
    classes = default_classes([1] if instances or not any(ids) else ids)
    return About(grid, classes, instances=instances)


def count_ids(labels: NDArray[np.integer[Any]]) -> dict[int, int]:
    """Count the voxels of each id that occurs."""
    if labels.dtype.kind != "u" or labels.dtype.itemsize > 2:
        ids, numbers = np.unique(labels, return_counts=True)
        return dict(zip(ids.tolist(), numbers.tolist(), strict=True))
    # Few possible ids: counting them in their places is six times as fast as sorting, and plane by
    # plane it takes no memory to speak of.
    most = np.iinfo(labels.dtype).max + 1
    total = np.zeros(most, dtype=np.int64)
    for plane in labels if labels.ndim == 3 else (labels,):
        total += np.bincount(plane.reshape(-1), minlength=most)
    return {int(i): int(total[i]) for i in np.flatnonzero(total)}
