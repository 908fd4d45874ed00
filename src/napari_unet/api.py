"""The Python API: the engine's jobs as plain calls.

import napari_unet as nu

volume = nu.read("t1.nii.gz")
model = nu.starter("hippocampus-mr")
prediction = nu.predict(volume, model)
annotation = nu.Annotation.from_slices(labels, axis=0, done=[12, 20, 28])
better = nu.finetune([(volume, annotation)], base=model, minutes=3)
nu.write_labels("seg.nii.gz", prediction.labels, prediction.grid, prediction.classes)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from napari_unet.core.annotation import Annotation
from napari_unet.core.classes import LabelClass
from napari_unet.core.prediction import Prediction
from napari_unet.core.progress import Progress, run
from napari_unet.core.settings import PredictSettings, TrainSettings
from napari_unet.core.suggestion import Suggestions
from napari_unet.core.volume import Volume
from napari_unet.engine.model import Model
from napari_unet.engine.predict import predicting

if TYPE_CHECKING:
    from napari_unet.engine.cases import Case


def predict(
    volume: Volume,
    model: Model,
    settings: PredictSettings | None = None,
    *,
    on_progress: Callable[[Progress], None] | None = None,
    keep_probabilities: bool = False,
    **choices: Any,  # noqa: ANN401 - one a field of the settings, each with its own type
) -> Prediction:
    """Predict the labels of a volume.

    Parameters
    ----------
    volume : Volume
        The image.
    model : Model
        From `load_model`, `starter` or `finetune`.
    settings : PredictSettings, optional
        How to run it.
    on_progress : callable, optional
        Called with each `Progress`.
    keep_probabilities : bool
        Also return the probability of each class.
    **choices
        Single fields of the settings, such as ``overlap=0.5``.

    Returns
    -------
    Prediction
        With labels on the volume's own grid.

    Raises
    ------
    UNetError
        When the image does not fit the model, or the device is not there.
    """
    chosen = replace(settings or PredictSettings(), **choices)
    return run(
        predicting(volume, model, chosen, keep_probabilities=keep_probabilities), on_progress
    )


def finetune(
    cases: Sequence[Case],
    base: Model | None = None,
    *,
    classes: tuple[LabelClass, ...] = (),
    replay: Sequence[Case] = (),
    settings: TrainSettings | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    **choices: Any,  # noqa: ANN401 - one a field of the settings, each with its own type
) -> Model:
    """Train on what was labelled.

    Parameters
    ----------
    cases : sequence of (Volume, Annotation)
        What to learn from; part of it is held out to choose the best model by.
    base : Model, optional
        Model to start from; a new one is made for the data when not given.
    classes : tuple of LabelClass
        Names and colours, background first; empty to take the base's or to number them.
    replay : sequence of (Volume, Annotation)
        Cases of the base's own task, rehearsed so that it is not forgotten.
    settings : TrainSettings, optional
        Budget and choices.
    on_progress : callable, optional
        Called with each `Progress`.
    **choices
        Single fields of the settings, such as ``minutes=5``.

    Returns
    -------
    Model
        The best by its held-out score, which ``model.history[-1]["held_out"]`` holds.

    Raises
    ------
    UNetError
        When nothing can be learned from the cases.
    """
    from napari_unet.engine.train import training  # torch, which a prediction may not need

    chosen = replace(settings or TrainSettings(), **choices)
    return run(training(cases, chosen, base, classes, replay), on_progress).model


def suggest(
    volume: Volume,
    model: Model,
    annotation: Annotation | None = None,
    settings: PredictSettings | None = None,
    *,
    count: int = 3,
    seed: int = 0,
    before: Model | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    **choices: Any,  # noqa: ANN401 - one a field of the settings, each with its own type
) -> Suggestions:
    """Choose the slices that are worth annotating next.

    Parameters
    ----------
    volume : Volume
        The image.
    model : Model
        The model that is to learn from it.
    annotation : Annotation, optional
        What is annotated already.
    settings : PredictSettings, optional
        How to run the model.
    count : int
        How many slices.
    seed : int
        Of the random share.
    before : Model, optional
        The model before this one: what it said otherwise is preferred.
    on_progress : callable, optional
        Called with each `Progress`.
    **choices
        Single fields of the settings, such as ``overlap=0.5``.

    Returns
    -------
    Suggestions
        Slices with their scores and reasons, the best first.

    Raises
    ------
    UNetError
        When the image is a plane or does not fit the model, or the device is not there.
    """
    from napari_unet.engine.suggest import suggesting

    chosen = replace(settings or PredictSettings(), **choices)
    job = suggesting(volume, model, annotation, chosen, count=count, seed=seed, before=before)
    return run(job, on_progress)
