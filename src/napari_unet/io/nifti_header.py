"""A NIfTI header and the `Grid` it describes. Here, and nowhere else, (x, y, z) meets (z, y, x)."""

from __future__ import annotations

import struct
import warnings
from dataclasses import replace
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.affines import voxel_sizes
from numpy.typing import NDArray

from napari_unet.core.grid import METRES, Grid, as_matrix
from napari_unet.errors import ReadError

Header = Any
"""A nibabel header: ``Nifti1Header``, ``Nifti2Header`` or, to read only, ``Spm2AnalyzeHeader``."""

LONGEST = 540
"""Bytes of the longer of the two headers."""

_CLASSES = {348: nib.Nifti1Header, 540: nib.Nifti2Header}
_UNITS = {1: "m", 2: "mm", 3: "um"}
_UNIT_NAMES = {"m": "meter", "mm": "mm", "um": "micron", "pixel": "unknown"}
_NEAREST_UNIT = {"cm": "mm", "nm": "um"}
"""NIfTI knows neither centimetres nor nanometres."""

_LABEL_INTENT = 1002
_COMMENT = 6
"""Codes of the standard: values are label ids; an extension is plain text."""


def parse(block: bytes, name: str) -> Header:
    """Make a header of the first bytes of a file, in either byte order.

    Raises
    ------
    ReadError
        When they are no NIfTI or Analyze header.
    """
    length = next(
        (n for n in _CLASSES if block[:4] in (struct.pack("<i", n), struct.pack(">i", n))), 0
    )
    if not length or len(block) < length:
        raise ReadError(
            f"{name} does not begin with a NIfTI header: it is empty, cut short or of another "
            "format; copy it anew from its source, or convert it."
        )
    magic = block[344:348] if length == 348 else block[4:8]
    named = magic[:3] in (b"n+1", b"ni1", b"n+2", b"ni2")
    kind = _CLASSES[length] if named else nib.Spm2AnalyzeHeader
    header = kind(block[:length], check=False)
    _mend_pixdim(header, name)
    header.check_fix()
    return header


def is_pair(header: Header) -> bool:
    """Whether the voxels lie in an ``.img`` file of their own."""
    return not hasattr(header, "single_magic") or header["magic"].item() != header.single_magic


def shape_of(header: Header, name: str) -> tuple[int, ...]:
    """Return the shape of the voxels in C order: (..., t, z, y, x).

    Raises
    ------
    ReadError
        For axes that are missing or empty.
    """
    shape = tuple(int(n) for n in reversed(header.get_data_shape()))
    if len(shape) < 2 or min(shape) < 1:
        raise ReadError(f"{name} has the impossible shape {shape}: its header is damaged.")
    return shape


def grid_of(header: Header, name: str) -> Grid:
    """Return the grid of the spatial axes, keeping the header where it can be trusted.

    The world is that of the sform where its code is set, else of the qform, else the voxel sizes
    alone, as in nibabel. Where the header gives no unit, a file with either code is in millimetres,
    as all readers in the field take it, and one without is in pixels.
    """
    shape = shape_of(header, name)[-3:]
    affine, intact = _world(header, name)
    spacing = tuple(float(s) for s in voxel_sizes(affine)[::-1])
    analyze = "sform_code" not in header
    placed = not analyze and (header["sform_code"] > 0 or header["qform_code"] > 0)
    code = 0 if analyze else int(header["xyzt_units"]) & 7
    unit = _UNITS.get(code, "mm" if placed else "pixel")
    source = b"" if analyze or not intact else header.binaryblock
    if len(shape) == 2:  # a plane may stand upright in the world, where (y, x) alone is singular
        return Grid(shape, spacing[-2:], unit, None, source)
    return Grid(shape, spacing, unit, as_matrix(_swapped(affine)), source)


def header_for(grid: Grid, dtype: np.dtype[Any], classes: int = 0) -> Header:
    """Return a header for an array on `grid`, from the grid's own header where it has one.

    Parameters
    ----------
    grid : Grid
        Geometry to write.
    dtype : dtype
        Stored type.
    classes : int
        Length of a fourth axis; 0 for label ids.
    """
    header = _original(grid) or _built(grid)
    shape = grid.shape[::-1]
    if classes:
        shape = (*shape, *(1,) * (3 - len(shape)), classes)
    pixdim = header["pixdim"].copy()
    header.set_data_shape(shape)
    header["pixdim"] = pixdim  # which the line above resets beyond the last axis
    header.set_data_dtype(dtype)
    header.set_slope_inter(1, 0)
    header.set_intent(0 if classes else _LABEL_INTENT, name="")
    header["cal_min"] = header["cal_max"] = 0
    header["magic"] = header.single_magic
    return header


def with_comment(header: Header, text: str) -> bytes:
    """Return the bytes that precede the voxels of a single file: header and one text comment."""
    if text:
        body = text.encode()
        size = -(-(8 + len(body)) // 16) * 16
        head = struct.pack(f"{header.endianness}ii", size, _COMMENT)
        extension = b"\1\0\0\0" + (head + body).ljust(size, b"\0")
    else:
        extension = b"\0\0\0\0"
    header["vox_offset"] = len(header.binaryblock) + len(extension)
    block: bytes = header.binaryblock
    return block + extension


def comments(header: Header, beyond: bytes) -> list[str]:
    """Return the text comments in the bytes between a header and the voxels."""
    found = []
    start = 4 if beyond[:1] == b"\1" else len(beyond)
    while start + 8 <= len(beyond):
        size, code = struct.unpack_from(f"{header.endianness}ii", beyond, start)
        if size < 16 or start + size > len(beyond):
            break
        if code == _COMMENT:
            body = beyond[start + 8 : start + size]
            found.append(body.rstrip(b"\0").decode(errors="replace"))
        start += size
    return found


def _swapped(affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """Exchange x and z, of the index and of the world; its own inverse."""
    return affine[np.ix_([2, 1, 0, 3], [2, 1, 0, 3])]


def _mend_pixdim(header: Header, name: str) -> None:
    axes = slice(1, 1 + min(3, int(header["dim"][0])))
    sizes = header["pixdim"][axes]
    bad = ~np.isfinite(sizes) | (sizes <= 0)
    if bad.any():
        warnings.warn(
            f"{name} gives impossible voxel sizes {sizes.tolist()} (x, y, z): "
            "the sign is dropped, and 1 stands in where there is no size.",
            stacklevel=2,
        )
        usable = np.isfinite(sizes) & (sizes != 0)
        header["pixdim"][axes] = np.where(usable, np.abs(sizes), 1)


def _world(header: Header, name: str) -> tuple[NDArray[np.float64], bool]:
    """Return index (x, y, z, 1) to world, and whether the header's first choice was usable."""
    ways = [header.get_best_affine, header.get_base_affine]
    if hasattr(header, "get_qform"):
        ways.insert(1, header.get_qform)
    for attempt, way in enumerate(ways):
        try:
            affine = np.asarray(way(), dtype=np.float64)
        except ValueError:  # a quaternion that is none
            continue
        if np.isfinite(affine).all() and abs(np.linalg.det(affine)) > 0:
            return affine, attempt == 0
        warnings.warn(
            f"{name} has a damaged position matrix: its voxel sizes are used instead.",
            stacklevel=2,
        )
    raise ReadError(f"{name} has no usable voxel sizes or position: its header is damaged.")


def _original(grid: Grid) -> Header | None:
    """Return the header that `grid` was read from, None unless it still describes the grid."""
    kind = _CLASSES.get(len(grid.header))
    if kind is None:
        return None
    header = kind(grid.header, check=False)
    described = grid_of(header, "the source header")
    return header if replace(described, header=b"") == replace(grid, header=b"") else None


def _built(grid: Grid) -> Header:
    """Return a new header: sform always, qform too where there is no shear to lose."""
    header = nib.Nifti2Header() if max(grid.shape) > np.iinfo(np.int16).max else nib.Nifti1Header()
    unit = _NEAREST_UNIT.get(grid.unit, grid.unit)
    scale = 1.0 if unit == grid.unit else METRES[grid.unit] / METRES[unit]
    world = np.eye(4)
    world[4 - grid.ndim - 1 :, 4 - grid.ndim - 1 :] = grid.matrix
    world = np.diag([scale, scale, scale, 1.0]) @ _swapped(world)
    header.set_data_shape(grid.shape[::-1])
    header.set_sform(world, "aligned")
    header.set_qform(world, "aligned", strip_shears=True)
    if not np.allclose(header.get_qform(), world, rtol=1e-4, atol=1e-4 * min(grid.spacing) * scale):
        header["qform_code"] = 0
    header.set_xyzt_units(_UNIT_NAMES[unit])
    return header
