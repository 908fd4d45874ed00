"""How far each slice is, and how many slices share one column of the ruler."""

from collections.abc import Iterable
from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

States = NDArray[np.uint8]
"""One `State` a slice."""


class State(IntEnum):
    """What is known of a slice; a higher one has the say over a lower one."""

    UNTOUCHED = 0
    PREDICTED = 1
    PAINTED = 2
    DONE = 3
    HELD_OUT = 4

    @property
    def words(self) -> str:
        """The state as people say it."""
        return _WORDS[self]


_WORDS = {
    State.UNTOUCHED: "nothing yet",
    State.PREDICTED: "labels that nobody has checked",
    State.PAINTED: "partly painted",
    State.DONE: "done",
    State.HELD_OUT: "held out to measure the model",
}


def states(
    predicted: NDArray[np.bool_],
    painted: NDArray[np.bool_],
    done: Iterable[int],
    held_out: Iterable[int],
) -> States:
    """Return the state of each slice along an axis; masks of shape (n,), indices of slices."""
    found = np.where(painted, State.PAINTED, np.where(predicted, State.PREDICTED, 0))
    found[list(done)] = State.DONE
    found[list(held_out)] = State.HELD_OUT
    return found.astype(np.uint8)


class Columns(NamedTuple):
    """The slices gathered into columns that are wide enough to see.

    Parameters
    ----------
    starts : ndarray of int
        The first slice of each column, and the number of slices at the end; shape (columns + 1,).
    all, any : ndarray of uint8
        The state that every slice of a column has reached, and the highest that any has.
    """

    starts: NDArray[np.intp]
    all: States
    any: States


def columns(slices: States, room: int) -> Columns:
    """Gather slices into at most `room` columns, each of as equal a share as can be."""
    count = min(len(slices), max(room, 1))
    starts = np.arange(count + 1) * len(slices) // count
    return Columns(
        starts,
        np.minimum.reduceat(slices, starts[:-1]),
        np.maximum.reduceat(slices, starts[:-1]),
    )
