"""Voxels that a person has painted, wherever they lie, background included.

They are kept as positions, not as a mask of the whole volume: a person paints thousands of voxels of
millions, and a stroke must cost no more than its own size.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Region = tuple[slice, ...]
"""A box of an array, one slice with whole numbers an axis."""


class Strokes:
    """Which voxels of a volume were painted, and with what.

    A painted voxel counts as known for as long as it holds what was painted: when an undo or
    something else has changed it, nobody vouches for it any longer. Where a class became part of
    another one it may hold either, since the merge can be undone.

    Parameters
    ----------
    shape : tuple of int
        Of the labels, (z, y, x) or (y, x).
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape
        self._deep = (1,) * (3 - len(shape)) + shape
        self._touched = [np.zeros(n, dtype=bool) for n in self._deep]
        self._waiting: list[tuple[Region, NDArray[np.bool_], int]] = []
        # Of each plane along the first axis: flat positions in it and their labels, each pair once.
        self._planes: dict[int, tuple[NDArray[np.int32], NDArray[np.uint32]]] = {}

    @classmethod
    def of(cls, labels: NDArray[np.integer[Any]], known: NDArray[np.bool_]) -> Strokes:
        """Return strokes that painted these labels where they are known; both of one shape."""
        made = cls(known.shape)
        deep, mask = labels.reshape(made._deep), known.reshape(made._deep)
        for plane in np.flatnonzero(mask.any(axis=(1, 2))).tolist():
            at = np.flatnonzero(mask[plane]).astype(np.int32)
            made._planes[plane] = at, deep[plane].reshape(-1)[at].astype(np.uint32)
            for touched, others in zip(made._touched[1:], (1, 0), strict=True):
                touched |= mask[plane].any(axis=others)
            made._touched[0][plane] = True
        return made

    def __bool__(self) -> bool:
        return bool(self._touched[0].any())

    def add(self, at: Region, mask: NDArray[np.bool_], label: int) -> None:
        """Remember that the voxels of `mask` in the box `at` were painted with `label`."""
        box = (slice(0, 1),) * (3 - len(at)) + at
        mask = np.array(mask, dtype=bool).reshape([s.stop - s.start for s in box])
        for axis, (touched, side) in enumerate(zip(self._touched, box, strict=True)):
            touched[side] |= mask.any(axis=tuple(a for a in range(3) if a != axis))
        self._waiting.append((box, mask, label))

    def merge(self, labels: NDArray[np.integer[Any]], one: int, into: int) -> None:
        """Vouch for what was painted with label `one` as `into` too, just before it becomes that.

        Parameters
        ----------
        labels : ndarray of int
            The whole array as it is before the merge, of `shape`.
        one, into : int
            The label that goes, and the one that takes its voxels.
        """
        self._settle()
        for plane, (positions, painted) in self._planes.items():
            held = (painted == one) & (self._plane(labels, plane).reshape(-1)[positions] == one)
            # A merge that was undone may have been noted before.
            more = np.setdiff1d(positions[held], positions[painted == into])
            self._planes[plane] = (
                np.concatenate([positions, more]),
                np.concatenate([painted, np.full(len(more), into, np.uint32)]),
            )

    def still(self) -> Strokes:
        """Return the strokes as they are now, for a thread to look at while more are painted."""
        self._settle()
        copy = Strokes(self.shape)
        copy._touched = [touched.copy() for touched in self._touched]
        copy._planes = dict(self._planes)  # no array in it is ever changed
        return copy

    def touched(self, axis: int) -> NDArray[np.bool_]:
        """Return which slices along an axis were painted in; shape (n,)."""
        return self._touched[self._axis(axis)].copy()

    def recheck(self, labels: NDArray[np.integer[Any]], axis: int, index: int) -> None:
        """Find out whether a slice still holds anything that was painted in it; a plane is one slice."""
        where = [slice(None)] * labels.ndim
        if labels.ndim == 3:
            where[axis] = slice(index, index + 1)
        found = self.known(labels, tuple(where)).any()
        self._touched[self._axis(axis)][index] = found

    def known(
        self, labels: NDArray[np.integer[Any]], at: Region | None = None
    ) -> NDArray[np.bool_]:
        """Return which voxels of a box hold what was painted there.

        Parameters
        ----------
        labels : ndarray of int
            The whole array as it is now, of `shape`.
        at : tuple of slice, optional
            The box; the whole array when not given.

        Returns
        -------
        ndarray of bool
            Shape of the box.
        """
        self._settle()
        box = at or (slice(None),) * labels.ndim
        box = (slice(0, 1),) * (3 - len(box)) + box
        z, y, x = (range(*s.indices(n)) for s, n in zip(box, self._deep, strict=True))
        out = np.zeros((len(z), len(y), len(x)), dtype=bool)
        for plane in self._planes.keys() & set(z):
            positions, painted = self._planes[plane]
            row, column = np.divmod(positions, self._deep[2])
            inside = (row >= y.start) & (row < y.stop) & (column >= x.start) & (column < x.stop)
            row, column = row[inside], column[inside]
            held = self._plane(labels, plane)[row, column] == painted[inside]
            out[plane - z.start, row[held] - y.start, column[held] - x.start] = True
        return out.reshape(out.shape[3 - labels.ndim :])

    def counts(
        self, labels: NDArray[np.integer[Any]], skip: set[int] | frozenset[int] = frozenset()
    ) -> dict[int, int]:
        """Count known voxels of each label, leaving out the planes `skip` along the first axis."""
        self._settle()
        found: dict[int, int] = {}
        for plane in self._planes.keys() - skip:
            positions, painted = self._planes[plane]
            held = painted[self._plane(labels, plane).reshape(-1)[positions] == painted]
            for label, number in zip(*np.unique(held, return_counts=True), strict=True):
                found[int(label)] = found.get(int(label), 0) + int(number)
        return found

    def _plane(self, labels: NDArray[np.integer[Any]], index: int) -> NDArray[np.integer[Any]]:
        """Return one plane of labels, which may lie in a store such as zarr's."""
        return np.asarray(labels[index] if len(self.shape) == 3 else labels)

    def _axis(self, axis: int) -> int:
        return axis if len(self.shape) == 3 else 0

    def _settle(self) -> None:
        """Sort what was painted lately into its planes; a later stroke has the say on a voxel."""
        fresh: dict[int, list[tuple[NDArray[np.int32], int]]] = {}
        for (side, rows, columns), mask, label in self._waiting:
            for offset in np.flatnonzero(mask.any(axis=(1, 2))):
                row, column = np.nonzero(mask[offset])
                flat = (row + rows.start) * self._deep[2] + column + columns.start
                fresh.setdefault(side.start + int(offset), []).append(
                    (flat.astype(np.int32), label)
                )
        self._waiting.clear()
        for plane, strokes in fresh.items():
            positions = np.concatenate([at for at, _ in strokes])[::-1]
            painted = np.concatenate([np.full(len(at), label, np.uint32) for at, label in strokes])
            positions, last = np.unique(positions, return_index=True)
            painted = painted[::-1][last]
            if plane in self._planes:
                before, labels = self._planes[plane]
                stays = np.isin(before, positions, invert=True)
                positions = np.concatenate([before[stays], positions])
                painted = np.concatenate([labels[stays], painted])
            self._planes[plane] = positions, painted
