"""Which parts of which images taught a model, and which were kept aside: it rides in the model's history.

A slice that taught an ancestor can never measure its descendants, and one that was kept aside must
never teach them. So each training run notes both, by the voxels of the image and not by its name:
that survives a restart, a renamed file and a move to another machine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from napari_unet.core.progress import Box
from napari_unet.core.volume import Volume
from napari_unet.engine.regions import grown, inside, overlap
from napari_unet.errors import ModelFileError

GAP = 1
"""Voxels between what teaches and what measures: for a slice, the slices beside it."""
_SAMPLE = (32, 128, 128)
"""Voxels in the middle of an image that tell it from others."""


@dataclass(frozen=True)
class Page:
    """What one training run took from one image.

    Parameters
    ----------
    image : str
        Of `fingerprint`.
    taught, held : tuple of Box
        Slices and boxes to learn from and kept aside, as start and stop along (z, y, x).
    freed : bool
        Whether nothing was to be held out, so that what had been so far may teach from then on.
    """

    image: str
    taught: tuple[Box, ...] = ()
    held: tuple[Box, ...] = ()
    freed: bool = False


_PAGES = TypeAdapter(tuple[Page, ...])


@dataclass(frozen=True)
class Ledger:
    """All pages of a model's descent, oldest first."""

    pages: tuple[Page, ...] = ()

    @classmethod
    def of(cls, history: Iterable[dict[str, Any]]) -> Ledger:
        """Read what the history of a model says.

        Raises
        ------
        ModelFileError
            When it can't be understood.
        """
        try:
            pages = [p for entry in history for p in _PAGES.validate_python(entry.get("split", ()))]
        except ValidationError as error:
            raise ModelFileError(
                "The model's history does not say in a known form which slices it learned from "
                f"({error.errors()[0]['msg']}): get the file again."
            ) from None
        return cls(tuple(pages))

    def entry(self) -> list[dict[str, Any]]:
        """Return what a model's history holds of it."""
        return [asdict(page) for page in self.pages]

    def of_image(self, image: str) -> tuple[Page, ...]:
        """Return the pages of one image."""
        return tuple(self._by_image.get(image, ()))

    def taught(self, image: str) -> tuple[Box, ...]:
        """Return the parts of an image that have taught."""
        return tuple(box for page in self.of_image(image) for box in page.taught)

    def held(self, image: str) -> tuple[Box, ...]:
        """Return the parts of an image that are kept aside."""
        boxes: tuple[Box, ...] = ()
        for page in self.of_image(image):
            boxes = page.held if page.freed else (*boxes, *page.held)
        return boxes

    def joined(self, more: Ledger) -> Ledger:
        """Return a ledger with the pages of another one at its end."""
        return Ledger((*self.pages, *more.pages))

    @cached_property
    def _by_image(self) -> dict[str, list[Page]]:
        found: dict[str, list[Page]] = {}
        for page in self.pages:
            found.setdefault(page.image, []).append(page)
        return found


def divided(
    pages: Sequence[Page], known: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Divide what is known of an image into what may teach and what measures.

    No voxel that measures lies within the gap of one that taught by then, and none that may teach
    lies within the gap of one that measures. Later pages change nothing about earlier ones, so that
    what measures stays the same to the voxel.

    Parameters
    ----------
    pages : sequence of Page
        Of the image, oldest first.
    known : ndarray of bool
        Three axes.

    Returns
    -------
    may_teach, measures : ndarray of bool
        Of the same shape.
    """
    may_teach, measures = known.copy(), np.zeros_like(known)
    closed: list[Box] = []
    for page in pages:
        if page.freed:
            may_teach, measures = known.copy(), np.zeros_like(known)
        closed += [grown(box, GAP) for box in page.taught]
        for box in page.held:
            part = known[inside(box)].copy()
            for other in closed:
                part[overlap(other, box)] = False
            measures[inside(box)] |= part
            may_teach[inside(grown(box, GAP))] = False
    return may_teach, measures


def fingerprint(volume: Volume) -> str:
    """Return what tells an image from others: a hash of its shape and of the voxels in its middle."""
    shape = (1,) * (3 - volume.grid.ndim) + tuple(volume.grid.shape)
    data = volume.data if volume.grid.ndim == 3 else volume.data[:, None]
    lengths = [min(n, most) for n, most in zip(shape, _SAMPLE, strict=True)]
    starts = [(n - k) // 2 for n, k in zip(shape, lengths, strict=True)]
    place = tuple(slice(a, a + k) for a, k in zip(starts, lengths, strict=True))
    voxels = np.ascontiguousarray(np.asarray(data[(slice(None), *place)]), dtype=np.float32)
    return hashlib.sha256(repr(shape).encode() + voxels.tobytes()).hexdigest()[:16]


def joined(boxes: Iterable[Box]) -> tuple[Box, ...]:
    """Write neighbouring slices as one box: a model's header has no room for a thousand of them."""
    out: list[Box] = []
    for start, stop in sorted(boxes):
        if out and _continues(out[-1], (start, stop)):
            out[-1] = (out[-1][0], stop)
        else:
            out.append((start, stop))
    return tuple(out)


def _continues(one: Box, other: Box) -> bool:
    """Tell whether a box begins where another ends, with the same cross-section."""
    same = [a == c and b == d for a, b, c, d in zip(*one, *other, strict=True)]
    if sum(same) != 2:
        return False
    axis = same.index(False)
    return one[1][axis] == other[0][axis]
