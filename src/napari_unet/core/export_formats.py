"""As what a model can be written for other programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class ExportFormat:
    """One of them.

    Parameters
    ----------
    title : str
        What people call it.
    ending : str
        How names of its files end; empty for a folder.
    """

    title: str
    ending: str


EXPORT_FORMATS: Mapping[str, ExportFormat] = MappingProxyType(
    {
        "onnx": ExportFormat("ONNX", ".onnx"),
        "torchscript": ExportFormat("TorchScript", ".pt"),
        "bioimageio": ExportFormat("bioimage.io", ".zip"),
        "monai-bundle": ExportFormat("MONAI bundle", ""),
    }
)
"""By the names that the command line knows."""
