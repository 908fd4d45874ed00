"""Work that would hold the window up, done in a thread."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
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
        Gets what the work returns.
    failed : callable
        Gets in one sentence why it returns nothing. Whatever goes wrong arrives here: a worker left
        alone swallows some errors, and somebody would wait for ever.
    """
    create_worker(
        _tried,
        work,
        _start_thread=True,
        _connect={"returned": partial(_tell, done, failed)},
    )


@dataclass(frozen=True)
class _Problem:
    sentence: str


def _tried(work: Callable[[], Made]) -> Made | _Problem:
    try:
        return work()
    except UNetError as error:
        return _Problem(str(error))
    except MemoryError:
        return _Problem("Memory ran out: close other programs, or take a smaller part.")
    except Exception as error:
        _LOG.exception("unforeseen")
        return _Problem(
            f"This failed in a way nobody foresaw ({type(error).__name__}: {error}). Nothing painted "
            "is lost; please report it."
        )


def _tell(
    done: Callable[[Made], None], failed: Callable[[str], None], made: Made | _Problem
) -> None:
    if isinstance(made, _Problem):
        failed(made.sentence)
    else:
        done(made)
