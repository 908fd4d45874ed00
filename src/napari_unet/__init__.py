"""Your own U-Net inside napari.

The names below are loaded when they are first used: importing the package loads neither torch nor
napari.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_unet.api import finetune, predict, suggest
    from napari_unet.core.annotation import Annotation
    from napari_unet.core.classes import LabelClass
    from napari_unet.core.grid import Grid
    from napari_unet.core.prediction import Prediction
    from napari_unet.core.progress import Progress
    from napari_unet.core.settings import PredictSettings, TrainSettings
    from napari_unet.core.spec import ModelSpec
    from napari_unet.core.suggestion import Suggestion, Suggestions
    from napari_unet.core.volume import Volume
    from napari_unet.engine.evaluate import evaluate
    from napari_unet.engine.model import Model, load_model, save_model
    from napari_unet.engine.starters import starter
    from napari_unet.errors import UNetError
    from napari_unet.io import read, read_labels, write_labels, write_probabilities

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

_PLACES = {
    "core.annotation": ("Annotation",),
    "core.classes": ("LabelClass",),
    "core.grid": ("Grid",),
    "core.prediction": ("Prediction",),
    "core.progress": ("Progress",),
    "core.settings": ("PredictSettings", "TrainSettings"),
    "core.spec": ("ModelSpec",),
    "core.suggestion": ("Suggestion", "Suggestions"),
    "core.volume": ("Volume",),
    "engine.evaluate": ("evaluate",),
    "engine.model": ("Model", "load_model", "save_model"),
    "engine.starters": ("starter",),
    "errors": ("UNetError",),
    "io": ("read", "read_labels", "write_labels", "write_probabilities"),
    "api": ("finetune", "predict", "suggest"),
}
"""Where each name lives."""


def __getattr__(name: str) -> Any:  # noqa: ANN401
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    place = next(place for place, names in _PLACES.items() if name in names)
    return getattr(import_module(f"{__name__}.{place}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
