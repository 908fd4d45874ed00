"""A volume as a network sees it: three axes, the model's spacing, one scale of intensities."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.grid import Grid
from napari_unet.core.orientation import Turn, turn
from napari_unet.core.progress import Box
from napari_unet.core.spec import ModelSpec, Normalisation
from napari_unet.core.volume import Pixels, Volume
from napari_unet.engine.content import content_box
from napari_unet.engine.resample import along, interpolation, positions
from napari_unet.errors import SpecError

Index = tuple[int, int, int]
Padding = Literal["zero", "edge", "mirror"]

_SAMPLE = 2_000_000
"""Voxels that intensity statistics are taken from; more changes no percentile that matters."""
_PLANES = 16
"""Planes they come from at least, however wide: the first slices of a stack are often dark."""

_LARGEST, _SMALLEST = 8.0, 1 / 64
"""Lengths of an image's voxels in those of a model beyond which it sees nothing that it has learned.
The model's may be 8 times as long as those it learned from (`detail.FACTORS`), and these 8 times as the
image's."""


@dataclass(frozen=True)
class Intensity:
    """Linear scaling of one channel: clip to low..high, subtract `mean`, divide by `std`."""

    low: float
    high: float
    mean: float
    std: float

    def apply(self, data: NDArray[Any]) -> NDArray[np.float32]:
        """Scale voxels of one channel; NaN, and infinity where nothing clips it, become the mean."""
        values = data.astype(np.float32)
        scaled = (np.clip(values, self.low, self.high) - self.mean) / self.std
        clean = np.nan_to_num(scaled, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
        return np.asarray(clean, dtype=np.float32)


def measure(data: Pixels, how: Normalisation) -> tuple[Intensity, ...]:
    """Find the scaling of each channel of data with shape (C, Z, Y, X)."""
    if how.kind == "none":
        return (Intensity(-np.inf, np.inf, 0.0, 1.0),) * data.shape[0]
    if how.kind == "window":
        middle, half = (how.low + how.high) / 2, (how.high - how.low) / 2
        return (Intensity(how.low, how.high, middle, half),) * data.shape[0]
    # Whole planes at regular distances: contiguous on disk, and every part of the volume is seen.
    plane = data.shape[2] * data.shape[3]
    planes = min(data.shape[1], max(_PLANES, _SAMPLE // plane))
    chosen = np.unique(np.linspace(0, data.shape[1] - 1, planes).astype(int))
    step = max(1, int(np.sqrt(plane * planes / _SAMPLE)))
    # All channels at once: from a file, a plane is read and decompressed only here.
    seen = [np.asarray(data[:, int(z), ::step, ::step], np.float32) for z in chosen]
    return tuple(_scaling(np.stack(channel).ravel(), how) for channel in zip(*seen, strict=True))


def _scaling(values: NDArray[np.float32], how: Normalisation) -> Intensity:
    """Find the scaling of a channel from some of its values."""
    values = values[np.isfinite(values)]
    if values.size == 0:
        return Intensity(0.0, 0.0, 0.0, 1.0)
    low, high = (float(v) for v in np.percentile(values, (how.low, how.high)))
    if low == high:  # what differs is rarer than the percentiles: a few spots on black
        low, high = float(values.min()), float(values.max())
    clipped = np.clip(values, low, high)
    std = float(clipped.std())
    return Intensity(low, high, float(clipped.mean()), std if std > 0 else 1.0)


def spacing_for(grid: Grid, unit: str) -> tuple[float, ...] | None:
    """Return the voxel size of a grid in a model's unit; None where it can't be told.

    To a model that counts in pixels a voxel of known size is one pixel long.
    """
    if unit == grid.unit or "pixel" not in (unit, grid.unit):
        return grid.spacing_in(unit)
    return (1.0,) * grid.ndim if unit == "pixel" else None


def predictable(volume: Volume, spec: ModelSpec) -> View:
    """Return a view of an image that a model can say something about.

    Raises
    ------
    SpecError
        As `View` does, and when the image's voxels are of quite another size than the model's.
    """
    view = View(volume, spec)
    if spec.spacing is not None and view.far_off:
        own = [s for i, s in enumerate(spec.spacing) if not view.flat or i != spec.axis]
        stretch = sorted(view.stretch)[1]
        ratio, what = (stretch, "less") if stretch > 1 else (1 / stretch, "more")
        raise SpecError(
            f"{volume.name} has voxels of {times(volume.grid.spacing)} {volume.grid.unit}, but those of "
            f"the model measure {times(own)} {spec.unit}, {ratio:,.0f} times {what}: correct the voxel "
            "size of the image, choose a model for such images, or fine-tune this one on them."
        )
    return view


def times(lengths: Sequence[float] | NDArray[np.float64]) -> str:
    """Write lengths as people do: 1.75 x 0.8 x 0.8."""
    return " x ".join(f"{n:,.0f}" if n >= 100 else f"{n:.3g}" for n in lengths)


class View:
    """A volume through the eyes of one model.

    Axes run as they did in what the model learned from, and that which a 2D network goes along comes
    first; a plane gets one slice. Boxes are read, scaled and resampled on demand, so a volume larger
    than memory never becomes an array.

    Parameters
    ----------
    volume : Volume
        The image.
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
        The image's axes in the view's order, and which of them run backwards in it.
    whole_shape : tuple of int
        Voxels of the image along the view's three axes.
    first : tuple of int
        First voxel of the image that is seen: 0 unless the model leaves out constant surroundings.
    image_shape : tuple of int
        Voxels of the image from there on that are seen.
    shape : tuple of int
        Voxels at the model's spacing along the same axes.
    stretch : tuple of float
        How many of these there are to a voxel of the image.

    Raises
    ------
    SpecError
        When channels or dimensions do not fit.
    """

    def __init__(self, volume: Volume, spec: ModelSpec) -> None:
        data = volume.data
        if len(spec.channels) == 1 and is_grey(data):
            data = data[:1]
        if data.shape[0] != len(spec.channels):
            raise SpecError(
                f"{volume.name} has {volume.data.shape[0]} channel(s) "
                f"({', '.join(volume.channels)}) but the model reads {len(spec.channels)} "
                f"({', '.join(spec.channels)}): save the channel that it should read as a file of its "
                "own, or choose another model."
            )
        if volume.grid.ndim == 2 and spec.dims == 3:
            raise SpecError(
                f"{volume.name} is a plane and the model is 3D: choose a 2D model for it."
            )
        flat = volume.grid.ndim == 2
        self.flat = flat
        way = Turn() if flat else turn(volume.grid, spec.orientation)
        lengths = (1, *volume.grid.shape) if flat else way.order(volume.grid.shape)
        self.sliced = spec.dims == 2 and (spec.block is None or 1 in lengths)
        own = self.axis = spec.axis if self.sliced else 0
        if self.sliced and not flat and 1 in lengths and lengths[own] > 1:
            self.axis = lengths.index(1)
        self.turn = way if flat else way.then(_led_by(self.axis))
        self._data, self._normalisation = data, spec.normalisation
        spacing = spacing_for(volume.grid, spec.unit)
        spacing = (1.0, *spacing) if flat and spacing is not None else spacing
        whole = volume.grid.shape
        start, stop = content_box(volume) if spec.crop else ((0,) * len(whole), whole)
        if flat:
            whole, start, stop = (1, *whole), (0, *start), (1, *stop)
        self.whole_shape: Index = self.turn.order(whole)
        self.first, last = self._turned(self.turn.order(start), self.turn.order(stop))
        a, b, c = (b - a for a, b in zip(self.first, last, strict=True))
        self.image_shape = a, b, c
        shape, stretch = [a, b, c], [1.0] * 3
        if spec.spacing is not None and spacing is not None:
            given = self.turn.order(spacing)
            # A slice shows what the model sees in its own, along whatever axis.
            wanted = [spec.spacing[i] for i in _led_by(own)]
            for i in range(1 if self.sliced else 0, 3):
                stretch[i] = given[i] / wanted[i]
                shape[i] = max(1, round(shape[i] * stretch[i]))
        self.shape: Index = (shape[0], shape[1], shape[2])
        self.stretch = tuple(stretch)

    @property
    def far_off(self) -> bool:
        """Whether image and model differ so much in their voxels that labels would mean nothing.

        That is so along two axes or more: slices alone may lie far apart.
        """
        middle = sorted(self.stretch)[1]
        return middle > _LARGEST or middle < _SMALLEST

    @cached_property
    def intensities(self) -> tuple[Intensity, ...]:
        """Scaling of each channel, measured when it is first needed."""
        return measure(_Stack(self._data, self.flat, self._seen()), self._normalisation)

    def in_grid(self, start: Index, stop: Index) -> Box:
        """Bring a box in voxels of what is seen into the image's own grid."""
        low, high = self._place(start, stop)
        return (low[1:], high[1:]) if self.flat else (low, high)

    def as_grid(self, array: NDArray[Any]) -> NDArray[Any]:
        """View an array whose last three axes are the view's along the image's own."""
        own = self.turn.back(array)
        return own[..., 0, :, :] if self.flat else own

    def from_grid(self, box: Box) -> tuple[Index, Index]:
        """Bring a box of the image's own grid into voxels of what is seen; it may reach outside."""
        start, stop = box
        if self.flat:
            start, stop = (0, *start), (1, *stop)
        low, high = self._turned(self.turn.order(start), self.turn.order(stop))
        a, b, c = (p - f for p, f in zip(low, self.first, strict=True))
        d, e, g = (p - f for p, f in zip(high, self.first, strict=True))
        return (a, b, c), (d, e, g)

    def first_voxels(self, axis: int, edges: NDArray[np.int64]) -> NDArray[np.int64]:
        """First voxels of the image whose centres lie at or after edges between voxels of `shape`."""
        n, m = self.shape[axis], self.image_shape[axis]
        return edges if n == m else np.ceil(edges * m / n - 0.5).astype(np.int64)

    def oriented(self, array: NDArray[Any]) -> NDArray[Any]:
        """View what is seen of an array of the image's own shape; memory is shared."""
        stack = array[None] if self.flat else array
        return self.turn.of(stack[self._seen()])

    def read(
        self,
        start: tuple[int, int, int],
        stop: tuple[int, int, int],
        padding: tuple[Padding, Padding, Padding] = ("zero", "zero", "zero"),
    ) -> NDArray[np.float32]:
        """Read the box [start, stop) at the model's spacing; it may reach outside the volume.

        Parameters
        ----------
        start, stop : tuple of int
            In voxels of `shape`.
        padding : tuple of {"zero", "edge", "mirror"}
            What lies outside, an axis each. Zero is the mean intensity.

        Returns
        -------
        ndarray of float32
            Shape (C, *(stop - start)).
        """
        axes = [
            _gather(start[i], stop[i], self.image_shape[i], self.shape[i], padding[i])
            for i in range(3)
        ]
        box = self._crop([(low, high) for low, high, _, _ in axes])
        out = np.stack([s.apply(c) for s, c in zip(self.intensities, box, strict=True)])
        for i, (_, _, weights, _) in enumerate(axes):
            if isinstance(weights, slice):
                out = out[(slice(None),) * (i + 1) + (weights,)]
            elif weights.ndim == 1:
                out = np.take(out, weights, axis=i + 1)
            else:
                out = along(out, i + 1, weights)
        for i, (_, _, _, outside) in enumerate(axes):
            if outside.any():
                out = np.ascontiguousarray(out)
                np.moveaxis(out, i + 1, 0)[outside] = 0
        return np.ascontiguousarray(out)

    def exceeds(
        self, start: tuple[int, int, int], stop: tuple[int, int, int], intensity: float
    ) -> bool:
        """Whether the image is brighter than an intensity of its own in what `read` would use."""
        axes = [
            _gather(start[i], stop[i], self.image_shape[i], self.shape[i], "edge") for i in range(3)
        ]
        return bool((self._crop([(low, high) for low, high, _, _ in axes]) > intensity).any())

    def coarser(self, factors: tuple[int, int, int]) -> View:
        """Return a view of the same image with its axes shortened by whole factors."""
        other = copy(self)
        a, b, c = (max(1, round(n / f)) for n, f in zip(self.shape, factors, strict=True))
        other.shape = a, b, c
        return other

    def _turned(self, start: Index, stop: Index) -> tuple[Index, Index]:
        """Count a box of the whole image from the other end along the axes that run backwards."""
        facts = [*zip(start, stop, self.whole_shape, self.turn.flips, strict=True)]
        a, b, c = (n - high if flip else low for low, high, n, flip in facts)
        d, e, f = (n - low if flip else high for low, high, n, flip in facts)
        return (a, b, c), (d, e, f)

    def _place(self, start: Index, stop: Index) -> Box:
        """Bring a box in voxels of what is seen into the image, along (z, y, x)."""
        a, b, c = (p + f for p, f in zip(start, self.first, strict=True))
        d, e, g = (p + f for p, f in zip(stop, self.first, strict=True))
        low, high = self._turned((a, b, c), (d, e, g))
        back = [self.turn.axes.index(i) for i in range(3)]
        return tuple(low[i] for i in back), tuple(high[i] for i in back)

    def _seen(self) -> tuple[slice, slice, slice]:
        """Name what is seen, along (z, y, x)."""
        z, y, x = map(slice, *self._place((0, 0, 0), self.image_shape))
        return z, y, x

    def _crop(self, box: list[tuple[int, int]]) -> NDArray[Any]:
        """Read image voxels of a box in the view's order of axes, shape (C, a, b, c)."""
        (a, d), (b, e), (c, f) = box
        part = map(slice, *self.in_grid((a, b, c), (d, e, f)))
        read = np.asarray(self._data[(slice(None), *part)])
        return read[:, None] if self.flat else self.turn.of(read)


def _led_by(first: int) -> Index:
    """Return all axes, one of them before the others."""
    second, third = (i for i in range(3) if i != first)
    return first, second, third


def is_grey(data: Pixels) -> bool:
    """Tell a grey image that was saved in colour: its channels in memory are equal copies."""
    copies = isinstance(data, np.ndarray) and all(np.array_equal(data[0], one) for one in data[1:])
    return copies and data.shape[0] > 1


def as_stack(volume: Volume) -> Pixels:
    """Return a volume's data with four axes (C, Z, Y, X); a plane is one slice."""
    return _Stack(volume.data, volume.grid.ndim == 2)


@dataclass(frozen=True, eq=False)
class _Stack:
    """Data (C, Z, Y, X), or (C, Y, X) with a slice axis put in, for reading a part plane by plane."""

    data: Pixels
    flat: bool
    part: tuple[slice, slice, slice] = (slice(None),) * 3

    @property
    def shape(self) -> tuple[int, ...]:
        channels, *shape = self.data.shape
        lengths = zip((1, *shape) if self.flat else shape, self.part, strict=True)
        return channels, *(len(range(n)[part]) for n, part in lengths)

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.data.dtype

    def __getitem__(self, key: tuple[Any, ...], /) -> Any:  # noqa: ANN401
        channel, z, y, x = key
        begin, *rows = self.part
        plane = (
            range(n)[row][wanted]
            for n, row, wanted in zip(self.data.shape[-2:], rows, (y, x), strict=True)
        )
        yx = tuple(slice(r.start, r.stop, r.step) for r in plane)
        if self.flat:
            return self.data[(channel, *yx)]
        return self.data[(channel, range(self.data.shape[1])[begin][z], *yx)]


def _gather(
    start: int, stop: int, n_image: int, n: int, padding: Padding
) -> tuple[int, int, NDArray[Any] | slice, NDArray[np.bool_]]:
    """How to fill the samples start..stop of an axis with `n` samples from `n_image` voxels.

    Returns the voxels [low, high) to read, how to combine them (a slice of them, indices into
    them, or weights), and which samples lie outside and become zero.
    """
    index = np.arange(start, stop)
    outside = (index < 0) | (index >= n) if padding == "zero" else np.zeros(index.size, dtype=bool)
    if padding == "mirror" and n > 1:
        period = 2 * (n - 1)
        folded = np.abs(index) % period
        index = np.minimum(folded, period - folded)
    index = np.clip(index, 0, n - 1)
    if n == n_image:
        low, high = int(index.min()), int(index.max()) + 1
        if index.size == high - low and (np.diff(index) == 1).all():
            return low, high, slice(None), outside
        return low, high, index - low, outside
    at = positions(0, n, n_image, n)[index]
    low, high, weights = interpolation(at, n_image, n_image / n)
    return low, high, weights, outside
