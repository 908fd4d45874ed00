"""Exemplars in a model: chosen when it learns, rehearsed and measured when something learns from it.

A network that is fine-tuned forgets what it is not shown; a few of the old patches among the new ones
keep it from that, better than any restraint of the weights (iCaRL, Rebuffi et al. 2017; tiny episodic
memories, Chaudhry et al. 2019). Of those that a base carries every third is not rehearsed: on it the
old task is measured, before and after.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, zip_longest
from typing import Any

import numpy as np

from napari_unet.core.annotation import Annotation
from napari_unet.core.exemplar import Exemplar, digest
from napari_unet.core.grid import Grid
from napari_unet.core.orientation import turn
from napari_unet.core.progress import Box
from napari_unet.core.spec import ModelSpec, Normalisation
from napari_unet.engine.cases import Case
from napari_unet.engine.view import View

MOST, ROOM = 16, 1_900_000
"""Exemplars that a model carries at most, and their bytes."""
_FEWEST = 4
"""Exemplars that should fit: where a patch is too large for that, a part of it is taken."""
_KEPT_ASIDE = 3
"""One of so many measures, the others are rehearsed."""


@dataclass(frozen=True)
class Recall:
    """How well the task of a base is still done.

    Parameters
    ----------
    before, after : float, optional
        Mean Dice of the base, and of the model that was made from it; None where it was not measured.
    patches : int
        Exemplars of the base that it was measured on; the base has learned from them, the new model
        has not.
    rehearsed : int
        Other exemplars of the base that the new model has learned from.
    """

    before: float | None
    after: float | None
    patches: int
    rehearsed: int


def as_seen(spec: ModelSpec) -> ModelSpec:
    """Return the spec by which a network sees exemplars: their intensities are scaled already."""
    return replace(spec, normalisation=Normalisation("none"), crop=False)


def chosen(
    cases: Sequence[Case], spec: ModelSpec, seed: int, source: str = "", licence: str = ""
) -> tuple[Exemplar, ...]:
    """Cut exemplars out of what a model has learned from, each class as often as any.

    Parameters
    ----------
    cases : sequence of (Volume, Annotation)
        What taught it; nothing that measures.
    spec : ModelSpec
        Of the model; an exemplar is as large as its tile.
    seed : int
        Decides among equals.
    source, licence : str
        Where the images are from and under which terms they may travel, as far as known.
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(cases)).tolist()
    views = {i: View(cases[i][0], spec) for i in order[:MOST]}
    classes = {i: _classes(cases[i][1], spec) for i in views}
    found: list[Exemplar] = []
    taken: set[tuple[int, Box]] = set()
    centred: Counter[int] = Counter()
    for index in list(views) * (2 * MOST // len(views)):
        wanted = min(classes[index], key=lambda i: (centred[i], -i))
        box, sharp = _place(cases[index][1], views[index], spec, wanted, rng)
        if (index, box) in taken:
            continue
        taken.add((index, box))
        one = _cut(cases[index], views[index], spec, box, sharp)
        if one is None:
            continue
        if len(found) == MOST or sum(e.nbytes for e in (*found, one)) > ROOM:
            break
        centred[wanted] += 1
        found.append(one)
    return tuple(replace(e, note=replace(e.note, source=source, licence=licence)) for e in found)


def joined(old: Sequence[Exemplar], new: Sequence[Exemplar]) -> tuple[Exemplar, ...]:
    """Return exemplars of both, in turn, as many as a model carries."""
    kept: list[Exemplar] = []
    for one in chain.from_iterable(zip_longest(new, old)):
        room = ROOM - sum(e.nbytes for e in kept)
        if one is not None and len(kept) < MOST and one.nbytes <= room:
            kept.append(one)
    return tuple(kept)


def handed_on(
    exemplars: Sequence[Exemplar], base: ModelSpec, spec: ModelSpec, merged: Mapping[int, int]
) -> tuple[Exemplar, ...]:
    """Return those that make sense to a model of another spec than its base's.

    Classes are merged as it has them. Where it learns at another spacing than its base, they are given
    that, too: as the network saw them they stay, voxel for voxel, and are not blown up. Where it reads other
    channels, none does: as many may be of other stains.
    """
    if base.channels != spec.channels:
        return ()
    return tuple(_respaced(_merged(e, merged), base, spec) for e in exemplars if _fits(e, spec))


def rehearsed(exemplars: Sequence[Exemplar], spec: ModelSpec) -> list[Case]:
    """Return what a model of this spec may learn from exemplars, to be seen through `as_seen`.

    What whoever drew them took for background may be of a class that is new since: it is not known.
    """
    part = [e for i, e in enumerate(exemplars) if i % _KEPT_ASIDE != 1]
    return [c for e in part if (c := _asked(e, spec, doubt_background=True)) is not None]


def kept_aside(exemplars: Sequence[Exemplar], spec: ModelSpec) -> list[Case]:
    """Return what the old task is measured on, to be seen through `as_seen`."""
    part = [e for i, e in enumerate(exemplars) if i % _KEPT_ASIDE == 1]
    return [c for e in part if (c := _asked(e, spec, doubt_background=False)) is not None]


def told(exemplars: Sequence[Exemplar], spec: ModelSpec) -> set[int]:
    """Return the classes of a spec that whoever drew the exemplars told apart."""
    ids = {c.id for c in spec.classes}
    if spec.target == "instances":
        return ids
    return ids & {i for e in exemplars for i in e.note.classes}


def _solid(spec: ModelSpec) -> bool:
    """Tell whether a network sees whole blocks, and not slices of one orientation."""
    return spec.dims == 3 or spec.block is not None


def _fits(exemplar: Exemplar, spec: ModelSpec) -> bool:
    """Tell whether a spec has the exemplar's target, and can see it at all."""
    of_classes = spec.target == "classes"
    flat = exemplar.labels.ndim == 2
    return bool(exemplar.note.classes) == of_classes and not (flat and _solid(spec))


def _respaced(exemplar: Exemplar, base: ModelSpec, spec: ModelSpec) -> Exemplar:
    if base.spacing is None or spec.spacing is None or base.spacing == spec.spacing:
        return exemplar
    ratios = [new / old for new, old in zip(spec.spacing, base.spacing, strict=True)]
    if exemplar.labels.ndim == 2:
        del ratios[spec.axis]
    own = exemplar.note.spacing
    spacing = tuple(s * ratio for s, ratio in zip(own, ratios, strict=True))
    return replace(exemplar, note=replace(exemplar.note, spacing=spacing))


def _merged(exemplar: Exemplar, merged: Mapping[int, int]) -> Exemplar:
    """Return an exemplar whose labels are of the classes that others were merged into."""
    if not set(merged) & set(exemplar.note.classes):
        return exemplar
    shifted = exemplar.labels.astype(np.uint64)
    labels = shifted.copy()
    for one, into in merged.items():
        labels[shifted == one + 1] = into + 1
    small = labels.astype(np.min_scalar_type(int(labels.max())))
    classes = tuple(sorted({merged.get(i, i) for i in exemplar.note.classes}))
    note = replace(exemplar.note, classes=classes, digest=digest(exemplar.image, small))
    return Exemplar(note, exemplar.image, small)


def _asked(exemplar: Exemplar, spec: ModelSpec, *, doubt_background: bool) -> Case | None:
    """Return an exemplar with what of its labels means something to a spec; None if nothing does."""
    volume, annotation = exemplar.case()
    known = annotation.known
    if spec.target == "classes":
        ids = {c.id for c in spec.classes}
        known = known & np.isin(annotation.labels, np.array([*ids], annotation.labels.dtype))
        if doubt_background and not ids <= set(exemplar.note.classes):
            known &= annotation.labels != 0
    return (volume, replace(annotation, known=known)) if known.any() else None


def _classes(annotation: Annotation, spec: ModelSpec) -> list[int]:
    """List the classes that are known somewhere in an image; all objects are of class 1."""
    ids = annotation.counts()
    return sorted({int(i > 0) for i in ids} if spec.target == "instances" else ids)


def _place(
    annotation: Annotation, view: View, spec: ModelSpec, wanted: int, rng: np.random.Generator
) -> tuple[Box, Box]:
    """Choose a voxel of a class; return the box around it that is cut, and what of it is to teach."""
    labels = annotation.labels > 0 if spec.target == "instances" else annotation.labels
    places = np.flatnonzero(annotation.known & (labels == wanted))
    voxel = np.unravel_index(int(rng.choice(places)), annotation.known.shape)
    corner = tuple(int(v) for v in voxel)
    middle, _ = view.from_grid((corner, tuple(v + 1 for v in corner)))
    size = _size(view, spec)
    start, stop = [], []
    for v, wide, n in zip(middle, size, view.image_shape, strict=True):
        first = min(max(v - wide // 2, 0), max(n - wide, 0))
        start.append(first)
        stop.append(min(first + wide, n))
    box = view.in_grid(_three(start), _three(stop))
    if _solid(spec) or view.flat:
        return box, box
    # Of a stack only the slice in the middle was seen with its neighbours on both sides.
    sharp = min(max(middle[0], 0), view.image_shape[0] - 1)
    one = _three([sharp, *start[1:]]), _three([sharp + 1, *stop[1:]])
    return box, view.in_grid(*one)


def _size(view: View, spec: ModelSpec) -> list[int]:
    """Return the voxels of the image that a tile covers, or a part of it that is not too much."""
    tile = spec.tile if spec.dims == 3 else spec.block or (2 * spec.context + 1, *spec.tile)
    shapes = zip(tile, view.image_shape, view.shape, strict=True)
    size = [min(n, math.ceil(t * n / m)) for t, n, m in shapes]
    most = ROOM / _FEWEST / (len(spec.channels) + 1)
    if (much := math.prod(size) / most) <= 1:
        return size
    free = [i for i in range(3) if _solid(spec) or i > 0]
    return [
        max(1, int(n / much ** (1 / len(free)))) if i in free else n for i, n in enumerate(size)
    ]


def _three(lengths: Sequence[int]) -> tuple[int, int, int]:
    a, b, c = lengths
    return a, b, c


def _cut(case: Case, view: View, spec: ModelSpec, box: Box, sharp: Box) -> Exemplar | None:
    """Cut a box out of an image, scaled as the whole of it is; a single slice becomes a plane.

    None where the voxel that was chosen lies outside what the model sees, and nothing is known here.
    """
    volume, annotation = case
    place = tuple(slice(a, b) for a, b in zip(*box, strict=True))
    pixels: Any = [np.asarray(volume.data[(i, *place)]) for i in view.channels]
    image = np.stack([s.apply(c) for s, c in zip(view.intensities, pixels, strict=True)])
    known = np.zeros(annotation.known.shape, np.bool_)
    inner = tuple(slice(a, b) for a, b in zip(*sharp, strict=True))
    known[inner] = annotation.known[inner]
    labels, known = annotation.labels[place], known[place]
    if not known.any():
        return None
    spacing = volume.grid.spacing
    if volume.grid.ndim == 3:  # it has no place in a world, so it must lie as the model sees it
        way = turn(volume.grid, spec.orientation)
        image, labels, known = (way.of(v) for v in (image, labels, known))
        spacing = way.order(spacing)
    if not _solid(spec) and not spec.context and known.ndim == 3:
        image, labels, known = (
            np.squeeze(v, view.axis + v.ndim - 3) for v in (image, labels, known)
        )
        spacing = tuple(s for i, s in enumerate(spacing) if i != view.axis)
    classes = tuple(c.id for c in spec.classes) if spec.target == "classes" else ()
    grid = Grid(known.shape, spacing, volume.grid.unit)
    return Exemplar.of(image, Annotation(labels, known), grid, classes)
