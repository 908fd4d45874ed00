"""A model's history, as far as it is understood: it comes from files that nobody vouches for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter, ValidationError

Points = tuple[tuple[float, float], ...]
"""Steps, and what was measured then."""


@dataclass(frozen=True)
class ClassHeld:
    """Held-out quality of one class, see `engine.validate.ClassMark`."""

    dice: float
    interval: tuple[float, float] | None = None
    slices: int | None = None
    voxels: int | None = None


@dataclass(frozen=True)
class Held:
    """What was measured on held-out slices, see `engine.validate.Validation`."""

    mean_dice: float | None = None
    interval: tuple[float, float] | None = None
    classes: dict[int, ClassHeld] = field(default_factory=dict)
    slices: int = 0
    voxels: int = 0
    base_dice: float | None = None
    verdict: str = ""
    difference: tuple[float, float] | None = None

    @property
    def enough(self) -> bool:
        """Whether there are enough slices to claim anything."""
        return self.slices >= 3


@dataclass(frozen=True)
class Curves:
    """Loss, and mean held-out Dice, over the steps."""

    loss: Points = ()
    dice: Points = ()


@dataclass(frozen=True)
class Run:
    """One entry of a history: a training, or a change of the classes."""

    date: str = ""
    cases: int | None = None
    known_voxels: int | None = None
    steps: int | None = None
    seconds: float | None = None
    device: str = ""
    classes: str = ""
    held_out: Held | None = None
    curve: Curves | None = None


_RUN = TypeAdapter(Run)


def runs(history: Iterable[dict[str, Any]]) -> list[Run | None]:
    """Read each entry, oldest first; None stands for one that can't be understood."""
    found: list[Run | None] = []
    for entry in history:
        try:
            found.append(_RUN.validate_python(entry))
        except ValidationError:
            found.append(None)
    return found
