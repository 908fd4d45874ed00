"""A label's meaning: id, name, colour, and what else there is to say of it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from napari_unet.errors import AnnotationError

LARGEST_ID = 2**64 - 1
"""No array of labels holds a larger one."""

PALETTE = (
    (0.90, 0.62, 0.00),
    (0.34, 0.71, 0.91),
    (0.00, 0.62, 0.45),
    (0.94, 0.89, 0.26),
    (0.00, 0.45, 0.70),
    (0.84, 0.37, 0.00),
    (0.80, 0.47, 0.65),
)
"""Okabe and Ito's seven colours, told apart by colour-blind eyes too (jfly.uni-koeln.de/color)."""


def printable(text: str) -> str:
    """Return a text that any file takes: ``?`` for what is no Unicode, as in some files' names."""
    return text.encode(errors="replace").decode()


@dataclass(frozen=True)
class LabelClass:
    """One class of a segmentation.

    Parameters
    ----------
    id : int
        The value of its voxels in a label image; 0 is background.
    name : str
        What people call it.
    color : tuple of float
        Red, green and blue in 0..1.
    description : str
        What counts as this class, in one line: line breaks become spaces.
    """

    id: int
    name: str
    color: tuple[float, float, float] = (0.5, 0.5, 0.5)
    description: str = ""

    def __post_init__(self) -> None:
        if self.id < 0:
            raise AnnotationError(f"Class {self.name!r} has id {self.id}; ids start at 0.")
        if self.id > LARGEST_ID:
            raise AnnotationError(
                f"Class {self.name!r} has id {self.id}; ids go up to {LARGEST_ID}: renumber it."
            )
        if not self.name.strip():
            raise AnnotationError(f"Class {self.id} has no name.")
        # One spelling of each number: a model's hash is taken over what it says.
        red, green, blue = map(float, self.color)
        if not all(map(math.isfinite, (red, green, blue))):
            raise AnnotationError(
                f"Class {self.name!r} has a colour that is no number: choose one."
            )
        object.__setattr__(self, "color", (red, green, blue))
        # Names that are no Unicode, as JSON may hold, can't be written into a model's file.
        object.__setattr__(self, "name", printable(self.name))
        object.__setattr__(self, "description", printable(" ".join(self.description.split())))

    @property
    def named(self) -> bool:
        """Whether somebody gave it a name, or it goes by its number (`default_classes`)."""
        return self.name != _numbered(self.id)


BACKGROUND = LabelClass(0, "background", (0.0, 0.0, 0.0))

LIKELY_OBJECTS = 150
"""Label values without a name from which they are objects, most likely."""


def default_classes(ids: Iterable[int]) -> tuple[LabelClass, ...]:
    """Background and one class per id, named ``"class 1"`` and so on, coloured from `PALETTE`."""
    wanted = sorted({int(i) for i in ids} - {0})
    return (
        BACKGROUND,
        *(LabelClass(i, _numbered(i), PALETTE[n % len(PALETTE)]) for n, i in enumerate(wanted)),
    )


def nameless(
    classes: Iterable[LabelClass], known: Iterable[LabelClass] = ()
) -> tuple[LabelClass, ...]:
    """Return the classes, background left out, that nobody named and that `known` lacks."""
    named = {0, *(c.id for c in known)}
    return tuple(c for c in classes if c.id not in named and not c.named)


def _numbered(one: int) -> str:
    return f"class {one}"


def united(*lists: Iterable[LabelClass]) -> tuple[LabelClass, ...]:
    """Join lists of classes by id, background first, the others in the order in which they come.

    The first list that has a class has the say on it; a description may come from a later one.
    """
    found: dict[int, LabelClass] = {}
    for one in (c for classes in lists for c in classes):
        known = found.setdefault(one.id, one)
        if not known.description and one.description:
            found[one.id] = replace(known, description=one.description)
    return tuple(sorted(found.values(), key=lambda c: c.id != 0))
