"""OME-Zarr 0.4 and 0.5: images read lazily, labels written as a 0.5 image with label colours."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from napari_unet.atomic import write_whole
from napari_unet.core.classes import LabelClass
from napari_unet.core.grid import Grid
from napari_unet.core.volume import Volume
from napari_unet.errors import ReadError, WriteError
from napari_unet.io import ome_zarr_metadata as metadata
from napari_unet.io import pyramid, units
from napari_unet.io.axes import Choice, arrange
from napari_unet.io.guard import reading, require_memory
from napari_unet.io.labels import only_channel
from napari_unet.io.lazy import lazy

_CHUNK = (1, 64, 256, 256)
"""Of probabilities."""


def read(path: Path, choice: Choice) -> Volume:
    """Open one level of the image in a folder; voxels are read when they are asked for."""
    group = _open(path)
    attributes = group.attrs.asdict()
    multiscale = metadata.multiscale_of(attributes, path.name)
    if multiscale is None:
        inside = ", ".join(sorted(name for name, _ in group.members())) or "nothing"
        raise ReadError(f"{path} is no OME image itself but holds {inside}: open one inside it.")
    level = _level(multiscale, choice.level, path)
    axes = metadata.axes_of(multiscale, level, path.name)
    letters = "".join(axis.letter for axis in axes)
    stored, named = lazy(_array(group, level["path"], path), letters, choice, path)
    array, order = arrange(stored, named, choice, path.name)
    places = [letters.index(letter) for letter in order[1:]]
    spatial = [axes[i] for i in places]
    finest = metadata.axes_of(multiscale, _level(multiscale, 0, path), path.name)
    spacing, unit = units.unify([a.size for a in spatial], [a.unit for a in spatial], path.name)
    affine = metadata.affine_of(attributes, spatial, [finest[i] for i in places], spacing)
    names = metadata.channel_names(metadata.ome_of(attributes))
    names = names if len(names) == len(array) else ()
    return Volume(array, Grid(array.shape[1:], spacing, unit, affine), names, path.name, str(path))


def read_labels(path: Path) -> tuple[NDArray[Any], Grid, tuple[LabelClass, ...]]:
    """Read ids and classes of a label image, or of the only one that belongs to an image."""
    group = _open(path)
    ome = metadata.ome_of(group.attrs.asdict())
    if "image-label" not in ome:
        names = _label_names(group)
        if len(names) > 1:
            raise ReadError(
                f"{path} has {len(names)} label images: open one of "
                f"{', '.join(str(path / 'labels' / name) for name in names)}."
            )
        if names:
            return read_labels(path / "labels" / names[0])
    volume = read(path, Choice())
    require_memory(math.prod(volume.data.shape) * volume.data.dtype.itemsize, path)
    return only_channel(volume), volume.grid, metadata.classes_of(ome.get("image-label", {}))


def write_labels(
    path: Path,
    labels: NDArray[np.unsignedinteger[Any]],
    grid: Grid,
    classes: tuple[LabelClass, ...],
) -> Path:
    """Write ids as a store of their own, a pyramid with names and colours of the classes."""
    require_ours(path)
    return write_whole(
        path, lambda temporary: build_labels(temporary, path.name, labels, grid, classes)
    )


def build_labels(
    path: Path,
    name: str,
    labels: pyramid.Source,
    grid: Grid,
    classes: tuple[LabelClass, ...],
) -> None:
    """Make a folder with the label image `name` in it, chunk by chunk, and read it back.

    Raises
    ------
    WriteError
        When what is read back differs.
    OSError
        When it can't be written.
    """
    axes, levels = "zyx"[-grid.ndim :], pyramid.strides(grid.shape, grid.spacing)
    more = {"image-label": metadata.image_label(classes)}
    group = _create(path, metadata.attributes_for(name, axes, grid, more, levels))
    above = labels
    for number, step in enumerate(pyramid.between(levels)):
        above = pyramid.build(group, str(number), above, step, axes)


def write_probabilities(path: Path, probabilities: NDArray[Any], grid: Grid) -> Path:
    """Write shape (C, *spatial) as 32-bit floats with classes as channels, in one level."""
    axes = "c" + "zyx"[-grid.ndim :]

    def write(temporary: Path) -> None:
        attributes = metadata.attributes_for(path.name, axes, grid, {}, [(1,) * grid.ndim])
        stored = _create(temporary, attributes).create_array(
            "0",
            shape=probabilities.shape,
            dtype=np.float32,
            chunks=tuple(map(min, probabilities.shape, _CHUNK[-probabilities.ndim :])),
            dimension_names=list(axes),
        )
        for number, values in enumerate(probabilities):
            stored[number] = values.astype(np.float32, copy=False)

    def check(temporary: Path) -> None:
        with reading(temporary, "OME-Zarr"):
            stored = _array(_open(temporary), "0", temporary)
            same = all(
                np.array_equal(stored[number], values.astype(np.float32, copy=False))
                for number, values in enumerate(probabilities)
            )
        if not same:
            raise WriteError("the folder read back differs from what was written")

    require_ours(path)
    return write_whole(path, write, check)


def require_ours(path: Path) -> None:
    """Refuse a name that belongs to something which was not written here.

    Raises
    ------
    WriteError
        Naming it.
    """
    if path.exists() and not (path.is_dir() and _ours(path)):
        raise WriteError(
            f"{path} exists and holds something other than labels written here, which is never "
            "replaced: choose another name."
        )


def _open(path: Path) -> zarr.Group:
    try:
        return zarr.open_group(path, mode="r")
    except (FileNotFoundError, zarr.errors.ContainsArrayError) as error:
        raise ReadError(
            f"{path} is no Zarr group with an OME image: open the folder that holds the "
            "multiscale image, or convert the array to OME-Zarr."
        ) from error


def _level(multiscale: Mapping[str, Any], level: int, path: Path) -> Mapping[str, Any]:
    levels = multiscale["datasets"]
    if not 0 <= level < len(levels):
        raise ReadError(
            f"{path} has {len(levels)} resolution level(s), counted from 0: "
            f"there is no level={level}."
        )
    chosen: Mapping[str, Any] = levels[level]
    return chosen


def _array(group: zarr.Group, name: str, path: Path) -> Any:  # noqa: ANN401  (zarr is untyped here)
    stored = group.get(name)
    if not isinstance(stored, zarr.Array):
        raise ReadError(
            f"{path} lacks the array {name!r} that its metadata lists: "
            "copy the folder anew, or open another level."
        )
    return stored


def _label_names(group: zarr.Group) -> list[str]:
    labels = group.get("labels")
    if not isinstance(labels, zarr.Group):
        return []
    return [str(name) for name in metadata.ome_of(labels.attrs.asdict()).get("labels", ())]


def _create(path: Path, attributes: Mapping[str, Any]) -> zarr.Group:
    path.mkdir()  # fails where zarr would make all missing folders above, too
    return zarr.open_group(path, mode="w", zarr_format=3, attributes=attributes)


def _ours(path: Path) -> bool:
    try:
        return metadata.OURS in zarr.open_group(path, mode="r").attrs
    except (OSError, ValueError, KeyError, zarr.errors.BaseZarrError):
        return False
