"""How coarse the voxels of a 2D network may be before what was annotated is lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from numpy.typing import NDArray

from napari_unet.engine.cases import Case
from napari_unet.engine.instances import border_classes, depths
from napari_unet.engine.regions import stack

FACTORS = (1.5, 2.0, 3.0, 4.0, 6.0, 8.0)
"""How many times coarser; see benchmarks/RESULTS.md."""
FAITHFUL = 0.985
"""Dice of each class, background too, that its way to coarse voxels and back must leave."""
_PLANES = 8
"""Annotated slices that are looked at."""
_SIDE = 512
"""Longest side of what is looked at in a slice."""

Planes = NDArray[np.int64]
_UNKNOWN = -1


def coarsest(cases: Sequence[Case], axis: int, most: float, *, instances: bool) -> float:
    """Return by what factor the pixels of slices may grow without loss to what is annotated.

    A network that reads few pixels takes more steps in its minutes and sees more of the image at once;
    more than the outlines need tells it nothing. So labels are brought to coarser pixels and back, as
    a prediction would be, and the coarsest that leave every class as it was are chosen.

    Parameters
    ----------
    cases : sequence of (Volume, Annotation)
        What is annotated.
    axis : int
        Along which slices of volumes lie.
    most : float
        Beyond which nothing is to be won.
    instances : bool
        Whether labels are objects: then their borders must stay, too.

    Returns
    -------
    float
        1 where nothing may be lost, else one of `FACTORS`.
    """
    planes = list(_planes(cases, axis, instances=instances))
    best = 1.0
    for factor in (f for f in FACTORS if f <= most):
        if _faithful(planes, factor) < FAITHFUL:
            break
        best = factor
    return best


def _planes(cases: Sequence[Case], axis: int, *, instances: bool) -> Iterator[Planes]:
    """Choose annotated slices, evenly over all; what is unknown is `_UNKNOWN`."""
    places = []
    for number, (_, annotation) in enumerate(cases):
        known = stack(annotation.known)
        along = axis if annotation.known.ndim == 3 else 0
        seen = known.any(axis=tuple(k for k in range(3) if k != along))
        places += [(number, along, int(z)) for z in np.flatnonzero(seen)]
    chosen = np.linspace(0, len(places) - 1, min(_PLANES, len(places))).astype(int)
    for number, along, z in (places[i] for i in chosen):
        annotation = cases[number][1]
        labels = np.take(stack(annotation.labels), z, axis=along)
        known = np.take(stack(annotation.known), z, axis=along)
        part = tuple(
            slice((n - min(n, _SIDE)) // 2, (n + min(n, _SIDE)) // 2) for n in labels.shape
        )
        labels, known = labels[part], known[part]
        if instances:
            ids = np.where(known, labels, 0)[None]
            labels = border_classes(ids > 0, depths(ids, 2))[0]
        yield np.where(known, labels.astype(np.int64), _UNKNOWN)


def _faithful(planes: Sequence[Planes], factor: float) -> float:
    """Return the lowest Dice of a class with itself after its way to coarse pixels and back."""
    common: Counter[int] = Counter()
    both: Counter[int] = Counter()
    for plane in planes:
        known = plane != _UNKNOWN
        size = [max(1, round(n / factor)) for n in plane.shape]
        for label in np.unique(plane[known]).tolist():
            mask = plane == label
            exact = torch.from_numpy(mask[None, None].astype(np.float32))
            coarse = F.interpolate(exact, size, mode="area")
            back = F.interpolate(coarse, plane.shape, mode="bilinear", align_corners=False)
            again = (back[0, 0].numpy() >= 0.5) & known
            common[label] += 2 * int(np.count_nonzero(again & mask))
            both[label] += int(np.count_nonzero(again) + np.count_nonzero(mask))
    return min((common[label] / both[label] for label in both), default=0.0)
