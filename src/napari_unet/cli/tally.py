"""What a run of predictions amounts to: files, voxels, tiles, seconds, memory."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from napari_unet.errors import UNetError


class Tally:
    """Counts that grow image by image.

    Attributes
    ----------
    device, backend : str
        Where the last one ran.
    resumed : int
        Parts that an earlier run had left, finished.
    failed : list of dict
        Images that were left out, each with the ``error`` that it met.
    """

    def __init__(self) -> None:
        self.device = self.backend = ""
        self.resumed = 0
        self.failed: list[dict[str, str]] = []
        self._outputs: list[str] = []
        self._voxels = 0
        self._tiles = {"total": 0, "run": 0}
        # Reading and writing go on beside the network: these may add up to more than the total.
        self._seconds = {"read": 0.0, "network": 0.0, "write": 0.0}
        self._began = time.perf_counter()

    def wrote(self, target: Path, voxels: int) -> None:
        """Count a file that stands."""
        self._outputs.append(str(target))
        self._voxels += voxels

    def missed(self, image: Path, error: UNetError) -> str:
        """Count an image that is left out; gives the sentence that says so."""
        self.failed.append({"image": str(image), "error": str(error)})
        return f"{image} is left out: {error}"

    def planned(self, tiles: int) -> None:
        """Count the tiles of an image that others will run."""
        self._tiles["total"] += tiles

    def ran(self, device: str, backend: str, seconds: float, tiles: Mapping[str, int]) -> None:
        """Count what a network did."""
        self.device, self.backend = device, backend
        self._seconds["network"] += seconds
        for kind, count in tiles.items():
            self._tiles[kind] += count

    @contextmanager
    def measure(self, part: str) -> Iterator[None]:
        """Add the time that a ``"read"`` or ``"write"`` takes."""
        began = time.perf_counter()
        yield
        self._seconds[part] += time.perf_counter() - began

    @property
    def text(self) -> str:
        """The files, a line each."""
        return "\n".join(self._outputs)

    @property
    def count(self) -> int:
        """How many files stand."""
        return len(self._outputs)

    def result(self) -> dict[str, Any]:
        """Return what ``--json`` says."""
        seconds = {"total": time.perf_counter() - self._began, **self._seconds}
        return {
            "outputs": self._outputs,
            "failed": self.failed,
            "voxels": self._voxels,
            "seconds": {part: round(s, 3) for part, s in seconds.items()},
            "device": self.device,
            "backend": self.backend,
            "tiles": self._tiles,
            "resumed": self.resumed,
            "peak_rss_bytes": peak_memory(),
        }


def peak_memory() -> int:
    """Return the most memory that this process has held at once, in bytes."""
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
