"""TIFF: OME, ImageJ, tifffile's own, and plain; larger and time-lapse ones read in part."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_unet.atomic import write_whole
from napari_unet.core.classes import LabelClass
from napari_unet.core.grid import Grid
from napari_unet.core.volume import Volume
from napari_unet.errors import ReadError, WriteError
from napari_unet.io import tiff_metadata, units
from napari_unet.io.axes import Choice, arrange, colour_names, without_constant_alpha
from napari_unet.io.guard import reading, require_memory
from napari_unet.io.labels import classes_from_text, classes_to_text, only_channel

_IMAGEJ_LIMIT = 2**32 - 2**20
"""ImageJ reads no BigTIFF; a mebibyte is left for the tags."""

_LOSSES = (
    *("page offset", "offset to page", "circular", "corrupted"),
    *("failed to reshape", "TiffTag 270 "),
)
"""Words of tifffile's log that mean that pages, or their description, are gone."""

_SURELY_FINE = 2**26
_RATIO, _RATIO_OF_MODERN = 2000, 50_000
"""A file that promises more bytes than the first, and so many times its size, is lying.

No older method packs a byte into less than a thousandth, whatever the image; of an empty one Zstandard
makes a 32,000th, LERC a 16,000th and LZMA a 7,000th. What memory can't hold is refused in any case.
"""

_OLDER = ("NONE", "CCITTRLE", "LZW", "JPEG", "ADOBE_DEFLATE", "DEFLATE", "PACKBITS")


def read(path: Path, choice: Choice) -> Volume:
    """Read the first image of a file; pages without a named axis are slices."""
    return _load(path, choice)[0]


def read_labels(path: Path) -> tuple[NDArray[Any], Grid, tuple[LabelClass, ...]]:
    """Read ids, and the classes in the file's description."""
    volume, comment = _load(path, Choice())
    return only_channel(volume), volume.grid, classes_from_text(comment)


def write_labels(
    path: Path,
    labels: NDArray[np.unsignedinteger[Any]],
    grid: Grid,
    classes: tuple[LabelClass, ...],
) -> Path:
    """Write ids with spacing and unit: for ImageJ where it can hold them, else as OME-TIFF.

    ImageJ has no 32-bit integers. ``.ome.tif`` is always OME-TIFF.
    """
    if labels.dtype.itemsize > 4:
        raise WriteError(
            f"{path}: TIFF holds ids up to {2**32 - 1}, and there are larger ones: "
            "renumber them, or write .nii.gz or .ome.zarr."
        )
    axes, comment = "ZYX"[-grid.ndim :], classes_to_text(classes)
    fits = labels.dtype.itemsize <= 2 and labels.nbytes < _IMAGEJ_LIMIT
    if ".ome." in path.name.lower() or not fits:
        return _write_ome(path, labels, axes, grid, comment)
    options = {
        "imagej": True,
        "resolution": (1 / grid.spacing[-1], 1 / grid.spacing[-2]),
        "metadata": tiff_metadata.imagej_metadata(axes + "S", grid.spacing, grid.unit, comment),
    }
    # Samples have an axis of their own: else tifffile takes a last axis of one voxel for it.
    return _write(path, labels[..., None], options)


def write_probabilities(path: Path, probabilities: NDArray[Any], grid: Grid) -> Path:
    """Write shape (C, *spatial) as the channels of an OME-TIFF."""
    values = probabilities.astype(np.float32, copy=False)
    return _write_ome(path, values, "C" + "ZYX"[-grid.ndim :], grid, "")


def _load(path: Path, choice: Choice) -> tuple[Volume, str]:
    """Return the image and its comment."""
    with _refusing_losses(path), tifffile.TiffFile(path) as tif:
        len(tif.pages)  # makes tifffile notice a chain of pages that bites its own tail
        _warn_of_others(tif, path)
        top = tif.series[0]
        series = _level(top, choice.level, path)
        array, axes = arrange(_voxels(series, choice, path), series.axes, choice, path.name)
        array = np.asarray(array)
        described = tiff_metadata.describe(tif)
    if "S" in series.axes and "C" not in series.axes:
        array = without_constant_alpha(array)
    sizes = [described.sizes.get(axis) for axis in axes[1:]]
    spacing, unit = units.unify(sizes, [described.units.get(a) for a in axes[1:]], path.name)
    shape = array.shape[1:]
    if choice.level:
        full = dict(zip(top.axes, top.shape, strict=True))
        whole = tuple(full.get(a, n) for a, n in zip(axes[1:], shape, strict=True))
        grid = Grid(whole, spacing, unit).resized(shape)
    else:
        grid = Grid(shape, spacing, unit)
    names = described.channels or colour_names(len(array) if "S" in series.axes else 0)
    names = names if len(names) == len(array) else ()
    return Volume(array, grid, names, path.name, str(path)), described.comment


class _Log(logging.Handler):
    """Keep what is logged."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


@contextmanager
def _refusing_losses(path: Path) -> Iterator[None]:
    """Refuse a file of which tifffile reads a part and only logs that the rest is missing."""
    logger, log = logging.getLogger("tifffile"), _Log()
    logger.addHandler(log)
    try:
        yield
    finally:
        logger.removeHandler(log)
    if any(word in message for message in log.messages for word in _LOSSES):
        raise ReadError(
            f"{path} is cut short or damaged: not all of its pages can be found; "
            "copy it anew from its source."
        )


def _warn_of_others(tif: tifffile.TiffFile, path: Path) -> None:
    if len(tif.series) > 1:
        shapes = ", ".join(str(series.shape) for series in tif.series[:5])
        warnings.warn(
            f"{path.name} holds {len(tif.series)} images, of shapes {shapes}: the first is read.",
            stacklevel=2,
        )


def _level(series: tifffile.TiffPageSeries, level: int, path: Path) -> tifffile.TiffPageSeries:
    if not 0 <= level < len(series.levels):
        raise ReadError(
            f"{path} has {len(series.levels)} resolution level(s), counted from 0: "
            f"there is no level={level}."
        )
    return series.levels[level]


def _voxels(series: tifffile.TiffPageSeries, choice: Choice, path: Path) -> Any:  # noqa: ANN401
    """Return all voxels of a series, or a lazy array where one time point of many is wanted."""
    missing = sum(page is None for page in series)
    if missing:
        raise ReadError(
            f"{path} lacks {missing} of its {len(series)} planes: copy all files that belong to "
            "it into one folder, or save it anew."
        )
    size = math.prod(series.shape) * series.dtype.itemsize
    ratio = _RATIO if series.keyframe.compression.name in _OLDER else _RATIO_OF_MODERN
    if size > max(_SURELY_FINE, ratio * path.stat().st_size):
        raise ReadError(
            f"{path} is damaged: it promises {size:,} bytes of voxels for shape {series.shape}, "
            "more than the file can hold; copy it anew from its source."
        )
    points = dict(zip(series.axes, series.shape, strict=True)).get("T", 1)
    if choice.time is not None and points > 1:
        # Imported here because it takes a second, and few files hold a time series.
        import dask.array

        require_memory(size // points, path)
        return dask.array.from_zarr(series.aszarr())
    require_memory(size, path)
    try:
        return series.asarray()
    except ValueError as error:
        if "imagecodecs" not in str(error):
            raise
        method = series.keyframe.compression.name
        raise ReadError(
            f"{path} is compressed by {method}, which needs the package imagecodecs: install it "
            "into this environment, or save the image uncompressed."
        ) from error


def _write_ome(path: Path, array: NDArray[Any], axes: str, grid: Grid, comment: str) -> Path:
    metadata = tiff_metadata.ome_metadata(axes, grid.spacing, grid.unit, comment)
    return _write(path, array, {"ome": True, "compression": "zlib", "metadata": metadata})


def _write(path: Path, array: NDArray[Any], options: dict[str, Any]) -> Path:
    def write(temporary: Path) -> None:
        tifffile.imwrite(temporary, array, photometric="minisblack", **options)

    def check(temporary: Path) -> None:
        with reading(temporary, "TIFF"):
            same = np.array_equal(tifffile.imread(temporary).reshape(array.shape), array)
        if not same:
            raise WriteError("the file read back differs from what was written")

    return write_whole(path, write, check)
