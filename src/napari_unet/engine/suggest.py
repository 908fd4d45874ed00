"""What to annotate next, as a job: the slices that would teach a model most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.annotation import Annotation
from napari_unet.core.progress import Box, Job, passing_on
from napari_unet.core.settings import PredictSettings
from napari_unet.core.spec import ModelSpec
from napari_unet.core.suggestion import Suggestions
from napari_unet.core.volume import Volume
from napari_unet.engine.doubt import Doubt
from napari_unet.engine.infer import plan_tiles
from napari_unet.engine.model import Model
from napari_unet.engine.predict import predicting
from napari_unet.engine.rank import suggestions
from napari_unet.engine.regions import slicing_axis
from napari_unet.engine.run import Run
from napari_unet.engine.scope import Scope
from napari_unet.engine.view import View
from napari_unet.errors import GridError, SpecError


def suggesting(
    volume: Volume,
    model: Model,
    annotation: Annotation | None = None,
    settings: PredictSettings | None = None,
    *,
    count: int = 3,
    seed: int = 0,
    before: Model | None = None,
    uncertainty: NDArray[np.float16] | None = None,
) -> Job[Suggestions]:
    """Choose the slices of a volume that should be annotated next.

    They are chosen one after the other. A slice is worth much where the model is unsure of it, near
    any class it knows, where it says something else than the model before it, and far from what is
    annotated or was chosen already. Chance has a share too.

    Parameters
    ----------
    volume : Volume
        The image.
    model : Model
        The model that is to learn from it.
    annotation : Annotation, optional
        What is annotated already. Slices are counted along the axis that it was made along; without
        it along the model's own. A slice known in part may be chosen, for the rest of it.
    settings : PredictSettings, optional
        How to run the model: device, backend, overlap and mirroring count.
    count : int
        How many slices are wanted.
    seed : int
        Of the random share.
    before : Model, optional
        The model before this one; its class ids mean the same.
    uncertainty : ndarray of float16, optional
        Array of the grid's shape that takes each voxel's entropy, 0..1, as it becomes final.

    Yields
    ------
    Progress
        With the box whose entropy has just become final.

    Returns
    -------
    Suggestions
        Fewer than wanted where fewer are left. When told to stop, chosen among the slices that were
        computed in full.

    Raises
    ------
    SpecError
        When the image is a plane, does not fit the model, or no slice is wanted.
    GridError
        When the annotation or `uncertainty` is not of the image's shape.
    DeviceError
        When the wanted device or backend is not there.

    Notes
    -----
    Entropy that counts for each class alike, and chance, are taken from nnActive (arXiv:2511.19183) and
    ClaSP PE (arXiv:2601.13677), which choose patches; distance and change are our own.
    """
    how = settings or PredictSettings()
    settings = PredictSettings(how.device, how.backend, how.overlap, how.tta)
    _require(volume, annotation, uncertainty, count)
    view = View(volume, model.spec)
    axis = _axis(model.spec, annotation)
    done = () if annotation is None else annotation.done(axis)
    earlier = None
    if before is not None:
        # Labels that are nobody's output have no box to show.
        earlier = yield from passing_on(
            predicting(volume, before, settings), lambda r: replace(r, stage="compare", box=None)
        )
        if not earlier.complete:
            return Suggestions(axis, volume.grid.unit, (), complete=False)

    doubt = Doubt(
        view,
        model.spec,
        view.in_order((0, 1, 2)).index(axis),
        known=None if annotation is None else view.oriented(annotation.known),
        before=None if earlier is None else view.oriented(earlier.labels),
        uncertainty=None if uncertainty is None else view.oriented(uncertainty),
    )
    plan = plan_tiles(view, model.spec, settings.overlap)
    known = [] if uncertainty is not None else _boxes(done, axis, volume.grid.shape)
    scope = Scope(view, plan, done=known)
    run = Run(model, settings, view, plan, scope, doubt, stage="suggest")
    yield from run.through()
    slices = suggestions(doubt, volume.grid, model.spec, axis, done, count, seed)
    return Suggestions(axis, volume.grid.unit, slices, run.complete)


def _axis(spec: ModelSpec, annotation: Annotation | None) -> int:
    if annotation is not None:
        return slicing_axis(annotation)
    return spec.axis if spec.dims == 2 else 0


def _boxes(done: Sequence[int], axis: int, shape: tuple[int, ...]) -> list[Box]:
    """Join slices that follow each other into boxes of the grid."""
    runs = np.split(done, np.flatnonzero(np.diff(done) > 1) + 1) if done else []
    boxes = []
    for run in runs:
        start, stop = [0, 0, 0], list(shape)
        start[axis], stop[axis] = int(run[0]), int(run[-1]) + 1
        boxes.append((tuple(start), tuple(stop)))
    return boxes


def _require(
    volume: Volume,
    annotation: Annotation | None,
    uncertainty: NDArray[np.float16] | None,
    count: int,
) -> None:
    shape = volume.grid.shape
    if len(shape) == 2:
        raise SpecError(f"{volume.name} is a plane: it has no slices to choose among.")
    if count < 1:
        raise SpecError(f"At least one slice is suggested, not {count}.")
    arrays = {
        "annotation": None if annotation is None else annotation.labels,
        "array for the uncertainty": uncertainty,
    }
    for what, array in arrays.items():
        if array is not None and array.shape != shape:
            raise GridError(
                f"The {what} has shape {array.shape} but {volume.name} has {shape}: "
                "make it of the image's shape."
            )
