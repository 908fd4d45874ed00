"""When a training that has no end has come to a standstill."""

from __future__ import annotations

_STEPS = 300
"""Steps without anything better after which it stands still: three times what the weights are
averaged over."""
_EXAMS = 6
"""Exams that it must have failed by then."""
_FALL = 0.95
"""Part of the lowest training loss below which another one is lower: it jumps from batch to batch."""


class Plateau:
    """Counts steps and exams since the last improvement.

    Parameters
    ----------
    steps : int
        Steps taken when it begins.
    """

    def __init__(self, steps: int = 0) -> None:
        self._since, self._failed = steps, 0
        self._loss = float("inf")

    def lower(self, loss: float) -> bool:
        """Tell whether a training loss is clearly below all before, and remember it then."""
        if loss >= _FALL * self._loss:
            return False
        self._loss = loss
        return True

    def examined(self, steps: int, better: bool) -> None:
        """Note the outcome of an exam after so many steps."""
        if better:
            self._since, self._failed = steps, 0
        else:
            self._failed += 1

    def reached(self, steps: int) -> bool:
        """Whether there has been nothing better for long."""
        return self._failed >= _EXAMS and steps - self._since >= _STEPS
