"""What the window asks of the child process and what comes back, as values that fit a pipe.

Pixels never travel through it: requests carry references to shared arrays or to files.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from typing_extensions import TypedDict

from napari_unet.core.annotation import Annotation
from napari_unet.core.classes import LabelClass
from napari_unet.core.grid import Grid
from napari_unet.core.progress import Box, Progress
from napari_unet.core.settings import PredictSettings, TrainSettings
from napari_unet.core.suggestion import Survey
from napari_unet.core.volume import Volume
from napari_unet.jobs.shared import SharedArray


@dataclass(frozen=True)
class SharedVolume:
    """A `Volume` whose voxels both processes see."""

    data: SharedArray
    grid: Grid
    channels: tuple[str, ...]
    name: str = "image"
    source: str = ""

    @classmethod
    def of(cls, volume: Volume) -> SharedVolume:
        """Copy a volume's voxels to where the child can see them."""
        data = SharedArray.from_array(volume.data)
        return cls(data, volume.grid, volume.channels, volume.name, volume.source)

    def open(self) -> Volume:
        """Return the volume, its voxels mapped and not copied."""
        return Volume(self.data.open(), self.grid, self.channels, self.name, self.source)

    def remove(self) -> None:
        """Delete the shared voxels."""
        self.data.remove()


@dataclass(frozen=True)
class FileVolume:
    """A volume that the child reads from its file: nothing is copied, and zarr stays lazy.

    Parameters
    ----------
    path : Path
        The image.
    channel_axis, time, level
        As `napari_unet.io.read` takes them.
    grid : Grid, optional
        Where its voxels lie, if not where the file says.
    """

    path: Path
    channel_axis: int | None = None
    time: int | None = None
    level: int = 0
    grid: Grid | None = None

    def open(self) -> Volume:
        """Read the volume."""
        from napari_unet import io

        read = io.read(self.path, channel_axis=self.channel_axis, time=self.time, level=self.level)
        return read if self.grid is None else replace(read, grid=self.grid)

    def remove(self) -> None:
        """Do nothing: the file is the user's."""


AnyVolume = SharedVolume | FileVolume


@dataclass(frozen=True)
class SharedCase:
    """An image with what is known of it: one example to learn from."""

    volume: AnyVolume
    labels: SharedArray
    known: SharedArray

    @classmethod
    def of(cls, volume: AnyVolume, annotation: Annotation) -> SharedCase:
        """Take a snapshot of an annotation, so that painting may go on."""
        labels = SharedArray.from_array(annotation.labels)
        return cls(volume, labels, SharedArray.from_array(annotation.known))

    def open(self) -> tuple[Volume, Annotation]:
        """Return image and annotation, mapped and not copied."""
        return self.volume.open(), Annotation(self.labels.open(), self.known.open())

    def remove(self) -> None:
        """Delete the snapshot; the volume stays, for it may serve other jobs."""
        self.labels.remove()
        self.known.remove()


@dataclass(frozen=True)
class SharedWatch:
    """What to find out about how unsure a model is, while it runs.

    Parameters
    ----------
    axis : int
        Axis of the grid that slices are counted along.
    before : SharedArray, optional
        Class ids by an earlier model, of the grid's shape.
    uncertainty : SharedArray, optional
        Takes the entropy of each voxel, 0..1: float16, of the grid's shape.
    """

    axis: int = 0
    before: SharedArray | None = None
    uncertainty: SharedArray | None = None


@dataclass(frozen=True)
class PredictRequest:
    """Run a model over an image.

    Parameters
    ----------
    volume : SharedVolume or FileVolume
        The image.
    model : Path
        A model file.
    out : SharedArray
        Where labels appear box by box: shape of the grid, unsigned integers.
    settings : PredictSettings
        How.
    near : tuple of int, optional
        Voxel to begin at.
    probabilities : bool
        Also keep each class's probability; they come back as a shared array beside `out`.
    watch : SharedWatch, optional
        Also find out how unsure the model is.
    """

    volume: AnyVolume
    model: Path
    out: SharedArray
    settings: PredictSettings = field(default_factory=PredictSettings)
    near: tuple[int, ...] | None = None
    probabilities: bool = False
    watch: SharedWatch | None = None


@dataclass(frozen=True)
class SurveyRequest:
    """Find out how unsure a model is of an image, without labels.

    Parameters
    ----------
    volume : SharedVolume or FileVolume
        The image.
    model : Path
        A model file.
    watch : SharedWatch
        What to find out.
    settings : PredictSettings
        How to run the model.
    done : tuple of int
        Slices that need not be looked at, in order.
    near : tuple of int, optional
        Voxel to begin at.
    """

    volume: AnyVolume
    model: Path
    watch: SharedWatch
    settings: PredictSettings = field(default_factory=PredictSettings)
    done: tuple[int, ...] = ()
    near: tuple[int, ...] | None = None


@dataclass(frozen=True)
class TrainRequest:
    """Train a model, or fine-tune one.

    Parameters
    ----------
    cases : tuple of SharedCase
        What to learn from.
    out : Path
        Model file to write.
    settings : TrainSettings
        How.
    base : Path, optional
        Model file to start from; None for a new model.
    classes : tuple of LabelClass
        Meaning of the labels; empty when nobody named them.
    replay : tuple of SharedCase
        Earlier cases shown again so that they aren't forgotten.
    merged : dict of int to int
        Classes of the base that have become others.
    """

    cases: tuple[SharedCase, ...]
    out: Path
    settings: TrainSettings = field(default_factory=TrainSettings)
    base: Path | None = None
    classes: tuple[LabelClass, ...] = ()
    replay: tuple[SharedCase, ...] = ()
    merged: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class ExportRequest:
    """Write a model for other programs.

    Parameters
    ----------
    model : Path
        A model file.
    out : Path
        File to write, or the folder of a MONAI bundle.
    to : str
        One of `core.export_formats.EXPORT_FORMATS`.
    """

    model: Path
    out: Path
    to: str


@dataclass(frozen=True)
class ProbeRequest:
    """Ask which versions and devices the child has."""


@dataclass(frozen=True)
class StopRequest:
    """Ask the job requested last to finish with what it has."""


JobRequest = PredictRequest | SurveyRequest | TrainRequest | ExportRequest | ProbeRequest


class PredictResult(TypedDict):
    """Payload of a finished prediction; the labels are in the request's `out`."""

    model: str
    seconds: dict[str, float]
    device: str
    backend: str
    complete: bool
    classes: tuple[LabelClass, ...]
    instances: bool
    probabilities: SharedArray | None
    survey: Survey | None


class SurveyResult(TypedDict):
    """Payload of a finished survey; `complete` is False when it was stopped early."""

    survey: Survey
    complete: bool
    seconds: float


class GlanceResult(TypedDict):
    """Payload of a glance: sha256 of the model, and the part asked for; labels are in its `out`."""

    glanced_with: str
    part: Box


class ClassResult(TypedDict):
    """Held-out quality of one class, with what it was measured on."""

    dice: float
    interval: tuple[float, float] | None
    slices: int
    voxels: int


class ValidationResult(TypedDict):
    """Held-out quality, with what it was measured on; intervals hold 95 %."""

    mean_dice: float | None
    interval: tuple[float, float] | None
    per_class: dict[int, float]
    classes: dict[int, ClassResult]
    slices: int
    voxels: int
    enough: bool


class RecallResult(TypedDict):
    """How well the base's own task is still done: mean Dice on patches that the base carries."""

    before: float | None
    after: float | None
    patches: int
    rehearsed: int


class TrainResult(TypedDict):
    """Payload of a finished training.

    `held_out` says of each case asked for which slices measured the model: axis to their indices.
    """

    model: Path
    steps: int
    seconds: float
    device: str
    validation: ValidationResult
    base: ValidationResult | None
    promoted: bool
    verdict: str
    difference: tuple[float, float] | None
    held_out: tuple[dict[int, tuple[int, ...]], ...]
    old_task: RecallResult | None


class ExportResult(TypedDict):
    """Payload of a finished export: what was written."""

    exported: Path


class ProbeResult(TypedDict):
    """Payload of an answered probe."""

    versions: dict[str, str]
    devices: list[str]


@dataclass(frozen=True)
class Finished:
    """The job is done; one stopped early finishes too, with what it had."""

    payload: PredictResult | GlanceResult | SurveyResult | TrainResult | ExportResult | ProbeResult


@dataclass(frozen=True)
class Failed:
    """The job could not be done.

    Parameters
    ----------
    message : str
        One sentence for the user.
    crashed : bool
        Whether the child process died. The next job starts a new one.
    """

    message: str
    crashed: bool = False


Event = Progress | Finished | Failed
