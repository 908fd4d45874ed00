"""What window and child say to each other about a training that goes on while a person annotates."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.progress import Box, Progress
from napari_unet.core.settings import PredictSettings
from napari_unet.jobs.requests import AnyVolume, SharedCase, TrainRequest, TrainResult
from napari_unet.jobs.shared import SharedArray

Known = tuple[NDArray[np.integer[Any]], NDArray[np.bool_]]
"""Labels of an image, and where they are known: an `Annotation` that may know nothing."""


@dataclass(frozen=True)
class FollowRequest:
    """Begin a training that goes on until `LeaveRequest`, between all other jobs.

    Parameters
    ----------
    start : TrainRequest
        What to begin with; the budget of its settings has no say. Its file is replaced by each
        better model.
    """

    start: TrainRequest


@dataclass(frozen=True)
class Change:
    """What is known of a part of an image by now.

    Parameters
    ----------
    case : int
        Place of the image among the cases of the training.
    start : tuple of int
        First voxel of the part.
    labels, known : SharedArray
        Labels and what is known of them, of the part's shape. Whoever reads them removes them.
    """

    case: int
    start: tuple[int, ...]
    labels: SharedArray
    known: SharedArray

    def write(self, known: Known) -> None:
        """Put the change into what is known of the whole image, and delete the shared part."""
        part, mask = self.labels.open(), self.known.open()
        at = tuple(slice(a, a + n) for a, n in zip(self.start, part.shape, strict=True))
        known[0][at], known[1][at] = part, mask
        del part, mask  # Windows deletes nothing that is mapped
        self.remove()

    def remove(self) -> None:
        """Delete the shared part."""
        self.labels.remove()
        self.known.remove()


@dataclass(frozen=True)
class ChangeRequest:
    """Go on with annotations that have changed.

    Parameters
    ----------
    changes : tuple of Change
        Parts that are known otherwise now, oldest first.
    more : tuple of SharedCase
        Further images; they take the next places.
    """

    changes: tuple[Change, ...] = ()
    more: tuple[SharedCase, ...] = ()


@dataclass(frozen=True)
class LeaveRequest:
    """End the training that goes on."""


@dataclass(frozen=True)
class GlanceRequest:
    """Predict a part of an image, such as a few slices.

    Parameters
    ----------
    volume : SharedVolume or FileVolume
        The image.
    model : Path
        A model file, for classes.
    part : Box
        Voxels to predict, along the grid's axes.
    out : SharedArray
        Takes the labels, of the part's shape.
    settings : PredictSettings
        How.
    """

    volume: AnyVolume
    model: Path
    part: Box
    out: SharedArray
    settings: PredictSettings = field(default_factory=PredictSettings)


@dataclass(frozen=True)
class Followed:
    """How the training that goes on fares; stage ``"rest"`` says that it waits for annotations."""

    progress: Progress


@dataclass(frozen=True)
class HeldOut:
    """What measures by now: for each case, axis to slices along it."""

    slices: tuple[dict[int, tuple[int, ...]], ...]


@dataclass(frozen=True)
class Published:
    """A model better than all before is in its file."""

    result: TrainResult


@dataclass(frozen=True)
class Left:
    """The training that went on has ended.

    Parameters
    ----------
    message : str
        Why, in a sentence for the user; empty when it was told to.
    crashed : bool
        Whether the child process died.
    """

    message: str = ""
    crashed: bool = False


FollowEvent = Followed | HeldOut | Published | Left
