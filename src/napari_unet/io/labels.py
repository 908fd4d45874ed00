"""Label ids and classes on their way into files and out again."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.classes import LARGEST_ID, LabelClass, united
from napari_unet.core.volume import Volume
from napari_unet.errors import AnnotationError, ReadError, WriteError

_WHOLE = 1e-3
"""How far a stored float may lie from a whole number: scale factors cost label 3 a few 1e-4."""


def only_channel(volume: Volume) -> NDArray[Any]:
    """Return the voxels of a label image, refusing one with several channels.

    Colour images whose channels are all equal are grey, and pass.
    """
    values = volume.array()
    if any(not np.array_equal(values[0], channel) for channel in values[1:]):
        raise ReadError(
            f"{volume.source or volume.name} has {len(values)} channels but labels have one: "
            "choose the file with label ids, not their colours or probabilities."
        )
    first: NDArray[Any] = values[0]
    return first


def ids_from_file(values: NDArray[Any], path: Path) -> NDArray[np.unsignedinteger[Any]]:
    """Return stored values as label ids of the smallest unsigned type.

    Raises
    ------
    ReadError
        Naming the first value that is negative, too large or not a whole number.
    """
    if values.dtype.kind == "f":
        whole = np.rint(values)
        with np.errstate(invalid="ignore"):
            astray = ~(np.abs(values - whole) <= _WHOLE)  # NaN and infinity are astray too
        if astray.any():
            raise ReadError(
                f"{path} holds the value {values[astray][0]:g}, which is no label id: "
                "choose a label image, not an intensity or probability map."
            )
        values = whole
    lowest, highest = values.min(), values.max()
    if lowest < 0:
        raise ReadError(f"{path} holds the label id {lowest:g}; ids start at 0: renumber them.")
    if int(highest) > LARGEST_ID:
        raise ReadError(
            f"{path} holds the value {highest:g}, which is too large for a label id: "
            "choose a label image, or renumber its ids."
        )
    return values.astype(np.min_scalar_type(int(highest)), copy=False)


def ids_to_file(labels: NDArray[Any], path: Path) -> NDArray[np.unsignedinteger[Any]]:
    """Return label ids in the smallest unsigned type that holds them.

    Raises
    ------
    WriteError
        When they are not whole numbers, or negative.
    """
    if labels.dtype.kind not in "bui":
        raise WriteError(f"{path}: labels are whole numbers, not {labels.dtype}; convert them.")
    lowest, highest = int(labels.min()), int(labels.max())
    if lowest < 0:
        raise WriteError(f"{path}: label ids start at 0, but {lowest} was found; renumber them.")
    return labels.astype(np.min_scalar_type(highest), copy=False)


def classes_to_text(classes: tuple[LabelClass, ...]) -> str:
    """Return classes as the JSON text that file comments carry; empty for no classes."""
    if not classes:
        return ""
    rows = [{k: v for k, v in asdict(c).items() if v != ""} for c in classes]
    return json.dumps({"napari-unet": {"classes": rows}})


def classes_from_text(text: str) -> tuple[LabelClass, ...]:
    """Return the classes in a file's comment, none for a comment that is not ours."""
    try:
        rows = json.loads(text)["napari-unet"]["classes"]
        return united(map(_class, rows))
    except (ValueError, LookupError, TypeError, AttributeError, AnnotationError):
        return ()


def _class(row: dict[str, Any]) -> LabelClass:
    red, green, blue = map(float, row["color"])
    more = str(row.get("description", ""))
    return LabelClass(int(row["id"]), str(row["name"]), (red, green, blue), more)
