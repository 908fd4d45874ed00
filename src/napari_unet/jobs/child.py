"""The child process: reads requests, runs the engine, reports. Started by `process.Child`.

Run as ``python -m napari_unet.jobs.child LOG``, where LOG names the file that standard error goes
to, for messages. It ends when its standard input does, so it never
outlives the window, even one that was killed.
"""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import logging
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import BinaryIO

import psutil

from napari_unet.core.progress import Progress, run
from napari_unet.errors import UNetError
from napari_unet.jobs.course import Course
from napari_unet.jobs.lessons import (
    ChangeRequest,
    Followed,
    FollowRequest,
    GlanceRequest,
    LeaveRequest,
    Left,
)
from napari_unet.jobs.requests import (
    ExportRequest,
    Failed,
    Finished,
    JobRequest,
    PredictRequest,
    ProbeRequest,
    StopRequest,
    SurveyRequest,
    TrainRequest,
)
from napari_unet.jobs.wire import HELLO, Message, decode, encode
from napari_unet.jobs.workbench import Workbench

_LOG = logging.getLogger("napari_unet.child")
_ENGINE = "napari_unet.engine"

Request = JobRequest | GlanceRequest | FollowRequest | ChangeRequest | LeaveRequest

_QUIET = 5.0
"""Seconds without a job after which the moment is quiet."""

_PERIOD = 0.05
"""Seconds between two reports that a person could not tell apart anyway."""


class Inbox(threading.Thread):
    """Reads requests while a job runs, so that stop and the parent's end are heard at once.

    Parameters
    ----------
    pipe : binary file
        From the parent.
    """

    def __init__(self, pipe: BinaryIO) -> None:
        super().__init__(name="inbox", daemon=True)
        self._pipe = pipe
        self.jobs: queue.SimpleQueue[tuple[Request, threading.Event]] = queue.SimpleQueue()

    def run(self) -> None:
        """Queue every job with its own stop flag; leave the process when the parent has gone."""
        stop = threading.Event()
        try:
            for line in self._pipe:
                match decode(line):
                    case StopRequest():
                        stop.set()
                    case (
                        PredictRequest()
                        | GlanceRequest()
                        | SurveyRequest()
                        | TrainRequest()
                        | ExportRequest()
                        | ProbeRequest() as job
                    ):
                        stop = threading.Event()
                        self.jobs.put((job, stop))
                    case FollowRequest() | ChangeRequest() | LeaveRequest() as news:
                        self.jobs.put((news, threading.Event()))
        except Exception:
            # Whatever it is: a thread that died alone would leave the parent waiting for ever.
            _LOG.exception("unreadable request")
            os._exit(70)  # EX_SOFTWARE: the parent reports it, and starts anew
        # Not sys.exit: the main thread may be deep in a convolution and would not hear of it.
        os._exit(0)


class Outbox:
    """Sends events to the parent, leaving out reports that come too fast to be seen.

    Parameters
    ----------
    pipe : binary file
        To the parent.
    """

    def __init__(self, pipe: BinaryIO) -> None:
        self._pipe = pipe
        self._last = Progress("")
        self._time = 0.0

    def report(self, progress: Progress, of: Callable[[Progress], Message] | None = None) -> None:
        """Send a report, if it is time for one or it says what no later one will say again.

        Parameters
        ----------
        progress : Progress
            The report.
        of : callable, optional
            Makes of it what is sent, where that says whose report it is.
        """
        now = time.monotonic()
        unique = (
            progress.box is not None
            or progress.dice is not None
            or progress.loss is not None
            or progress.stage != self._last.stage
            or progress.message != self._last.message
        )
        if unique or now - self._time >= _PERIOD:
            self._last, self._time = progress, now
            self.send(progress if of is None else of(progress))

    def send(self, message: Message) -> None:
        """Send a message whatever the time."""
        try:
            self._pipe.write(encode(message))
            self._pipe.flush()
        except OSError:
            os._exit(0)  # nobody reads any more


class Service:
    """Does one job after another, for ever, and between them the training that goes on, if any.

    What training needs takes seconds to import. So it waits for the first quiet moment after a job:
    most often that was a prediction, and somebody is busy with its labels.

    Parameters
    ----------
    inbox, outbox : Inbox, Outbox
        From and to the parent.
    log : str
        File that messages name.
    """

    def __init__(self, inbox: Inbox, outbox: Outbox, log: str) -> None:
        self._inbox, self._outbox, self._log = inbox, outbox, log
        self._bench = Workbench()
        self._course: Course | None = None

    def serve(self) -> None:
        """Never return."""
        _load("predict")
        patience: float | None = None
        while True:
            learns = self._course is not None and not self._course.resting
            try:
                request, stop = self._inbox.jobs.get(timeout=0 if learns else patience)
            except queue.Empty:
                if self._course is not None and learns:
                    self._advance(self._course)
                else:
                    _load("train")
                    patience = None
                continue
            if not _loaded("train"):
                patience = _QUIET
            match request:
                case FollowRequest() | ChangeRequest() | LeaveRequest():
                    self._follow(request)
                case _:
                    self._do(request, stop)

    def _do(self, request: JobRequest | GlanceRequest, stop: threading.Event) -> None:
        try:
            payload = run(self._bench.job(request), self._outbox.report, stop.is_set)
        except Exception as error:
            self._outbox.send(Failed(_words(error, self._log)))
        else:
            self._outbox.send(Finished(payload))

    def _follow(self, request: FollowRequest | ChangeRequest | LeaveRequest) -> None:
        """Begin the training that goes on, tell it what has changed, or end it."""
        try:
            match request:
                case FollowRequest():
                    self._course = self._bench.course(request, self._called)
                case ChangeRequest() if self._course is not None:
                    self._course.hear(request)
                case LeaveRequest() if self._course is not None:
                    self._leave("")
        except Exception as error:
            self._leave(_words(error, self._log))

    def _called(self) -> bool:
        """Whether a request waits."""
        return not self._inbox.jobs.empty()

    def _advance(self, course: Course) -> None:
        try:
            event = course.advance()
        except Exception as error:
            self._leave(_words(error, self._log))
            return
        if isinstance(event, Followed):
            self._outbox.report(event.progress, Followed)
        else:
            self._outbox.send(event)

    def _leave(self, message: str) -> None:
        if self._course is not None:
            self._course.close()
        self._course = None
        self._outbox.send(Left(message))


def _words(error: Exception, log: str) -> str:
    """Log an error, and say it in a sentence for the user."""
    if isinstance(error, UNetError):
        _LOG.warning("%s", error)
        return str(error)
    if isinstance(error, MemoryError):
        _LOG.error("out of memory", exc_info=error)
        return "Memory ran out: close other programs, or take a smaller image."
    _LOG.error("unforeseen", exc_info=error)
    return _unforeseen(error, log)


def _unforeseen(error: Exception, log: str) -> str:
    what = str(error).strip().partition("\n")[0][:300] or "no more is known"
    return (
        f"The job failed in a way nobody foresaw ({type(error).__name__}: {what}). Nothing painted "
        f"is lost; please report it together with {log}."
    )


def _pipes() -> tuple[BinaryIO, BinaryIO]:
    """Keep standard input and output for messages; whatever else prints goes to the log."""
    requests, events = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    events.write(HELLO)
    events.flush()
    return requests, events


def _step_back() -> None:
    """Let the window go first."""
    with contextlib.suppress(psutil.Error, OSError):
        psutil.Process().nice(psutil.BELOW_NORMAL_PRIORITY_CLASS if os.name == "nt" else 10)


def _loaded(name: str) -> bool:
    return f"{_ENGINE}.{name}" in sys.modules


def _load(name: str) -> None:
    """Import a part of the engine before it is needed."""
    try:
        importlib.import_module(f"{_ENGINE}.{name}")
    except Exception:
        _LOG.exception("The job that needs it will say so.")


def main(log: str) -> None:
    """Run until the parent goes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is for the parent, which then decides
    requests, events = _pipes()
    faulthandler.enable()
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(message)s")
    logging.captureWarnings(True)
    _step_back()
    inbox = Inbox(requests)
    inbox.start()
    Service(inbox, Outbox(events), log).serve()


if __name__ == "__main__":
    main(sys.argv[1])
