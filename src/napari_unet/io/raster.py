"""PNG and JPEG: one plane, grey or coloured, without a physical size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_unet.core.classes import LabelClass
from napari_unet.core.grid import Grid
from napari_unet.core.volume import Volume
from napari_unet.errors import ReadError
from napari_unet.io.axes import Choice, arrange, colour_names, without_constant_alpha
from napari_unet.io.labels import only_channel


def read(path: Path, choice: Choice) -> Volume:
    """Read a plane; colours become channels, a constant alpha is dropped."""
    choice.require_one_level(path.name)
    return _plane(path, _pixels(path), choice)


def read_labels(path: Path) -> tuple[NDArray[Any], Grid, tuple[LabelClass, ...]]:
    """Read ids; those of a palette image are its indices, not the colours they stand for."""
    if path.suffix.lower() != ".png":
        raise ReadError(f"{path} is a JPEG, which blurs label ids: save labels as PNG or TIFF.")
    volume = _plane(path, _pixels(path, palette_indices=True), Choice())
    return only_channel(volume), volume.grid, ()


def _pixels(path: Path, palette_indices: bool = False) -> NDArray[Any]:
    """Read the first image of a file, and speak for the library where it can't be read."""
    try:
        # Named, or imageio would ask every library that is installed, and show the last one's words.
        with iio.imopen(path, "r", plugin="pillow") as file:
            indices = palette_indices and file.metadata(index=0).get("mode") == "P"
            return np.asarray(file.read(index=0, **({"mode": "P"} if indices else {})))
    except (MemoryError, PermissionError):
        raise
    except Exception as error:  # damaged files raise anything
        if isinstance(error.__cause__ or error, Image.DecompressionBombError):
            raise ReadError(
                f"{path} says that it holds more pixels than a PNG or JPEG is trusted with: "
                "convert it to TIFF or OME-Zarr."
            ) from error
        raise ReadError(
            f"{path} can't be read as PNG or JPEG: it is cut short, damaged or another kind of file; "
            "copy it anew from its source, or convert it."
        ) from error


def _plane(path: Path, array: NDArray[Any], choice: Choice) -> Volume:
    array, _ = arrange(np.asarray(array), "YXS"[: array.ndim], choice, path.name)
    array = without_constant_alpha(array)
    names = colour_names(len(array))
    grid = Grid(tuple(array.shape[1:]), (1.0, 1.0))
    return Volume(array, grid, names, path.name, str(path))
