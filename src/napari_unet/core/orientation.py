"""Which way the axes of an image run through a body, and how one image's axes lie along another's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.grid import Grid

_WAYS = ("IS", "PA", "LR")
"""Letters of world z, y and x: towards lower and towards higher coordinates."""


def orientation_of(grid: Grid) -> str:
    """Return where the index grows along each axis of a volume, such as ``"SAR"``.

    S, I, A, P, R and L are superior, inferior, anterior, posterior, right and left, in the order of the
    grid's axes (z, y, x); an axis aslant takes the nearest. Empty for planes, and where a grid has no
    place in a world.
    """
    if grid.affine is None or grid.ndim != 3:
        return ""
    directions = grid.matrix[:3, :3] / np.array(grid.spacing)
    lies = max(permutations(range(3)), key=lambda way: np.abs(directions[way, range(3)]).sum())
    return "".join(_WAYS[w][int(directions[w, axis] > 0)] for axis, w in enumerate(lies))


def is_orientation(letters: str) -> bool:
    """Tell whether three letters name three axes of a body."""
    worlds = [next((i for i, way in enumerate(_WAYS) if c in way), None) for c in letters]
    return sorted(w for w in worlds if w is not None) == [0, 1, 2] and len(worlds) == 3


@dataclass(frozen=True)
class Turn:
    """How the axes of a volume lie along those of an orientation.

    Parameters
    ----------
    axes : tuple of int
        For each axis of the orientation, the volume's own that runs along it.
    flips : tuple of bool
        For each axis of the orientation, whether the volume's runs against it.
    """

    axes: tuple[int, int, int] = (0, 1, 2)
    flips: tuple[bool, bool, bool] = (False, False, False)

    def order(self, lengths: Sequence[float]) -> tuple[Any, Any, Any]:
        """Bring what a volume has for each axis, such as its spacing, into the orientation's order."""
        a, b, c = (lengths[axis] for axis in self.axes)
        return a, b, c

    def of(self, array: NDArray[Any]) -> NDArray[Any]:
        """View an array whose last three axes are the volume's along those of the orientation."""
        first = array.ndim - 3
        moved = array.transpose(*range(first), *(first + axis for axis in self.axes))
        return self._flipped(moved)

    def back(self, array: NDArray[Any]) -> NDArray[Any]:
        """View an array along the orientation's axes along the volume's own."""
        first, right = array.ndim - 3, self._flipped(array)
        return right.transpose(*range(first), *(first + self.axes.index(i) for i in range(3)))

    def _flipped(self, array: NDArray[Any]) -> NDArray[Any]:
        return array[(..., *(slice(None, None, -1 if flip else None) for flip in self.flips))]

    def then(self, axes: tuple[int, int, int]) -> Turn:
        """Return the turn that takes the orientation's axes in another order."""
        a, b, c = axes
        return Turn(
            (self.axes[a], self.axes[b], self.axes[c]),
            (self.flips[a], self.flips[b], self.flips[c]),
        )


def turn(grid: Grid, orientation: str) -> Turn:
    """Return how the axes of a volume lie along an orientation's; as they come where either is unknown."""
    own = orientation_of(grid)
    if not own or not orientation:
        return Turn()
    ways = [next(way for way in _WAYS if letter in way) for letter in own]
    a, b, c = (next(i for i, way in enumerate(ways) if letter in way) for letter in orientation)
    flips = (own[a] != orientation[0], own[b] != orientation[1], own[c] != orientation[2])
    return Turn((a, b, c), flips)
