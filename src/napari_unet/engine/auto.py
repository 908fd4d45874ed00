"""What `auto` chooses for a new model, from the data's size, spacing and annotation, and why."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from napari_unet.core.annotation import Annotation
from napari_unet.core.classes import BACKGROUND, PALETTE, LabelClass, default_classes
from napari_unet.core.grid import METRES
from napari_unet.core.settings import TrainSettings
from napari_unet.core.spec import ModelSpec, NetworkName, Normalisation
from napari_unet.engine.cases import Case
from napari_unet.engine.content import empty_outside
from napari_unet.engine.detail import coarsest
from napari_unet.engine.regions import slicing_axis
from napari_unet.engine.sizes import nearest_tile
from napari_unet.engine.view import as_stack, measure
from napari_unet.errors import AnnotationError

_SPARSE = 0.5
"""Known share of a volume below which its annotation counts as single slices."""
_THICK, _FAR = 3.0, 8.0
"""Slice distance over pixel size from which a neighbouring slice shows another structure, and from
which it is left out: it confused more than it told (10.9 in serial-section EM, benchmarks/RESULTS.md)."""
_SMALLEST_MAP = 4
"""Voxels below which an axis is not halved again, as in nnU-Net (Isensee et al. 2021)."""
_ISOTROPIC = 2.0
"""Slice distance over pixel size below which slices of all orientations look alike."""
_CROSSED = 4_000_000
"""Voxels up to which a volume is predicted along three axes within seconds on two cores."""
_FEW_PIXELS = 64
"""Shortest side of an image in pixels that a step is fast with anyway."""
_SIDE = 128
"""Longest side of a block that is predicted along three axes, so that stopping stays prompt."""
_AIR = -200.0
"""Lowest intensity from which a medical image is taken to be in Hounsfield units."""


@dataclass(frozen=True)
class _Capacity:
    """How much network and patch a device carries in a training of minutes."""

    features: dict[int, tuple[int, ...]]
    voxels: dict[int, int]


_CPU = _Capacity({2: (16, 32, 64, 128, 256), 3: (16, 32, 64, 128)}, {2: 192**2, 3: 48 * 64 * 64})
_GPU = _Capacity(
    {2: (32, 64, 128, 256, 512), 3: (32, 64, 128, 256, 320)}, {2: 512**2, 3: 96 * 128 * 128}
)


def choose_spec(
    cases: Sequence[Case],
    settings: TrainSettings,
    classes: tuple[LabelClass, ...],
    device: torch.device,
) -> tuple[ModelSpec, list[str]]:
    """Choose the network of a new model.

    Parameters
    ----------
    cases : sequence of (Volume, Annotation)
        What it will learn from.
    settings : TrainSettings
        What the user has fixed; the rest is chosen here.
    classes : tuple of LabelClass
        Background first; empty to take them from the labels.
    device : torch.device
        Where it will learn.

    Returns
    -------
    ModelSpec, list of str
        The spec, and a line for each choice.

    Raises
    ------
    SpecError
        When what the user has fixed is impossible.
    AnnotationError
        When nothing but background is known.
    """
    volume, annotation = cases[0]
    capacity = _CPU if device.type == "cpu" else _GPU
    dims, reasons = _dims(cases, settings, device)
    spacing = common_spacing(cases)
    axis = _axis(annotation, spacing) if dims == 2 and volume.grid.ndim == 3 else 0
    size = typical_size(cases, spacing)
    inside = [i for i in range(3) if dims == 3 or i != axis]
    context = settings.context
    if context is None:
        context = _context(spacing, axis) if dims == 2 and volume.grid.ndim == 3 else 0
    if context:
        reasons.append(f"context {context}: a slice is read with {context} on each side of it")
    network: NetworkName = "unet" if settings.network == "auto" else settings.network
    crossed = _crossed(cases, settings, dims, size, spacing)
    sides, pixel = size[inside], spacing[inside]
    if crossed:
        spacing = np.full(3, np.median(spacing))
        sides, pixel = np.full(2, typical_size(cases, spacing).min()), spacing[:2]
        reasons.append(
            "slices of all three orientations: voxels are about as long as wide, and few slices teach more"
        )
    factor = 1.0
    if dims == 2 and not crossed and device.type == "cpu":
        factor = coarsest(cases, axis, sides.min() / _FEW_PIXELS, instances=settings.instances)
        if factor > 1:
            spacing[inside] *= factor
            sides, pixel = np.rint(sides / factor), spacing[inside]
            reasons.append(
                f"pixels {factor:g} times as long: what is annotated is seen as well, and learned faster"
            )
    features = capacity.features[dims]
    strides, kernels = _levels(sides, pixel, len(features))
    spec = ModelSpec(
        network=network,
        dims=dims,
        channels=volume.channels,
        classes=_classes(cases, settings, classes),
        target="instances" if settings.instances else "classes",
        context=context,
        axis=axis,
        features=features[: len(kernels)],
        kernels=kernels,
        strides=strides,
        spacing=None if volume.grid.unit == "pixel" and factor == 1 else three(spacing),
        unit=volume.grid.unit,
        normalisation=_normalisation(cases),
        tile=tuple(math.prod(s[i] for s in strides) for i in range(dims)),
        crop=bool(empty_outside(cases)),
    )
    spec = replace(spec, tile=tile_for(spec, cases, device))
    if crossed:
        spec = replace(spec, block=block_for(spec, cases))
    reasons.append(
        f"{spec.network} with features {'-'.join(map(str, spec.features))} and tile "
        f"{times(spec.tile)}: images of about {times(size)} voxels, on the {device.type}"
    )
    if spec.crop:
        reasons.append("constant surroundings of an image are left out: nothing is labelled there")
    if spec.spacing is not None:
        reasons.append(f"images are brought to {times(spec.spacing)} {spec.unit} a voxel")
    return spec, reasons


def tile_for(spec: ModelSpec, cases: Sequence[Case], device: torch.device) -> tuple[int, ...]:
    """Return the largest tile that fits the images and the device, in steps the network takes."""
    capacity = _CPU if device.type == "cpu" else _GPU
    size = _size_in(spec, cases)
    if spec.dims == 2:
        size = np.delete(size, 0 if cases[0][0].grid.ndim == 2 else spec.axis)
    tile = [-(-max(1, int(n)) // d) * d for n, d in zip(size, spec.divisor, strict=True)]
    while math.prod(tile) > capacity.voxels[spec.dims]:
        longest = max(range(len(tile)), key=lambda i: tile[i] / spec.divisor[i])
        if tile[longest] == spec.divisor[longest]:
            break
        tile[longest] -= spec.divisor[longest]
    return nearest_tile(spec, tuple(tile))


def block_for(spec: ModelSpec, cases: Sequence[Case]) -> tuple[int, int, int]:
    """Return the block that holds a typical image, no side longer than stays prompt."""
    step = spec.divisor[0]
    z, y, x = (min(-(-max(1, int(n)) // step) * step, _SIDE) for n in _size_in(spec, cases))
    return z, y, x


def _size_in(spec: ModelSpec, cases: Sequence[Case]) -> NDArray[np.float64]:
    """Typical size (z, y, x) of the images in a model's voxels."""
    unit = cases[0][0].grid.unit
    spacing = common_spacing(cases)
    if spec.spacing is not None and unit == spec.unit:
        spacing = np.array(spec.spacing)
    elif spec.spacing is not None and spec.unit == "pixel":
        spacing = spacing * spec.spacing
    elif spec.spacing is not None and unit != "pixel":
        spacing = np.array(spec.spacing) * (METRES[spec.unit] / METRES[unit])
    return typical_size(cases, spacing)


def common_spacing(cases: Sequence[Case]) -> NDArray[np.float64]:
    """Median voxel size (z, y, x) in the first image's unit; 1 along z for planes."""
    return np.asarray(np.median(spacings(cases, cases[0][0].grid.unit), axis=0))


def typical_size(cases: Sequence[Case], spacing: NDArray[np.float64]) -> NDArray[np.float64]:
    """Median size (z, y, x) of the images in voxels of a spacing; 1 along z for planes."""
    sizes = [
        np.array((1,) * (3 - v.grid.ndim) + v.grid.shape) * np.array(own) / spacing
        for (v, _), own in zip(cases, spacings(cases, cases[0][0].grid.unit), strict=True)
    ]
    return np.asarray(np.rint(np.median(sizes, axis=0)))


def spacings(cases: Sequence[Case], unit: str) -> list[tuple[float, ...]]:
    """Voxel size (z, y, x) of each image in a unit; 1 along z for planes."""
    return [(1.0,) * (3 - v.grid.ndim) + v.grid.spacing_in(unit) for v, _ in cases]


def _dims(
    cases: Sequence[Case], settings: TrainSettings, device: torch.device
) -> tuple[Literal[2, 3], list[str]]:
    if settings.dims != "auto":
        return settings.dims, []
    if any(v.grid.ndim == 2 for v, _ in cases):
        return 2, ["2D: the images are planes"]
    if settings.context:
        return 2, ["2D: context was asked for"]
    known = float(np.mean([a.known.mean() for _, a in cases]))
    if known < _SPARSE:
        return 2, [f"2D: {known:.0%} of the voxels are annotated, slice by slice"]
    if any(min(v.grid.shape) < 2 * _SMALLEST_MAP for v, _ in cases):
        return 2, [f"2D: a stack has fewer than {2 * _SMALLEST_MAP} slices"]
    if device.type == "cpu" and not settings.instances:
        return 2, ["2D: on a CPU slices with their neighbours are learned faster than whole blocks"]
    return 3, [f"3D: {known:.0%} of the voxels are annotated"]


def _crossed(
    cases: Sequence[Case],
    settings: TrainSettings,
    dims: Literal[2, 3],
    size: NDArray[np.float64],
    spacing: NDArray[np.float64],
) -> bool:
    """Whether a new network sees slices of all three orientations."""
    if settings.planes != "auto":
        return settings.planes == 3
    volumes = all(v.grid.ndim == 3 and v.grid.unit != "pixel" for v, _ in cases)
    fits = dims == 2 and volumes and not settings.instances and settings.network != "original"
    long = size.min() >= 2 * _SMALLEST_MAP and math.prod(size) <= _CROSSED
    return fits and long and bool(spacing.max() < _ISOTROPIC * spacing.min())


def _axis(annotation: Annotation, spacing: NDArray[np.float64]) -> int:
    """Axis that slices are cut across: as somebody annotated, else the coarsest."""
    return int(np.argmax(spacing)) if annotation.known.all() else slicing_axis(annotation)


def _context(spacing: NDArray[np.float64], axis: int) -> int:
    ratio = spacing[axis] / np.delete(spacing, axis).min()
    return 2 if ratio < _THICK else 1 if ratio < _FAR else 0


def _levels(
    size: NDArray[np.float64], spacing: NDArray[np.float64], most: int
) -> tuple[tuple[tuple[int, ...], ...], tuple[tuple[int, ...], ...]]:
    """Strides and kernels: an axis is halved while it is long enough and not yet the coarsest."""
    size, spacing = size.copy(), spacing.copy()
    strides: list[tuple[int, ...]] = []
    kernels = [_kernel(spacing)]
    while len(kernels) < most:
        long = (size >= 2 * _SMALLEST_MAP) & (spacing < 2 * spacing.min())
        if not long.any():
            break
        stride = np.where(long, 2, 1)
        size, spacing = size / stride, spacing * stride
        strides.append(tuple(int(s) for s in stride))
        kernels.append(_kernel(spacing))
    if not strides:  # images of a few voxels still get two levels
        strides, kernels = [(2,) * len(size)], [(3,) * len(size)] * 2
    return tuple(strides), tuple(kernels)


def _kernel(spacing: NDArray[np.float64]) -> tuple[int, ...]:
    """Flat along an axis whose voxels are more than twice as long as the finest."""
    return tuple(1 if s > 2 * spacing.min() else 3 for s in spacing)


def _classes(
    cases: Sequence[Case], settings: TrainSettings, classes: tuple[LabelClass, ...]
) -> tuple[LabelClass, ...]:
    found = classes or default_classes(i for _, a in cases for i in a.counts())
    if len(found) < 2:
        raise AnnotationError(
            "Every known voxel is background: label at least one structure in what is annotated."
        )
    if settings.instances and not classes:
        return BACKGROUND, LabelClass(1, "object", PALETTE[0])
    return found


def _normalisation(cases: Sequence[Case]) -> Normalisation:
    """Z-score, or for CT one window for all images: Hounsfield units mean something."""
    volume = cases[0][0]
    if volume.grid.unit != "mm":
        return Normalisation()
    ranges = [measure(as_stack(v), Normalisation())[0] for v, _ in cases if v.grid.unit == "mm"]
    low, high = min(r.low for r in ranges), max(r.high for r in ranges)
    return Normalisation("window", low, high) if low < min(_AIR, high) else Normalisation()


def three(values: NDArray[np.float64]) -> tuple[float, float, float]:
    """Turn an array of three into the tuple a spec holds."""
    z, y, x = (float(v) for v in values)
    return z, y, x


def times(values: Sequence[float] | NDArray[np.float64]) -> str:
    """Write lengths as people do: 1.75 x 0.8 x 0.8."""
    return " x ".join(f"{v:.3g}" for v in values)
