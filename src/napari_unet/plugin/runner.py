"""The window's one door to the child process.

::

    idle ── start ──> preparing ──> running ── Finished/Failed ──> idle
                          └────── an error ──────────────────────────┘

A job `aside` is one that nobody waits for: while it runs the runner is not busy, and a job that somebody does
wait for stops it and follows it.

Preparing (copying pixels to where the child sees them) happens in a thread, running in the child;
a timer carries the child's events to whoever started the job. Nothing here waits.
"""

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
from qtpy.QtCore import QObject, QTimer, Signal

from napari_unet.core.progress import Progress
from napari_unet.core.volume import Volume
from napari_unet.errors import UNetError
from napari_unet.jobs import (
    AnyVolume,
    ChangeRequest,
    Child,
    Failed,
    FileVolume,
    Finished,
    Followed,
    FollowRequest,
    GlanceRequest,
    HeldOut,
    JobRequest,
    Left,
    Published,
    SharedVolume,
)
from napari_unet.plugin.background import in_thread

POLL_MS = 40
"""Time between two looks at the child's events: often enough to seem at once, rare enough to be free."""


AnyRequest = JobRequest | GlanceRequest
AnyEvent = TypeVar("AnyEvent")


class Listener(Protocol):
    """Who started a job, and hears of it until it ends."""

    def on_progress(self, reports: list[Progress]) -> None:
        """Hear what happened since the last call, oldest first."""

    def on_finished(self, finished: Finished) -> None:
        """Hear that the job is done, perhaps early."""

    def on_failed(self, message: str) -> None:
        """Hear in one sentence why the job could not be done."""


class Follower(Protocol):
    """Who began a training that goes on, and hears of it until it has ended."""

    def on_followed(self, reports: list[Progress]) -> None:
        """Hear how it fares, oldest first."""

    def on_held_out(self, held: HeldOut) -> None:
        """Hear which slices measure by now."""

    def on_published(self, published: Published) -> None:
        """Hear that a better model is in its file."""

    def on_left(self, left: Left) -> None:
        """Hear that it has ended, and why if nobody told it to."""


class Runner(QObject):
    """Runs one job at a time in the child process, and beside the jobs one training that goes on.

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
        self._follower: Follower | None = None
        self._aside = False
        self._next: tuple[Callable[[], AnyRequest], Listener] | None = None
        self._stopping = self._leaving = False
        # What the child said and nobody was told yet: where a listener fails, the rest, the end above
        # all, is told at the next look.
        self._untold: deque[Any] = deque()
        self._unheard: deque[Any] = deque()
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

    @property
    def following(self) -> bool:
        """Whether a training that goes on is being prepared or runs."""
        return self._follower is not None

    def warm(self) -> None:
        """Start the child ahead of the first job, while the user still looks."""
        self.child.warm()

    def start(
        self, prepare: Callable[[], AnyRequest], listener: Listener, *, aside: bool = False
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
        self, prepare: Callable[[], AnyRequest], listener: Listener, aside: bool = False
    ) -> None:
        self._listener, self._aside = listener, aside
        in_thread(prepare, self._submit, self._refuse)

    def stop(self) -> None:
        """Ask the job to finish with what it has; one that is being prepared, as soon as it runs."""
        self._stopping = True
        self.child.stop()

    def follow(self, prepare: Callable[[], FollowRequest], follower: Follower) -> None:
        """Begin a training that goes on beside the jobs until `leave`.

        Parameters
        ----------
        prepare : callable
            As in `start`.
        follower : Follower
            Hears of it, always in the main thread.
        """
        self._follower, self._leaving = follower, False
        in_thread(prepare, self._submit_follow, lambda why: self._hear(Left(why)))

    def change(self, request: ChangeRequest) -> None:
        """Tell the training that goes on what is annotated by now."""
        self.child.change(request)

    def leave(self) -> None:
        """Ask the training that goes on to end; one that is being prepared, as soon as it runs."""
        self._leaving = True
        self.child.leave()

    def share(self, volume: Volume) -> AnyVolume:
        """Return a volume as the child can open it; its pixels are copied once, not once a job."""
        file = _in_file(volume)
        if file is not None:
            return file
        for known, shared in self._shared:
            if known is volume:
                return shared
        shared = SharedVolume.of(volume)
        self._shared.append((volume, shared))
        return shared

    def keep(self, volumes: list[Volume]) -> None:
        """Delete the shared pixels of all volumes but these."""
        if not self.idle or self.following:
            return
        for pair in list(self._shared):
            if not any(pair[0] is volume for volume in volumes):
                self._shared.remove(pair)
                pair[1].remove()

    def close(self) -> None:
        """End the child and delete what was shared with it."""
        self._timer.stop()
        self._listener = self._follower = self._next = None
        _let_go(self.child, self._shared)

    def _submit_follow(self, request: FollowRequest) -> None:
        if self._follower is None:
            return  # closed in the meantime
        try:
            self.child.follow(request)
        except UNetError as error:
            self._hear(Left(str(error)))
            return
        if self._leaving:
            self.child.leave()
        self._timer.start()

    def _submit(self, request: AnyRequest) -> None:
        if self._listener is None:
            return  # closed in the meantime
        try:
            self.child.submit(request)
        except UNetError as error:
            self._refuse(str(error))
            return
        if self._stopping or self._next is not None:
            self.child.stop()
        self._timer.start()

    def _refuse(self, why: str) -> None:
        """End a job that has not begun."""
        if self._listener is not None:
            self._tell_end(Failed(why))

    def _poll(self) -> None:
        # Asked before the events are fetched: what ends while they are shown waits for the next look.
        going = self._going
        self._untold.extend(self.child.poll())
        while self._untold:
            self._report(_leading(self._untold, Progress))
            if self._untold:
                self._tell_end(self._untold.popleft())
        self._poll_follow()
        if not going and not self._going:
            self._timer.stop()

    @property
    def _going(self) -> bool:
        """Whether the child has more to say."""
        return self.child.busy or self.child.following

    def _poll_follow(self) -> None:
        self._unheard.extend(self.child.poll_follow())
        while self._unheard:
            fared = [event.progress for event in _leading(self._unheard, Followed)]
            if fared and self._follower is not None:
                self._follower.on_followed(fared)
            if self._unheard:
                self._hear(self._unheard.popleft())

    def _hear(self, event: HeldOut | Published | Left) -> None:
        """Pass an event of the training that goes on to whoever began it."""
        follower = self._follower
        if isinstance(event, Left):
            self._follower = None
        if follower is None:
            return
        match event:
            case HeldOut():
                follower.on_held_out(event)
            case Published():
                follower.on_published(event)
            case Left():
                follower.on_left(event)

    def _report(self, reports: list[Progress]) -> None:
        if reports and self._listener is not None:
            self._listener.on_progress(reports)

    def _tell_end(self, event: Finished | Failed) -> None:
        """Become idle, and tell the listener last, who may start the next job at once."""
        listener, self._listener = self._listener, None
        if not self._aside:
            self.busy_changed.emit(False)
        try:
            if listener is not None and isinstance(event, Failed):
                listener.on_failed(event.message)
            elif listener is not None and isinstance(event, Finished):
                listener.on_finished(event)
        finally:
            if self._next is not None and self.idle:
                (prepare, listener), self._next = self._next, None
                self._begin(prepare, listener)


def _leading(events: deque[Any], kind: type[AnyEvent]) -> list[AnyEvent]:
    """Take from the head all that are of one kind."""
    taken: list[AnyEvent] = []
    while events and isinstance(events[0], kind):
        taken.append(events.popleft())
    return taken


def _in_file(volume: Volume) -> FileVolume | None:
    """Return a lazy volume as its file, if that gives it to those who choose no channel, time or level.

    dask names an array after where it comes from and what was done to it.
    """
    if not volume.source or isinstance(volume.data, np.ndarray):
        return None
    file = FileVolume(Path(volume.source))
    with suppress(UNetError):
        read = file.open()
        if getattr(read.data, "name", None) == getattr(volume.data, "name", ""):
            return file if read.grid == volume.grid else replace(file, grid=volume.grid)
    return None


def _let_go(child: Child, shared: list[tuple[Volume, SharedVolume]], *_: object) -> None:
    """End the child and delete what was shared with it."""
    child.close()
    for _volume, pixels in shared:
        pixels.remove()
    shared.clear()
