"""Other classes for a model that exists: added, renamed, merged or removed, keeping what the others learned.

Only the last layer knows of classes: it has one row of weights for each. A class that stays keeps its
row to the bit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from napari_unet.core.classes import LabelClass
from napari_unet.core.spec import ModelSpec
from napari_unet.engine.exemplars import handed_on
from napari_unet.engine.model import Model
from napari_unet.errors import ModelFileError, SpecError

NEWCOMER = 3.0
"""By how much a new class's logit starts below background's, whose voxels it takes: rare, as it most
likely is. Started level with background, it first has to learn all that it is not; see
benchmarks/RESULTS.md."""

NO_MERGE: Mapping[int, int] = {}
_MERGES = TypeAdapter(dict[int, int])


def reclassed(
    model: Model, classes: tuple[LabelClass, ...], merged: Mapping[int, int] = NO_MERGE
) -> Model:
    """Give a model other classes without teaching it anything.

    Parameters
    ----------
    model : Model
        What it is made from.
    classes : tuple of LabelClass
        The new ones, background first. An id that the model has keeps what was learned, whatever
        its name; one that it has not is new, and never wins before it was taught.
    merged : mapping of int to int
        Ids that go into others; both kinds of voxels are found as the other then. An id that is
        neither in `classes` nor merged is removed.

    Raises
    ------
    SpecError
        When the model is of objects and the ids differ, or a merge makes no sense.
    """
    same = [c.id for c in classes] == [c.id for c in model.spec.classes]
    if model.spec.target == "instances" and not same:
        raise SpecError("A model of objects knows one class, which can only be renamed.")
    check_merges(model.spec, classes, merged)
    spec = replace(model.spec, classes=classes)
    weights = {
        name: rows(array, model.spec, spec, merged) if name.startswith("head") else array
        for name, array in model.weights.items()
    }
    entry = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "classes": ", ".join(f"{c.id} {c.name}" for c in classes),
        **merges_entry(merged),
    }
    return replace(
        model,
        spec=spec,
        weights=weights,
        parent=model.sha256,
        history=(*model.history, entry),
        exemplars=handed_on(model.exemplars, model.spec, spec, merged),
    )


def merges_entry(merged: Mapping[int, int]) -> dict[str, Any]:
    """Return what a model's history holds of merges."""
    return {"merged": {str(a): b for a, b in merged.items()}}


def merged_before(base: Model, classes: Sequence[LabelClass] = ()) -> dict[int, int]:
    """Return the ids that classes had before they became part of a model's: labels may hold them still.

    An id that is a class again, of the model's or of `classes`, means itself.

    Raises
    ------
    ModelFileError
        When the model's history can't be understood.
    """
    found: dict[int, int] = {}
    for entry in base.history if base.spec.target == "classes" else ():
        try:
            merges = _MERGES.validate_python(entry.get("merged", {}))
        except ValidationError as error:
            raise ModelFileError(
                "The model's history does not say in a known form which classes were merged "
                f"({error.errors()[0]['msg']}): get the file again."
            ) from None
        found = {a: merges.get(b, b) for a, b in found.items()} | merges
    there = {c.id for c in base.spec.classes}
    again = there | {c.id for c in classes}
    return {a: b for a, b in found.items() if a not in again and b in there}


def check_merges(
    base: ModelSpec, classes: tuple[LabelClass, ...], merged: Mapping[int, int]
) -> None:
    """Refuse merges of classes that are not there.

    Raises
    ------
    SpecError
        When a class is merged that the base lacks or that stays, or into one that does not stay.
    """
    old, new = {c.id for c in base.classes}, {c.id for c in classes}
    for one, into in merged.items():
        if one not in old or into not in old & new or one in new:
            raise SpecError(
                f"Class {one} can't be merged into {into}: both must be classes of the model "
                f"({', '.join(map(str, sorted(old)))}), and the second one must stay."
            )


def rows(
    weights: NDArray[Any], base: ModelSpec, spec: ModelSpec, merged: Mapping[int, int] = NO_MERGE
) -> NDArray[Any]:
    """Return weights or bias of a last layer, one row a class, for other classes.

    Classes that become one start from the mean of their rows, raised by the logarithm of their
    number; a new class from background's, lowered. Both are for training to refine.

    Parameters
    ----------
    weights : ndarray of float
        Shape (classes of the base, ...).
    base, spec : ModelSpec
        Of the model it comes from, and of the new one. Both have the same target.
    merged : mapping of int to int
        See `reclassed`.
    """
    if spec.target == "instances":
        return weights.copy()
    is_bias = weights.ndim == 1
    out = []
    for one in spec.classes:
        sources = [i for i, c in enumerate(base.classes) if merged.get(c.id, c.id) == one.id]
        if len(sources) == 1:
            out.append(weights[sources[0]])
        elif sources:
            out.append(weights[sources].mean(axis=0) + (math.log(len(sources)) if is_bias else 0.0))
        else:
            out.append(weights[0] - (NEWCOMER if is_bias else 0.0))
    return np.stack(out).astype(weights.dtype)
