"""An edit worked out in a thread: what would change, and all that the window needs to show it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray

from napari_unet.core.strokes import Region, Strokes
from napari_unet.edit import Delta
from napari_unet.errors import AnnotationError
from napari_unet.plugin import layers
from napari_unet.plugin.about import About, count_ids
from napari_unet.plugin.edit_operations import Operation, Request

Ids = NDArray[np.integer[Any]]
Finished = Callable[[Delta], NDArray[np.bool_]]
"""Tells which voxels of a change's box are not to be touched."""


@dataclass(frozen=True, eq=False)
class Proposal:
    """What an edit would change.

    Parameters
    ----------
    at : tuple of slice
        The box around all of it.
    where : tuple of ndarray of int
        Indices of the voxels, one array an axis.
    before, after : ndarray of int
        Their labels, shape (voxels,).
    shown : ndarray of int
        What a preview shows in the box: new labels, `gone` where labels go, 0 elsewhere.
    gone : int
        An id that is no label.
    """

    at: Region
    where: tuple[NDArray[np.intp], ...]
    before: Ids
    after: Ids
    shown: Ids
    gone: int

    @classmethod
    def of(cls, delta: Delta) -> "Proposal":
        """Work out a proposal from a change."""
        delta = delta.trimmed()
        changed = delta.changed
        inside = np.nonzero(changed)
        before, after = delta.before[changed], delta.after[changed]
        gone = int(max(before.max(initial=0), after.max(initial=0))) + 1
        shown = np.zeros(changed.shape, np.min_scalar_type(gone))
        shown[inside] = np.where(after == 0, gone, after)
        where = tuple(i + side.start for i, side in zip(inside, delta.at, strict=True))
        return cls(delta.at, where, before, after, shown, gone)

    def write(self, labels: Labels) -> int:
        """Make the change one step that Ctrl+Z takes back; return how many voxels have changed.

        What a person has changed since it was worked out stays.
        """
        still = labels.data[self.where] == self.before
        if still.all():
            where, values = self.where, self.after
        else:
            where, values = tuple(i[still] for i in self.where), self.after[still]
        layers.write(labels, where, values)
        return len(values)

    def words(self, *, past: bool = False) -> str:
        """Say what it does: ``"Would label 1,203, clear 81 voxels."``."""
        more, less = self.before == 0, self.after == 0
        verbs = ("labelled", "cleared", "relabelled") if past else ("label", "clear", "relabel")
        numbers = [int(np.count_nonzero(m)) for m in (more, less, ~more & ~less)]
        words = ", ".join(f"{verb} {n:,}" for verb, n in zip(verbs, numbers, strict=True) if n)
        if not words:
            return "Nothing to change."
        voxels = "voxel" if sum(numbers) == 1 else "voxels"
        return f"{words.capitalize() if past else f'Would {words}'} {voxels}."


def proposed(operation: Operation, asked: Request, at: Region, finished: Finished) -> Proposal:
    """Work out an edit on a copy.

    Parameters
    ----------
    operation, asked : Operation, Request
        What to do.
    at : tuple of slice
        The part of the whole labels that the request is about.
    finished : callable
        What stays as it is.

    Raises
    ------
    AnnotationError
        When there is nothing to edit.
    UNetError
        What the operation raises.
    """
    labels = asked.labels.copy()  # somebody may paint meanwhile
    ids = asked.ids or _all(labels, asked.source)
    if not ids:
        raise AnnotationError("There is nothing to edit yet: paint or predict first.")
    delta = operation.run(replace(asked, labels=labels, ids=ids)).trimmed().placed(at)
    return Proposal.of(delta.keep(finished(delta)))


def finished_in(about: About, data: Ids, strokes: Strokes | None, *, done: bool) -> Finished:
    """Return the rule for what an edit leaves alone: locked classes, and more if asked.

    Parameters
    ----------
    about : About
        Of the labels.
    data : ndarray of int
        The labels.
    strokes : Strokes or None
        Painted voxels that stay.
    done : bool
        Whether slices marked done or held out stay.
    """

    def finished(delta: Delta) -> NDArray[np.bool_]:
        keep = np.zeros(delta.before.shape, dtype=bool)
        for one in about.locked:
            keep |= (delta.before == one) | (delta.after == one)
        if strokes is not None:
            keep |= strokes.known(data, delta.at)
        for axis, index in about.done | about.held_out if done else ():
            if keep.ndim == 2:
                keep[...] = True
            elif delta.at[axis].start <= index < delta.at[axis].stop:
                keep[layers.slice_key(3, (axis, index - delta.at[axis].start))] = True
        return keep

    return finished


def _all(*arrays: Ids | None) -> tuple[int, ...]:
    """Return every id that occurs, less background."""
    found: set[int] = set()
    for array in arrays:
        if array is not None:
            found |= set(count_ids(array))
    return tuple(sorted(found - {0}))
