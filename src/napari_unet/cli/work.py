"""What `predict` is to do: images, where their labels go, and how they are made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet import __version__
from napari_unet.cli.inputs import state_of
from napari_unet.core.classes import LabelClass
from napari_unet.core.grid import Grid
from napari_unet.core.settings import PredictSettings
from napari_unet.core.volume import Volume
from napari_unet.errors import DeviceError, UNetError
from napari_unet.io import read

if TYPE_CHECKING:
    from napari_unet.engine.model import Model

_HOW = ("device", "backend", "compile")
"""Settings that say how labels are computed and not which: another device may go on."""


@dataclass(frozen=True, eq=False)
class Work:
    """All that was asked for.

    Parameters
    ----------
    cases : tuple of (Path, Path)
        Images, and the label file of each.
    model_file : Path
        The model's file.
    model : Model
        The model.
    settings : PredictSettings
        How it is run.
    axes : mapping of str to int or None
        ``channel_axis`` and ``time`` of the image files.
    probabilities, uncertainty : Path, optional
        Where those go.
    spares_others : bool
        Whether an image that can't be predicted keeps none of the others from being predicted.
    """

    cases: tuple[tuple[Path, Path], ...]
    model_file: Path
    model: Model
    settings: PredictSettings
    axes: Mapping[str, int | None]
    probabilities: Path | None = None
    uncertainty: Path | None = None
    spares_others: bool = False

    def read(self, image: Path) -> Volume:
        """Read an image."""
        return read(image, channel_axis=self.axes["channel_axis"], time=self.axes["time"])

    def goes_on_after(self, error: UNetError) -> bool:
        """Whether what an image met is no reason to end; a device that fails will fail others, too."""
        return self.spares_others and not isinstance(error, DeviceError)


@dataclass(frozen=True, eq=False)
class Wanted:
    """The labels of one image.

    Parameters
    ----------
    work : Work
        What they are a part of.
    image, target : Path
        Image and label file.
    grid : Grid
        Of the image.
    """

    work: Work
    image: Path
    target: Path
    grid: Grid

    @property
    def dtype(self) -> np.dtype[Any]:
        """The smallest type of label that is wide enough."""
        if self.work.settings.instances:
            return np.dtype(np.uint32)
        return np.min_scalar_type(max(c.id for c in self.work.model.spec.classes))

    @property
    def classes(self) -> tuple[LabelClass, ...]:
        """Names for the file; objects are not classes: naming them so would be wrong."""
        return () if self.work.settings.instances else self.work.model.spec.classes

    def identity(self) -> dict[str, str]:
        """Return all that decides the labels, under words for the user."""
        chosen = {k: v for k, v in asdict(self.work.settings).items() if k not in _HOW}
        return {
            "version of napari-unet": __version__,
            "model": self.work.model.sha256,
            "image": f"{self.image.resolve()} {state_of(self.image)}",
            **{k.replace("_", " "): str(v) for k, v in {**self.work.axes, **chosen}.items()},
        }
