"""Replace a file, or a folder such as a Zarr store, whole or not at all.

Write to a temporary name beside the target, sync, read back, rename: a crash at any moment leaves
either the old file or the complete new one.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from napari_unet.errors import UNetError, WriteError

_RETRIES = 5
"""Windows refuses to rename a file that a virus scanner still holds; it lets go within a second."""

_LONGEST_SUFFIX = len(".safetensors")


def write_whole(
    path: str | os.PathLike[str],
    write: Callable[[Path], object],
    check: Callable[[Path], object] | None = None,
) -> Path:
    """Write a file or folder through a temporary one beside it.

    Parameters
    ----------
    path : path
        Final name. Its folder must exist. Where it is a link, what it leads to is written.
    write : callable
        Writes the temporary file or folder whose path it is given; its suffixes are those of `path`
        that name a format, such as ``.nii.gz``.
    check : callable, optional
        Reads it back and raises when it is not what was meant.

    Returns
    -------
    Path
        The final name.

    Raises
    ------
    WriteError
        When the file could not be written whole; the old one, if any, still stands.
    """
    target = behind_links(path)
    temporary = target.with_name(f".{secrets.token_hex(4)}.partial{_format(target)}")
    try:
        write(temporary)
        _sync_whole(temporary)
        if check is not None:
            check(temporary)
        if temporary.is_dir() and target.is_dir():
            _exchange(temporary, target)
        else:
            _replace(temporary, target)
        _sync(target.parent)
    except OSError as error:
        reason = error.strerror or str(error)
        raise WriteError(
            f"{target} could not be written ({reason}): check that the folder exists, may be "
            "written to and has room, or choose another."
        ) from error
    except UNetError as error:
        raise WriteError(f"{target} was not written: {error}") from error
    finally:
        _remove(temporary)
    return Path(path)


def behind_links(path: str | os.PathLike[str]) -> Path:
    """Return what a path leads to where it is a link, and the path itself where it is none."""
    is_link = os.path.islink(path)  # noqa: PTH114 - that of Path raises where a name is too long
    return Path(os.path.realpath(path) if is_link else path)


def require_name(path: Path) -> Path:
    """Make sure, before long work begins, that the file system takes a name of this length.

    Raises
    ------
    WriteError
        When it is too long.
    """
    try:  # in a folder that is there: in any other, no name is looked at
        folder = next(folder for folder in path.absolute().parents if folder.exists())
        (folder / path.name).lstat()
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise WriteError(f"{path} is too long a name: choose a shorter one.") from error
    return path


def require_writable(folder: str | os.PathLike[str]) -> Path:
    """Make sure, before long work begins, that files can be written into a folder.

    The folder is made when only its last part is missing.

    Raises
    ------
    WriteError
        Naming the folder and what is in the way.
    """
    place = Path(folder)
    probe = place / f".{secrets.token_hex(4)}.probe"
    try:
        place.mkdir(exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise WriteError(
            f"Nothing can be written into {place} ({error.strerror}): choose another folder."
        ) from error
    return place


def _format(target: Path) -> str:
    """Return the last suffixes: of ``mouse 1.5 mm.nii.gz`` the last two, and none that is a sentence.

    The whole name and more would be longer than the target's own, which may be as long as it can be.
    """
    return "".join(suffix for suffix in target.suffixes[-2:] if len(suffix) <= _LONGEST_SUFFIX)


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _sync_whole(path: Path) -> None:
    for inner in path.rglob("*"):
        _sync(inner)
    _sync(path)


def _sync(path: Path) -> None:
    """Flush a file or folder to the disk; file systems that can't (some network drives) are left."""
    if path.is_dir() and os.name == "nt":
        return
    flags = os.O_RDONLY if path.is_dir() or os.name != "nt" else os.O_RDWR
    descriptor = os.open(path, flags)
    try:
        with contextlib.suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _exchange(temporary: Path, target: Path) -> None:
    """Put a folder in the place of another, which no file system does in one step."""
    old = target.with_name(f".{secrets.token_hex(4)}.old")
    _replace(target, old)
    try:
        _replace(temporary, target)
    except OSError:
        _replace(old, target)
        raise
    _remove(old)


def _replace(temporary: Path, target: Path) -> None:
    for attempt in range(_RETRIES):
        try:
            temporary.replace(target)
        except PermissionError:
            if os.name != "nt" or attempt == _RETRIES - 1:
                raise
            time.sleep(0.2)
        else:
            return
