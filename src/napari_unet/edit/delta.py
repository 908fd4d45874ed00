"""A change of labels: a box, and what stands in it before and after."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.strokes import Region

Ids = NDArray[np.integer[Any]]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Delta:
    """What an edit changes.

    Parameters
    ----------
    at : tuple of slice
        The box of the array outside of which nothing changes.
    before, after : ndarray of int
        Labels in the box, of one shape.
    """

    at: Region
    before: Ids
    after: Ids

    @classmethod
    def none(cls, labels: Ids) -> Delta:
        """Return a change of nothing."""
        at = (slice(0, 0),) * labels.ndim
        return cls(at, labels[at], labels[at])

    @property
    def changed(self) -> Mask:
        """Where in the box labels change."""
        return np.asarray(self.before != self.after)

    def apply(self, labels: Ids) -> Ids:
        """Return the labels with the change made, as a new array."""
        out = labels.copy()
        out[self.at] = self.after
        return out

    def trimmed(self) -> Delta:
        """Return the same change with the smallest box that holds it, and arrays of its own."""
        inner = box_of(self.changed)
        if inner is None:
            return Delta.none(self.before)
        at = tuple(_shift(side, own.start) for side, own in zip(inner, self.at, strict=True))
        return Delta(at, self.before[inner].copy(), self.after[inner].copy())

    def keep(self, mask: Mask) -> Delta:
        """Leave what `mask`, of the shape of the box, covers as it is."""
        return replace(self, after=np.where(mask, self.before, self.after))

    def placed(self, at: Region) -> Delta:
        """Return a change of a part of an array as one of the whole.

        Parameters
        ----------
        at : tuple of slice
            The part; a side of length one that the part's arrays lack is put in.
        """
        sides = iter(self.at)
        flat = [a for a, side in enumerate(at) if len(self.at) < len(at) and _one(side)][:1]
        whole = tuple(
            side if axis in flat else _shift(next(sides), side.start or 0)
            for axis, side in enumerate(at)
        )
        before, after = self.before, self.after
        for axis in flat:
            before, after = np.expand_dims(before, axis), np.expand_dims(after, axis)
        return Delta(whole, before, after)


def _one(side: slice) -> bool:
    return side.start is not None and side.stop == side.start + 1


def _shift(side: slice, by: int) -> slice:
    return slice(side.start + by, side.stop + by)


def having(labels: Ids, ids: tuple[int, ...]) -> Mask:
    """Return where labels are one of `ids`."""
    if len(ids) == 1:
        return np.asarray(labels == ids[0])
    return np.isin(labels, ids)


def box_of(mask: Mask, margin: tuple[int, ...] | int = 0) -> Region | None:
    """Return the smallest box around a mask, widened within the array; None for an empty mask."""
    margins = (margin,) * mask.ndim if isinstance(margin, int) else margin
    box: list[slice] = []
    rest = mask
    for axis, n in enumerate(mask.shape):
        others = tuple(a for a in range(mask.ndim) if a != axis)
        found = np.flatnonzero(rest.any(axis=others))
        if not found.size:
            return None
        first, last = int(found[0]), int(found[-1]) + 1
        box.append(slice(max(first - margins[axis], 0), min(last + margins[axis], n)))
    return tuple(box)


def voxels(distance: float, spacing: tuple[float, ...]) -> tuple[int, ...]:
    """Return how many voxels a distance spans along each axis, rounded up."""
    return tuple(int(np.ceil(distance / s)) for s in spacing)
