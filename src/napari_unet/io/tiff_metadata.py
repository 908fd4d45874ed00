"""What the many writers of TIFF files say about voxel sizes, channels and classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import tifffile

_CENTIMETRE = 10000.0
"""In micrometres."""


@dataclass(frozen=True)
class Description:
    """What a file says of itself.

    Parameters
    ----------
    sizes : dict of str to float
        Voxel size along ``Z``, ``Y``, ``X``, where given.
    units : dict of str to str
        Its unit as spelled in the file, where given.
    channels : tuple of str
        Names, empty when there are none.
    comment : str
        Free text, where we keep the classes of labels.
    """

    sizes: Mapping[str, float] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    channels: tuple[str, ...] = ()
    comment: str = ""


def describe(tif: tifffile.TiffFile) -> Description:
    """Read the description of the first image, by the convention its writer followed."""
    if tif.is_ome:
        described = _of_ome(tif.ome_metadata)
        if described is not None:
            return described
    if tif.is_imagej:
        return _of_imagej(tif.imagej_metadata or {}, tif.pages[0])
    described = _of_tifffile((tif.shaped_metadata or ({},))[0])
    return described if described.sizes else _of_tags(tif.pages[0])


def ome_metadata(axes: str, sizes: tuple[float, ...], unit: str, comment: str) -> dict[str, Any]:
    """Return what tifffile needs to describe an OME-TIFF; `sizes` are those of the last axes."""
    spelled = "µm" if unit == "um" else unit
    metadata: dict[str, Any] = {"axes": axes}
    for axis, size in zip(axes[-len(sizes) :], sizes, strict=True):
        metadata[f"PhysicalSize{axis}"] = size
        metadata[f"PhysicalSize{axis}Unit"] = spelled
    if comment:
        metadata["Description"] = comment
    return metadata


def imagej_metadata(axes: str, sizes: tuple[float, ...], unit: str, comment: str) -> dict[str, Any]:
    """Return what tifffile needs to describe an ImageJ stack; x and y go into the resolution."""
    metadata: dict[str, Any] = {"axes": axes}
    # Without a unit, the resolution is read as that of a print, and not at all.
    if unit != "pixel" or any(size != 1 for size in sizes):
        metadata["unit"] = "micron" if unit == "um" else unit
    if len(sizes) == 3:
        metadata["spacing"] = sizes[0]
    if comment:
        metadata["Info"] = comment
    return metadata


def _of_ome(xml: str) -> Description | None:
    """Return what OME-XML says; None where it is broken and the tags must do."""
    try:
        image = _first(tifffile.xml2dict(xml)["OME"]["Image"])
        pixels = image["Pixels"]
        sizes = {a: float(pixels.get(f"PhysicalSize{a}", "nan")) for a in "ZYX"}
    except (SyntaxError, LookupError, TypeError, ValueError):
        return None
    units = {a: str(pixels.get(f"PhysicalSize{a}Unit", "µm")) for a in sizes if sizes[a] > 0}
    channels = pixels.get("Channel", ())
    rows = channels if isinstance(channels, list | tuple) else (channels,)
    names = tuple(str(row["Name"]) for row in rows if "Name" in row)
    return Description(sizes, units, names, str(image.get("Description", "")))


def _of_imagej(metadata: Mapping[str, Any], page: tifffile.TiffPage) -> Description:
    unit = metadata.get("unit")
    comment = str(metadata.get("Info", ""))
    if unit is None:
        plane = _of_tags(page)
        depth = metadata.get("spacing")
        sizes = {**plane.sizes, **({} if depth is None else {"Z": float(depth)})}
        return Description(sizes, plane.units, (), comment)
    # ImageJ writes no spacing when it is exactly one unit.
    sizes = {"Z": abs(float(metadata.get("spacing", 1.0)))}
    for axis in "YX":
        resolution = _resolution(page, axis)
        if resolution:
            sizes[axis] = 1 / resolution
    return Description(sizes, dict.fromkeys(sizes, str(unit)), (), comment)


def _of_tifffile(metadata: Mapping[str, Any]) -> Description:
    spacing = metadata.get("spacing")
    axes = [a for a in metadata.get("axes", "") if a in "ZYX"]
    if not isinstance(spacing, list) or len(spacing) != len(axes):
        return Description()
    sizes = {a: float(s) for a, s in zip(axes, spacing, strict=True)}
    return Description(sizes, dict.fromkeys(sizes, str(metadata.get("unit", ""))))


def _of_tags(page: tifffile.TiffPage) -> Description:
    """Return the plane's size in micrometres from its resolution per centimetre.

    Dots per inch say how large to print an image (72, 96, 300, ...), not how large what it shows is.
    """
    tag = page.tags.get("ResolutionUnit")
    sizes = {}
    if tag is not None and tag.value == tifffile.RESUNIT.CENTIMETER:
        found = {axis: _resolution(page, axis) for axis in "YX"}
        sizes = {axis: _CENTIMETRE / resolution for axis, resolution in found.items() if resolution}
    return Description(sizes, dict.fromkeys(sizes, "um"))


def _resolution(page: tifffile.TiffPage, axis: str) -> float:
    """Return pixels per unit along ``X`` or ``Y``; 0 where the file does not tell."""
    tag = page.tags.get(f"{axis}Resolution")
    if tag is None or not tag.value[1]:
        return 0.0
    return float(tag.value[0] / tag.value[1])


def _first(item: Any) -> Any:  # noqa: ANN401
    return item[0] if isinstance(item, list | tuple) else item
