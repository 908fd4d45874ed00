"""The network's way through the tiles that a prediction needs."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.progress import Box, Job, Progress
from napari_unet.core.settings import PredictSettings
from napari_unet.engine.arrays import Array
from napari_unet.engine.backends import Loaded, load_backend
from napari_unet.engine.coarse import CoarseLook
from napari_unet.engine.device import choose_device
from napari_unet.engine.infer import infer, read_tile, seen_by
from napari_unet.engine.model import Model
from napari_unet.engine.planes import crosses, slices
from napari_unet.engine.scope import Scope
from napari_unet.engine.sums import Cell
from napari_unet.engine.tiles import Index, TilePlan
from napari_unet.engine.view import View


class Writer(Protocol):
    """What takes the cells as they become final."""

    def write(self, cell: Cell) -> Box:
        """Take a cell; return its box along the grid's own axes."""


@dataclass(eq=False)
class Run:
    """The network's way through the tiles of a scope.

    Attributes
    ----------
    stage : str
        What the reports call it.
    tiles_run : int
        Tiles that the network ran on, mirrored copies and coarse ones included.
    seconds : float
        Time that took, writing included.
    complete : bool
        Whether all tiles were done.
    backend, device
        Where it ran.
    """

    model: Model
    settings: PredictSettings
    view: View
    plan: TilePlan
    scope: Scope
    writer: Writer
    near: tuple[int, ...] | None = None
    stage: str = "predict"
    began: float = field(default_factory=time.perf_counter)
    tiles_run: int = 0
    seconds: float = 0.0
    complete: bool = False
    backend: str = "torch"
    device: str = "cpu"
    _done: int = 0
    _total: int = 0

    def through(self) -> Job[None]:
        """Run the tiles and write their cells; ends early when told to."""
        spec, mirror = self.model.spec, self.settings.tta
        tiles = self.scope.tiles(_in_network(self.near, self.view))
        self.device = choose_device(self.settings.device)
        self._total = len(tiles)
        yield self.report("prepare")
        if not tiles:
            self.complete = True
            return
        loaded = self._load(tiles)
        yield self.report("prepare", message=loaded.reason)
        if self.view.channels != tuple(range(len(spec.channels))):
            yield self.report("prepare", message=f"channels by name: {', '.join(self.view.names)}")
        if mirror and not spec.mirrored:
            yield self.report("prepare", message=_doubt(self.model))

        network_began = time.perf_counter()

        def forward(stack: NDArray[np.float32]) -> Array:
            self.tiles_run += len(stack)
            return loaded.forward(stack)

        look = CoarseLook(self.view, spec, self.plan) if self.settings.coarse else None
        if look is not None:
            for share in look.through(tiles, forward, loaded.batch):
                report = self.report("look coarsely")
                if (yield replace(report, done=round(100 * share), total=100)):
                    return
        cells = infer(
            self.view,
            spec,
            forward,
            self.plan,
            tiles,
            batch=loaded.batch,
            mirror=mirror,
            wanted=None if self.scope.whole else self.scope.wants,
            read=lambda tile: self._read(tile, look),
        )
        stopped, together = False, 1 if crosses(self.view, spec) else loaded.batch
        with closing(cells):
            for final in cells:
                self._done = min(self._done + together, self._total)
                self.seconds = time.perf_counter() - network_began
                boxes: list[Box | None] = [self.writer.write(cell) for cell in final] or [None]
                for box in boxes:
                    report = self.report(self.stage, box, loaded.forward.news())
                    stopped = bool((yield report)) or stopped
                if stopped:
                    break
        self.seconds = time.perf_counter() - network_began
        self.complete = self._done == self._total

    def report(self, stage: str, box: Box | None = None, message: str = "") -> Progress:
        """Make a report of the moment."""
        left = self.seconds * (self._total - self._done) / self._done if self._done else None
        seconds = time.perf_counter() - self.began
        return Progress(stage, self._done, self._total, seconds, left, message, box)

    def _load(self, tiles: list[Index]) -> Loaded:
        """Make the network ready for the tiles to come."""
        spec, settings = self.model.spec, self.settings
        batch = min(_batch(self.plan.tile, self.device, settings.tta), len(tiles))
        first = np.stack([read_tile(self.view, spec, self.plan, t) for t in tiles[:batch]])
        batches = -(-len(tiles) // batch) * (2**spec.dims if settings.tta else 1)
        if crosses(self.view, spec):  # tiles are blocks, which it runs slice by slice
            batch = _batch(self.plan.tile[1:], self.device, settings.tta)
            first = next(slices(first[0], 0, spec.context, batch))
            batches *= sum(self.plan.tile) // len(first)
        loaded = load_backend(
            settings.backend,
            self.model,
            self.device,
            first,
            batches,
            compiled=settings.compile,
        )
        self.backend = loaded.name
        return loaded

    def _read(self, tile: Index, look: CoarseLook | None) -> NDArray[np.float32] | None:
        """Read what the network must see of a tile; None when it need not be run."""
        if look is not None and tile not in look.found:
            return None
        spec, floor = self.model.spec, self.settings.skip_below
        if floor is not None and not self.view.exceeds(
            *seen_by(self.view, spec, self.plan, tile), floor
        ):
            return None
        return read_tile(self.view, spec, self.plan, tile)


def _doubt(model: Model) -> str:
    """Say why mirroring may harm."""
    if model.spec.mirrored is None:
        return (
            f"nobody noted whether {model.name} learned from mirrored images: compare its labels with "
            "those without mirroring"
        )
    return (
        f"{model.name} never learned from mirrored images, so averaging over them most likely spoils its "
        "labels: leave mirroring (--tta) off"
    )


def _in_network(near: tuple[int, ...] | None, view: View) -> tuple[float, ...] | None:
    if near is None:
        return None
    seen, _ = view.from_grid((near, tuple(p + 1 for p in near)))
    return tuple(p * n / m for p, n, m in zip(seen, view.shape, view.image_shape, strict=True))


def _batch(tile: tuple[int, ...], device: str, mirror: bool) -> int:
    """Tiles at once: as many voxels as one default 3D tile on a CPU, so that stopping stays prompt.

    Mirroring runs each batch once for every mirrored copy.
    """
    budget = 1 << (18 if device == "cpu" else 21)
    if mirror:
        budget >>= 2
    return max(1, min(16, budget // int(np.prod(tile))))
