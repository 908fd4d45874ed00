"""The images in a folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from napari_unet.io.formats import FORMATS, suffix_of

_OURS = "_labels"
"""How the names of exported labels end: these are no images."""


def images_in(folder: Path) -> list[Path]:
    """Return the images in a folder, sorted by name; none is opened.

    Hidden files and labels that were written by `predict` are left out, and so are folders in it.
    Of a NIfTI pair the ``.hdr`` is taken.

    Raises
    ------
    OSError
        When the folder can't be listed.
    """
    return sorted(_images_in(folder))


def _images_in(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        suffix = suffix_of(path)
        if suffix not in FORMATS or path.name.startswith("."):
            continue
        if path.is_dir() != suffix.endswith(".zarr"):
            continue
        stem = path.name[: len(path.name) - len(suffix)]
        second = suffix == ".img" and path.with_suffix(".hdr").is_file()
        if not stem.endswith(_OURS) and not second:
            yield path
