"""The parent's side of the child process that runs torch."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import IO, Self, cast

from napari_unet.core.threads import PATIENT
from napari_unet.errors import ChildError
from napari_unet.jobs.lessons import (
    ChangeRequest,
    FollowEvent,
    FollowRequest,
    GlanceRequest,
    LeaveRequest,
    Left,
)
from napari_unet.jobs.log import child_log, last_lines
from napari_unet.jobs.requests import Event, Failed, Finished, JobRequest, StopRequest
from napari_unet.jobs.shared import sweep
from napari_unet.jobs.wire import HELLO, decode, encode

_COMMAND = ("-X", "utf8", "-P", "-m", "napari_unet.jobs.child")
"""A fresh interpreter; -P, so that a torch.py where the user happens to be is not taken for torch."""


class Child:
    """One long-lived process for one job at a time, started on first use and again after a death.

    Beside the jobs there may be one training that goes on between them: `follow`, `change` and
    `leave`. Its events come through `poll_follow`, and a job does not wait for it.

    For use from one thread. A reader thread of its own collects what the process says until `poll`
    fetches it, so that only `kill` and `close` ever wait, and those for moments.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None
        self._log = Path()
        self._killed = False
        self._busy = False
        self._following = False
        self._events: list[Event] = []
        self._news: list[FollowEvent] = []
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def busy(self) -> bool:
        """Whether a job was submitted whose `Finished` or `Failed` has not arrived yet."""
        with self._lock:
            return self._busy

    @property
    def following(self) -> bool:
        """Whether a training goes on whose `Left` has not arrived yet."""
        with self._lock:
            return self._following

    @property
    def pid(self) -> int | None:
        """Number of the process while it runs."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    @property
    def log(self) -> Path:
        """File with everything the process, or the last one, printed and logged."""
        return self._log

    def warm(self) -> None:
        """Start the process, which loads what a prediction needs, so that the first job need not wait.

        Raises
        ------
        ChildError
            When no process can be started.
        """
        if self.pid is None:
            self._start()

    def submit(self, request: JobRequest | GlanceRequest) -> None:
        """Begin a job.

        Raises
        ------
        ChildError
            When another one is still running, no process can be started, or a name in the request
            is not valid text.
        """
        if self.busy:
            raise ChildError("Another job is still running: wait for its end, or stop it.")
        line = encode(request)
        self.warm()
        self._busy = True
        self._send(line)

    def stop(self) -> None:
        """Ask the running job to finish with what it has; its end arrives as any job's does."""
        if self.busy:
            self._send(encode(StopRequest()))

    def follow(self, request: FollowRequest) -> None:
        """Begin a training that goes on until `leave`.

        Raises
        ------
        ChildError
            When one goes on already, no process can be started, or a name in the request is not
            valid text.
        """
        if self.following:
            raise ChildError("A training goes on already: end it before another one begins.")
        line = encode(request)
        self.warm()
        self._following = True
        self._send(line)

    def change(self, request: ChangeRequest) -> None:
        """Tell the training that goes on what is annotated by now."""
        if self.following:
            self._send(encode(request))

    def leave(self) -> None:
        """Ask the training that goes on to end; `Left` arrives after its current step."""
        if self.following:
            self._send(encode(LeaveRequest()))

    def poll_follow(self) -> list[FollowEvent]:
        """Return what has arrived of the training that goes on since the last call, oldest first."""
        with self._lock:
            news, self._news = self._news, []
        return news

    def kill(self) -> None:
        """End the process at once; a running job ends with `Failed`."""
        if self._process is None or self._reader is None:
            return
        self._killed = True
        self._process.kill()
        self._reader.join()

    def poll(self) -> list[Event]:
        """Return what has arrived since the last call, oldest first."""
        with self._lock:
            events, self._events = self._events, []
        return events

    def close(self) -> None:
        """End the process; a running job is dropped without a word."""
        with self._lock:
            process, self._process, self._busy = self._process, None, False
            self._following = False
        if process is None or self._reader is None:
            return
        with contextlib.suppress(OSError):
            cast(IO[bytes], process.stdin).close()  # at this the child exits, whatever it is doing
        self._reader.join(timeout=2)
        process.kill()
        self._reader.join()

    def _start(self) -> None:
        try:
            self._log = child_log()
            with self._log.open("ab") as log:
                process = subprocess.Popen(
                    (sys.executable, *_COMMAND, str(self._log)),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    env={**PATIENT, **os.environ},
                    creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
                )
        except OSError as error:
            raise ChildError(
                f"The process that runs the network can't be started ({error}): free some memory, "
                "and see that the log folder can be written to."
            ) from error
        self._process, self._killed = process, False
        self._reader = threading.Thread(
            target=self._read, args=(process,), name="napari-unet child", daemon=True
        )
        self._reader.start()

    def _send(self, line: bytes) -> None:
        process = cast("subprocess.Popen[bytes]", self._process)
        requests = cast(IO[bytes], process.stdin)
        try:
            requests.write(line)
            requests.flush()
        except (OSError, ValueError):  # it died before it could read this
            self._died(process)

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        """Tidy up after the dead, then collect the events of one process until it is gone."""
        with contextlib.suppress(OSError):
            sweep()
        lines = cast(IO[bytes], process.stdout)
        with contextlib.suppress(OSError), process:  # which closes the pipes at the end
            try:
                while lines.readline() not in (HELLO, b""):
                    pass
                for line in lines:
                    self._arrived(process, cast("Event | FollowEvent", decode(line)))
            except Exception as error:  # a thread that died alone would leave the job for ever
                process.kill()
                self._arrived(process, Failed(str(error), crashed=True))
            self._died(process)

    def _died(self, process: subprocess.Popen[bytes]) -> None:
        failed = self._obituary(process.wait())
        self._arrived(process, failed)
        self._arrived(process, Left(failed.message, crashed=True))

    def _arrived(self, process: subprocess.Popen[bytes], event: Event | FollowEvent) -> None:
        """Queue an event, unless its process was closed or its job has had its end already."""
        with self._lock:
            if process is not self._process:
                return
            if isinstance(event, FollowEvent):
                if self._following:
                    self._following = not isinstance(event, Left)
                    self._news.append(event)
            elif self._busy:
                self._busy = not isinstance(event, Finished | Failed)
                self._events.append(event)

    def _obituary(self, code: int) -> Failed:
        """Say how the process died and what that means."""
        if self._killed:
            return Failed("The job was ended at once, as asked. Nothing painted is lost.", True)
        if code < 0:
            how = f"was ended by the system with {signal.Signals(-code).name}"
        else:
            how = f"ended with code {code if code < 256 else hex(code)}"
        memory = -code == getattr(signal, "SIGKILL", None)
        hint = " Most often memory had run out: close other programs." if memory else ""
        words = last_lines(self._log)
        said = f" Its last words: {words}" if words else ""
        return Failed(
            f"The process that runs the network {how} in the middle of the job. Nothing painted is "
            f"lost, and the next job starts a new process.{hint} (Log: {self._log}){said}",
            crashed=True,
        )
