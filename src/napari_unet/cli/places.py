"""Where labels are put while they are computed, and what becomes of them when all are there.

In memory they become a file at the end. A ``.zarr`` takes them part by part: it need not fit into
memory, and what an interrupted run has finished is kept for the next one.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Protocol

import numpy as np
import psutil
from numpy.typing import NDArray

from napari_unet.cli.work import Wanted
from napari_unet.core.prediction import Labels
from napari_unet.core.progress import Box
from napari_unet.errors import WriteError
from napari_unet.io import suffix_of, write_labels

_FOR_OBJECTS = 16
"""Bytes a voxel that telling objects apart needs, about."""


class Place(Protocol):
    """Where the labels of one image are put."""

    @property
    def out(self) -> Labels:
        """What they are written into."""

    @property
    def done(self) -> Collection[Box]:
        """Parts that an earlier run has finished."""

    @property
    def lasting(self) -> bool:
        """Whether parts are kept for a later run when others are missing."""

    def commit(self, box: Box) -> None:
        """Take note that a part has been written."""

    def finish(self) -> None:
        """Make it the file that was asked for."""

    def keep(self) -> str:
        """Stop before the end; say what is left."""


def open_place(wanted: Wanted) -> Place:
    """Make room for the labels of an image.

    Probabilities, uncertainty and objects are of a whole run: with them a ``.zarr`` is made in
    memory, too.

    Raises
    ------
    WriteError
        When they do not fit into memory, or what is there can't be gone on with.
    """
    objects = wanted.work.settings.instances
    beside = (wanted.work.probabilities, wanted.work.uncertainty)
    at_once = objects or any(file is not None for file in beside)
    if suffix_of(wanted.target).endswith(".zarr") and not at_once:
        return _InStore(wanted)
    need = wanted.grid.size * (_FOR_OBJECTS if objects else wanted.dtype.itemsize)
    free = psutil.virtual_memory().available
    if need > free:
        remedy = (
            "crop the image, or leave --instances, --probabilities and --uncertainty out and write "
            "a .ome.zarr"
            if at_once
            else "end the name of the output in .ome.zarr, which is written part by part"
        )
        raise WriteError(
            f"The labels of {wanted.image} need {need / 2**30:.1f} GiB of memory but "
            f"{free / 2**30:.1f} GiB is free: {remedy}."
        )
    return _InMemory(wanted)


class _InMemory:
    """An array that is written to its file at the end."""

    done: Collection[Box] = frozenset()
    lasting = False

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self.out: NDArray[Any] = np.zeros(wanted.grid.shape, wanted.dtype)

    def commit(self, box: Box) -> None:
        """Nothing is kept before the end."""

    def finish(self) -> None:
        write_labels(self._wanted.target, self.out, self._wanted.grid, self._wanted.classes)

    def keep(self) -> str:
        return f"{self._wanted.image} was not finished and is not written."


class _InStore:
    """A store on disk that keeps each part as soon as it is there."""

    lasting = True

    def __init__(self, wanted: Wanted) -> None:
        from napari_unet.io.label_store import LabelStore  # zarr: two seconds to import

        self._image = wanted.image
        self.out = LabelStore.open(
            wanted.target, wanted.grid, wanted.dtype, wanted.classes, wanted.identity()
        )
        self.done: Collection[Box] = self.out.done

    def commit(self, box: Box) -> None:
        self.out.commit(box)

    def finish(self) -> None:
        self.out.finish()

    def keep(self) -> str:
        self.out.close()
        if not self.out.done:
            return f"{self._image} was not finished and is not written."
        return (
            f"{self._image} was not finished: what is done is kept in {self.out.partial}, and the "
            "same command goes on from there."
        )
