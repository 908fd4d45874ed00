"""Your own U-Net inside napari.

The names below are loaded when they are first used: importing the package loads neither torch nor
napari.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_unet.api import (
        evaluate,
        finetune,
        load_model,
        predict,
        read,
        read_labels,
        save_model,
        starter,
        suggest,
        write_labels,
        write_probabilities,
    )
    from napari_unet.core.annotation import Annotation
    from napari_unet.core.classes import LabelClass
    from napari_unet.core.grid import Grid
    from napari_unet.core.prediction import Prediction
    from napari_unet.core.progress import Progress
    from napari_unet.core.settings import PredictSettings, TrainSettings
    from napari_unet.core.spec import ModelSpec
    from napari_unet.core.suggestion import Suggestion, Suggestions
    from napari_unet.core.volume import Volume
    from napari_unet.engine.model import Model
    from napari_unet.errors import UNetError

__version__ = "0.1.0"

__all__ = [
    "Annotation",
    "Grid",
    "LabelClass",
    "Model",
    "ModelSpec",
    "PredictSettings",
    "Prediction",
    "Progress",
    "Suggestion",
    "Suggestions",
    "TrainSettings",
    "UNetError",
    "Volume",
    "evaluate",
    "finetune",
    "load_model",
    "predict",
    "read",
    "read_labels",
    "save_model",
    "starter",
    "suggest",
    "write_labels",
    "write_probabilities",
]

_NOUNS = {
    "Annotation": "core.annotation",
    "Grid": "core.grid",
    "LabelClass": "core.classes",
    "Model": "engine.model",
    "ModelSpec": "core.spec",
    "PredictSettings": "core.settings",
    "Prediction": "core.prediction",
    "Progress": "core.progress",
    "Suggestion": "core.suggestion",
    "Suggestions": "core.suggestion",
    "TrainSettings": "core.settings",
    "UNetError": "errors",
    "Volume": "core.volume",
}
"""Where each noun lives; the functions all live in `napari_unet.api`."""


def __getattr__(name: str) -> Any:  # noqa: ANN401
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_NOUNS.get(name, 'api')}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
