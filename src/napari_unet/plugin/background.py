"""Work that would hold the window up, done in a thread."""

import logging
from collections.abc import Callable
from typing import TypeVar

from superqt.utils import create_worker

from napari_unet.errors import UNetError

_LOG = logging.getLogger("napari_unet.plugin")

Made = TypeVar("Made")


def in_thread(
    work: Callable[[], Made], done: Callable[[Made], None], failed: Callable[[str], None]
) -> None:
    """Do some work in a thread, and tell what came of it in the main one.

    Parameters
    ----------
    work : callable
        Touches no widget and no layer.
    done : callable
        Gets what the work returns. A method of a widget that is gone by then is not called.
    failed : callable
        Gets in one sentence why it returns nothing, whatever has gone wrong.
    """
    create_worker(
        work,
        _start_thread=True,
        _ignore_errors=True,  # or it would be raised a second time
        _connect={"returned": done, "errored": lambda error: failed(_words(error))},
    )


def _words(error: Exception) -> str:
    if isinstance(error, UNetError):
        return str(error)
    if isinstance(error, MemoryError):
        return "Memory ran out: close other programs, or take a smaller part."
    _LOG.error("unforeseen", exc_info=error)
    return (
        f"This failed in a way nobody foresaw ({type(error).__name__}: {error}). Nothing painted is "
        "lost; please report it."
    )
