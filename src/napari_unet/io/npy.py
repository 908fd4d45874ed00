"""NumPy's own files: an array and nothing else, never a pickle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.atomic import write_whole
from napari_unet.core.classes import LabelClass
from napari_unet.core.grid import Grid
from napari_unet.core.volume import Volume
from napari_unet.errors import ReadError, WriteError
from napari_unet.io.axes import NAMELESS, Choice, arrange
from napari_unet.io.labels import only_channel


def read(path: Path, choice: Choice) -> Volume:
    """Map a file into memory; axes are (z, y, x) or (y, x), channels where `choice` says."""
    choice.require_one_level(path.name)
    with path.open("rb") as file:
        begins = file.read(len(np.lib.format.MAGIC_PREFIX))
    if begins != np.lib.format.MAGIC_PREFIX:  # numpy would take it for a pickle and speak of that
        raise ReadError(
            f"{path} is no NumPy array, or its beginning is damaged: save it anew with numpy.save, "
            "or convert it."
        )
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    array, _ = arrange(array, NAMELESS * array.ndim, choice, path.name)
    shape = tuple(array.shape[1:])
    return Volume(array, Grid(shape, (1.0,) * len(shape)), name=path.name, source=str(path))


def read_labels(path: Path) -> tuple[NDArray[Any], Grid, tuple[LabelClass, ...]]:
    """Read ids into memory; the file can't name classes."""
    volume = read(path, Choice())
    return np.array(only_channel(volume)), volume.grid, ()


def write_labels(
    path: Path,
    labels: NDArray[np.unsignedinteger[Any]],
    _grid: Grid,
    _classes: tuple[LabelClass, ...],
) -> Path:
    """Write ids; the format has no place for geometry or names."""
    return _write(path, labels)


def write_probabilities(path: Path, probabilities: NDArray[Any], _grid: Grid) -> Path:
    """Write shape (C, *spatial) as 32-bit floats."""
    return _write(path, probabilities.astype(np.float32, copy=False))


def _write(path: Path, array: NDArray[Any]) -> Path:
    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:  # numpy.save(name) adds .npy where it ends in .NPY
            np.save(file, array)

    def check(temporary: Path) -> None:
        if not np.array_equal(np.load(temporary, mmap_mode="r"), array):
            raise WriteError("the file read back differs from what was written")

    return write_whole(path, write, check)
