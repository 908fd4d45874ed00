"""What a person has labelled, and where they have looked.

Zero in a label image means both "background" and "nobody looked here". An `Annotation` keeps the
two apart: its `known` mask says which voxels teach, and nothing else may.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.errors import AnnotationError


@dataclass(frozen=True, eq=False)
class Annotation:
    """Labels and the mask of voxels where they are known.

    Parameters
    ----------
    labels : ndarray of int
        Class ids or object ids, shape (z, y, x) or (y, x); 0 is background where `known`.
    known : ndarray of bool
        Same shape; True where a person vouches for the label, background included.

    Raises
    ------
    AnnotationError
        When shapes differ, labels are not whole numbers, are negative, or no voxel is known.
    """

    labels: NDArray[np.integer[Any]]
    known: NDArray[np.bool_]

    def __post_init__(self) -> None:
        if self.labels.shape != self.known.shape:
            raise AnnotationError(
                f"Labels of shape {self.labels.shape} and a known mask of shape "
                f"{self.known.shape} must be of one shape."
            )
        if not np.issubdtype(self.labels.dtype, np.integer):
            raise AnnotationError(
                f"Labels must be whole numbers, not {self.labels.dtype}: convert them first."
            )
        if not self.known.any():
            raise AnnotationError(
                "No voxel of this annotation is known, so there is nothing to learn from: "
                "mark at least one slice as done."
            )
        lowest = int(self.labels.min(where=self.known, initial=0))
        if lowest < 0:
            raise AnnotationError(f"Labels start at 0, but {lowest} was found: renumber them.")

    @classmethod
    def from_slices(
        cls, labels: NDArray[np.integer[Any]], axis: int = 0, done: Iterable[int] = ()
    ) -> Annotation:
        """Know the slices in `done` along `axis` in full, and nothing else.

        Raises
        ------
        AnnotationError
            When a slice lies outside the labels, or none is given.
        """
        return cls.from_parts(labels, [(axis, done)])

    @classmethod
    def from_parts(
        cls,
        labels: NDArray[np.integer[Any]],
        slices: Iterable[tuple[int, Iterable[int]]] = (),
        boxes: Iterable[tuple[slice, ...]] = (),
    ) -> Annotation:
        """Know slices of any orientation and boxes in full, and nothing else.

        Parameters
        ----------
        labels : ndarray of int
            Class ids or object ids.
        slices : iterable of (int, iterable of int)
            Axes, and the slices along each.
        boxes : iterable of tuple of slice
            One slice an axis, with start and stop.

        Raises
        ------
        AnnotationError
            When a slice or box lies outside the labels, or none is given, or a slice is no number.
        """
        known = np.zeros(labels.shape, dtype=bool)
        for axis, done in slices:
            _require_axis(axis, labels.ndim)
            for index in done:
                _require_number(index)
                if not 0 <= index < labels.shape[axis]:
                    raise AnnotationError(
                        f"Slice {index} does not exist: axis {'zyx'[-labels.ndim :][axis]} has slices "
                        f"0 to {labels.shape[axis] - 1}."
                    )
                known[(slice(None),) * axis + (index,)] = True
        for box in boxes:
            inside = [0 <= s.start < s.stop <= n for s, n in zip(box, labels.shape, strict=False)]
            if len(box) != labels.ndim or not all(inside):
                edges = ", ".join(f"{s.start}:{s.stop}" for s in box)
                raise AnnotationError(
                    f"The box {edges} does not lie in labels of shape {labels.shape}: give from:to "
                    "of each axis."
                )
            known[box] = True
        return cls(labels, known)

    @classmethod
    def full(cls, labels: NDArray[np.integer[Any]], unknown: int | None = None) -> Annotation:
        """Know every voxel, except those whose value is `unknown`."""
        known = np.ones(labels.shape, dtype=bool) if unknown is None else labels != unknown
        return cls(np.where(known, labels, 0).astype(labels.dtype), known)

    def done(self, axis: int = 0) -> tuple[int, ...]:
        """Return the indices of the slices along `axis` that are known in full."""
        _require_axis(axis, self.known.ndim)
        others = tuple(i for i in range(self.known.ndim) if i != axis)
        return tuple(int(i) for i in np.flatnonzero(self.known.all(axis=others)))

    def counts(self) -> dict[int, int]:
        """Known voxels of each label id that occurs."""
        ids, counts = np.unique(self.labels[self.known], return_counts=True)
        return {int(i): int(n) for i, n in zip(ids, counts, strict=True)}


def _require_axis(axis: int, ndim: int) -> None:
    if not 0 <= axis < ndim:
        raise AnnotationError(
            f"Axis {axis} does not exist: these labels have axes 0 to {ndim - 1}."
        )


def _require_number(index: object) -> None:
    """Refuse a mask of slices above all: True as an index would mean every slice."""
    if isinstance(index, bool) or not isinstance(index, int | np.integer):
        raise AnnotationError(
            f"{index} is no number of a slice: give whole numbers, counted from 0 (of a mask its "
            "numpy.flatnonzero)."
        )
