"""What long work says while it runs, and how it is told to stop."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from typing import TypeVar

Box = tuple[tuple[int, ...], tuple[int, ...]]
"""Half-open box (start, stop) of voxels along the spatial axes."""


@dataclass(frozen=True)
class Progress:
    """One report of a running job.

    Parameters
    ----------
    stage : str
        What is being done, in words for the user: ``"predict"``, ``"train"``, ``"validate"``...
    done, total : int
        Steps or tiles finished, and how many there are; `total` 0 when nobody knows.
    seconds : float
        Since the job began.
    seconds_left : float, optional
        Until it ends, as far as can be told.
    message : str
        One line worth showing, such as what `auto` chose and why.
    box : Box, optional
        The part of the output that has just become final.
    loss : float, optional
        Training loss, averaged since the last report.
    dice : dict of int to float, optional
        Held-out Dice of each class id.
    slices, voxels : int
        Held-out slices and voxels that `dice` was measured on.
    """

    stage: str
    done: int = 0
    total: int = 0
    seconds: float = 0.0
    seconds_left: float | None = None
    message: str = ""
    box: Box | None = None
    loss: float | None = None
    dice: dict[int, float] | None = None
    slices: int = 0
    voxels: int = 0


Result = TypeVar("Result")

Job = Generator[Progress, bool | None, Result]
"""Long work: yields `Progress`, returns its result, and ends early when True is sent to it."""


def passing_on(job: Job[Result], each: Callable[[Progress], Progress]) -> Job[Result]:
    """Run a job as part of another one: its reports go through `each`, and stops reach it.

    Parameters
    ----------
    job : generator
        The inner job.
    each : callable
        Takes each of its reports, and returns the one that is yielded.
    """
    stop: bool | None = None
    with closing(job):
        while True:
            try:
                report = job.send(stop)
            except StopIteration as end:
                result: Result = end.value
                return result
            stop = yield each(report)


def run(
    job: Job[Result],
    on_progress: Callable[[Progress], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Result:
    """Drive a job to its end and return its result.

    Parameters
    ----------
    job : generator
        Yields `Progress`; told to stop by ``send(True)``.
    on_progress : callable, optional
        Called with each report.
    should_stop : callable, optional
        Asked after each report; once True, the job finishes with what it has.
    """
    stop: bool | None = None
    while True:
        try:
            report = job.send(stop)
        except StopIteration as end:
            result: Result = end.value
            return result
        if on_progress is not None:
            on_progress(report)
        stop = bool(should_stop and should_stop())
