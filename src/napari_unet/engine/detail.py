"""How coarse the voxels of a 2D network may be before what was annotated is lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from numpy.typing import NDArray

from napari_unet.core.orientation import turn
from napari_unet.core.spec import BORDER, INTERIOR
from napari_unet.engine.cases import Case
from napari_unet.engine.instances import border_classes, depths
from napari_unet.engine.regions import stack, touched

FACTORS = (1.5, 2.0, 3.0, 4.0, 6.0, 8.0)
"""How many times coarser; see benchmarks/RESULTS.md."""
FAITHFUL = 0.985
"""Dice of each class, background too, that its way to coarse voxels and back must leave."""
_PLANES = 8
"""Annotated slices that are looked at for each class."""
_SIDE = 512
"""Longest side of what is looked at in a slice."""

Planes = NDArray[np.integer[Any]]
Mask = NDArray[np.bool_]
_UNKNOWN = -1


def coarsest(
    cases: Sequence[Case], axis: int, most: float, *, instances: bool, orientation: str = ""
) -> float:
    """Return by what factor the pixels of slices may grow without loss to what is annotated.

    A network that reads few pixels takes more steps in its minutes and sees more of the image at once;
    more than the outlines need tells it nothing. So labels are brought to coarser pixels and back, as
    a prediction would be, and the coarsest that leave every class as it was are chosen. A class is looked
    at where it is shown, all of it together: a few specks of one that is large elsewhere have no say.

    Parameters
    ----------
    cases : sequence of (Volume, Annotation)
        What is annotated.
    axis : int
        Along which slices of volumes lie, of the axes of `orientation`.
    most : float
        Beyond which nothing is to be won.
    instances : bool
        Whether labels are objects: then their borders must stay, too.
    orientation : str
        As in `ModelSpec`.

    Returns
    -------
    float
        1 where nothing may be lost, else one of `FACTORS`.
    """
    along = [turn(volume.grid, orientation).axes[axis] for volume, _ in cases]
    planes = list(_planes(cases, along, instances=instances))
    best = 1.0
    for factor in (f for f in FACTORS if f <= most):
        if _faithful(planes, factor) < FAITHFUL:
            break
        best = factor
    return best


def _planes(
    cases: Sequence[Case], axes: Sequence[int], *, instances: bool
) -> Iterator[tuple[Planes, frozenset[int]]]:
    """Choose annotated slices for each class that is shown, and say what is to be looked at in them.

    That is the class and background, or every class in the slices of background: all classes in the
    slices of each would take minutes where there are many. What is unknown is `_UNKNOWN`.
    """
    shown: dict[int, list[tuple[Planes, Mask]]] = {}
    for labels, known in _annotated(cases, axes):
        found = labels[known] > 0 if instances else labels[known]
        for label in np.unique(found).tolist():
            shown.setdefault(int(label), []).append((labels, known))
    for label, slices in shown.items():
        chosen = np.linspace(0, len(slices) - 1, min(_PLANES, len(slices))).astype(int)
        for labels, known in (slices[i] for i in chosen):
            part = _around(known & ((labels > 0) == label if instances else labels == label))
            if instances:
                ids = np.where(known[part], labels[part], 0)[None]
                seen = border_classes(ids > 0, depths(ids, 2))[0]
            else:
                seen = labels[part]
            own = {0, label} if label else shown
            looked_at = frozenset({0, INTERIOR, BORDER} if instances else own)
            yield np.where(known[part], seen.astype(np.int64), _UNKNOWN), looked_at


def _annotated(cases: Sequence[Case], axes: Sequence[int]) -> Iterator[tuple[Planes, Mask]]:
    """Go through the slices of which anything is known: views of labels, and of what is known."""
    for (_, annotation), axis in zip(cases, axes, strict=True):
        labels, known = stack(annotation.labels), stack(annotation.known)
        along = axis if annotation.known.ndim == 3 else 0
        for z in np.flatnonzero(touched(known, along)).tolist():
            place = (slice(None),) * along + (z,)
            yield labels[place], known[place]


def _around(shown: Mask) -> tuple[slice, ...]:
    """Return a window, no longer than `_SIDE`, around one of the pixels that show a class."""
    places = np.flatnonzero(shown)
    middle = np.unravel_index(places[len(places) // 2], shown.shape)
    starts = [
        min(max(0, int(m) - _SIDE // 2), max(0, n - _SIDE))
        for m, n in zip(middle, shown.shape, strict=True)
    ]
    return tuple(slice(start, start + _SIDE) for start in starts)


def _faithful(planes: Sequence[tuple[Planes, frozenset[int]]], factor: float) -> float:
    """Return the lowest Dice of a class with itself after its way to coarse pixels and back."""
    common: Counter[int] = Counter()
    both: Counter[int] = Counter()
    for plane, looked_at in planes:
        known = plane != _UNKNOWN
        size = [max(1, round(n / factor)) for n in plane.shape]
        for label in looked_at.intersection(np.unique(plane[known]).tolist()):
            mask = plane == label
            exact = torch.from_numpy(mask[None, None].astype(np.float32))
            coarse = F.interpolate(exact, size, mode="area")
            back = F.interpolate(coarse, plane.shape, mode="bilinear", align_corners=False)
            again = (back[0, 0].numpy() >= 0.5) & known
            common[label] += 2 * int(np.count_nonzero(again & mask))
            both[label] += int(np.count_nonzero(again) + np.count_nonzero(mask))
    return min((common[label] / both[label] for label in both), default=0.0)
