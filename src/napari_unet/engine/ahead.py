"""Reading what comes next while the network runs."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

_DEPTH = 2
"""Results that may wait: one that is used next, one that is being made."""


def ahead(make: Callable[[Item], Result], items: Iterable[Item]) -> Generator[Result, None, None]:
    """Yield `make` of each item in order, made by one thread a little ahead of its use.

    An error comes out where its result would have. Closing the generator waits for the item in
    work and drops the rest.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="napari-unet-read") as pool:
        waiting: deque[Future[Result]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(make, item))
                if len(waiting) > _DEPTH:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
