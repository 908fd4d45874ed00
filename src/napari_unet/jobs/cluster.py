"""Prediction on several processes or machines, through Dask distributed.

::

    tasks ──> scheduler ──> workers: read image and model from their files, compute a block
                               │
    one writer  <──────────────┘  labels of the block

A task names files and a box, so image and model must lie where every worker can read them. A worker
that is lost loses nothing: its block is computed again elsewhere. Nothing but functions of this
package is submitted; still, whoever reaches a Dask scheduler can run code on its workers, so an
existing one must be trusted, and the local one speaks only to holders of its own key.
"""

from __future__ import annotations

import asyncio
import logging
import os
import platform
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_unet import __version__
from napari_unet.core.progress import Box, Progress, run
from napari_unet.core.settings import PredictSettings
from napari_unet.core.volume import Volume
from napari_unet.errors import ChildError, DeviceError, ModelFileError, ReadError
from napari_unet.jobs.requests import FileVolume

if TYPE_CHECKING:
    from napari_unet.engine.model import Model

_REMEDY = 'pip install "napari-unet[cluster]"'
_POLL = 0.25
"""Seconds between two looks at whether the user wants it to end."""
_PATIENCE = 1.0
"""Seconds that a worker gets for ending by itself."""
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


@contextmanager
def local_cluster(workers: int) -> Iterator[Any]:
    """Start worker processes on this machine; yield a Dask client.

    Each has its share of the cores for its network, and threads that wait do not spin.

    Raises
    ------
    DeviceError
        When Dask distributed is not installed.
    """
    distributed = _distributed()
    import dask

    threads = str(max(1, dask.system.CPU_COUNT // workers))
    environment = {
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "OMP_WAIT_POLICY": "PASSIVE",
        "GOMP_SPINCOUNT": "0",
    }
    with (
        dask.config.set({"distributed.nanny.pre-spawn-environ": environment}),
        distributed.LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            memory_limit=0,
            dashboard_address=None,
            security=True,
            silence_logs=logging.ERROR,
        ) as cluster,
        # Not the default: images read here through dask must not go to the workers for it.
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        try:
            yield client
        finally:
            nannies = list(cluster.workers.values())
            cluster.sync(_end, nannies)


async def _end(nannies: list[Any]) -> None:
    """End worker processes soon, whatever they are computing."""
    await asyncio.gather(*(nanny.close(timeout=_PATIENCE) for nanny in nannies))


@contextmanager
def existing_cluster(address: str) -> Iterator[Any]:
    """Connect to a scheduler that somebody started; yield a Dask client.

    Raises
    ------
    DeviceError
        When Dask distributed is not installed, or nobody answers.
    """
    distributed = _distributed()
    try:
        client = distributed.Client(address, timeout=10, set_as_default=False)
    except (OSError, ValueError) as error:
        raise DeviceError(
            f"No Dask scheduler answers at {address} ({error}): check the address, and that "
            "`dask scheduler` runs there."
        ) from error
    with client:
        yield client


def computing(
    client: Any,  # noqa: ANN401 - untyped
    tasks: Iterable[Task],
) -> Generator[tuple[Task, Part] | None, bool | None, None]:
    """Have tasks computed; yield each with its result, in the order they are ready, or None.

    No more tasks are taken than keep the workers busy. None comes a few times a second, so that
    ``send(True)`` can end it: what is being computed is dropped at the next tile.

    Raises
    ------
    ChildError
        When workers die of a task again and again.
    DeviceError
        When a worker runs several tasks at once.
    UNetError
        Whatever a worker met.
    """
    distributed = _distributed()
    queue = iter(tasks)
    waiting: dict[Any, Task] = {}
    ready: SimpleQueue[Any] = SimpleQueue()
    stop = distributed.Event(f"stop-{os.urandom(8).hex()}", client)
    try:
        while True:
            room = 2 * max(1, _workers(client)) - len(waiting)
            for task in islice(queue, max(0, room)):
                future = client.submit(predict_block, task, stop.name, pure=False)
                waiting[future] = task
                future.add_done_callback(ready.put)
            if not waiting:
                return
            found = None
            with suppress(Empty):
                future = ready.get(timeout=_POLL)
                found = waiting[future], _result(future)
                del waiting[future]  # its labels may go
            if (yield found):
                return
    finally:
        if waiting:
            stop.set()
            client.cancel(list(waiting))


def predict_block(task: Task, stop: str) -> Part:
    """Compute one task, on a worker, until the event `stop` is set."""
    if task.version != __version__:
        raise ChildError(
            f"The worker on {platform.node()} has napari-unet {__version__} but {task.version} "
            "asks it: install one version everywhere."
        )
    from napari_unet.engine.blocks import steady  # torch: not in the process that asks
    from napari_unet.engine.predict import predicting

    model = _model(task.model, task.sha256, task.run)
    volume = _volume(task.image, task.run)
    new: list[Box] = []

    def note(report: Progress) -> None:
        if report.box is not None:
            new.append(report.box)

    job = predicting(volume, model, steady(task.settings), within=task.box, done=task.done)
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
        self._event = _distributed().Event(stop)
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


def _distributed() -> Any:  # noqa: ANN401 - an untyped module
    try:
        import distributed
    except ImportError as error:
        raise DeviceError(f"Dask distributed is not installed: {_REMEDY}.") from error
    return distributed


def _workers(client: Any) -> int:  # noqa: ANN401 - untyped
    """Count the workers; refuse those whose tasks would get in each other's way."""
    threads = client.nthreads()
    busy = next((address for address, count in threads.items() if count > 1), None)
    if busy is not None:
        raise DeviceError(
            f"The worker {busy} runs {threads[busy]} tasks at once: start it with --nthreads 1 and "
            "OMP_NUM_THREADS set to its cores, which one network then uses together."
        )
    return len(threads)


def _result(future: Any) -> Part:  # noqa: ANN401 - untyped
    """Fetch a result; one that was lost with its worker meanwhile is computed again."""
    try:
        part: Part = future.result()
    except _distributed().KilledWorker as error:
        raise ChildError(
            "Workers died again and again of the same block, most often because memory ran out: "
            "take fewer workers, or a machine with more memory."
        ) from error
    return part
