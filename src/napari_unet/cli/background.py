"""Work beside the main thread: reading what comes next, writing what came before."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, wait
from threading import Thread
from typing import TypeVar

Result = TypeVar("Result")


def begin(work: Callable[..., Result], *args: object) -> Future[Result]:
    """Run a function in a thread of its own; an error comes out where the result is asked for.

    The thread does not keep the program from ending, so that Ctrl+C need not wait for a long read.
    """
    future: Future[Result] = Future()

    def run() -> None:
        try:
            future.set_result(work(*args))
        except BaseException as error:
            future.set_exception(error)

    Thread(target=run, daemon=True).start()
    return future


def ready(future: Future[Result], given_up: Callable[[], bool]) -> bool:
    """Wait for a result until it is there (True) or somebody gives up waiting (False)."""
    while not given_up():
        if wait([future], timeout=0.1).done:
            return True
    return False


class Behind:
    """One piece of work at a time, done while the next one is being prepared.

    Handing over a second one waits for the first, so that never more than one is waiting.
    """

    def __init__(self) -> None:
        self._last: Future[None] | None = None

    def __call__(self, work: Callable[[], None]) -> None:
        """Begin a piece of work once the one before is done; raises what that one met."""
        self.wait()
        self._last = begin(work)

    def wait(self) -> None:
        """Wait until all is done; raises what it met."""
        last, self._last = self._last, None
        if last is not None:
            last.result()
