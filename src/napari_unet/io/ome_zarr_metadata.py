"""The JSON of OME-Zarr 0.4 and 0.5: axes and transforms to a place, label colours to classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from napari_unet.core.classes import LabelClass, united
from napari_unet.core.grid import Grid, Matrix, as_matrix
from napari_unet.errors import ReadError
from napari_unet.io import units
from napari_unet.io.axes import NAMELESS

OURS = "napari-unet"
"""Attribute beside ``ome`` that marks our stores and keeps an oblique position exactly."""

VERSIONS = ("0.4", "0.5")

_KINDS = {**dict.fromkeys("zyx", "space"), "c": "channel", "t": "time"}
"""Kind of an axis by its name."""

Json = Mapping[str, Any]


class Axis(NamedTuple):
    """A stored axis: its letter, voxel size, position of voxel 0, and unit as spelled."""

    letter: str
    size: float
    start: float
    unit: str | None


def multiscale_of(attributes: Json, name: str) -> Json | None:
    """Return the first multiscale image among a group's attributes, None if there is none.

    Raises
    ------
    ReadError
        For a version that is not read.
    """
    ome = ome_of(attributes)
    rows = ome.get("multiscales") or ()
    if not rows:
        return None
    version = str(ome.get("version", rows[0].get("version", VERSIONS[0])))
    if version not in VERSIONS:
        raise ReadError(
            f"{name} is OME-Zarr {version}, but {' and '.join(VERSIONS)} are read: convert it."
        )
    first: Json = rows[0]
    return first


def ome_of(attributes: Json) -> Json:
    """Return the OME metadata, which 0.5 keeps under a key of its own."""
    ome: Json = attributes.get("ome", attributes)
    return ome


def axes_of(multiscale: Json, level: Json, name: str) -> list[Axis]:
    """Return the axes of one level in stored order."""
    rows = multiscale["axes"]
    size, start = np.ones(len(rows)), np.zeros(len(rows))
    for transform in (
        *level.get("coordinateTransformations", ()),
        *multiscale.get("coordinateTransformations", ()),
    ):
        if transform["type"] == "scale":
            size, start = size * transform["scale"], start * transform["scale"]
        elif transform["type"] == "translation":
            start = start + transform["translation"]
        elif transform["type"] != "identity":
            raise ReadError(
                f"{name} places its voxels by {transform['type']!r}, which OME-Zarr 0.4 and 0.5 "
                "do not know: save it anew."
            )
    # The type may be left out: what the axis is called tells it then.
    kinds = [row.get("type") or _KINDS.get(str(row.get("name")).lower(), "") for row in rows]
    space = iter("ZYX"[-kinds.count("space") :])
    known = {"channel": "C", "time": "T"}
    letters = [
        next(space, NAMELESS) if kind == "space" else known.get(kind, NAMELESS) for kind in kinds
    ]
    stored = zip(letters, size, start, rows, strict=True)
    return [Axis(c, float(s), float(t), row.get("unit")) for c, s, t, row in stored]


def affine_of(
    attributes: Json, axes: list[Axis], finest: list[Axis], spacing: tuple[float, ...]
) -> Matrix | None:
    """Return index to world of one level's spatial `axes`: ours, else the translation, else None.

    Ours is that of the `finest` level.
    """
    ours = attributes.get(OURS, {})
    if "affine" in ours:
        index = np.diag([*(a.size / f.size for a, f in zip(axes, finest, strict=True)), 1.0])
        index[:-1, -1] = [(a.start - f.start) / f.size for a, f in zip(axes, finest, strict=True)]
        return as_matrix(np.array(ours["affine"], dtype=np.float64) @ index)
    if not any(axis.start for axis in axes):
        return None
    matrix = np.diag([*spacing, 1.0])
    matrix[:-1, -1] = [a.start / a.size * s for a, s in zip(axes, spacing, strict=True)]
    return as_matrix(matrix)


def channel_names(ome: Json) -> tuple[str, ...]:
    """Return the channel names that a viewer would show."""
    rows = ome.get("omero", {}).get("channels", ())
    return tuple(str(row["label"]) for row in rows if row.get("label"))


def classes_of(image_label: Json) -> tuple[LabelClass, ...]:
    """Return the classes whose names a label image gives."""
    grey = (128, 128, 128, 255)
    colors = {row["label-value"]: row.get("rgba") or grey for row in image_label.get("colors", ())}
    classes = []
    for row in image_label.get("properties", ()):
        if row.get("name"):
            red, green, blue, *_ = colors.get(row["label-value"], grey)
            color = (red / 255, green / 255, blue / 255)
            more = str(row.get("description") or "")
            classes.append(LabelClass(int(row["label-value"]), str(row["name"]), color, more))
    return united(classes)


def image_label(classes: tuple[LabelClass, ...]) -> Json:
    """Return the part of the metadata that makes an image a label image."""
    if not classes:
        return {}
    return {
        "colors": [
            {"label-value": c.id, "rgba": [*(round(255 * v) for v in c.color), 255]}
            for c in classes
        ],
        "properties": [
            {
                "label-value": c.id,
                "name": c.name,
                **({"description": c.description} if c.description else {}),
            }
            for c in classes
        ],
    }


def attributes_for(
    name: str, axes: str, grid: Grid, more: Json, levels: Sequence[tuple[int, ...]]
) -> dict[str, Any]:
    """Return the attributes of a 0.5 image.

    Parameters
    ----------
    name : str
        Of the image.
    axes : str
        Letters of the array, such as ``"czyx"``.
    grid : Grid
        Of its spatial axes.
    more : dict
        Joins the OME metadata.
    levels : sequence of tuple of int
        Every how manieth voxel each level keeps along each spatial axis, from voxel 0 on.
    """
    unit = units.ome_name(grid.unit)
    space = {"type": "space", **({"unit": unit} if unit else {})}
    channels = len(axes) - grid.ndim
    ours: dict[str, Any] = {}
    moved: list[dict[str, Any]] = []
    if grid.affine is not None:
        ours["affine"] = grid.affine
        if np.allclose(grid.matrix[:-1, :-1], np.diag(grid.spacing)):
            start = [*[0.0] * channels, *grid.matrix[:-1, -1].tolist()]
            moved = [{"type": "translation", "translation": start}]
    datasets = []
    for number, steps in enumerate(levels):
        size = [s * step for s, step in zip(grid.spacing, steps, strict=True)]
        scale = {"type": "scale", "scale": [*[1.0] * channels, *size]}
        # Voxel 0 of every level is voxel 0 of the image, so all begin at the same place.
        datasets.append({"path": str(number), "coordinateTransformations": [scale, *moved]})
    multiscale = {
        "name": name,
        "axes": [{"name": a, **({"type": "channel"} if a == "c" else space)} for a in axes],
        "datasets": datasets,
        **({"type": "nearest"} if len(levels) > 1 else {}),
    }
    return {"ome": {"version": VERSIONS[-1], "multiscales": [multiscale], **more}, OURS: ours}
