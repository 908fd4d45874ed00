"""Names of length units as files spell them."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence

from napari_unet.core.grid import METRES

_SPELLINGS = {
    "m": ("m", "meter", "meters", "metre", "metres"),
    "cm": ("cm", "centimeter", "centimeters", "centimetre"),
    "mm": ("mm", "millimeter", "millimeters", "millimetre"),
    "um": (
        *("um", "µm", "μm", "\\u00b5m", "micron", "microns"),
        *("micrometer", "micrometers", "micrometre", "micrometres"),
    ),
    "nm": ("nm", "nanometer", "nanometers", "nanometre"),
}
_UNITS = {spelling: unit for unit, names in _SPELLINGS.items() for spelling in names}

_FOREIGN = {
    "inch": ("mm", 25.4),
    "in": ("mm", 25.4),
    "å": ("nm", 0.1),
    "angstrom": ("nm", 0.1),
    "ångström": ("nm", 0.1),
}

_OME_NAMES = {
    "m": "meter",
    "cm": "centimeter",
    "mm": "millimeter",
    "um": "micrometer",
    "nm": "nanometer",
}


def parse(name: str | None) -> tuple[str, float]:
    """Return the `Grid` unit that `name` means, and what one such unit is in it.

    An unknown name is ``("pixel", 1.0)``, an inch ``("mm", 25.4)``.
    """
    spelling = (name or "").strip().strip("\0").lower()
    if spelling in _UNITS:
        return _UNITS[spelling], 1.0
    return _FOREIGN.get(spelling, ("pixel", 1.0))


def ome_name(unit: str) -> str | None:
    """Return OME-Zarr's name of a unit, None for ``"pixel"``."""
    return _OME_NAMES.get(unit)


def unify(
    sizes: Sequence[float | None], units: Sequence[str | None], name: str
) -> tuple[tuple[float, ...], str]:
    """Bring the voxel sizes of all axes to one unit, that of the last axis.

    Parameters
    ----------
    sizes : sequence of float
        Along (z, y, x) or (y, x); None, NaN, infinite, zero or negative where the file gives none.
    units : sequence of str
        As the file spells them, one an axis; one that has none is in the unit of the others.
    name : str
        The file, for the warning.

    Returns
    -------
    spacing : tuple of float
        A missing size is taken to be the last axis's own, or 1.
    unit : str
        A `Grid` unit.
    """
    parsed = [parse(u) for u in units]
    unit = next((u for u, _ in reversed(parsed) if u != "pixel"), "pixel")
    known = [
        size * factor * (1.0 if own == "pixel" else METRES[own] / METRES[unit])
        if size is not None and math.isfinite(size) and size > 0
        else None
        for size, (own, factor) in zip(sizes, parsed, strict=True)
    ]
    stand_in = next((s for s in reversed(known) if s is not None), 1.0)
    if unit != "pixel" and None in known:
        warnings.warn(
            f"{name} gives no voxel size along {'zyx'[-len(known) :][known.index(None)]}: "
            f"{stand_in:g} {unit} is assumed.",
            stacklevel=2,
        )
    return tuple(stand_in if s is None else s for s in known), unit
