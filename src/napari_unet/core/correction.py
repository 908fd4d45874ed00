"""What a model had said of a slice, against what a person made of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.scores import dice, mean

Labels = NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Correction:
    """One slice marked done: the prediction that stood there first, against the labels left.

    Parameters
    ----------
    axis, index : int
        The slice.
    model : str
        Name of the model that had predicted it, without having learned from it.
    sha256 : str
        That model's identity.
    dice : dict of int to float
        Overlap of each class that either side shows; for objects of all objects together, as class 1.
    voxels, changed : int
        Of the slice, and those of them with another label now.
    """

    axis: int
    index: int
    model: str
    sha256: str
    dice: dict[int, float]
    voxels: int
    changed: int

    @property
    def mean_dice(self) -> float | None:
        """Mean over the classes; None where neither side shows any."""
        return mean(self.dice.values())


@dataclass(frozen=True)
class Round:
    """Slices that one model predicted and a person corrected.

    Parameters
    ----------
    model : str
        Its name.
    slices : int
        How many of them show anything.
    mean_dice : float, optional
        Mean over these; None where there are none.
    """

    model: str
    slices: int
    mean_dice: float | None


def compared(
    said: Labels, left: Labels, ids: Iterable[int], *, instances: bool = False
) -> tuple[dict[int, float], int]:
    """Score the prediction of a slice against what a person left of it.

    Parameters
    ----------
    said, left : ndarray of int
        Of one shape.
    ids : iterable of int
        Classes to score, background left out.
    instances : bool
        Whether ids are objects: then only where there are objects counts.

    Returns
    -------
    dict of int to float, int
        Dice of each id that either side shows, and the number of voxels that differ.
    """
    if instances:
        said, left = (said > 0).astype(np.uint8), (left > 0).astype(np.uint8)
    # Most of a slice is background on both sides, and slow to sort.
    shown = (said != 0) | (left != 0)
    scores = dice(said, left, (1,) if instances else ids, shown)
    return scores, int(np.count_nonzero(said != left))


def rounds(corrections: Iterable[Correction]) -> tuple[Round, ...]:
    """Gather corrections by model, in the order in which they were made."""
    found = []
    for _, group in groupby(corrections, key=lambda c: c.sha256):
        every = tuple(group)
        scored = [c.mean_dice for c in every if c.mean_dice is not None]
        found.append(Round(every[0].model, len(scored), mean(scored)))
    return tuple(found)
