"""How an image lies to what a model has learned from, as far as can be told without looking at a voxel."""

from __future__ import annotations

from collections.abc import Iterable

from napari_unet.core.channels import channels_for
from napari_unet.core.grid import Grid
from napari_unet.core.orientation import Turn, turn
from napari_unet.core.spec import ModelSpec
from napari_unet.core.volume import Volume

_LARGEST, _SMALLEST = 8.0, 1 / 64
"""Lengths of an image's voxels in those of a model beyond which it sees nothing that it has learned.
The model's may be 8 times as long as those it learned from (`detail.FACTORS`), and these 8 times as the
image's."""


class Alignment:
    """The axes of an image in the order of a model's, and how long its voxels are there.

    Axes run as they did in what the model learned from, and that which a 2D network goes along comes
    first; a plane gets one slice.

    Parameters
    ----------
    grid : Grid
        The image's.
    spec : ModelSpec
        The model.

    Attributes
    ----------
    flat : bool
        Whether the image is a plane.
    sliced : bool
        Whether the network goes through it slice by slice along the first axis, and along no other.
    axis : int
        The model's axis that comes first: its own, unless the image is one slice along another.
    turn : Turn
        The image's axes in the model's order, and which of them run backwards in it.
    stretch : tuple of float
        Voxels at the model's spacing to a voxel of the image, along the axes in the model's order.
    """

    def __init__(self, grid: Grid, spec: ModelSpec) -> None:
        self.flat = grid.ndim == 2
        way = Turn() if self.flat else turn(grid, spec.orientation)
        lengths = (1, *grid.shape) if self.flat else way.order(grid.shape)
        self.sliced = spec.dims == 2 and (spec.block is None or 1 in lengths)
        own = self.axis = spec.axis if self.sliced else 0
        if self.sliced and not self.flat and 1 in lengths and lengths[own] > 1:
            self.axis = lengths.index(1)
        self.turn = way if self.flat else way.then(_led_by(self.axis))
        self.stretch = self._stretch(grid, spec, _led_by(own))

    @property
    def far_off(self) -> bool:
        """Whether image and model differ so much in their voxels that labels would mean nothing.

        That is so along two axes or more: slices alone may lie far apart.
        """
        middle = sorted(self.stretch)[1]
        return middle > _LARGEST or middle < _SMALLEST

    def _stretch(
        self, grid: Grid, spec: ModelSpec, axes: tuple[int, int, int]
    ) -> tuple[float, float, float]:
        found = spacing_for(grid, spec.unit)
        if spec.spacing is None or found is None:
            return 1.0, 1.0, 1.0
        given = self.turn.order((1.0, *found) if self.flat else found)
        # A slice shows what the model sees in its own, along whatever axis.
        a, b, c = (size / spec.spacing[axis] for size, axis in zip(given, axes, strict=True))
        return (1.0 if self.sliced else a), b, c


def spacing_for(grid: Grid, unit: str) -> tuple[float, ...] | None:
    """Return the voxel size of a grid in a model's unit; None where it can't be told.

    To a model that counts in pixels a voxel of known size is one pixel long.
    """
    if unit == grid.unit or "pixel" not in (unit, grid.unit):
        return grid.spacing_in(unit)
    return (1.0,) * grid.ndim if unit == "pixel" else None


def unreadable(volume: Volume, spec: ModelSpec) -> str:
    """Return why a model can't read an image: its channels or dimensions. Empty where it can."""
    if channels_for(volume, spec) is None:
        own, read = len(volume.channels), len(spec.channels)
        mend = ""
        if own > read:
            some = "the channel" if read == 1 else f"the {read} channels"
            mend = f"save {some} that it should read as a file of its own, or "
        elif own == read:  # names say that they are others
            mend = "mend their names where these are wrong, or "
        return (
            f"{volume.name} has {own} channel(s) ({', '.join(volume.channels)}) but the model reads "
            f"{read} ({', '.join(spec.channels)}): {mend}choose another model."
        )
    if volume.grid.ndim == 2 and spec.dims == 3:
        return f"{volume.name} is a plane and the model is 3D: choose a 2D model for it."
    return ""


def misfit(volume: Volume, spec: ModelSpec) -> str:
    """Return why a model has nothing to say about an image, with a remedy; empty where it has.

    That is so where it can't read it, and where the image's voxels are of quite another size.
    """
    if reason := unreadable(volume, spec):
        return reason
    lies = Alignment(volume.grid, spec)
    if spec.spacing is None or not lies.far_off:
        return ""
    own = [s for i, s in enumerate(spec.spacing) if not lies.flat or i != spec.axis]
    stretch = sorted(lies.stretch)[1]
    ratio, what = (stretch, "less") if stretch > 1 else (1 / stretch, "more")
    return (
        f"{volume.name} has voxels of {times(volume.grid.spacing)} {volume.grid.unit}, but those of "
        f"the model measure {times(own)} {spec.unit}, {ratio:,.0f} times {what}: correct the voxel "
        "size of the image, choose a model for such images, or fine-tune this one on them."
    )


def strangeness(grid: Grid, spec: ModelSpec) -> tuple[bool, bool]:
    """Return in what an image that a model can read is unlike what it has learned from.

    First whether nobody knows how long its voxels are in the model's; then whether one of the two is a
    volume and the other knows planes alone.
    """
    sized = spec.spacing is None or spacing_for(grid, spec.unit) is not None
    deep = spec.dims == 3 or spec.context > 0 or spec.block is not None
    return not sized, deep != (grid.ndim == 3)


def times(lengths: Iterable[float]) -> str:
    """Write lengths as people do: 1.75 x 0.8 x 0.8."""
    return " x ".join(f"{n:,.0f}" if n >= 100 else f"{n:.3g}" for n in lengths)


def _led_by(first: int) -> tuple[int, int, int]:
    """Return all axes, one of them before the others."""
    second, third = (i for i in range(3) if i != first)
    return first, second, third
