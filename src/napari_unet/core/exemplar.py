"""A small piece of an annotated image that rides in a model file, so that what it taught is not forgotten."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.annotation import Annotation
from napari_unet.core.grid import UNITS, Grid
from napari_unet.core.volume import Volume
from napari_unet.errors import ModelFileError

PREFIX = "exemplar."
"""How the names of their tensors begin; no network has a weight of such a name."""
MOST = 64
"""Exemplars that a file may carry."""
MOST_BYTES = 4 << 20
"""Bytes that they may have together."""
_DTYPES = {"U8": np.uint8, "U16": np.uint16, "U32": np.uint32, "U64": np.uint64}
"""Types that labels may have, by the names that safetensors gives them."""


@dataclass(frozen=True)
class ExemplarNote:
    """What a model's header says about an exemplar; its voxels are tensors of the file.

    Parameters
    ----------
    spacing : tuple of float
        Voxel size in `unit`, two numbers for a plane and three for a block.
    unit : str
        Unit of `spacing`.
    low, high : tuple of float
        Scaled intensity that 0 and 255 stand for, one each a channel.
    classes : tuple of int
        Ids that whoever drew the labels told apart; empty where labels are objects.
    source, licence : str
        Where the image is from, and under which terms it may travel; empty where nobody said.
    digest : str
        sha256 of the voxels.

    Raises
    ------
    ModelFileError
        When it can't be.
    """

    spacing: tuple[float, ...]
    unit: str
    low: tuple[float, ...]
    high: tuple[float, ...]
    classes: tuple[int, ...] = ()
    source: str = ""
    licence: str = ""
    digest: str = ""

    def __post_init__(self) -> None:
        numbers = (*self.spacing, *self.low, *self.high)
        if (
            len(self.spacing) not in (2, 3)
            or not all(map(math.isfinite, numbers))
            or min(self.spacing) <= 0
            or self.unit not in UNITS
            or not self.low
            or len(self.low) != len(self.high)
        ):
            raise ModelFileError(
                f"An exemplar has an impossible spacing or range ({self.spacing} {self.unit}, "
                f"{self.low} to {self.high}): get the file again."
            )


@dataclass(frozen=True, eq=False)
class Exemplar:
    """A piece of an image as a network sees it, and its labels, as few bytes as will do.

    Parameters
    ----------
    note : ExemplarNote
        What the numbers mean.
    image : ndarray of uint8
        Shape (C, Z, Y, X) or (C, Y, X): intensities as the model scales those of the whole image.
    labels : ndarray of unsigned int
        Same axes without channels: ids plus one, and 0 where nobody knows, or where that has no room.
    """

    note: ExemplarNote
    image: NDArray[np.uint8]
    labels: NDArray[np.unsignedinteger[Any]]

    @classmethod
    def of(
        cls,
        image: NDArray[np.float32],
        annotation: Annotation,
        grid: Grid,
        classes: tuple[int, ...] = (),
    ) -> Exemplar:
        """Make one from scaled intensities (C, *grid.shape); objects are numbered anew."""
        ids = np.where(annotation.known, annotation.labels, 0)
        if not classes:
            # 0 of their own type: beside another one large ids would become fractions.
            _, ids = np.unique(np.append(ids.dtype.type(0), ids), return_inverse=True)
            ids = ids[1:].reshape(annotation.labels.shape)
        # The largest number of 64 bits becomes 0.
        shifted = np.where(annotation.known, ids.astype(np.uint64) + np.uint64(1), np.uint64(0))
        labels = shifted.astype(np.min_scalar_type(int(shifted.max())))
        channels = image.reshape(len(image), -1)
        low, high = channels.min(axis=1), channels.max(axis=1)
        step = np.where(high > low, high - low, 1)[(..., *(None,) * grid.ndim)]
        levels = np.rint((image - low[(..., *(None,) * grid.ndim)]) * (255 / step)).astype(np.uint8)
        note = ExemplarNote(
            grid.spacing,
            grid.unit,
            tuple(map(float, low)),
            tuple(map(float, high)),
            classes,
            digest=digest(levels, labels),
        )
        return cls(note, levels, labels)

    @property
    def nbytes(self) -> int:
        """Bytes that it takes in a file."""
        return self.image.nbytes + self.labels.nbytes

    def case(self) -> tuple[Volume, Annotation]:
        """Return it as image and annotation; the image's intensities are scaled already."""
        axes = (..., *(None,) * (self.image.ndim - 1))
        low, high = (np.array(v, np.float32)[axes] for v in (self.note.low, self.note.high))
        data = low + self.image.astype(np.float32) * ((high - low) / 255)
        grid = Grid(self.labels.shape, self.note.spacing, self.note.unit)
        known = self.labels > 0
        ids = np.where(known, self.labels, 1).astype(np.uint64) - np.uint64(1)
        return Volume(data, grid, name="exemplar"), Annotation(ids, known)


def digest(image: NDArray[np.uint8], labels: NDArray[np.unsignedinteger[Any]]) -> str:
    """Return the sha256 of an exemplar's voxels: by it a damaged one is found out."""
    sha = hashlib.sha256(f"{image.shape} {labels.dtype}".encode())
    for voxels in (image, labels):
        sha.update(np.ascontiguousarray(voxels).tobytes())
    return sha.hexdigest()


def packed(exemplars: Sequence[Exemplar]) -> dict[str, NDArray[np.unsignedinteger[Any]]]:
    """Return the tensors of a file that hold exemplars, by name."""
    tensors: dict[str, NDArray[np.unsignedinteger[Any]]] = {}
    for i, one in enumerate(exemplars):
        image, labels = _names(i)
        tensors[image] = np.ascontiguousarray(one.image)
        tensors[labels] = np.ascontiguousarray(one.labels)
    return tensors


def unpacked(
    notes: Sequence[ExemplarNote], tensors: Mapping[str, NDArray[Any]]
) -> tuple[Exemplar, ...]:
    """Return the exemplars that a file's tensors hold; `check_table` has seen the file before.

    Raises
    ------
    ModelFileError
        When their voxels are not the ones that were saved, or none of them is known.
    """
    found = []
    for i, note in enumerate(notes):
        image, labels = (tensors[name] for name in _names(i))
        if digest(image, labels) != note.digest or not labels.any():
            raise ModelFileError("an exemplar is damaged; get the file again.")
        found.append(Exemplar(note, image, labels))
    return tuple(found)


def check_table(notes: Sequence[ExemplarNote], table: Mapping[str, Any]) -> None:
    """Compare the notes in a header with the file's table of tensors, before a voxel is read.

    Parameters
    ----------
    notes : sequence of ExemplarNote
        Of the header.
    table : mapping
        Name to dtype, shape and offsets of each tensor that may belong to an exemplar.

    Raises
    ------
    ModelFileError
        When they are too many or too large, or do not fit each other.
    """
    wanted = {name for i in range(len(notes)) for name in _names(i)} if len(notes) <= MOST else None
    if wanted is None or wanted != set(table):
        raise ModelFileError(
            f"the header promises {len(notes)} exemplars, {MOST} at most, where the file holds "
            f"{len(table)} tensors of such: get the file again."
        )
    size = 0
    for i, note in enumerate(notes):
        image, labels = (table[name] for name in _names(i))
        shape, inner = tuple(image["shape"]), tuple(labels["shape"])
        fits = shape == (len(note.low), *inner) and len(inner) == len(note.spacing)
        if not fits or image["dtype"] != "U8" or labels["dtype"] not in _DTYPES:
            raise ModelFileError(
                f"exemplar {i} has an image of shape {shape} ({image['dtype']}) and labels of "
                f"shape {inner} ({labels['dtype']}), which do not fit: get the file again."
            )
        voxels = math.prod(inner)
        size += voxels * (shape[0] + np.dtype(_DTYPES[labels["dtype"]]).itemsize)
    if size > MOST_BYTES:
        raise ModelFileError(
            f"the exemplars have {size:,} bytes where {MOST_BYTES:,} are allowed: get the file again."
        )


def _names(number: int) -> tuple[str, str]:
    return f"{PREFIX}{number}.image", f"{PREFIX}{number}.labels"
