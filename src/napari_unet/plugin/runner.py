"""The window's one door to the child process.

::

    idle ── start ──> preparing ──> running ── Finished/Failed ──> idle
                          └────── an error ──────────────────────────┘

A job `aside` is one that nobody waits for: while it runs the runner is not busy, and a job that somebody does
wait for stops it and follows it.

Preparing (copying pixels to where the child sees them) happens in a thread, running in the child;
a timer carries the child's events to whoever started the job. Nothing here waits.
"""

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
from qtpy.QtCore import QObject, QTimer, Signal
from superqt.utils import create_worker

from napari_unet.core.progress import Progress
from napari_unet.core.volume import Volume
from napari_unet.errors import UNetError
from napari_unet.jobs import (
    AnyVolume,
    Child,
    Failed,
    FileVolume,
    Finished,
    JobRequest,
    SharedVolume,
)

POLL_MS = 40
"""Time between two looks at the child's events: often enough to seem at once, rare enough to be free."""


class Listener(Protocol):
    """Who started a job, and hears of it until it ends."""

    def on_progress(self, reports: list[Progress]) -> None:
        """Hear what happened since the last call, oldest first."""

    def on_finished(self, finished: Finished) -> None:
        """Hear that the job is done, perhaps early."""

    def on_failed(self, message: str) -> None:
        """Hear in one sentence why the job could not be done."""


class Runner(QObject):
    """Runs one job at a time in the child process.

    Signals
    -------
    busy_changed(bool)
        A job has begun or ended.
    """

    busy_changed = Signal(bool)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.child = Child()
        self._listener: Listener | None = None
        self._aside = False
        self._next: tuple[Callable[[], JobRequest], Listener] | None = None
        self._stopping = False
        self._shared: list[tuple[Volume, SharedVolume]] = []
        self._timer = QTimer(self, interval=POLL_MS)
        self._timer.timeout.connect(self._poll)
        # A window that is closed deletes its widgets without a word; this much is done even then.
        self.destroyed.connect(partial(_let_go, self.child, self._shared))

    @property
    def busy(self) -> bool:
        """Whether a job that somebody waits for is being prepared or runs."""
        return self._next is not None or (self._listener is not None and not self._aside)

    @property
    def idle(self) -> bool:
        """Whether nothing runs, nor aside."""
        return self._listener is None

    def warm(self) -> None:
        """Start the child ahead of the first job, while the user still looks."""
        self.child.warm()

    def start(
        self, prepare: Callable[[], JobRequest], listener: Listener, *, aside: bool = False
    ) -> None:
        """Begin a job.

        Parameters
        ----------
        prepare : callable
            Makes the request; it may copy pixels, for it runs in a thread and touches no layer.
        listener : Listener
            Hears of it, always in the main thread.
        aside : bool
            Whether it gives way to any other job.
        """
        if self.busy or (aside and not self.idle):
            listener.on_failed("Another job is still running: wait for its end, or stop it.")
            return
        self._stopping = False
        if not self.idle:
            self._next = (prepare, listener)
            self.child.stop()
        else:
            self._begin(prepare, listener, aside)
        if not aside:
            self.busy_changed.emit(True)

    def _begin(
        self, prepare: Callable[[], JobRequest], listener: Listener, aside: bool = False
    ) -> None:
        self._listener, self._aside = listener, aside
        create_worker(
            _tried,
            prepare,
            _start_thread=True,
            _connect={"returned": self._submit},
        )

    def stop(self) -> None:
        """Ask the job to finish with what it has; one that is being prepared, as soon as it runs."""
        self._stopping = True
        self.child.stop()

    def share(self, volume: Volume) -> AnyVolume:
        """Return a volume as the child can open it; its pixels are copied once, not once a job."""
        file = FileVolume(Path(volume.source))
        if _reads_as(file, volume):
            return file
        for known, shared in self._shared:
            if known is volume:
                return shared
        shared = SharedVolume.of(volume)
        self._shared.append((volume, shared))
        return shared

    def keep(self, volumes: list[Volume]) -> None:
        """Delete the shared pixels of all volumes but these."""
        if not self.idle:
            return
        for pair in list(self._shared):
            if not any(pair[0] is volume for volume in volumes):
                self._shared.remove(pair)
                pair[1].remove()

    def close(self) -> None:
        """End the child and delete what was shared with it."""
        self._timer.stop()
        self._listener = self._next = None
        _let_go(self.child, self._shared)

    def _submit(self, made: tuple[JobRequest | None, str]) -> None:
        if self._listener is None:
            return  # closed in the meantime
        request, why = made
        try:
            if request is not None:
                self.child.submit(request)
                if self._stopping or self._next is not None:
                    self.child.stop()
        except UNetError as error:
            why = str(error)
        if not why:
            self._timer.start()
            return
        listener = self._end()
        if listener is not None:
            listener.on_failed(why)
        self._follow()

    def _poll(self) -> None:
        reports: list[Progress] = []
        for event in self.child.poll():
            if isinstance(event, Progress):
                reports.append(event)
                continue
            self._report(reports)
            reports = []
            self._timer.stop()
            listener = self._end()
            if listener is not None and isinstance(event, Failed):
                listener.on_failed(event.message)
            elif listener is not None and isinstance(event, Finished):
                listener.on_finished(event)
            self._follow()
        self._report(reports)

    def _report(self, reports: list[Progress]) -> None:
        if reports and self._listener is not None:
            self._listener.on_progress(reports)

    def _end(self) -> Listener | None:
        """Become idle; return the listener, who is told last, for it may start the next job at once."""
        listener, self._listener = self._listener, None
        if not self._aside:
            self.busy_changed.emit(False)
        return listener

    def _follow(self) -> None:
        """Begin the job for which one aside has made way."""
        if self._next is not None and self.idle:
            (prepare, listener), self._next = self._next, None
            self._begin(prepare, listener)


def _reads_as(file: FileVolume, volume: Volume) -> bool:
    """Tell whether a lazy volume is what its file gives to those who choose no channel, time or level.

    dask names an array after where it comes from and what was done to it.
    """
    if not volume.source or isinstance(volume.data, np.ndarray):
        return False
    with suppress(UNetError):
        return getattr(file.open().data, "name", None) == getattr(volume.data, "name", "")
    return False


def _let_go(child: Child, shared: list[tuple[Volume, SharedVolume]], *_: object) -> None:
    """End the child and delete what was shared with it."""
    child.close()
    for _volume, pixels in shared:
        pixels.remove()
    shared.clear()


def _tried(prepare: Callable[[], JobRequest]) -> tuple[JobRequest | None, str]:
    """Make the request, or say why it can't be made; a worker that returned an error would raise it."""
    try:
        return prepare(), ""
    except UNetError as error:
        return None, str(error)
