"""What to annotate next, as a job: the slices that would teach a model most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.annotation import Annotation
from napari_unet.core.orientation import turn
from napari_unet.core.progress import Box, Job, passing_on
from napari_unet.core.settings import PredictSettings
from napari_unet.core.spec import ModelSpec
from napari_unet.core.suggestion import Suggestions, Survey
from napari_unet.core.volume import Volume
from napari_unet.engine.doubt import Watch
from napari_unet.engine.infer import plan_tiles
from napari_unet.engine.model import Model
from napari_unet.engine.predict import predicting
from napari_unet.engine.rank import suggestions
from napari_unet.engine.regions import slicing_axis
from napari_unet.engine.run import Run
from napari_unet.engine.scope import Scope
from napari_unet.engine.view import predictable
from napari_unet.errors import SpecError


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
        it along the model's own, and where an image is one slice, that is the one. A slice known in
        part may be chosen, for the rest of it.
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
    _require(volume, count)
    axis = _axis(volume, model.spec, annotation)
    done = () if annotation is None else annotation.done(axis)
    earlier = None
    if before is not None:
        # Labels that are nobody's output have no box to show.
        earlier = yield from passing_on(
            predicting(volume, before, _plain(settings)),
            lambda r: replace(r, stage="compare", box=None),
        )
        if not earlier.complete:
            return Suggestions(axis, volume.grid.unit, (), complete=False)
    watch = Watch(
        axis,
        known=None if annotation is None else annotation.known,
        before=None if earlier is None else earlier.labels,
        uncertainty=uncertainty,
    )
    survey, complete = yield from surveying(volume, model, watch, settings, done)
    slices = suggestions(survey, done, count, seed)
    return Suggestions(axis, volume.grid.unit, slices, complete)


def surveying(
    volume: Volume,
    model: Model,
    watch: Watch,
    settings: PredictSettings | None = None,
    done: Sequence[int] = (),
    near: tuple[int, ...] | None = None,
) -> Job[tuple[Survey, bool]]:
    """Find out how unsure a model is of each slice, and of each voxel if that is asked for.

    Parameters
    ----------
    volume, model
        Image and model.
    watch : Watch
        What to find out.
    settings : PredictSettings, optional
        How to run the model: device, backend, overlap and mirroring count.
    done : sequence of int
        Slices along the axis of `watch`, in order, that need not be computed; where the uncertainty
        of each voxel is asked for, they are.
    near : tuple of int, optional
        Voxel to begin at.

    Yields
    ------
    Progress
        With the box whose entropy has just become final.

    Returns
    -------
    (Survey, bool)
        And whether it is complete: False when told to stop.

    Raises
    ------
    SpecError, GridError, DeviceError
        As `suggesting` does.
    """
    view = predictable(volume, model.spec)
    doubt = watch.over(volume, view, model.spec)
    settings = _plain(settings)
    plan = plan_tiles(view, model.spec, settings.overlap)
    left_out = () if watch.uncertainty is not None else done
    scope = Scope(view, plan, done=_boxes(left_out, watch.axis, volume.grid.shape))
    run = Run(model, settings, view, plan, scope, doubt, near, stage="suggest")
    yield from run.through()
    return doubt.survey(volume.grid, watch.axis), run.complete


def _plain(settings: PredictSettings | None) -> PredictSettings:
    """Leave out the settings that make no difference here."""
    how = settings or PredictSettings()
    return PredictSettings(how.device, how.backend, how.overlap, how.tta)


def _axis(volume: Volume, spec: ModelSpec, annotation: Annotation | None) -> int:
    if 1 in volume.grid.shape:  # along another axis each row of its pixels would be a slice
        return volume.grid.shape.index(1)
    own = turn(volume.grid, spec.orientation).axes[spec.axis if spec.dims == 2 else 0]
    return own if annotation is None else slicing_axis(annotation, otherwise=own)


def _boxes(done: Sequence[int], axis: int, shape: tuple[int, ...]) -> list[Box]:
    """Join slices that follow each other into boxes of the grid."""
    runs = np.split(done, np.flatnonzero(np.diff(done) > 1) + 1) if done else []
    boxes = []
    for run in runs:
        start, stop = [0, 0, 0], list(shape)
        start[axis], stop[axis] = int(run[0]), int(run[-1]) + 1
        boxes.append((tuple(start), tuple(stop)))
    return boxes


def _require(volume: Volume, count: int) -> None:
    if volume.grid.ndim == 2:
        raise SpecError(f"{volume.name} is a plane: it has no slices to choose among.")
    if count < 1:
        raise SpecError(f"At least one slice is suggested, not {count}.")
