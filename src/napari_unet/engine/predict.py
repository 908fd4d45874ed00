"""Prediction as a job: finished parts first, the whole at the end."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_unet.core.prediction import Labels, Prediction
from napari_unet.core.progress import Box, Job
from napari_unet.core.settings import PredictSettings
from napari_unet.core.volume import Volume
from napari_unet.engine.canvas import Canvas
from napari_unet.engine.doubt import Doubt, Watch
from napari_unet.engine.infer import plan_tiles
from napari_unet.engine.model import Model
from napari_unet.engine.run import Run
from napari_unet.engine.scope import Scope
from napari_unet.engine.sums import Cell
from napari_unet.engine.view import predictable
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
    watch: Watch | None = None,
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
        Also return the probability of each class, or of background, interior and border.
    done : collection of Box
        Parts of `out` that are final already, along the grid's axes: they are neither computed nor
        written, and tiles that nothing else needs are not run.
    within : Box, optional
        Compute only this box, whose faces lie on edges of cells (`engine.scope.image_edges`). Without
        `out` labels, probabilities and their grid are the box's; with it they are the volume's, and
        outside of the box labels stay as they were and probabilities say background.
    watch : Watch, optional
        Also find out how unsure the model is, of slices and of voxels.

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
        When `out` or an array of `watch` is not of the image's shape, or `within` cuts cells.
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
    view = predictable(volume, spec)
    plan = plan_tiles(view, spec, settings.overlap)
    scope = Scope(view, plan, within, done)
    largest = max(c.id for c in spec.classes)
    labels = _place_for(out, volume, within, settings, largest)
    fields = settings.instances and spec.target == "instances"
    canvas = Canvas(view, spec, scope, labels, keep=keep_probabilities or fields)
    doubt = None if watch is None else watch.over(volume, view, spec)
    writer = canvas if doubt is None else _Both(canvas, doubt)
    run = Run(model, settings, view, plan, scope, writer, near, began=began)
    yield from run.through()

    found: Any = labels
    if settings.instances:
        from napari_unet.engine.instances import components, objects  # scikit-image: half a second

        if run.complete:
            yield run.report("objects")
        kept = canvas.kept if fields else None
        found = labels if out is None else out
        ids = components(view.oriented(labels)) if kept is None else objects(kept)
        _require_room("Object id", int(ids.max(initial=0)), found)
        seen = map(slice, *view.in_grid(scope.start, scope.stop))
        found[tuple(seen)] = view.as_grid(ids.astype(found.dtype))
        if run.complete:
            yield run.report("objects", ((0,) * volume.grid.ndim, volume.grid.shape))
    return Prediction(
        labels=found,
        grid=volume.grid if out is not None or within is None else volume.grid.crop(*within),
        classes=spec.classes,
        model=model.sha256,
        instances=settings.instances,
        complete=run.complete,
        seconds={"network": run.seconds, "total": time.perf_counter() - began},
        device=run.device,
        backend=run.backend,
        probabilities=canvas.probabilities() if keep_probabilities else None,
        tiles={"total": len(plan.tiles()), "run": run.tiles_run},
        uncertainty=None if watch is None else watch.uncertainty,
        survey=None if watch is None or doubt is None else doubt.survey(volume.grid, watch.axis),
    )


@dataclass(frozen=True)
class _Both:
    """Gives each cell to the canvas and to who counts doubts."""

    canvas: Canvas
    doubt: Doubt

    def write(self, cell: Cell) -> Box:
        """Take a cell."""
        self.doubt.write(cell)
        return self.canvas.write(cell)


def _place_for(
    out: Labels | None,
    volume: Volume,
    within: Box | None,
    settings: PredictSettings,
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
        shape = volume.grid.shape
        if within is not None:
            shape = tuple(b - a for a, b in zip(*within, strict=True))
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
