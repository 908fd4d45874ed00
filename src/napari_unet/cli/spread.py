"""`predict` shared among workers: they compute blocks, this process alone writes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from math import prod
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Any

from napari_unet.cli.background import Behind
from napari_unet.cli.console import Console
from napari_unet.cli.places import Place, open_place
from napari_unet.cli.tally import Tally
from napari_unet.cli.work import Wanted, Work
from napari_unet.core.progress import Box, Progress
from napari_unet.errors import DeviceError, UNetError
from napari_unet.jobs.requests import FileVolume

if TYPE_CHECKING:
    from napari_unet.engine.blocks import Block
    from napari_unet.jobs.cluster_worker import Part, Task

_BLOCKS_A_WORKER = 2
"""More would spread evenly over workers of different speed, and run more tiles twice."""

_BLOCK_VOXELS = 1 << 28
"""Voxels that a block has at most, about: its labels travel to this process whole."""


def connected(workers: int | None, scheduler: str | None) -> AbstractContextManager[Any]:
    """Start so many workers, or connect to a scheduler; gives a Dask client."""
    from napari_unet.jobs.cluster import existing_cluster, local_cluster

    return local_cluster(workers) if workers is not None else existing_cluster(scheduler or "")


def predict(work: Work, client: Any, console: Console, tally: Tally) -> None:  # noqa: ANN401
    """Have all images computed; each is written when its last block is there.

    A block that fails costs none of the others that are of use without it: those of other images, and
    of its own where parts are kept for the next run.

    Raises
    ------
    UNetError
        What an image met, unless the others are predicted without it. What is of use is finished first.
    """
    from napari_unet.jobs.cluster import computing

    if not client.nthreads():
        console.say("There is no worker yet: waiting for the first.")
    run = _Spread(work, client, console, tally)
    job = computing(client, run.tasks())
    stop: bool | None = None
    try:
        while True:
            try:
                found = job.send(stop)
            except StopIteration:
                break
            if found is not None:
                run.take(*found)
            run.show()
            run.mourn()
            stop = console.stopped
    finally:
        job.close()
        run.close()
    if run.failure is not None:
        raise run.failure


@dataclass(eq=False)
class _Case:
    """An image on its way."""

    wanted: Wanted
    place: Place
    left: int
    """Blocks still to come."""
    failure: UNetError | None = None
    """What its first block that failed has met."""

    @property
    def hopeless(self) -> bool:
        """Whether its other blocks would be computed in vain."""
        return self.failure is not None and not self.place.lasting


@dataclass(eq=False)
class _Spread:
    """The images of one run: cut into tasks at one end, put together at the other."""

    work: Work
    client: Any
    console: Console
    tally: Tally
    failure: UNetError | None = None
    _cases: dict[Path, _Case] = field(default_factory=dict)
    """By the image's own path: two of them may be links to one file."""
    _writing: Behind = field(default_factory=Behind)
    _workers: set[str] = field(default_factory=set)
    _blocks: int = 0
    _planned: int = 0
    _name: str = field(default_factory=partial(token_hex, 8))
    _began: float = field(default_factory=time.monotonic)

    def tasks(self) -> Iterator[Task]:
        """Cut one image after the other; one that can't be read may end the list."""
        for image, target in self.work.cases:
            if self.console.stopped or self.failure is not None:
                return
            try:
                yield from self._tasks_of(image, target)
            except UNetError as error:
                self._miss(image, error)

    def _tasks_of(self, image: Path, target: Path) -> Iterator[Task]:
        from napari_unet.engine.blocks import Block, Layout
        from napari_unet.jobs.cluster_worker import Task

        work, settings = self.work, self.work.settings
        with self.tally.measure("read"):
            volume = work.read(image)
        layout = Layout(volume, work.model.spec, settings.overlap)
        place = open_place(wanted := Wanted(work, image, target, volume.grid))
        if place.done:
            self.console.say(
                f"{image}: it goes on: {len(place.done)} of {layout.parts} parts were there."
            )
            self.tally.resumed += len(place.done)
        del volume
        whole = (0,) * wanted.grid.ndim, wanted.grid.shape
        if settings.instances or settings.coarse:  # these look at an image as a whole
            blocks = [Block(whole, layout.tiles)]
        else:
            blocks = layout.blocks(self._count(wanted.grid.size))
        tasks = [
            Task(
                image=FileVolume(image.absolute(), work.axes["channel_axis"], work.axes["time"]),
                model=work.model_file.resolve(),
                sha256=work.model.sha256,
                settings=settings,
                box=None if block.box == whole else block.box,
                done=done,
                run=self._name,
            )
            for block in blocks
            for done in [tuple(box for box in place.done if _inside(box, block.box))]
            if sum(map(_size, done)) < _size(block.box)
        ]
        self._say_cost(image, blocks, layout.tiles)
        self.tally.planned(layout.tiles)
        self._planned += len(tasks)
        case = self._cases[image.absolute()] = _Case(wanted, place, len(tasks))
        for task in tasks:
            if not case.hopeless:
                yield task
            else:
                self._count_down(case)
        if not tasks:
            self._finish(case)

    def take(self, task: Task, part: Part | UNetError) -> None:
        """Write what a worker has sent, or note what it met."""
        case = self._cases[task.image.path]
        if isinstance(part, UNetError):
            self._fail(case, task, part)
        else:
            self._write(case, task, part)
        self._count_down(case)

    def _write(self, case: _Case, task: Task, part: Part) -> None:
        origin = task.box[0] if task.box else (0,) * case.wanted.grid.ndim
        for box in part.boxes:
            start, stop = box
            here = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
            there = tuple(slice(a - o, b - o) for a, b, o in zip(start, stop, origin, strict=True))
            case.place.out[here] = part.labels[there]
            case.place.commit(box)
        self.tally.ran(part.device, part.backend, part.seconds, {"run": part.tiles})

    def _fail(self, case: _Case, task: Task, error: UNetError) -> None:
        """Note what a block has met, and end where nothing else is of use without it."""
        lasting = case.place.lasting
        if isinstance(error, DeviceError) or not (lasting or self.work.goes_on_after(error)):
            raise error  # a device that fails will fail the others, too
        if case.failure is None and lasting and task.box:
            where = ",".join(f"{a}:{b}" for a, b in zip(*task.box, strict=True))
            self.console.say(f"{case.wanted.image}: the block {where} failed; the others go on.")
        case.failure = case.failure or error

    def _count_down(self, case: _Case) -> None:
        self._blocks += 1
        case.left -= 1
        if not case.left:
            self._finish(case)

    def _miss(self, image: Path, error: UNetError) -> None:
        """Leave an image out, or end the run when what is under way is finished."""
        if self.work.goes_on_after(error):
            self.console.say(self.tally.missed(image, error))
        else:
            self.failure = error

    def show(self) -> None:
        """Say how far it is."""
        seconds = time.monotonic() - self._began
        left = seconds * (self._planned - self._blocks) / self._blocks if self._blocks else None
        known = len(self.work.cases) == 1
        self.console.show(
            Progress(
                "blocks",
                self._blocks,
                self._planned if known else 0,
                seconds,
                left if known else None,
            )
        )

    def mourn(self) -> None:
        """Say when a worker is gone."""
        there = set(self.client.nthreads())
        if self._workers - there:
            self.console.say("A worker was lost: what it had not sent is computed again.")
        self._workers = there

    def close(self) -> None:
        """Wait for what is being written; keep what is not finished."""
        self._writing.wait()
        for case in self._cases.values():
            self.console.say(case.place.keep())

    def _finish(self, case: _Case) -> None:
        del self._cases[case.wanted.image.absolute()]
        if case.failure is not None:
            self.console.say(case.place.keep())
            self._miss(case.wanted.image, case.failure)
            return

        def write() -> None:
            with self.tally.measure("write"):
                case.place.finish()
            self.tally.wrote(case.wanted.target, case.wanted.grid.size)

        self._writing(write)

    def _count(self, voxels: int) -> int:
        """Blocks of an image: all images together keep every worker busy."""
        workers = max(1, len(self.client.nthreads()))
        busy = -(-_BLOCKS_A_WORKER * workers // len(self.work.cases))
        return max(busy, -(-voxels // _BLOCK_VOXELS))

    def _say_cost(self, image: Path, blocks: list[Block], tiles: int) -> None:
        run = sum(block.tiles for block in blocks)
        if len(blocks) > 1:
            self.console.say(
                f"{image}: {len(blocks)} blocks; their halos make it {run} tiles in place of {tiles}."
            )


def _size(box: Box) -> int:
    return prod(b - a for a, b in zip(*box, strict=True))


def _inside(box: Box, around: Box) -> bool:
    lows = zip(around[0], box[0], strict=True)
    highs = zip(box[1], around[1], strict=True)
    return all(a <= b for a, b in (*lows, *highs))
