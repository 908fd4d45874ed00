"""Prediction as a job: finished parts first, the whole at the end."""

from __future__ import annotations

import time
from collections.abc import Collection
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_unet.core.prediction import Prediction
from napari_unet.core.progress import Box, Job, Progress
from napari_unet.core.settings import PredictSettings
from napari_unet.core.volume import Volume
from napari_unet.engine.backends import Loaded, load_backend
from napari_unet.engine.canvas import Canvas, Labels
from napari_unet.engine.coarse import CoarseLook
from napari_unet.engine.device import choose_device
from napari_unet.engine.infer import infer, plan_tiles, read_tile, seen_by
from napari_unet.engine.instances import components, objects
from napari_unet.engine.model import Model
from napari_unet.engine.scope import Scope
from napari_unet.engine.tiles import Index, TilePlan
from napari_unet.engine.view import View
from napari_unet.errors import GridError, SpecError


def predicting(
    volume: Volume,
    model: Model,
    settings: PredictSettings | None = None,
    *,
    near: tuple[int, ...] | None = None,
    out: Labels | None = None,
    keep_probabilities: bool = False,
    done: Collection[Box] = frozenset(),
    within: Box | None = None,
) -> Job[Prediction]:
    """Predict the labels of a volume, tile by tile.

    Parameters
    ----------
    volume : Volume
        The image.
    model : Model
        The model.
    settings : PredictSettings, optional
        How to run it.
    near : tuple of int, optional
        Voxel that the user looks at, one number an axis of the grid; tiles there come first.
        Without it they come in the order that needs the least memory.
    out : array-like of unsigned int, optional
        What final parts are written into as they come, of the grid's shape: an array, in memory or
        in zarr; made when absent. Wide enough for every class id, or 32 bits for objects.
    keep_probabilities : bool
        Also return the probability of each class.
    done : collection of Box
        Parts of `out` that are final already, along the grid's axes: they are neither computed nor
        written, and tiles that nothing else needs are not run.
    within : Box, optional
        Compute only this box, whose faces lie on edges of cells (`engine.scope.image_edges`). The
        probabilities, and without `out` the labels and their grid, are the box's.

    Yields
    ------
    Progress
        With the box that has just become final.

    Returns
    -------
    Prediction
        Marked incomplete when told to stop.

    Raises
    ------
    SpecError
        When the image does not fit the model, an id does not fit into `out`, or objects, which
        need the whole volume, are wanted of a part.
    GridError
        When `out` is not of the image's shape, or `within` cuts cells.
    DeviceError
        When the wanted device or backend is not there.
    WriteError
        When what memory can't hold does not fit into the folder of temporary files.
    """
    settings = settings or PredictSettings()
    if settings.instances and (done or within):
        raise SpecError("Objects are told apart in a whole volume, not in a part: leave them off.")
    began = time.perf_counter()
    spec = model.spec
    view = View(volume, spec)
    plan = plan_tiles(view, spec, settings.overlap)
    scope = Scope(view, plan, within, done)
    labels = _place_for(out, volume, scope, settings, view, max(c.id for c in spec.classes))
    fields = settings.instances and spec.target == "instances"
    canvas = Canvas(view, spec, scope, labels, keep=keep_probabilities or fields)
    run = _Run(model, settings, view, plan, scope, canvas, near, began)
    yield from run.through()

    found: Any = labels
    if settings.instances:
        if run.complete:
            yield run.report("objects")
        kept = canvas.kept if fields else None
        found = labels if out is None else out
        ids = components(view.oriented(labels)) if kept is None else objects(kept)
        _require_room("Object id", int(ids.max(initial=0)), found)
        found[tuple(map(slice, volume.grid.shape))] = view.as_grid(ids.astype(found.dtype))
        if run.complete:
            yield run.report("objects", ((0,) * volume.grid.ndim, volume.grid.shape))
    part = view.in_grid(scope.start), view.in_grid(scope.stop)
    return Prediction(
        labels=found,
        grid=volume.grid if out is not None or within is None else volume.grid.crop(*part),
        classes=spec.classes,
        model=model.sha256,
        instances=settings.instances,
        complete=run.complete,
        seconds={"network": run.seconds, "total": time.perf_counter() - began},
        device=run.device.type,
        backend=run.backend,
        probabilities=canvas.probabilities() if keep_probabilities else None,
        tiles={"total": len(plan.tiles()), "run": run.tiles_run},
    )


@dataclass(eq=False)
class _Run:
    """The network's way through the tiles of a scope."""

    model: Model
    settings: PredictSettings
    view: View
    plan: TilePlan
    scope: Scope
    canvas: Canvas
    near: tuple[int, ...] | None
    began: float
    tiles_run: int = 0
    seconds: float = 0.0
    complete: bool = False
    backend: str = "torch"
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
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

        network_began = time.perf_counter()

        def forward(stack: Tensor) -> Tensor:
            self.tiles_run += len(stack)
            return loaded.forward(stack)

        look = CoarseLook(self.view, spec, self.plan) if self.settings.coarse else None
        if look is not None:
            for share in look.through(tiles, forward, loaded.batch):
                if (yield self.report("look coarsely", message=f"{share:.0%}")):
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
        stopped = False
        with closing(cells):
            for final in cells:
                self._done = min(self._done + loaded.batch, self._total)
                self.seconds = time.perf_counter() - network_began
                boxes: list[Box | None] = [self.canvas.write(cell) for cell in final] or [None]
                for box in boxes:
                    report = self.report("predict", box, loaded.forward.news())
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
        loaded = load_backend(
            settings.backend,
            self.model.build(),
            self.device,
            torch.from_numpy(first),
            -(-len(tiles) // batch) * (2**spec.dims if settings.tta else 1),
            identity=self.model.sha256,
            compiled=settings.compile,
        )
        self.backend = loaded.name
        return loaded

    def _read(self, tile: Index, look: CoarseLook | None) -> NDArray[np.float32] | None:
        """Read what the network must see of a tile; None when it need not be run."""
        if look is not None and tile not in look.found:
            return None
        spec, floor = self.model.spec, self.settings.skip_below
        if floor is not None and not self.view.exceeds(*seen_by(spec, self.plan, tile), floor):
            return None
        return read_tile(self.view, spec, self.plan, tile)


def _place_for(
    out: Labels | None,
    volume: Volume,
    scope: Scope,
    settings: PredictSettings,
    view: View,
    largest: int,
) -> Any:  # noqa: ANN401 - whatever takes labels
    """Return what cells are written into: `out`, or an array of the part's shape."""
    if out is not None and tuple(out.shape) != volume.grid.shape:
        raise GridError(
            f"Labels of shape {tuple(out.shape)} are no place for those of {volume.name}: make "
            f"them of its shape {volume.grid.shape}."
        )
    if out is not None:
        _require_room("Class id", largest, out)
    # Objects are found in an array that can be read, whatever they are written into in the end.
    if out is None or (settings.instances and not isinstance(out, np.ndarray)):
        first, last = view.in_grid(scope.start), view.in_grid(scope.stop)
        shape = tuple(b - a for a, b in zip(first, last, strict=True))
        return np.zeros(shape, _label_type(settings, largest))
    return out


def _label_type(settings: PredictSettings, largest: int) -> np.dtype[Any]:
    return np.dtype(np.uint32) if settings.instances else np.min_scalar_type(largest)


def _require_room(what: str, largest: int, labels: Labels) -> None:
    if largest > np.iinfo(labels.dtype).max:
        raise SpecError(
            f"{what} {largest} does not fit into {labels.dtype} labels: "
            f"use {np.min_scalar_type(largest)}."
        )


def _in_network(near: tuple[int, ...] | None, view: View) -> tuple[float, ...] | None:
    if near is None:
        return None
    zyx = (0, *near) if len(near) == 2 else near
    ratio = [n / m for n, m in zip(view.shape, view.image_shape, strict=True)]
    return tuple(p * r for p, r in zip(view.in_order(zyx), ratio, strict=True))


def _batch(tile: tuple[int, ...], device: torch.device, mirror: bool) -> int:
    """Tiles at once: as many voxels as one default 3D tile on a CPU, so that stopping stays prompt.

    Mirroring runs each batch once for every mirrored copy.
    """
    budget = 1 << (18 if device.type == "cpu" else 21)
    if mirror:
        budget >>= 2
    return max(1, min(16, budget // int(np.prod(tile))))
