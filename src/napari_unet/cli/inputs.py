"""Which images are meant: files as they are, and the images that lie in a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from napari_unet.cli.command import UsageError
from napari_unet.errors import ReadError
from napari_unet.io import FORMATS, images_in, is_zarr, suffix_of


def is_folder_of_images(path: Path) -> bool:
    """Whether a path is a plain folder; a Zarr is a folder that is one image."""
    return path.is_dir() and suffix_of(path) not in FORMATS and not is_zarr(path)


def image_files(paths: Sequence[Path]) -> list[Path]:
    """Replace each folder by the images in it, sorted by name.

    Hidden files and labels that were written by `predict` are left out, and so are folders in it.
    Of a NIfTI pair the ``.hdr`` is taken.

    Raises
    ------
    UsageError
        When a folder holds no image.
    """
    found: list[Path] = []
    for path in paths:
        inside = images_in(path) if is_folder_of_images(path) else [path]
        if not inside:
            raise UsageError(
                f"{path} holds no image to predict: name the files, or a folder with images "
                f"that end in one of {', '.join(FORMATS)}."
            )
        found += inside
    return found


def require_images(images: Sequence[Path]) -> None:
    """Refuse a list with an image that is not there, before anything is made for the others.

    Raises
    ------
    ReadError
        Naming it.
    """
    missing = next((image for image in images if not image.exists()), None)
    if missing is not None:
        raise ReadError(f"{missing} does not exist: check the name and the folder.")


def state_of(path: Path) -> str:
    """Tell a file, or all files of a folder, from what they were before they were changed.

    Returns
    -------
    str
        Number of files, bytes in all, and when the last was changed, in nanoseconds.
    """
    files, size, newest = 0, 0, 0
    for status in _every_file(path):
        files += 1
        size += status.st_size
        newest = max(newest, status.st_mtime_ns)
    return f"{files} {size} {newest}"


def _every_file(path: Path) -> Iterator[os.stat_result]:
    if not path.is_dir():
        yield path.stat()
        return
    for folder, _, names in os.walk(path):
        for name in names:
            yield (Path(folder) / name).stat()
