"""Where voxels lie: shape, spacing, unit and position in the scanner's or microscope's space."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from itertools import product
from operator import index

import numpy as np
from numpy.typing import NDArray

from napari_unet.errors import GridError

METRES = {"m": 1.0, "cm": 1e-2, "mm": 1e-3, "um": 1e-6, "nm": 1e-9}
"""Length of each physical unit in metres; the unit ``"pixel"`` has none."""

UNITS = (*METRES, "pixel")

Matrix = tuple[tuple[float, ...], ...]


def size_in_words(spacing: tuple[float, ...], unit: str) -> str:
    """Return a voxel size as people read it: ``"2 × 0.5 × 0.5 µm"``."""
    return " × ".join(f"{s:.3g}" for s in spacing) + f" {'µm' if unit == 'um' else unit}"


@dataclass(frozen=True)
class Grid:
    """The voxel lattice of an image or of its labels.

    Parameters
    ----------
    shape : tuple of int
        Voxels along (z, y, x), or (y, x) for a plane. Channels are not part of a grid.
    spacing : tuple of float
        Distance between voxel centres along the same axes, in `unit`.
    unit : str
        One of ``"m"``, ``"cm"``, ``"mm"``, ``"um"``, ``"nm"`` or ``"pixel"`` (no physical size known).
    affine : tuple of tuple of float, optional
        Matrix of side ``ndim + 1`` that takes an index (z, y, x, 1) to world (z, y, x, 1) in `unit`,
        where world z, y, x point to superior, anterior and right. None: the origin is voxel 0 and
        the axes are straight.
    header : bytes
        The source file's own header, kept so that labels can be written with the same geometry to
        the last bit. Only the writer of that format looks inside; it takes no part in comparisons.

    Raises
    ------
    GridError
        When the shape, spacing, unit or affine is impossible.
    """

    shape: tuple[int, ...]
    spacing: tuple[float, ...]
    unit: str = "pixel"
    affine: Matrix | None = None
    header: bytes = field(default=b"", compare=False, repr=False)

    def __post_init__(self) -> None:
        # One spelling of each number, whichever library it comes from: files take Python's own.
        object.__setattr__(self, "shape", tuple(map(index, self.shape)))
        object.__setattr__(self, "spacing", tuple(map(float, self.spacing)))
        if len(self.shape) not in (2, 3) or any(n < 1 for n in self.shape):
            raise GridError(
                f"A grid has 2 or 3 axes of at least one voxel, not shape {self.shape}."
            )
        if len(self.spacing) != len(self.shape):
            raise GridError(f"Shape {self.shape} and spacing {self.spacing} differ in their axes.")
        if not all(math.isfinite(s) and s > 0 for s in self.spacing):
            raise GridError(f"Spacing must be positive and finite, not {self.spacing}.")
        if self.unit not in UNITS:
            raise GridError(f"Unknown unit {self.unit!r}; use one of {', '.join(UNITS)}.")
        if self.affine is not None and np.shape(self.affine) != (self.ndim + 1, self.ndim + 1):
            raise GridError(f"The affine of a {self.ndim}D grid has shape {np.shape(self.affine)}.")
        if self.affine is not None:
            object.__setattr__(self, "affine", as_matrix(np.asarray(self.affine)))

    @property
    def ndim(self) -> int:
        """Number of spatial axes, 2 or 3."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of voxels."""
        return math.prod(self.shape)

    @property
    def matrix(self) -> NDArray[np.float64]:
        """Index to world as an array (ndim + 1, ndim + 1), whether or not an affine was given."""
        if self.affine is not None:
            return np.array(self.affine, dtype=np.float64)
        return np.diag([*self.spacing, 1.0])

    def spacing_in(self, unit: str) -> tuple[float, ...]:
        """Spacing in another unit; unchanged where either unit is ``"pixel"``."""
        if "pixel" in (unit, self.unit):
            return self.spacing
        factor = METRES[self.unit] / METRES[unit]
        return tuple(s * factor for s in self.spacing)

    def respaced(self, spacing: tuple[float, ...], unit: str) -> Grid:
        """Return the grid with voxels of another size, turned as they are, without a source header."""
        affine = self.affine
        if affine is not None:
            ratio = np.array(spacing) / np.array(self.spacing)
            affine = as_matrix(self.matrix @ np.diag([*ratio, 1.0]))
        return replace(self, spacing=spacing, unit=unit, affine=affine, header=b"")

    def resized(self, shape: tuple[int, ...]) -> Grid:
        """Return the grid of another shape over the same field of view, without a source header."""
        ratio = np.array(self.shape, dtype=np.float64) / np.array(shape, dtype=np.float64)
        spacing = tuple(float(s * r) for s, r in zip(self.spacing, ratio, strict=True))
        scale = np.diag([*ratio, 1.0])
        scale[:-1, -1] = (ratio - 1) / 2
        return Grid(shape, spacing, self.unit, as_matrix(self.matrix @ scale))

    def crop(self, start: tuple[int, ...], stop: tuple[int, ...]) -> Grid:
        """Return the grid of the box [start, stop), at its place in the same world."""
        shift = np.eye(self.ndim + 1)
        shift[:-1, -1] = start
        shape = tuple(b - a for a, b in zip(start, stop, strict=True))
        return replace(self, shape=shape, affine=as_matrix(self.matrix @ shift), header=b"")

    def require(self, other: Grid, what: str = "the labels") -> None:
        """Refuse another grid that does not coincide with this one.

        Raises
        ------
        GridError
            Naming `what` and the first difference: shape, spacing or position.
        """
        if other.shape != self.shape:
            raise GridError(
                f"{what} have shape {other.shape} but the image has {self.shape}: "
                "use labels drawn on this image, or resample them to it."
            )
        if not np.allclose(other.spacing_in(self.unit), self.spacing, rtol=1e-3):
            raise GridError(
                f"{what} have spacing {other.spacing} {other.unit} but the image has "
                f"{self.spacing} {self.unit}: use labels drawn on this image, or resample them to it."
            )
        if self.affine is None or other.affine is None:
            return
        # All corners: where two axes of a cube change places, the first and the last stay.
        corners = np.array([(*corner, 1) for corner in product(*((0, n) for n in self.shape))])
        gap = np.abs((self.matrix - other.matrix) @ corners.T)[:-1].max()
        if self.unit == other.unit and gap > 0.5 * min(self.spacing):
            raise GridError(
                f"{what} lie up to {gap:.3g} {self.unit} away from the image: "
                "use labels drawn on this image, or resample them to it."
            )


def as_matrix(array: NDArray[np.float64]) -> Matrix:
    """Turn a 2D array into the nested tuple that a `Grid` holds."""
    return tuple(tuple(float(v) for v in row) for row in array)
