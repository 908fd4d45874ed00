"""One process at a time: a lock that the system gives back when its owner dies, however it dies."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import BinaryIO

if sys.platform == "win32":
    import msvcrt

    def _take(file: BinaryIO) -> None:
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _take(file: BinaryIO) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


class Lock:
    """An exclusive lock on a file that exists for nothing else.

    A killed process leaves the file but not the lock, so no stale one ever has to be judged.

    Parameters
    ----------
    path : Path
        Made if absent; its folder must exist.

    Raises
    ------
    BlockingIOError
        When another process, or another `Lock` in this one, holds it.
    OSError
        When the file can't be made.
    """

    def __init__(self, path: Path) -> None:
        self._file: BinaryIO = path.open("ab")
        try:
            _take(self._file)
        except (BlockingIOError, PermissionError) as error:  # the latter is what Windows says
            self._file.close()
            raise BlockingIOError(f"{path} is locked") from error
        except OSError:
            pass  # a network file system without locks: nothing can be promised there

    def release(self) -> None:
        """Let the next one in; the file stays."""
        self._file.close()
