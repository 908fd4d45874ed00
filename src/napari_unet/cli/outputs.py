"""Where results go: checked before any computing, so that no hour of work meets a closed door."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import chain, count
from pathlib import Path

from napari_unet.atomic import behind_links, require_name, require_writable
from napari_unet.cli.command import UsageError
from napari_unet.errors import WriteError
from napari_unet.io import FORMATS, is_zarr, suffix_of


def label_files(
    images: Sequence[Path], output: str, *, many: bool = False, overwrite: bool = False
) -> list[Path]:
    """Decide the label file of each image; see `require_folders` for whether it can be written.

    Parameters
    ----------
    images : sequence of path
        What will be predicted.
    output : str
        A file; or a folder: one that exists, a name that ends in a slash, or any name when there
        are several images. A name in ``.zarr`` is an image's, with a slash or without.
    many : bool
        Whether several images are meant even if there happens to be one: those of a folder.
    overwrite : bool
        Whether files in a folder are replaced. One that was named itself always is.

    Returns
    -------
    list of Path
        One an image; in a folder ``<image>_labels`` with the image's own ending where labels can
        be written in that format, ``.tif`` otherwise.

    Raises
    ------
    UsageError
        When one file is to hold several images, or two results would share one name.
    WriteError
        When an image, or a file that nobody named, would be overwritten, or the name won't do.
    """
    if not output:
        raise UsageError("The output has no name: name a file, or a folder.")
    place = require_name(Path(output))
    # A zarr image is a folder too, but its name says that it is one image.
    is_image = suffix_of(place) in FORMATS
    ends_as_folder = output.endswith(("/", os.sep)) and not suffix_of(place).endswith(".zarr")
    is_folder = ends_as_folder or (place.is_dir() and not is_image)
    if len(images) == 1 and not many and not is_folder:
        return [image_file(place, images)]
    if is_image and not is_folder:
        what = f"{len(images)} images" if len(images) > 1 else "a folder of images"
        raise UsageError(f"{output} is one file for {what}: name a folder instead.")
    targets = [place / label_name(image) for image in images]
    twice = next((t.name for t in targets if targets.count(t) > 1), None)
    if twice is not None:
        raise UsageError(f"Two images would both become {twice}: predict them one by one.")
    for target in targets:
        _refuse_place(target, images)
    if not overwrite:
        _refuse_existing(targets)
    return targets


def require_folders(files: Sequence[Path]) -> None:
    """Make sure that the folders of files can be written into; the last part of one is made."""
    for folder in {behind_links(file).parent: None for file in files}:
        require_writable(folder)


def label_name(image: Path) -> str:
    """Name the labels of an image: ``brain.nii.gz`` -> ``brain_labels.nii.gz``."""
    suffix = suffix_of(image)
    stem = image.name[: len(image.name) - len(suffix)]
    return f"{stem}_labels{suffix if suffix in _writable() else '.tif'}"


def image_file(path: Path, inputs: Sequence[Path]) -> Path:
    """Make sure that this is a name for an image file, and none of the inputs."""
    if suffix_of(path) not in _writable():
        raise WriteError(
            f"{path} can't be written; end its name in one of {', '.join(_writable())}."
        )
    _refuse_place(path, inputs)
    return path


def model_file(path: Path, inputs: Sequence[Path] = ()) -> Path:
    """Make sure that a model file of this name can be written, and is none of the inputs."""
    if path.suffix != ".safetensors":
        raise WriteError(f"{path} is no name for a model: end it in .safetensors.")
    _refuse_place(path, inputs)
    require_folders((path,))
    return path


def export_place(path: Path, ending: str, source: Path) -> Path:
    """Make sure that a file with this ending, or without one a new folder, can be written here."""
    if ending and path.suffix != ending:
        raise WriteError(f"{path} is no name for this format: end it in {ending}.")
    if ending:
        _refuse_place(path, (source,))
    else:
        _refuse_inside(require_name(path))
    require_folders((path,))
    return path


def stopped_file(path: Path) -> Path:
    """Name a model that was stopped early, beside one that stays: a name that nothing has yet."""
    numbers = chain(("",), (f"-{n}" for n in count(2)))
    others = (path.with_name(f"{path.stem}-stopped{n}{path.suffix}") for n in numbers)
    return next(other for other in others if not other.exists())


def _writable() -> tuple[str, ...]:
    return tuple(suffix for suffix, found in FORMATS.items() if found.writes)


def _refuse_place(target: Path, inputs: Sequence[Path]) -> None:
    """Say now what would be met after the work."""
    require_name(target)
    _refuse_inside(target)
    _refuse_folder(target)
    _refuse_input(target, inputs)


def _refuse_folder(target: Path) -> None:
    """Write no file where a folder is; a zarr alone is one by nature."""
    if target.is_dir() and target.suffix != ".zarr":
        raise WriteError(f"{target} is a folder: choose another name for the file.")


def _refuse_inside(target: Path) -> None:
    """Never put a file into somebody's Zarr, which is a folder but holds what it lists only."""
    around = next((folder for folder in target.absolute().parents if is_zarr(folder)), None)
    if around is not None:
        raise WriteError(f"{target} would lie inside the Zarr {around}: choose another folder.")


def _refuse_existing(targets: Sequence[Path]) -> None:
    """Replace nothing under a name that the user never wrote: it may be labels drawn by hand."""
    there = [target for target in targets if target.exists()]
    if there:
        more = f" (and {len(there) - 1} more)" if len(there) > 1 else ""
        raise WriteError(
            f"{there[0]}{more} exists and would be replaced: choose another folder, name the file "
            "itself with -o FILE, add --skip-existing to keep it, or --overwrite to make all of them anew."
        )


def _refuse_input(target: Path, inputs: Sequence[Path]) -> None:
    """Never let a result take the place of what it was made from."""
    if target.resolve() in [image.resolve() for image in inputs]:
        raise WriteError(f"{target} is an input and would be overwritten: choose another output.")
