"""A label's meaning: id, name, colour, and what else there is to say of it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from napari_unet.errors import AnnotationError

LARGEST_ID = 2**64 - 1
"""No array of labels holds a larger one."""

_FIRST = (
    (0.90, 0.62, 0.00),
    (0.34, 0.71, 0.91),
    (0.00, 0.62, 0.45),
    (0.94, 0.89, 0.26),
    (0.00, 0.45, 0.70),
    (0.84, 0.37, 0.00),
    (0.80, 0.47, 0.65),
)
_MORE = """
8700e1 695a00 b40f3c 87fff0 00ff4b ffb4a5 d2c3ff 87960f 00690f 9678ff ff4b5a 785a87 874b2d 007878 b4d296
ff00ff c30087 a5875a 00b40f 4bb4b4 ffd296 b47869 d20000 ff96ff 004be1 00e1a5 ffb4d2 f0965a 96d200 0fe1ff
69783c ff0f87 6996ff c3b469 a55a69 6978b4 a56900 a55ac3 a587c3 0087a5 00694b ff8796 78a569 a5c3ff a58700
a5ffb4 ff3c1e 3c8700 4b5a96 78c3a5 69d269 4b69ff ff8769 c34b4b f0c33c e13cb4 d278ff
"""

PALETTE = (
    *_FIRST,
    *(
        (round(r / 255, 2), round(g / 255, 2), round(b / 255, 2))
        for r, g, b in map(bytes.fromhex, _MORE.split())
    ),
)
"""Okabe and Ito's seven colours, told apart by colour-blind eyes too (jfly.uni-koeln.de/color), and as many
as there may be classes without a name in one table: each the farthest from all before it (CIEDE2000), neither
near black or white nor grey."""


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


def default_classes(
    ids: Iterable[int], beside: Iterable[LabelClass] = ()
) -> tuple[LabelClass, ...]:
    """Background and one class per id, named ``"class 1"`` and so on.

    Their colours are those of `PALETTE` that no class `beside` them has, by turns.
    """
    wanted = sorted({int(i) for i in ids} - {0})
    taken = [c.color for c in beside]
    free = [one for one in PALETTE if not any(_alike(one, other) for other in taken)] or PALETTE
    return (
        BACKGROUND,
        *(LabelClass(i, _numbered(i), free[n % len(free)]) for n, i in enumerate(wanted)),
    )


def _alike(one: Iterable[float], other: Iterable[float]) -> bool:
    """Whether colours are the same but for a file's eight bits."""
    return all(abs(a - b) < 0.01 for a, b in zip(one, other, strict=True))


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
