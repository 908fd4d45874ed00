"""What a worker of a cluster does: it reads image and model from their files, and computes a block."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_unet import __version__
from napari_unet.core.progress import Box, Progress, run
from napari_unet.core.settings import PredictSettings
from napari_unet.core.volume import Volume
from napari_unet.errors import ChildError, ModelFileError, ReadError
from napari_unet.jobs.requests import FileVolume

if TYPE_CHECKING:
    from napari_unet.engine.model import Model

_ASK = 0.5
"""Seconds between two questions of a worker whether its work is still wanted."""


@dataclass(frozen=True)
class Task:
    """What one worker is asked to do.

    Parameters
    ----------
    image : FileVolume
        Where the image lies, by an absolute path.
    model : Path
        Where the model lies.
    sha256 : str
        The model's hash: a worker that finds another one refuses.
    settings : PredictSettings
        How.
    box : Box, optional
        The block, on the edges of cells (`engine.blocks`); the whole image when absent.
    done : tuple of Box
        Cells in it that are final already.
    run : str
        Name of the run; files are read anew for each.
    version : str
        Of napari-unet; all must be equal.
    """

    image: FileVolume
    model: Path
    sha256: str
    settings: PredictSettings
    box: Box | None = None
    done: tuple[Box, ...] = ()
    run: str = ""
    version: str = __version__


@dataclass(frozen=True, eq=False)
class Part:
    """What comes back.

    Parameters
    ----------
    labels : ndarray of unsigned int
        Of the task's box.
    boxes : tuple of Box
        What of it is new, along the axes of the whole image.
    tiles : int
        Tiles that were run.
    seconds : float
        How long it took.
    device, backend : str
        Where it ran.
    """

    labels: NDArray[np.unsignedinteger[Any]]
    boxes: tuple[Box, ...]
    tiles: int
    seconds: float
    device: str
    backend: str


def predict_block(task: Task, stop: str) -> Part:
    """Compute one task, on a worker, until the event `stop` is set."""
    if task.version != __version__:
        raise ChildError(
            f"The worker on {platform.node()} has napari-unet {__version__} but {task.version} "
            "asks it: install one version everywhere."
        )
    from napari_unet.engine.predict import predicting

    model = _model(task.model, task.sha256, task.run)
    volume = _volume(task.image, task.run)
    new: list[Box] = []

    def note(report: Progress) -> None:
        if report.box is not None:
            new.append(report.box)

    job = predicting(volume, model, task.settings, within=task.box, done=task.done)
    prediction = run(job, note, _Wanted(stop))
    if task.settings.instances:  # objects are found in the whole, after its parts
        new = [((0,) * volume.grid.ndim, volume.grid.shape)]
    return Part(
        prediction.labels,
        tuple(new),
        prediction.tiles["run"],
        prediction.seconds["total"],
        prediction.device,
        prediction.backend,
    )


def forget() -> None:
    """Let go of the image and the model that a worker holds for its next task."""
    _model.cache_clear()
    _volume.cache_clear()


class _Wanted:
    """Whether the task at hand should stop, asked of the scheduler now and then."""

    def __init__(self, stop: str) -> None:
        import distributed  # there, on a worker

        self._event = distributed.Event(stop)
        self._asked = time.monotonic()

    def __call__(self) -> bool:
        if time.monotonic() - self._asked < _ASK:
            return False
        self._asked = time.monotonic()
        return bool(self._event.is_set())


@lru_cache(maxsize=1)
def _model(path: Path, sha256: str, run: str) -> Model:  # noqa: ARG001 - a run reads files anew
    from napari_unet.engine.model import load_model

    with _here():
        model = load_model(path)
    if model.sha256 != sha256:
        raise ModelFileError(
            f"{path} on {platform.node()} is another model than here: give every worker the same "
            "file, such as one in a shared folder."
        )
    return model


@lru_cache(maxsize=1)
def _volume(image: FileVolume, run: str) -> Volume:  # noqa: ARG001 - a run reads files anew
    with _here():
        volume = image.open()
    lazy = hasattr(volume.data, "compute")
    return replace(volume, data=_ReadHere(volume.data)) if lazy else volume


class _ReadHere:
    """A dask array whose parts this worker reads itself.

    They would otherwise become tasks of the cluster, and wait behind the very task that needs them.
    """

    def __init__(self, array: Any) -> None:  # noqa: ANN401 - untyped
        self._array = array
        self.shape: tuple[int, ...] = array.shape
        self.dtype: np.dtype[Any] = array.dtype

    def __getitem__(self, key: Any, /) -> Any:  # noqa: ANN401 - as `Pixels`
        return self._array[key].compute(scheduler="synchronous")


@contextmanager
def _here() -> Iterator[None]:
    """Say on which machine a file could not be read."""
    try:
        yield
    except (ReadError, ModelFileError, OSError) as error:
        kind = ReadError if isinstance(error, OSError) else type(error)
        raise kind(
            f"{error} (So says the worker on {platform.node()}: image and model must lie where "
            "all workers can read them.)"
        ) from None
