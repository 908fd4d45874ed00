"""OME-Zarr 0.4 and 0.5: images read lazily, labels written as a 0.5 image with label colours."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import zarr
from numpy.typing import NDArray

from napari_unet.atomic import write_whole
from napari_unet.core.classes import LabelClass
from napari_unet.core.grid import Grid
from napari_unet.core.volume import Volume
from napari_unet.errors import ReadError, WriteError
from napari_unet.io import ome_zarr_metadata as metadata
from napari_unet.io import units
from napari_unet.io.axes import Choice, arrange
from napari_unet.io.guard import reading, require_memory
from napari_unet.io.labels import only_channel

_CHUNK = (1, 64, 256, 256)
_SLAB = 64
"""Slices written and checked at once: one row of chunks."""


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
    stored = dask.array.from_zarr(_array(group, level["path"], path))
    array, order = arrange(stored, letters, choice, path.name)
    spatial = [axis for letter in order[1:] for axis in axes if axis.letter == letter]
    spacing, unit = units.unify([a.size for a in spatial], [a.unit for a in spatial], path.name)
    affine = metadata.affine_of(attributes, spatial, spacing)
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
    """Write ids as a store of their own, with names and colours of the classes."""
    more = {"image-label": metadata.image_label(classes)}
    return _write(path, labels, labels.dtype, "zyx"[-grid.ndim :], grid, more)


def write_probabilities(path: Path, probabilities: NDArray[Any], grid: Grid) -> Path:
    """Write shape (C, *spatial) as 32-bit floats with classes as channels."""
    axes = "c" + "zyx"[-grid.ndim :]
    return _write(path, probabilities, np.dtype(np.float32), axes, grid, {})


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


def _write(
    path: Path,
    array: NDArray[Any],
    dtype: np.dtype[Any],
    axes: str,
    grid: Grid,
    more: Mapping[str, Any],
) -> Path:
    def write(temporary: Path) -> None:
        temporary.mkdir()  # fails where zarr would make all missing folders above, too
        attributes = metadata.attributes_for(path.name, axes, grid, more)
        group = zarr.open_group(temporary, mode="w", zarr_format=3, attributes=attributes)
        stored = group.create_array(
            "0",
            shape=array.shape,
            dtype=dtype,
            chunks=tuple(map(min, array.shape, _CHUNK[-array.ndim :])),
            dimension_names=list(axes),
        )
        for part in _slabs(array.shape):
            stored[part] = array[part].astype(dtype, copy=False)

    def check(temporary: Path) -> None:
        with reading(temporary, "OME-Zarr"):
            stored = _array(_open(temporary), "0", temporary)
            parts = ((stored[part], array[part]) for part in _slabs(array.shape))
            same = all(np.array_equal(a, b.astype(dtype, copy=False)) for a, b in parts)
        if not same:
            raise WriteError("the folder read back differs from what was written")

    if path.is_dir() and not _ours(path):
        raise WriteError(
            f"{path} exists and holds something other than labels written here, which is never "
            "replaced: choose another name."
        )
    return write_whole(path, write, check)


def _slabs(shape: tuple[int, ...]) -> Iterator[tuple[slice, ...]]:
    """Cut an array along its first axis, so that no copy of all of it is made."""
    step = _SLAB if len(shape) == 3 else 1 if len(shape) == 4 else shape[0]
    for start in range(0, shape[0], step):
        yield (slice(start, start + step),)


def _ours(path: Path) -> bool:
    try:
        return metadata.OURS in zarr.open_group(path, mode="r").attrs
    except (OSError, ValueError, KeyError, zarr.errors.BaseZarrError):
        return False
