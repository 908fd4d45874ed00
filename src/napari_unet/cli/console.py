"""What a running command shows on standard error, and how Ctrl+C reaches its job."""

from __future__ import annotations

import os
import signal
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TextIO, TypeVar

from napari_unet.core.progress import Job, Progress, run
from napari_unet.core.scores import mean

Result = TypeVar("Result")

_STOPPING = b"Stopping with what is finished; press Ctrl+C again to drop it.\n"
_EVERY = 5.0
"""Seconds between two progress lines where lines can't be rewritten (a file, a pipe)."""


class Console:
    """Progress and messages of one command.

    On a terminal one line is rewritten in place; elsewhere a line is added every few seconds.

    Parameters
    ----------
    stream : text file, optional
        Standard error when not given.

    Attributes
    ----------
    stopped : bool
        Whether the user has asked, with Ctrl+C, for the work to end.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stopped = False
        self._stream = sys.stderr if stream is None else stream
        self._rewrites = self._stream.isatty()
        self._width = 0
        self._shown = -_EVERY

    def say(self, message: str) -> None:
        """Print one line that stays."""
        self.close()
        print(message, file=self._stream, flush=True)

    def show(self, report: Progress) -> None:
        """Show a job's progress."""
        if report.message:
            self.say(report.message)
        elif self._rewrites:
            line = describe(report)
            print(f"\r{line:{self._width}}", end="", file=self._stream, flush=True)
            self._width = len(line)
        elif time.monotonic() - self._shown >= _EVERY:
            self._shown = time.monotonic()
            print(describe(report), file=self._stream, flush=True)

    def close(self) -> None:
        """End the line that was being rewritten."""
        if self._width:
            print(file=self._stream, flush=True)
            self._width = 0

    def drive(self, job: Job[Result]) -> Result:
        """Run a job to its end; the first Ctrl+C asks it to stop, the second ends the program."""
        with self.interruptible():
            return run(job, self.show, lambda: self.stopped)

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Let the first Ctrl+C set `stopped` instead of ending the program at once."""

        def ask(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001
            if self.stopped:
                raise KeyboardInterrupt
            self.stopped = True
            # Not by print: this may have interrupted one, which allows no other within it.
            with suppress(OSError):  # a stream that is no file
                os.write(self._stream.fileno(), (b"\n" if self._width else b"") + _STOPPING)
            self._width = 0

        before = signal.signal(signal.SIGINT, ask)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    @contextmanager
    def warnings(self) -> Iterator[None]:
        """Show this package's own warnings as plain sentences, and nobody else's."""
        package = str(Path(__file__).resolve().parents[1])

        def show(
            message: Warning | str,
            category: type[Warning],  # noqa: ARG001
            filename: str,
            lineno: int,  # noqa: ARG001
            file: TextIO | None = None,  # noqa: ARG001
            line: str | None = None,  # noqa: ARG001
        ) -> None:
            if filename.startswith(package):
                self.say(str(message))

        with warnings.catch_warnings():
            warnings.showwarning = show
            yield


def describe(report: Progress) -> str:
    """Put a report into one line: stage, how far, how good and on what, how long still."""
    parts = [report.stage]
    if report.total:
        parts.append(f"{report.done}/{report.total}")
    elif report.done:
        parts.append(str(report.done))
    if report.loss is not None:
        parts.append(f"loss {report.loss:.3f}")
    if report.dice:
        score = mean(report.dice.values()) or 0.0
        parts.append(f"held-out Dice {score:.3f} on {report.voxels:,} voxels")
    parts.append(clock(report.seconds))
    if report.seconds_left is not None:
        parts.append(f"{clock(report.seconds_left)} left")
    return "  ".join(parts)


def clock(seconds: float) -> str:
    """Write a duration as minutes and seconds, such as ``"3:07"``."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"


def table(rows: Sequence[tuple[str, ...]]) -> str:
    """Line up cells in columns: the first to the left, the others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )
