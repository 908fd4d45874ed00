"""What `auto` chooses for a new model, from the data's size, spacing and annotation, and why."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from napari_unet.core.alignment import times
from napari_unet.core.classes import BACKGROUND, PALETTE, LabelClass, default_classes
from napari_unet.core.orientation import orientation_of
from napari_unet.core.settings import TrainSettings
from napari_unet.core.spec import ModelSpec, NetworkName, Normalisation
from napari_unet.engine.cases import Case
from napari_unet.engine.content import empty_outside
from napari_unet.engine.detail import coarsest
from napari_unet.engine.extent import (
    block_for,
    common_spacing,
    kind_of,
    three,
    tile_for,
    typical_size,
)
from napari_unet.engine.regions import slicing_axis
from napari_unet.engine.view import as_stack, measure
from napari_unet.errors import AnnotationError, SpecError

_SPARSE = 0.5
"""Known share of a volume below which its annotation counts as single slices."""
_THICK, _FAR = 3.0, 8.0
"""Slice distance over pixel size from which a neighbouring slice shows another structure, and from
which it is left out: it confused more than it told (10.9 in serial-section EM, benchmarks/RESULTS.md)."""
_SMALLEST_MAP = 4
"""Voxels below which an axis is not halved again, as in nnU-Net (Isensee et al. 2021)."""
_ISOTROPIC = 2.0
"""Slice distance over pixel size below which slices of all orientations look alike, for classes."""
_CROSSED = 4_000_000
"""Voxels up to which a volume is predicted along three axes within seconds on two cores."""
_FEW_PIXELS = 64
"""Shortest side of an image in pixels that a step is fast with anyway."""
_BRIGHTEST = 99.95
"""Percentile at which a microscope's images are clipped: a few cells on black are fewer voxels than
one in 200, and were cut at the middle of their intensities (benchmarks/RESULTS.md)."""
_AIR = -200.0
"""Lowest intensity from which a medical image is taken to be in Hounsfield units."""


_FEATURES: dict[str, dict[int, tuple[int, ...]]] = {
    "cpu": {2: (16, 32, 64, 128, 256), 3: (16, 32, 64, 128)},
    "gpu": {2: (32, 64, 128, 256, 512), 3: (32, 64, 128, 256, 320)},
}
"""Feature maps of each level that a device carries in a training of minutes, in 2D and 3D."""


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
    unit = volume.grid.unit
    orientation = orientation_of(volume.grid)
    spacing = common_spacing(cases, unit, orientation=orientation)
    size = typical_size(cases, unit, spacing, orientation=orientation)
    alike = _alike(cases, settings, size, spacing)
    dims, reasons = _dims(cases, settings, device, alike=alike)
    axis = 0
    if dims == 2 and volume.grid.ndim == 3:
        axis = slicing_axis(annotation, otherwise=int(np.argmax(spacing)))
        spacing = common_spacing(cases, unit, axis, orientation)
        size = typical_size(cases, unit, spacing, axis, orientation)
    inside = [i for i in range(3) if dims == 3 or i != axis]
    context = settings.context
    if context is None:
        context = _context(spacing, axis) if dims == 2 and volume.grid.ndim == 3 else 0
    if context:
        reasons.append(f"context {context}: a slice is read with {context} on each side of it")
    network: NetworkName = "unet" if settings.network == "auto" else settings.network
    crossed = _crossed(cases, settings, dims, alike=alike)
    sides, pixel = size[inside], spacing[inside]
    if crossed:
        spacing = np.full(3, np.median(spacing))
        sides_of_cube = typical_size(cases, unit, spacing, orientation=orientation)
        sides, pixel = np.full(2, sides_of_cube.min()), spacing[:2]
        reasons.append(
            "slices of all three orientations: voxels are hardly longer than wide, and few slices teach more"
        )
    factor = 1.0
    if settings.resolution == "auto" and dims == 2 and not crossed and device.type == "cpu":
        most = sides.min() / _FEW_PIXELS
        factor = coarsest(cases, axis, most, instances=settings.instances, orientation=orientation)
        if factor > 1:
            spacing[inside] *= factor
            sides, pixel = np.rint(sides / factor), spacing[inside]
            reasons.append(
                f"pixels {factor:g} times as long: what is annotated is seen as well, and learned faster "
                "(resolution full takes them as they are)"
            )
    features = _FEATURES[kind_of(device)][dims]
    strides, kernels = _levels(sides, pixel, len(features))
    spec = ModelSpec(
        network=network,
        dims=dims,
        channels=volume.channels,
        classes=classes_of(cases, settings, classes),
        target="instances" if settings.instances else "classes",
        context=context,
        axis=axis,
        orientation=orientation,
        features=features[: len(kernels)],
        kernels=kernels,
        strides=strides,
        spacing=None if unit == "pixel" and factor == 1 else three(spacing),
        unit=unit,
        normalisation=_normalisation(cases),
        norm="batch",
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


def _dims(
    cases: Sequence[Case], settings: TrainSettings, device: torch.device, *, alike: bool
) -> tuple[Literal[2, 3], list[str]]:
    if settings.dims != "auto":
        return settings.dims, []
    if settings.planes == 3:
        return 2, ["2D: slices of three orientations were asked for"]
    if any(v.grid.ndim == 2 for v, _ in cases):
        return 2, ["2D: the images are planes"]
    if settings.context:
        return 2, ["2D: context was asked for"]
    known = float(np.mean([a.known.mean() for _, a in cases]))
    if known < _SPARSE:
        return 2, [f"2D: {known:.0%} of the voxels are annotated, slice by slice"]
    if any(min(v.grid.shape) < 2 * _SMALLEST_MAP for v, _ in cases):
        return 2, [f"2D: a stack has fewer than {2 * _SMALLEST_MAP} slices"]
    if device.type == "cpu" and (alike or not settings.instances):
        return 2, ["2D: on a CPU slices with their neighbours are learned faster than whole blocks"]
    return 3, [f"3D: {known:.0%} of the voxels are annotated"]


def _alike(
    cases: Sequence[Case],
    settings: TrainSettings,
    size: NDArray[np.float64],
    spacing: NDArray[np.float64],
) -> bool:
    """Whether slices of all three orientations look alike, and there are few enough to predict."""
    told = all(v.grid.ndim == 3 and v.grid.unit != "pixel" for v, _ in cases)
    seen = math.prod(size * spacing / np.median(spacing))  # voxels as long as wide
    long = size.min() >= 2 * _SMALLEST_MAP and seen <= _CROSSED
    # Objects that lie above each other come apart in the other orientations only (benchmarks/RESULTS.md).
    most = _THICK if settings.instances else _ISOTROPIC
    cubes = bool(spacing.max() < most * spacing.min())
    return told and long and cubes and settings.network != "original" and settings.planes != 1


def _crossed(
    cases: Sequence[Case], settings: TrainSettings, dims: Literal[2, 3], *, alike: bool
) -> bool:
    """Whether a new network sees slices of all three orientations.

    Raises
    ------
    SpecError
        When that is asked for and impossible.
    """
    if settings.planes != 3:
        return alike and dims == 2
    volumes = all(v.grid.ndim == 3 for v, _ in cases)
    if dims == 3 or not volumes or settings.network == "original":
        raise SpecError(
            "Slices of all three orientations are for 2D networks other than the original and for volumes: "
            "leave planes on auto."
        )
    return True


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


def classes_of(
    cases: Sequence[Case], settings: TrainSettings, classes: tuple[LabelClass, ...]
) -> tuple[LabelClass, ...]:
    """Return what a new model tells apart: the classes given, or those that the labels hold.

    Raises
    ------
    AnnotationError
        When nothing but background is known.
    """
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
        return Normalisation(high=_BRIGHTEST)
    scans = [measure(as_stack(v), Normalisation()) for v, _ in cases if v.grid.unit == "mm"]
    # One window for all channels: another modality beside CT would be a thin slice of it.
    calibrated = all(min(r.low for r in channel) < _AIR for channel in zip(*scans, strict=False))
    ranges = [channel for scan in scans for channel in scan]
    low, high = min(r.low for r in ranges), max(r.high for r in ranges)
    return Normalisation("window", low, high) if calibrated and low < high else Normalisation()
