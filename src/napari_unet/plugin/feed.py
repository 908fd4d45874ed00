"""What a training that goes on has been told of the labels, and what it has yet to be told."""

from typing import Any, NamedTuple
from zlib import crc32

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray

from napari_unet.jobs import Change, SharedArray
from napari_unet.plugin import layers
from napari_unet.plugin.about import Slice
from napari_unet.plugin.annotation import known_slice
from napari_unet.plugin.traces import traces

FEW = 16
"""Slices up to which all that is known is looked at whenever something may have changed."""


class Part(NamedTuple):
    """A slice as it is known by now."""

    case: int
    start: tuple[int, ...]
    labels: NDArray[np.integer[Any]]
    known: NDArray[np.bool_]

    def share(self) -> Change:
        """Put it where the child sees it."""
        shared = SharedArray.from_array(self.labels), SharedArray.from_array(self.known)
        return Change(self.case, self.start, *shared)


class Feed:
    """Finds the slices whose labels or marks are others than the training was told.

    Parameters
    ----------
    drawn : list of Labels
        The layers that it learns from, as the training is told of them now, whole.
    """

    def __init__(self, drawn: list[Labels]) -> None:
        self._drawn = drawn
        self._told: list[dict[Slice, int]] = [
            {which: _digest(known_slice(one, which)) for which in _known(one)} for one in drawn
        ]

    def news(self, here: Slice | None = None) -> list[Part]:
        """Return what has changed since the last call.

        Parameters
        ----------
        here : (axis, index), optional
            The slice in front: where more than a few are known, only it and new marks are looked at.
        """
        found = []
        for case, (one, told) in enumerate(zip(self._drawn, self._told, strict=True)):
            now = _known(one)
            wanted = now | told.keys()
            if len(wanted) > FEW:
                wanted = (now ^ told.keys()) | (wanted & {here})
            for which in sorted(wanted):
                part = known_slice(one, which)
                digest = _digest(part)
                if told.get(which) == digest:
                    continue
                if which in now:
                    told[which] = digest
                else:
                    told.pop(which, None)
                found.append(Part(case, *part))
        return found


def _known(labels: Labels) -> set[Slice]:
    """Return the slices marked done or painted in."""
    touched = np.flatnonzero(traces(labels).strokes.touched(0)).tolist()
    return {*layers.about(labels).done, *((0, index) for index in touched)}


def _digest(part: tuple[Any, NDArray[Any], NDArray[np.bool_]]) -> int:
    """Return a number that tells what is known of a slice from what was; unknown labels don't count."""
    _, labels, known = part
    return crc32(np.where(known, labels, 0).tobytes(), crc32(known.tobytes()))
