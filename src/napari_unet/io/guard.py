"""What stands between a damaged file and the user: one sentence instead of a traceback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import shorten

import psutil

from napari_unet.errors import ReadError, UNetError


@contextmanager
def reading(path: Path, title: str) -> Iterator[None]:
    """Turn whatever goes wrong while `path` is read into one `ReadError` that names it.

    Parsers of damaged files raise anything from KeyError to struct.error, so all is caught here;
    the original exception stays attached as the cause.
    """
    try:
        yield
    except ReadError:
        raise
    except UNetError as error:
        raise ReadError(f"{path}: {error}") from error
    except PermissionError as error:
        raise ReadError(f"{path} may not be read: ask for permission or copy it.") from error
    except MemoryError as error:
        raise ReadError(f"{path} does not fit into memory: crop it or use OME-Zarr.") from error
    except Exception as error:
        # Some parsers quote half the file in their message.
        reason = shorten(str(error), 160, placeholder="…").rstrip(".") or type(error).__name__
        raise ReadError(
            f"{path} can't be read as {title} ({reason}): it is cut short, damaged or of another "
            "format; copy it anew from its source, or convert it."
        ) from error


def require_memory(size: int, path: Path) -> None:
    """Refuse an image of `size` bytes that free memory can't hold, before allocating it.

    Raises
    ------
    ReadError
        With both sizes.
    """
    free = psutil.virtual_memory().available
    if size > free:
        raise ReadError(
            f"{path} needs {size / 2**30:.1f} GiB of memory but {free / 2**30:.1f} GiB is free: "
            "crop it, or convert it to OME-Zarr, which is read piece by piece."
        )
