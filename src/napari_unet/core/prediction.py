"""Labels made by a model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.classes import LabelClass
from napari_unet.core.grid import Grid
from napari_unet.core.suggestion import Survey


class Labels(Protocol):
    """What labels are written into: an array in memory, in zarr, or a store that takes boxes."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of a label."""

    def __setitem__(self, key: tuple[slice, ...], value: NDArray[Any], /) -> None:
        """Write the labels of a box."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a model says about a volume.

    Parameters
    ----------
    labels : ndarray of unsigned int
        Class ids, or object ids of an instance model; shape of the grid.
    grid : Grid
        The image's own grid.
    classes : tuple of LabelClass
        Meaning of the ids; background first.
    model : str
        sha256 of the model's weights and spec, 64 hex digits.
    instances : bool
        Whether `labels` are object ids.
    complete : bool
        False when stopped early: voxels not reached are 0.
    seconds : dict of str to float
        Time in ``"network"``, ``"total"`` and so on.
    device, backend : str
        Where it ran.
    probabilities : ndarray of float16, optional
        Of each class, shape (classes, *grid.shape), when asked for; of an instance model those of
        background, interior and border, shape (3, *grid.shape).
    tiles : dict of str to int
        Tiles of the whole volume in ``"total"``; in ``"run"`` how many the network ran on, mirrored
        copies and coarse ones included.
    uncertainty : ndarray of float16, optional
        Entropy of the probabilities of each voxel, 0 (sure) to 1 (all classes as likely), when
        asked for.
    survey : Survey, optional
        What the model says about each slice, when asked for.
    """

    labels: NDArray[np.unsignedinteger[Any]]
    grid: Grid
    classes: tuple[LabelClass, ...]
    model: str = ""
    instances: bool = False
    complete: bool = True
    seconds: dict[str, float] = field(default_factory=dict)
    device: str = "cpu"
    backend: str = "torch"
    probabilities: NDArray[np.float16] | None = None
    tiles: dict[str, int] = field(default_factory=dict)
    uncertainty: NDArray[np.float16] | None = None
    survey: Survey | None = None
