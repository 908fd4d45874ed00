"""What is kept aside to measure a model on: whole images, slices or boxes, with a gap around them.

Patches of neighbouring slices look alike, so a slice beside a training slice measures memory, not
skill. What was kept aside once stays so for all descendants of a model: successive models are
compared on the same voxels, and newly annotated slices join at a fixed ratio, as in RootPainter
(Smith et al. 2022).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.annotation import Annotation
from napari_unet.core.progress import Box
from napari_unet.engine.cases import Case
from napari_unet.engine.draw import Draw, Unit
from napari_unet.engine.ledger import GAP, Ledger, Page, divided, fingerprint, joined
from napari_unet.engine.regions import (
    grown,
    inside,
    regions,
    shared,
    size,
    slicing_axis,
    stack,
    touched,
    usual_axis,
)

SHARE_SCRATCH, SHARE_TUNE = 1 / 15, 1 / 6
"""Part kept aside by default, rounded up. A model from scratch needs every slice (one of 15 cost it .019
Dice, see benchmarks/RESULTS.md), so it gives none for a measurement that could tell nothing; where
there is a base, the two must be told apart: one slice for five."""
_ENOUGH_IMAGES = 5
"""Fully annotated images from which whole ones are held out."""
_FEWEST = 3
"""Annotated slices from which one can be spared."""
_LOST = 0.5
"""Part of a slice within the gap of another from which the other costs it."""


class Split(NamedTuple):
    """Cases to learn from and to measure on, and what the model's history is to say about it."""

    train: list[Case]
    held: list[Case]
    record: Ledger


def hold_out(
    cases: Sequence[Case],
    share: float,
    seed: int,
    past: Ledger | None = None,
    *,
    instances: bool = False,
    least: int = 1,
) -> Split:
    """Split cases into those to learn from and those to measure on.

    Parameters
    ----------
    cases : sequence of (Volume, Annotation)
        All that is annotated.
    share : float
        Part to keep aside, rounded up; 0 keeps nothing, and gives back what was kept so far.
    seed : int
        Decides among equals.
    past : Ledger, optional
        Of the base: what it held out stays held out, and nothing that taught it is.
    instances : bool
        Whether label values are objects, all of one class.
    least : int
        Slices that are worth keeping aside; if the share is fewer, none is.

    Returns
    -------
    Split
        `held` is empty when there is too little to spare any.
    """
    past = past or Ledger()
    images = [fingerprint(volume) for volume, _ in cases]
    if share <= 0:
        past = past.joined(Ledger(tuple(Page(i, freed=True) for i in dict.fromkeys(images))))
    units = _units(cases, images, instances)
    chosen = _chosen(units, share, seed, past)
    if sum(units[i].slices for i in chosen) < least:
        chosen = set()
    record = _record(units, chosen, past)
    if share <= 0:
        record = Ledger(tuple(replace(page, freed=True) for page in record.pages))
    whole = past.joined(record)
    train, held = [], []
    for image, case in zip(images, cases, strict=True):
        may_teach, measures = divided(whole.of_image(image), stack(case[1].known))
        train += _only(case, may_teach)
        held += _only(case, measures)
    return Split(train, held, record)


def spared(cases: Sequence[Case], ledger: Ledger) -> list[Case]:
    """Return cases less what measures: for those that are shown beside the training cases."""
    kept = []
    for case in cases:
        may_teach, _ = divided(ledger.of_image(fingerprint(case[0])), stack(case[1].known))
        kept += _only(case, may_teach)
    return kept


def replayed(cases: Sequence[Case], ledger: Ledger) -> Split:
    """Split cases that are shown beside the training cases: what measures is left out, the rest teaches.

    Parameters
    ----------
    cases : sequence of (Volume, Annotation)
        What is shown.
    ledger : Ledger
        Of the model and all its ancestors, with what is held out by now.

    Returns
    -------
    Split
        `held` is empty; what teaches is on record, so that it will never measure.
    """
    images = [fingerprint(volume) for volume, _ in cases]
    units = _units(cases, images, instances=False)
    return Split(spared(cases, ledger), [], _record(units, set(), ledger))


def held_slices(case: Case, ledger: Ledger) -> dict[int, tuple[int, ...]]:
    """Return which slices of a case measure, for a person to see.

    Parameters
    ----------
    case : (Volume, Annotation)
        An image and what is known of it.
    ledger : Ledger
        Of a model and all its ancestors.

    Returns
    -------
    dict of int to tuple of int
        Axis to the slices along it. Of a box and of a whole image those count that it reaches along
        the axis that was annotated.
    """
    volume, annotation = case
    image, known = fingerprint(volume), stack(annotation.known)
    _, measures = divided(ledger.of_image(image), known)
    found: dict[int, set[int]] = {}
    for box in ledger.held(image):
        cut = [k for k in range(3) if (box[0][k], box[1][k]) != (0, known.shape[k])]
        axis = cut[0] if len(cut) == 1 else slicing_axis(annotation, usual_axis(volume.grid))
        slices = np.flatnonzero(touched(measures[inside(box)], axis)) + box[0][axis]
        found.setdefault(axis, set()).update(slices.tolist())
    return {axis: tuple(sorted(slices)) for axis, slices in found.items() if slices}


def _only(case: Case, known: NDArray[np.bool_]) -> list[Case]:
    """Return a case of which only a part is known, or nothing when that part is empty."""
    volume, annotation = case
    known = known.reshape(annotation.known.shape)
    return [(volume, replace(annotation, known=known))] if known.any() else []


def _units(cases: Sequence[Case], images: Sequence[str], instances: bool) -> list[Unit]:
    """List what can be held out: whole images where enough are known in full, else their regions."""
    whole = len(set(images)) >= _ENOUGH_IMAGES and all(
        a.known.ndim == 2 or a.known.all() for _, a in cases
    )
    units = []
    for image, (volume, annotation) in zip(images, cases, strict=True):
        shape = stack(annotation.known).shape
        axis = usual_axis(volume.grid)
        boxes = [((0, 0, 0), shape)] if whole else regions(annotation, axis)
        for box in boxes:
            shown = _classes(annotation, box)
            count = len(regions(annotation, axis)) if whole else 1
            units.append(Unit(image, box, frozenset({1} if shown and instances else shown), count))
    return units


def _classes(annotation: Annotation, box: Box) -> frozenset[int]:
    """Return the foreground classes that a part of an image shows."""
    labels = stack(annotation.labels)[inside(box)][stack(annotation.known)[inside(box)]]
    return frozenset(np.unique(labels).tolist()) - {0}


def _chosen(units: list[Unit], share: float, seed: int, past: Ledger) -> set[int]:
    """Choose the units that are kept aside from now on.

    First those that show a class which nothing kept aside shows, then those that cost the fewest
    others, and of each image as many as of the next. A class is never taken from training altogether.
    """
    wanted = math.ceil(share * len(units) - 1e-9)
    near = _neighbours(units)
    if share <= 0 or len(units) < _FEWEST:
        return set()
    before = {i for i, u in enumerate(units) if _meets(u, past.held(u.image))}
    barred = {i for i, u in enumerate(units) if _meets(u, past.taught(u.image), GAP)}
    luck = np.random.default_rng(seed).permutation(len(units)).tolist()
    draw = Draw(units, near, luck, before, barred)
    teachers: Counter[int] = Counter()  # how many units that may teach show each class
    for i in set(range(len(units))) - draw.spent:
        teachers.update(units[i].classes)
    while len(draw.held) < wanted and (best := draw.next()) is not None:
        taken = draw.taken(best)
        lost = Counter(c for i in taken for c in units[i].classes)
        all_spent = len(draw.spent) + len(taken) == len(units)
        if not all_spent and all(teachers[c] != n for c, n in lost.items()):
            draw.keep(best)
            teachers -= lost
    return draw.held - before


def _by_image(units: Sequence[Unit]) -> dict[str, list[int]]:
    """Return the places of each image's units, images and units in their order."""
    found: dict[str, list[int]] = {}
    for i, unit in enumerate(units):
        found.setdefault(unit.image, []).append(i)
    return found


def _neighbours(units: list[Unit]) -> list[set[int]]:
    """List the units of the same image that each one costs when it is held out."""
    near: list[set[int]] = [set() for _ in units]
    for mine in _by_image(units).values():
        starts, stops = (np.array([units[i].box[k] for i in mine]) for k in (0, 1))
        for place, i in enumerate(mine):
            lower = np.maximum(starts, starts[place] - GAP)
            upper = np.minimum(stops, stops[place] + GAP)
            common = np.prod(np.clip(upper - lower, 0, None), axis=1)
            lost = common > _LOST * np.prod(stops - starts, axis=1)
            near[i] = {mine[j] for j in np.flatnonzero(lost)} - {i}
    return near


def _meets(unit: Unit, boxes: Sequence[Box], rim: int = 0) -> bool:
    """Tell whether the better part of a unit lies in one of some boxes."""
    return any(shared(unit.box, grown(b, rim)) > _LOST * size(unit.box) for b in boxes)


def _record(units: list[Unit], chosen: set[int], past: Ledger) -> Ledger:
    """Write down what is new: of each image the units that are held out and those that teach."""
    pages = []
    for image, mine in _by_image(units).items():
        aside = [units[i].box for i in mine if i in chosen]
        rest = [units[i].box for i in mine if i not in chosen]
        rims = [grown(box, GAP) for box in (*aside, *past.held(image))]
        # What lies in a gap teaches nothing, and what taught before need not be said again.
        closed = [*rims, *past.taught(image)]
        teach = [box for box in rest if not any(shared(box, c) == size(box) for c in closed)]
        if aside or teach:
            pages.append(Page(image, joined(teach), joined(aside)))
    return Ledger(tuple(pages))
