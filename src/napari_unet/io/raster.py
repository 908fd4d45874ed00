"""PNG and JPEG: one plane, grey or coloured, without a physical size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
from numpy.typing import NDArray

from napari_unet.core.classes import LabelClass
from napari_unet.core.grid import Grid
from napari_unet.core.volume import Volume
from napari_unet.errors import ReadError
from napari_unet.io.axes import Choice, arrange, colour_names, without_constant_alpha
from napari_unet.io.labels import only_channel


def read(path: Path, choice: Choice) -> Volume:
    """Read a plane; colours become channels, a constant alpha is dropped."""
    choice.require_one_level(path.name)
    return _plane(path, iio.imread(path, index=0), choice)


def read_labels(path: Path) -> tuple[NDArray[Any], Grid, tuple[LabelClass, ...]]:
    """Read ids; those of a palette image are its indices, not the colours they stand for."""
    mode = iio.immeta(path, index=0).get("mode")
    if path.suffix.lower() != ".png":
        raise ReadError(f"{path} is a JPEG, which blurs label ids: save labels as PNG or TIFF.")
    array = iio.imread(path, index=0, mode="P") if mode == "P" else iio.imread(path, index=0)
    volume = _plane(path, array, Choice())
    return only_channel(volume), volume.grid, ()


def _plane(path: Path, array: NDArray[Any], choice: Choice) -> Volume:
    array, _ = arrange(np.asarray(array), "YXS"[: array.ndim], choice, path.name)
    array = without_constant_alpha(array)
    names = colour_names(len(array))
    grid = Grid(tuple(array.shape[1:]), (1.0, 1.0))
    return Volume(array, grid, names, path.name, str(path))
