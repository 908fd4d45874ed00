"""A small folder of things that can be made again: the oldest go, damaged ones are made anew."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import time
from pathlib import Path

from napari_unet.atomic import write_whole
from napari_unet.errors import UNetError

_DIGEST = hashlib.sha256().digest_size
_STALE = 3600.0
"""Seconds after which a half-written file is nobody's any more."""


class DiskCache:
    """Bytes under a key, each entry one file that begins with its own sha256.

    The cache never fails: what can't be read is not there, what can't be written is not kept.

    Parameters
    ----------
    folder : Path
        Made when missing.
    ending : str
        Of its files.
    entries : int
        How many are kept.
    size : int
        Bytes that are kept, of all entries together.
    """

    def __init__(self, folder: Path, ending: str, entries: int = 20, size: int = 500 << 20) -> None:
        self._folder, self._ending = folder, ending
        self._entries, self._size = entries, size

    def has(self, key: str) -> bool:
        """Whether there is an entry, which may yet prove damaged."""
        return self._path(key).is_file()

    def get(self, key: str) -> bytes | None:
        """Return an entry, or None when it is missing; a damaged one is thrown away.

        Parameters
        ----------
        key : str
            Letters and digits.
        """
        path = self._path(key)
        try:
            whole = path.read_bytes()
            if hashlib.sha256(whole[_DIGEST:]).digest() == whole[:_DIGEST]:
                path.touch()  # the last used ones are kept
                return whole[_DIGEST:]
        except OSError:
            return None
        logging.getLogger(__name__).warning("%s was damaged and is made anew.", path)
        self.drop(key)
        return None

    def put(self, key: str, content: bytes) -> None:
        """Keep an entry, and throw the oldest away while there are too many."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            whole = hashlib.sha256(content).digest() + content
            write_whole(self._path(key), lambda path: path.write_bytes(whole))
            self._trim()
        except (UNetError, OSError) as error:
            logging.getLogger(__name__).warning("Nothing is kept in %s: %s", self._folder, error)

    def drop(self, key: str) -> None:
        """Throw an entry away."""
        with contextlib.suppress(OSError):  # Windows keeps a file that another process reads
            self._path(key).unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}{self._ending}"

    def _trim(self) -> None:
        now = time.time()
        for partial in self._folder.glob(f".*.partial.*{self._ending}"):
            if now - partial.stat().st_mtime > _STALE:
                partial.unlink(missing_ok=True)
        found = sorted(
            ((path.stat().st_mtime, path.stat().st_size, path) for path in self._kept()),
            reverse=True,
        )
        total = 0
        for place, (_, size, path) in enumerate(found):
            total += size
            if place and (place >= self._entries or total > self._size):
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)

    def _kept(self) -> list[Path]:
        return [p for p in self._folder.glob(f"*{self._ending}") if not p.name.startswith(".")]
