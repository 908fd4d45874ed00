"""Slices of an image: what a person and a model say of them, and what they are to that model."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.classes import LabelClass
from napari_unet.core.correction import compared
from napari_unet.core.volume import Volume
from napari_unet.engine.ledger import Ledger, divided, fingerprint
from napari_unet.engine.regions import inside

Ids = NDArray[np.integer[Any]]

MOST = 6
"""Slices shown."""


class Ground(StrEnum):
    """What a slice has been to the model."""

    HELD_OUT = "held out: it never taught this model"
    TAUGHT = "taught this model: no test of it"
    NEITHER = "neither taught nor held out, as far as the model's file tells"


@dataclass(frozen=True, eq=False)
class Example:
    """An image, and what is said of it.

    Parameters
    ----------
    volume : Volume
        The image; of its channels the first one that the model reads is shown.
    classes : tuple of LabelClass
        Meaning of the ids, and their colours.
    labels, prediction : ndarray of int, optional
        A person's and the model's ids, shape of the grid.
    done : tuple of (axis, index), optional
        Slices that are labelled in full; all of the first axis when not given. A plane is (0, 0).
    instances : bool
        Whether ids are objects.
    """

    volume: Volume
    classes: tuple[LabelClass, ...]
    labels: Ids | None = None
    prediction: Ids | None = None
    done: tuple[tuple[int, int], ...] | None = None
    instances: bool = False


@dataclass(frozen=True, eq=False)
class Plane:
    """One slice of an example.

    Parameters
    ----------
    axis, index : int
        Where it lies.
    grey : ndarray
        Intensities, shape (rows, columns).
    labels, prediction : ndarray of int, optional
        Same shape.
    spacing : tuple of float
        Size of a pixel (row, column).
    ground : Ground
        What it has been to the model.
    dice : dict of int to float
        Overlap of labels and prediction; empty where either is missing.
    """

    axis: int
    index: int
    grey: NDArray[Any]
    labels: Ids | None
    prediction: Ids | None
    spacing: tuple[float, float]
    ground: Ground
    dice: dict[int, float]


def planes(example: Example, ledger: Ledger, most: int = MOST, *, channel: int = 0) -> list[Plane]:
    """Choose the slices to show: held-out ones first, then others that show something, evenly spaced.

    Of the image's channels one is shown.
    """
    grounds = _grounds(example, ledger)
    held = [s for s, ground in grounds.items() if ground is Ground.HELD_OUT]
    others = [s for s in grounds if s not in held]
    chosen = _spread(_showing(example, held) or held, most)
    chosen += _spread(_showing(example, others), most - len(chosen))
    return [_plane(example, which, grounds[which], channel) for which in sorted(chosen)]


def agreement(example: Example, ledger: Ledger) -> dict[Ground, tuple[dict[int, float], int, int]]:
    """Score the prediction against the labels on all slices of one ground taken together.

    Returns
    -------
    dict
        Dice of each class, number of slices and of voxels, for each ground that there is; empty
        where labels or prediction are missing.
    """
    if example.labels is None or example.prediction is None:
        return {}
    found = {}
    grounds = _grounds(example, ledger)
    for ground in Ground:
        slices = [which for which, its in grounds.items() if its is ground]
        if slices:
            known = np.zeros(example.labels.shape, bool)
            for which in slices:
                known[_place(known.ndim, which)] = True
            said, left = example.prediction[known], example.labels[known]
            scores, _ = compared(said, left, _ids(example), instances=example.instances)
            found[ground] = (scores, len(slices), int(known.sum()))
    return found


def _grounds(example: Example, ledger: Ledger) -> dict[tuple[int, int], Ground]:
    shape = example.volume.grid.shape
    done = example.done if example.done is not None else _all(shape)
    image = fingerprint(example.volume)
    deep = (1,) * (3 - len(shape)) + tuple(shape)
    _, measures = divided(ledger.of_image(image), np.ones(deep, bool))
    taught = np.zeros(deep, bool)
    for box in ledger.taught(image):
        taught[inside(box)] = True
    found = {}
    for axis, index in sorted(done):
        place = _place(3, (axis, index))
        ground = Ground.TAUGHT if taught[place].any() else Ground.NEITHER
        found[axis, index] = Ground.HELD_OUT if measures[place].mean() > 0.5 else ground
    return found


def _showing(example: Example, slices: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return those slices in which there is any label, or all where there are none at all."""
    every = list(slices)
    arrays = [a for a in (example.labels, example.prediction) if a is not None]
    shown = [s for s in every if any(a[_place(a.ndim, s)].any() for a in arrays)]
    return shown or every


def _spread(slices: list[tuple[int, int]], most: int) -> list[tuple[int, int]]:
    """Choose some of them evenly, the middle one where it is one."""
    count = min(len(slices), max(most, 0))
    return [slices[int((i + 0.5) * len(slices) / count)] for i in range(count)]


def _plane(example: Example, which: tuple[int, int], ground: Ground, channel: int) -> Plane:
    grid = example.volume.grid
    place = _place(grid.ndim, which)
    labels, prediction = (
        None if a is None else np.asarray(a[place]) for a in (example.labels, example.prediction)
    )
    scores: dict[int, float] = {}
    if labels is not None and prediction is not None:
        scores, _ = compared(prediction, labels, _ids(example), instances=example.instances)
    sides = [s for i, s in enumerate(grid.spacing) if grid.ndim == 2 or i != which[0]]
    grey = np.asarray(example.volume.data[channel][place], dtype=np.float32)
    return Plane(*which, grey, labels, prediction, (sides[0], sides[1]), ground, scores)


def _ids(example: Example) -> list[int]:
    return [c.id for c in example.classes if c.id]


def _place(ndim: int, which: tuple[int, int]) -> tuple[slice | int, ...]:
    """Return the index of a slice in an array; the whole of one with two axes."""
    return (slice(None),) * which[0] + (which[1],) if ndim == 3 else ()


def _all(shape: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    return tuple((0, i) for i in range(shape[0])) if len(shape) == 3 else ((0, 0),)
