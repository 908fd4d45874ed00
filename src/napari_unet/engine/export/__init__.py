"""A model for other programs: each format is a file here, and none of them is read back by this package."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from napari_unet.engine.export import bioimageio, monai_bundle, onnx, torchscript
from napari_unet.engine.model import Model

__all__ = ["FORMATS", "export"]

FORMATS: Mapping[str, Callable[[Model, Path], None]] = MappingProxyType(
    {
        "onnx": onnx.write,
        "torchscript": torchscript.write,
        "bioimageio": bioimageio.write,
        "monai-bundle": monai_bundle.write,
    }
)
"""What writes each format."""


def export(model: Model, path: Path, to: str) -> None:
    """Write a model for other programs, whole or not at all.

    Parameters
    ----------
    model : Model
        The model.
    path : Path
        The file, or for ``"monai-bundle"`` the folder.
    to : str
        One of `FORMATS`.

    Raises
    ------
    SpecError
        When the format can't hold this model.
    WriteError
        When it can't be written, a package that writes it is missing, or what was written answers otherwise
        than the model.
    """
    FORMATS[to](model, path)
