"""Which format a file is of, and the four functions that hide the difference."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.classes import LabelClass
from napari_unet.core.grid import Grid
from napari_unet.core.volume import Volume
from napari_unet.errors import GridError, ReadError, WriteError
from napari_unet.io.axes import Choice
from napari_unet.io.class_tables import class_table_beside
from napari_unet.io.guard import reading
from napari_unet.io.labels import ids_from_file, ids_to_file

StrPath = str | os.PathLike[str]


class Format(NamedTuple):
    """A file format: its module in this package, its name for people, whether we write it."""

    module: str
    title: str
    writes: bool


FORMATS: dict[str, Format] = {
    ".nii.gz": Format("nifti", "NIfTI", True),
    ".nii": Format("nifti", "NIfTI", True),
    ".hdr": Format("nifti", "NIfTI pair", False),
    ".img": Format("nifti", "NIfTI pair", False),
    ".ome.tif": Format("tiff", "OME-TIFF", True),
    ".ome.tiff": Format("tiff", "OME-TIFF", True),
    ".tif": Format("tiff", "TIFF", True),
    ".tiff": Format("tiff", "TIFF", True),
    ".ome.zarr": Format("ome_zarr", "OME-Zarr", True),
    ".zarr": Format("ome_zarr", "OME-Zarr", True),
    ".npy": Format("npy", "NumPy", True),
    ".png": Format("raster", "PNG", False),
    ".jpg": Format("raster", "JPEG", False),
    ".jpeg": Format("raster", "JPEG", False),
}
"""The known file name endings, longest first where one ends in another."""

_ZARR_MARKS = ("zarr.json", ".zgroup", ".zattrs")
"""Any of these files makes a folder a Zarr group."""


def suffix_of(path: StrPath) -> str:
    """Return the ending that decides the format, in small letters: ``"a.B.NII.GZ"`` -> ``".nii.gz"``.

    An unknown ending is returned as it is, an absent one as ``""``.
    """
    name = Path(path).name.lower()
    return next((s for s in FORMATS if name.endswith(s)), Path(name).suffix)


def read(
    path: StrPath, *, channel_axis: int | None = None, time: int | None = None, level: int = 0
) -> Volume:
    """Read an image with its geometry.

    Parameters
    ----------
    path : path
        A file of one of `FORMATS`, or an OME-Zarr folder (read lazily).
    channel_axis : int, optional
        Which axis of the stored array holds channels, where the file does not say so itself.
        For NIfTI this is 3, counted as the file does, or 0, its place in the array read.
    time : int, optional
        Which time point to take from a time series.
    level : int
        Resolution level of a pyramid; 0 is the finest.

    Raises
    ------
    ReadError
        When the file is missing, damaged, of an unknown format, or has more axes than were chosen.
    """
    source = Path(path)
    module, title = _format_to_read(source)
    with reading(source, title):
        volume: Volume = module.read(source, Choice(channel_axis, time, level))
    return volume


def read_labels(
    path: StrPath, grid: Grid | None = None
) -> tuple[NDArray[np.unsignedinteger[Any]], Grid, tuple[LabelClass, ...]]:
    """Read label ids, their geometry, and the classes where the file names them.

    Whole numbers stored as floats or through a scale factor are taken back to whole numbers.

    Parameters
    ----------
    path : path
        A label image with one channel.
    grid : Grid, optional
        The image's grid, which the labels must share. Labels of a file that knows no spacing
        (PNG, ``.npy``, plain TIFF) are placed on it, and so is a plane on an image of one slice, or
        one slice on a plane.

    Returns
    -------
    labels : ndarray of unsigned int
        Shape (z, y, x) or (y, x), of the smallest type that holds the ids.
    grid : Grid
        Where they lie.
    classes : tuple of LabelClass
        Those in the file, else those of a colour table of 3D Slicer or a label description of
        ITK-SNAP that lies beside it under its name; empty when there is none.

    Raises
    ------
    ReadError
        When the file can't be read, or holds values that are no label ids.
    GridError
        When the labels do not lie on `grid`.
    """
    source = Path(path)
    module, title = _format_to_read(source)
    with reading(source, title):
        values, found, classes = module.read_labels(source)
        labels = ids_from_file(values, source)
    classes = classes or class_table_beside(source, source.name[: -len(suffix_of(source))])
    if grid is None:
        return labels, found, classes
    alone, flat = grid.shape == (1, *found.shape), found.shape == (1, *grid.shape)
    if alone:  # TIFF keeps no axis of a single slice
        labels, found = labels[None], _as_slice(found, grid)
    if flat:  # programs for volumes know no planes
        labels, found = labels[0], Grid(grid.shape, found.spacing[1:], found.unit)
    if found.shape != grid.shape or (_placed(found) and _placed(grid)):
        grid.require(found, f"The labels in {source.name}")
        return labels, grid if alone or flat else found, classes
    return labels, grid, classes


def write_labels(
    path: StrPath,
    labels: NDArray[np.integer[Any]],
    grid: Grid,
    classes: tuple[LabelClass, ...] = (),
) -> Path:
    """Write label ids in the smallest unsigned type that holds them, whole or not at all.

    Parameters
    ----------
    path : path
        The ending chooses the format: ``.nii``, ``.nii.gz``, ``.tif``, ``.ome.tif``, ``.ome.zarr``
        or ``.npy``. An older file of that name is replaced.
    labels : ndarray of int
        Shape of `grid`.
    grid : Grid
        Where they lie. If it was read from a NIfTI file and a NIfTI file is written, the geometry
        is that file's own to the last bit.
    classes : tuple of LabelClass
        Names and colours, kept in the file (not in ``.npy``).

    Raises
    ------
    WriteError
        When nothing could be written; an older file still stands.
    GridError
        When labels and grid differ in shape.
    """
    target = Path(path)
    module = _format_to_write(target)
    _require_shape(labels.shape, grid)
    written: Path = module.write_labels(target, ids_to_file(labels, target), grid, classes)
    return written


def write_probabilities(
    path: StrPath, probabilities: NDArray[np.floating[Any]], grid: Grid
) -> Path:
    """Write class probabilities, shape (C, *grid.shape), as 32-bit floats, whole or not at all.

    NIfTI holds the classes along its fourth axis, the others as channels.

    Raises
    ------
    WriteError
        When nothing could be written; an older file still stands.
    GridError
        When probabilities and grid differ in shape.
    """
    target = Path(path)
    module = _format_to_write(target)
    _require_shape(probabilities.shape[1:], grid)
    written: Path = module.write_probabilities(target, probabilities, grid)
    return written


def is_zarr(path: Path) -> bool:
    """Whether a path is a folder that is a Zarr group, whatever its name."""
    return any((path / mark).is_file() for mark in _ZARR_MARKS)


def _format_to_read(path: Path) -> tuple[Any, str]:
    if not path.exists():
        raise ReadError(f"{path} does not exist: check the name and the folder.")
    if is_zarr(path):
        return import_module("napari_unet.io.ome_zarr"), "OME-Zarr"
    if path.is_dir():
        raise ReadError(
            f"{path} is a folder and no OME-Zarr: choose a file in it, or another folder."
        )
    found = FORMATS.get(suffix_of(path))
    if found is None:
        raise ReadError(f"{path} is of no known format; convert it to one of {', '.join(FORMATS)}.")
    return import_module(f"napari_unet.io.{found.module}"), found.title


def _format_to_write(path: Path) -> Any:  # noqa: ANN401  (a module of this package)
    found = FORMATS.get(suffix_of(path))
    if found is None or not found.writes:
        writable = ", ".join(s for s, f in FORMATS.items() if f.writes)
        raise WriteError(f"{path} can't be written; end its name in one of {writable}.")
    return import_module(f"napari_unet.io.{found.module}")


def _require_shape(shape: tuple[int, ...], grid: Grid) -> None:
    if tuple(shape) != grid.shape:
        raise GridError(
            f"An array of shape {tuple(shape)} does not fit the image's {grid.shape}: "
            "pass the grid of the image it was made on."
        )


def _as_slice(plane: Grid, grid: Grid) -> Grid:
    """Return a plane as the only slice of an image, as thick as that."""
    thick = grid.spacing_in(plane.unit)[0]
    return Grid((1, *plane.shape), (thick, *plane.spacing), plane.unit)


def _placed(grid: Grid) -> bool:
    """Whether a grid knows anything of the world outside its array."""
    return grid.unit != "pixel" or grid.affine is not None
