"""A volume as a network sees it: three axes, the model's spacing, one scale of intensities."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.alignment import Alignment, misfit, unreadable
from napari_unet.core.channels import as_read, channels_for, picked
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


def predictable(volume: Volume, spec: ModelSpec) -> View:
    """Return a view of an image that a model can say something about.

    Raises
    ------
    SpecError
        As `View` does, and when the image's voxels are of quite another size than the model's.
    """
    if reason := misfit(volume, spec):
        raise SpecError(reason)
    return View(volume, spec)


class View(Alignment):
    """A volume through the eyes of one model: how it lies to that, and its voxels.

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
    channels : tuple of int
        Which of the image's are read, in the order of the model's.
    names : tuple of str
        What the image calls them.
    whole_shape : tuple of int
        Voxels of the image along the view's three axes.
    first : tuple of int
        First voxel of the image that is seen: 0 unless the model leaves out constant surroundings.
    image_shape : tuple of int
        Voxels of the image from there on that are seen.
    shape : tuple of int
        Voxels at the model's spacing along the same axes.

    Raises
    ------
    SpecError
        When channels or dimensions do not fit.
    """

    def __init__(self, volume: Volume, spec: ModelSpec) -> None:
        reason, channels = unreadable(volume, spec), channels_for(volume, spec)
        if reason or channels is None:
            raise SpecError(reason)
        self.channels = channels
        self.names = tuple(volume.channels[i] for i in channels)
        self._data = picked(volume.data, channels)
        self._normalisation = spec.normalisation
        super().__init__(volume.grid, spec)
        whole = volume.grid.shape
        start, stop = (
            content_box(as_read(volume, spec)) if spec.crop else ((0,) * len(whole), whole)
        )
        if self.flat:
            whole, start, stop = (1, *whole), (0, *start), (1, *stop)
        self.whole_shape: Index = self.turn.order(whole)
        self.first, last = self._turned(self.turn.order(start), self.turn.order(stop))
        a, b, c = (b - a for a, b in zip(self.first, last, strict=True))
        self.image_shape: Index = (a, b, c)
        a, b, c = (
            max(1, round(n * factor))
            for n, factor in zip(self.image_shape, self.stretch, strict=True)
        )
        self.shape: Index = (a, b, c)

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
