"""What is kept aside to measure a model on: whole images, or whole slices with a gap around them.

Patches of neighbouring slices look alike, so a slice beside a training slice measures memory, not
skill. Nothing held out touches anything trained on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.annotation import Annotation
from napari_unet.engine.cases import Case

_ENOUGH_IMAGES = 5
"""Fully annotated images from which whole ones are held out."""
_FEWEST_SLICES = 3
"""Annotated slices from which one can be spared."""


def slicing_axis(annotation: Annotation) -> int:
    """Return the axis along which a person annotated slices: the one with fewest slices touched."""
    if annotation.known.ndim == 2:
        return 0
    shares = [float(_touched(annotation, axis).mean()) for axis in range(3)]
    return int(np.argmin(shares))


def _touched(annotation: Annotation, axis: int) -> NDArray[np.bool_]:
    """Which slices along an axis hold a known voxel."""
    others = tuple(i for i in range(3) if i != axis)
    return np.asarray(_stack(annotation.known).any(axis=others))


def _stack(array: NDArray[Any]) -> NDArray[Any]:
    """View an array with three axes; a plane is a stack of one slice."""
    return array if array.ndim == 3 else array[None]


def hold_out(cases: Sequence[Case], share: float, seed: int) -> tuple[list[Case], list[Case]]:
    """Split cases into those to learn from and those to measure on.

    Parameters
    ----------
    cases : sequence of (Volume, Annotation)
        All that is annotated.
    share : float
        Part to keep aside, rounded down but never to nothing; 0 keeps nothing.
    seed : int
        Decides among equals.

    Returns
    -------
    train, held : list of (Volume, Annotation)
        `held` is empty when there is too little to spare any.
    """
    if share <= 0:
        return list(cases), []
    rng = np.random.default_rng(seed)
    whole = all(a.known.ndim == 2 or a.known.all() for _, a in cases)
    if whole and len(cases) >= _ENOUGH_IMAGES:
        count = max(1, int(share * len(cases)))
        chosen = set(rng.permutation(len(cases))[:count].tolist())
        train = [c for i, c in enumerate(cases) if i not in chosen]
        return train, [c for i, c in enumerate(cases) if i in chosen]
    return _hold_out_slices(cases, share, rng)


def _hold_out_slices(
    cases: Sequence[Case], share: float, rng: np.random.Generator
) -> tuple[list[Case], list[Case]]:
    axes = [slicing_axis(a) for _, a in cases]
    slices = {
        (i, int(z)): _classes(a, axes[i], int(z))
        for i, (_, a) in enumerate(cases)
        for z in np.flatnonzero(_touched(a, axes[i]))
    }
    if len(slices) < _FEWEST_SLICES:
        return list(cases), []
    held: set[tuple[int, int]] = set()
    spent: set[tuple[int, int]] = set()  # held out, or beside one that is
    drawn: Counter[int] = Counter()
    luck = dict(zip(slices, rng.permutation(len(slices)).tolist(), strict=True))

    def price(place: tuple[int, int]) -> tuple[int, int, int, int]:
        """Classes it lacks, training slices it costs, how often its image was drawn on, luck."""
        lost = sum(n in slices and n not in spent for n in _beside(place))
        return -slices[place], lost - (place in spent), drawn[place[0]], luck[place]

    while len(held) < max(1, int(share * len(slices))):
        best = min(slices.keys() - held, key=price)
        around = {best, *_beside(best)} & slices.keys()
        if not slices.keys() - spent - around:
            break
        held.add(best)
        spent |= around
        drawn[best[0]] += 1
    train = [_only(c, axes[i], i, slices.keys() - spent) for i, c in enumerate(cases)]
    kept = [_only(c, axes[i], i, held) for i, c in enumerate(cases)]
    return [c for c in train if c is not None], [c for c in kept if c is not None]


def _beside(place: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
    return (place[0], place[1] - 1), (place[0], place[1] + 1)


def _classes(annotation: Annotation, axis: int, index: int) -> int:
    """How many foreground classes a slice shows."""
    place = (slice(None),) * axis + (index,)
    labels = _stack(annotation.labels)[place][_stack(annotation.known)[place]]
    return len(set(np.unique(labels).tolist()) - {0})


def _only(case: Case, axis: int, number: int, slices: set[tuple[int, int]]) -> Case | None:
    """Return a case known on some of its slices only, or None when nothing is left."""
    volume, annotation = case
    known = np.zeros_like(annotation.known)
    for i, z in slices:
        if i == number:
            place = (slice(None),) * axis + (z,)
            _stack(known)[place] = _stack(annotation.known)[place]
    return (volume, replace(annotation, known=known)) if known.any() else None
