"""Prediction on several processes or machines, through Dask distributed.

::

    tasks ──> scheduler ──> workers: read image and model from their files, compute a block
                               │
    one writer  <──────────────┘  labels of the block

A task names files and a box, so image and model must lie where every worker can read them. A worker
that is lost loses nothing: its block is computed again elsewhere. A block that fails is tried once
more, since a shared folder may fail for a moment; then its error is its result. Nothing but functions of this
package is submitted; still, whoever reaches a Dask scheduler can run code on its workers, so an
existing one must be trusted, and the local one speaks only to holders of its own key.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from queue import Empty, SimpleQueue
from typing import Any

from napari_unet.core.threads import PATIENT
from napari_unet.errors import ChildError, DeviceError, UNetError
from napari_unet.jobs.cluster_worker import Part, Task, forget, predict_block

_REMEDY = 'pip install "napari-unet[cluster]"'
_POLL = 0.25
"""Seconds between two looks at whether the user wants it to end."""
_PATIENCE = 0.5
"""Seconds that a worker gets for ending by itself."""


@contextmanager
def local_cluster(workers: int) -> Iterator[Any]:
    """Start worker processes on this machine; yield a Dask client.

    Each has its share of the cores for its network, and threads that wait do not spin.

    Raises
    ------
    DeviceError
        When Dask distributed is not installed, or the library for its keys.
    """
    distributed = _distributed()
    import dask

    try:
        security = distributed.Security.temporary()
    except ImportError as error:
        raise DeviceError(f"The cryptography library is not installed: {_REMEDY}.") from error
    threads = str(max(1, dask.system.CPU_COUNT // workers))
    environment = {
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        **PATIENT,
    }
    with (
        dask.config.set({"distributed.nanny.pre-spawn-environ": environment}),
        distributed.LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            memory_limit=0,
            dashboard_address=None,
            security=security,
            silence_logs=logging.CRITICAL,  # what a block met is said once, in a sentence
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
    # On a busy machine that may take longer: then the cluster ends them, and that is no error.
    closing = (nanny.close(timeout=_PATIENCE) for nanny in nannies)
    await asyncio.gather(*closing, return_exceptions=True)


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
        try:
            yield client
        finally:
            with suppress(Exception):  # whatever ends this run matters more than their memory
                client.run(forget)


def computing(
    client: Any,  # noqa: ANN401 - untyped
    tasks: Iterable[Task],
) -> Generator[tuple[Task, Part | UNetError] | None, bool | None, None]:
    """Have tasks computed; yield each with its result or its error, in the order they are ready, or None.

    No more tasks are taken than keep the workers busy. None comes a few times a second, so that
    ``send(True)`` can end it: what is being computed is dropped at the next tile.

    Raises
    ------
    DeviceError
        When a worker runs several tasks at once.
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
                future = client.submit(predict_block, task, stop.name, pure=False, retries=1)
                waiting[future] = task
                future.add_done_callback(ready.put)
            if not waiting:
                return
            found = None
            with suppress(Empty):
                future = ready.get(timeout=_POLL)
                found = waiting[future], _result(future, waiting[future])
                del waiting[future]  # its labels may go
            if (yield found):
                return
    finally:
        if waiting:
            stop.set()
            client.cancel(list(waiting))


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


def _result(future: Any, task: Task) -> Part | UNetError:  # noqa: ANN401 - untyped
    """Fetch a result, or what the task met; one that was lost with its worker is computed again."""
    try:
        part: Part = future.result()
    except UNetError as error:
        return error
    except _distributed().KilledWorker:
        return ChildError(
            f"Workers died again and again of one block of {task.image.path}, most often because memory "
            "ran out: take fewer workers, or a machine with more memory."
        )
    except Exception as error:
        if future.status != "error":  # it is the scheduler that fails
            raise
        return ChildError(
            f"A block of {task.image.path} failed twice on a worker ({type(error).__name__}: {error}): look "
            "at its memory and its folders, and run the same command again."
        )
    return part
