"""An image with its geometry."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.grid import Grid
from napari_unet.errors import GridError


class Pixels(Protocol):
    """What a volume's data must offer: a numpy array does, and so does a lazy dask array."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of a voxel."""

    def __getitem__(self, key: Any, /) -> Any:  # noqa: ANN401
        """Return the part that `key` names; `numpy.asarray` of it reads the voxels."""


@dataclass(frozen=True, eq=False)
class Volume:
    """An image: channels first, then (z, y, x) or (y, x).

    Parameters
    ----------
    data : array-like
        Shape (C, Z, Y, X) or (C, Y, X); any real dtype; in memory or lazy (dask).
    grid : Grid
        Geometry of the spatial axes.
    channels : tuple of str
        A name for each channel; empty for ``"channel 1"`` and so on.
    name : str
        Shown in messages and tables; usually the file's name.
    source : str
        Path the image was read from, or empty.

    Raises
    ------
    GridError
        When the data's shape and the grid or channel names disagree.
    """

    data: Pixels = field(repr=False)
    grid: Grid
    channels: tuple[str, ...] = ()
    name: str = "image"
    source: str = ""

    def __post_init__(self) -> None:
        if tuple(self.data.shape[1:]) != self.grid.shape:
            raise GridError(
                f"{self.name}: data of shape {tuple(self.data.shape)} (channels first) "
                f"does not fit a grid of shape {self.grid.shape}."
            )
        if not self.channels:
            names = tuple(f"channel {i + 1}" for i in range(self.data.shape[0]))
            object.__setattr__(self, "channels", names)
        if len(self.channels) != self.data.shape[0]:
            raise GridError(
                f"{self.name}: {self.data.shape[0]} channels but {len(self.channels)} names."
            )

    @classmethod
    def from_array(
        cls,
        array: Pixels,
        spacing: tuple[float, ...] | None = None,
        unit: str = "pixel",
        channel_axis: int | None = None,
        name: str = "image",
    ) -> Volume:
        """Wrap an array (z, y, x) or (y, x), with its channels along `channel_axis` if it has any."""
        many: Any = array  # numpy and dask both, which share no type
        moved = many[None] if channel_axis is None else np.moveaxis(many, channel_axis, 0)
        shape = tuple(int(n) for n in moved.shape[1:])
        sizes = (1.0,) * len(shape) if spacing is None else spacing
        return cls(moved, Grid(shape, sizes, unit), name=name)

    @cached_property
    def is_grey(self) -> bool:
        """Whether its channels in memory are equal copies: a grey image that was saved in colour.

        Looked up once: all of a grey image has to be compared, and a window asks again and again.
        """
        data = self.data
        if not isinstance(data, np.ndarray) or len(data) == 1:
            return False
        planes = range(data.shape[1])  # one after the other: colours differ in the first
        return all(np.array_equal(data[0, i], one[i]) for i in planes for one in data[1:])

    def array(self) -> NDArray[Any]:
        """Read all voxels into memory, shape (C, *grid.shape)."""
        return np.asarray(self.data[:])
