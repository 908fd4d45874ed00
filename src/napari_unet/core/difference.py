"""Where two models' labels of one image differ, from what to what, and on which slices."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.integer[Any]]


class Change(IntEnum):
    """What became of a voxel."""

    SAME = 0
    NEW = 1
    GONE = 2
    OTHER = 3


@dataclass(frozen=True, eq=False)
class Difference:
    """Where labels differ from earlier ones.

    Parameters
    ----------
    changes : ndarray of uint8
        A `Change` a voxel: background became a label, a label background, or another label.
    slices : tuple of ndarray of int
        For each axis, the voxels changed in each slice along it; shape (n,).
    moves : dict of (int, int) to int
        Voxels that went from one id to another, the most first. Empty for objects.
    """

    changes: NDArray[np.uint8]
    slices: tuple[NDArray[np.int64], ...]
    moves: dict[tuple[int, int], int]

    @property
    def voxels(self) -> int:
        """How many voxels have changed."""
        return int(self.slices[0].sum())


def difference(before: Labels, after: Labels, *, instances: bool = False) -> Difference:
    """Compare labels with earlier ones, plane by plane.

    Parameters
    ----------
    before, after : ndarray of int
        Of one shape, two or three axes.
    instances : bool
        Whether ids are objects: then they are arbitrary, and only where there are objects counts.
    """
    changes = np.zeros(before.shape, np.uint8)
    shape = before.shape
    slices = tuple(np.zeros(n, np.int64) for n in shape)
    moves: dict[tuple[int, int], int] = {}
    deep = changes if changes.ndim == 3 else changes[None]
    for z, plane in enumerate(deep):
        old, new = (np.asarray(a[z] if a.ndim == 3 else a) for a in (before, after))
        if instances:
            old, new = old > 0, new > 0
        at = np.nonzero(old != new)
        if not len(at[0]):
            continue
        one, other = old[at], new[at]
        plane[at] = np.where(one == 0, Change.NEW, np.where(other == 0, Change.GONE, Change.OTHER))
        for axis, counts in enumerate(slices[-2:]):
            counts += np.bincount(at[axis], minlength=len(counts))
        if len(shape) == 3:
            slices[0][z] = len(one)
        if not instances:
            for pair, number in _pairs(one, other):
                moves[pair] = moves.get(pair, 0) + number
    ordered = sorted(moves.items(), key=lambda item: -item[1])
    return Difference(changes, slices, dict(ordered))


def _pairs(one: Labels, other: Labels) -> list[tuple[tuple[int, int], int]]:
    """Count how often each pair of ids occurs."""
    # By their places among the ids that occur: ids themselves may be too large to be multiplied.
    olds, left = np.unique(one, return_inverse=True)
    news, right = np.unique(other, return_inverse=True)
    codes, numbers = np.unique(left * news.size + right, return_counts=True)
    places = np.divmod(codes, news.size)
    pairs = zip(olds[places[0]].tolist(), news[places[1]].tolist(), numbers.tolist(), strict=True)
    return [((before, after), number) for before, after, number in pairs]
