"""Prediction as a job: finished parts first, the whole at the end."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_unet.core.prediction import Prediction
from napari_unet.core.progress import Box, Job, Progress
from napari_unet.core.settings import PredictSettings
from napari_unet.core.spec import ModelSpec
from napari_unet.core.volume import Volume
from napari_unet.engine.backends import load_backend
from napari_unet.engine.device import choose_device
from napari_unet.engine.infer import Cell, infer, plan_tiles, read_tile
from napari_unet.engine.instances import INTERIOR, components, objects
from napari_unet.engine.model import Model
from napari_unet.engine.view import View
from napari_unet.errors import GridError, SpecError


def predicting(
    volume: Volume,
    model: Model,
    settings: PredictSettings | None = None,
    *,
    near: tuple[int, ...] | None = None,
    out: NDArray[Any] | None = None,
    keep_probabilities: bool = False,
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
    out : ndarray of unsigned int, optional
        Array of the grid's shape that final parts are written into as they come; made when absent.
        Wide enough for every class id, or 32 bits for objects.
    keep_probabilities : bool
        Also return the probability of each class.

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
        When the image does not fit the model, or an id does not fit into `out`.
    GridError
        When `out` is not of the image's shape.
    DeviceError
        When the wanted device or backend is not there.
    """
    settings = settings or PredictSettings()
    began = time.perf_counter()
    spec = model.spec
    view = View(volume, spec)
    ids = np.array([c.id for c in spec.classes])
    labels = np.zeros(volume.grid.shape, _label_type(settings, ids)) if out is None else out
    if labels.shape != volume.grid.shape:
        raise GridError(
            f"Labels of shape {labels.shape} are no place for those of {volume.name}: make them of "
            f"its shape {volume.grid.shape}."
        )
    _require_room("Class id", int(ids.max()), labels)
    fields = settings.instances and spec.target == "instances"
    kept = None
    if keep_probabilities or fields:
        kept = np.zeros((spec.out_channels, *view.image_shape), np.float16)

    plan = plan_tiles(view, spec, settings.overlap)
    tiles = plan.tiles(_in_network(near, view))
    device = choose_device(settings.device)
    batch = min(_batch(plan.tile, device, settings.tta), len(tiles))
    yield Progress("prepare", 0, len(tiles), time.perf_counter() - began)
    first = np.stack([read_tile(view, spec, plan, t) for t in tiles[:batch]])
    batches = -(-len(tiles) // batch) * (2**spec.dims if settings.tta else 1)
    forward, backend = load_backend(
        settings.backend, model.build(), device, torch.from_numpy(first), batches
    )

    done, network_began = 0, time.perf_counter()
    canvas = view.oriented(labels)
    stopped = False
    for cells in infer(view, spec, forward, plan, tiles, batch=batch, mirror=settings.tta):
        done = min(done + batch, len(tiles))
        seconds = time.perf_counter() - began
        left = (time.perf_counter() - network_began) * (len(tiles) - done) / done
        boxes = [_write(cell, canvas, kept, spec, ids, view) for cell in cells]
        reports: list[Box | None] = [*boxes] or [None]
        for box in reports:
            report = Progress("predict", done, len(tiles), seconds, left, box=box)
            stopped = bool((yield report)) or stopped
        if stopped:
            break
    complete = done == len(tiles)
    network_seconds = time.perf_counter() - network_began

    if settings.instances:
        if complete:
            yield Progress("objects", done, len(tiles), time.perf_counter() - began)
        found = objects(kept) if kept is not None and fields else components(canvas)
        _require_room("Object id", int(found.max(initial=0)), labels)
        canvas[...] = found
    return Prediction(
        labels=labels,
        grid=volume.grid,
        classes=spec.classes,
        model=model.sha256,
        instances=settings.instances,
        complete=complete,
        seconds={"network": network_seconds, "total": time.perf_counter() - began},
        device=device.type,
        backend=backend,
        probabilities=None if kept is None or not keep_probabilities else _in_grid(kept, view),
    )


def _write(
    cell: Cell,
    canvas: NDArray[Any],
    kept: NDArray[np.float16] | None,
    spec: ModelSpec,
    ids: NDArray[Any],
    view: View,
) -> Box:
    """Write a final cell's labels; return its box along the grid's own axes."""
    place = tuple(slice(a, b) for a, b in zip(cell.start, cell.stop, strict=True))
    if kept is not None:
        kept[(slice(None), *place)] = _softmax(cell.logits)
    winner = cell.logits.argmax(axis=0)
    if spec.target == "instances":
        winner = (winner >= INTERIOR).astype(winner.dtype)
    canvas[place] = ids[winner]
    return view.in_grid(cell.start), view.in_grid(cell.stop)


def _softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    shifted = np.exp(logits - logits.max(axis=0, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=0, keepdims=True))


def _label_type(settings: PredictSettings, ids: NDArray[Any]) -> np.dtype[Any]:
    return np.dtype(np.uint32) if settings.instances else np.min_scalar_type(int(ids.max()))


def _require_room(what: str, largest: int, labels: NDArray[Any]) -> None:
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


def _in_grid(kept: NDArray[np.float16], view: View) -> NDArray[np.float16]:
    """Bring probabilities (K, ...) from the view's axes to the grid's."""
    moved = np.moveaxis(kept, 1, view.axis + 1)
    return moved[:, 0] if view.flat else moved


def _batch(tile: tuple[int, ...], device: torch.device, mirror: bool) -> int:
    """Tiles at once: as many voxels as one default 3D tile on a CPU, so that stopping stays prompt.

    Mirroring runs each batch once for every mirrored copy.
    """
    budget = 1 << (18 if device.type == "cpu" else 21)
    if mirror:
        budget >>= 2
    return max(1, min(16, budget // int(np.prod(tile))))
