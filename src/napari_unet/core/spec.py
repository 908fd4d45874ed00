"""Everything that defines a network and the image it expects, as one frozen value."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal, get_args

from napari_unet.core.classes import BACKGROUND, LabelClass
from napari_unet.core.grid import UNITS
from napari_unet.core.orientation import is_orientation
from napari_unet.errors import SpecError

NetworkName = Literal["unet", "original", "unetpp", "attention", "residual", "r2"]
NETWORKS: tuple[str, ...] = get_args(NetworkName)
"""The closed list of architectures; nothing else is ever built, whatever a file says."""

NormName = Literal["instance", "batch"]
Target = Literal["classes", "instances"]
INTERIOR, BORDER = 1, 2
"""Outputs of an instance model, beside 0 for background."""


@dataclass(frozen=True)
class Normalisation:
    """How intensities are brought to one scale before the network sees them.

    Parameters
    ----------
    kind : {"zscore", "window", "none"}
        ``"zscore"``: each channel of each image is clipped to its own percentiles `low` and `high`,
        then shifted to mean 0 and scaled to standard deviation 1. ``"window"``: clipped to the
        fixed intensities `low`..`high` and scaled to -1..1, for calibrated data such as CT in HU.
        ``"none"``: used as it is.
    low, high : float
        Percentiles (0..100), or intensities for ``"window"``.
    """

    kind: Literal["zscore", "window", "none"] = "zscore"
    low: float = 0.5
    high: float = 99.5

    def __post_init__(self) -> None:
        for name in ("low", "high"):  # one spelling of each number, for the hash
            object.__setattr__(self, name, float(getattr(self, name)))
        if self.kind != "none" and not self.low < self.high:
            raise SpecError(f"Normalisation needs low < high, not {self.low} and {self.high}.")


@dataclass(frozen=True)
class ModelSpec:
    """A network and its preprocessing: with the weights, all that is needed to use it.

    Parameters
    ----------
    network : str
        One of `NETWORKS`.
    dims : {2, 3}
        Dimension of its convolutions. A 2D network goes through a volume slice by slice.
    channels : tuple of str
        Names of the image channels it reads.
    classes : tuple of LabelClass
        What it tells apart, background (id 0) first. An instance model has background and one class.
    target : {"classes", "instances"}
        ``"instances"``: three outputs (background, interior, border), from which touching objects
        are told apart.
    context : int
        Neighbouring slices on each side that a 2D network sees as further channels ("2.5D").
    axis : int
        The axis of a (z, y, x) volume that a 2D network goes along.
    orientation : str
        Which way the axes of the volumes ran that it learned from, as `core.orientation` says it. Volumes
        whose axes run otherwise are turned to it, and their labels back. Empty: as they come.
    block : tuple of int, optional
        With it a 2D network goes along all axes of a volume in turn, whatever `axis` says, block after
        block of this shape, and its answers are averaged (Perslev et al. 2019).
    features : tuple of int
        Feature maps of each level, from full resolution down.
    kernels : tuple of tuple of int
        Convolution kernel of each level, `dims` odd numbers; empty for 3 everywhere.
    strides : tuple of tuple of int
        Downsampling between levels, one fewer than levels; empty for 2 everywhere.
    spacing : tuple of float, optional
        Voxel size (z, y, x) in `unit` that images are resampled to; None: as they come. A 2D
        network without a `block` never resamples along `axis`.
    unit : str
        Unit of `spacing`; ``"pixel"`` counts voxels of the image, whatever their size.
    normalisation : Normalisation
        Intensity scaling.
    norm : {"instance", "batch"}
        How feature maps are normalised: each image by itself (Ulyanov et al. 2016), or all by averages over
        what was learned from (Ioffe and Szegedy 2015), so that a map says the same of a nucleus whatever
        else is in the tile. The ``"original"`` network has none, whatever is written here.
    tile : tuple of int
        Default tile of sliding-window inference in voxels, `dims` numbers. For ``"original"``,
        whose convolutions are unpadded, the tile it *outputs*.
    depth : int, optional
        For ``"unetpp"``: levels kept after pruning; None keeps all.
    crop : bool
        Whether an image's constant surroundings, such as air set to zero, are left out: they are
        background, and count neither for intensities nor as context (nnU-Net crops to nonzero voxels).
    mirrored : bool, optional
        Whether it learned from mirrored images as well, so that a prediction may be averaged over
        them; None: nobody noted it.

    Raises
    ------
    SpecError
        For an unknown name or an impossible shape, with the nearest possible one.
    """

    network: NetworkName = "unet"
    dims: Literal[2, 3] = 3
    channels: tuple[str, ...] = ("channel 1",)
    classes: tuple[LabelClass, ...] = (BACKGROUND, LabelClass(1, "foreground", (0.9, 0.62, 0.0)))
    target: Target = "classes"
    context: int = 0
    axis: int = 0
    block: tuple[int, int, int] | None = None
    features: tuple[int, ...] = (16, 32, 64, 128)
    kernels: tuple[tuple[int, ...], ...] = ()
    strides: tuple[tuple[int, ...], ...] = ()
    spacing: tuple[float, float, float] | None = None
    unit: str = "pixel"
    normalisation: Normalisation = field(default_factory=Normalisation)
    norm: NormName = "instance"
    tile: tuple[int, ...] = (64, 96, 96)
    depth: int | None = None
    crop: bool = False
    mirrored: bool | None = None
    orientation: str = ""

    def __post_init__(self) -> None:
        levels = len(self.features)
        if not self.kernels:
            object.__setattr__(self, "kernels", ((3,) * self.dims,) * levels)
        if not self.strides:
            object.__setattr__(self, "strides", ((2,) * self.dims,) * (levels - 1))
        if self.spacing is not None:  # one spelling of each number, for the hash
            z, y, x = self.spacing
            object.__setattr__(self, "spacing", (float(z), float(y), float(x)))
        for problem in self._problems():
            raise SpecError(problem)

    def _problems(self) -> list[str]:
        """Sentences about what is impossible; empty when all is well."""
        levels, dims = len(self.features), self.dims
        problems = []
        if self.network not in NETWORKS:
            problems.append(
                f"Unknown network {self.network!r}; choose one of {', '.join(NETWORKS)}."
            )
        if dims not in (2, 3):
            problems.append(f"A network has 2 or 3 dimensions, not {dims}.")
        if not 2 <= levels <= 8 or any(not 1 <= f <= 4096 for f in self.features):
            problems.append(
                f"A network has 2 to 8 levels of 1 to 4096 features, not {self.features}."
            )
        if len(self.kernels) != levels or len(self.strides) != levels - 1:
            problems.append(
                f"{levels} levels need {levels} kernels and {levels - 1} strides, "
                f"not {len(self.kernels)} and {len(self.strides)}."
            )
        if any(len(k) != dims or any(n not in (1, 3, 5, 7) for n in k) for k in self.kernels):
            problems.append(f"Kernels are {dims} odd numbers up to 7 a level, not {self.kernels}.")
        if any(len(s) != dims or any(n not in (1, 2, 4) for n in s) for s in self.strides):
            problems.append(f"Strides are {dims} numbers of 1, 2 or 4 a level, not {self.strides}.")
        if not self.channels:
            problems.append("A model reads at least one channel.")
        if len(self.classes) < 2 or self.classes[0].id != 0:
            problems.append("A model tells apart background (id 0, first) and at least one class.")
        if len({c.id for c in self.classes}) != len(self.classes):
            problems.append(f"Class ids repeat: {[c.id for c in self.classes]}.")
        if self.target == "instances" and len(self.classes) != 2:
            problems.append("An instance model has background and exactly one class of objects.")
        if not 0 <= self.context <= 16 or (self.context and dims == 3):
            problems.append(
                f"Context is 0 to 16 slices and for 2D networks only, not {self.context}."
            )
        if self.axis not in (0, 1, 2):
            problems.append(f"The axis of a volume is 0, 1 or 2, not {self.axis}.")
        if self.orientation and not is_orientation(self.orientation):
            problems.append(
                f"An orientation is three letters such as SAR, not {self.orientation!r}."
            )
        if self.block is not None and (dims == 3 or self.network == "original"):
            problems.append(
                "Slices of all three orientations are for padded 2D networks, "
                f"not for a {dims}D {self.network}."
            )
        if self.unit not in UNITS:
            problems.append(f"Unknown unit {self.unit!r}; use one of {', '.join(UNITS)}.")
        if self.spacing is not None and not all(math.isfinite(s) and s > 0 for s in self.spacing):
            problems.append(f"Spacing must be positive, not {self.spacing}.")
        if self.depth is not None and (self.network != "unetpp" or not 1 <= self.depth < levels):
            problems.append(f"Only unetpp is pruned, to a depth of 1 to {levels - 1}.")
        if not problems:
            problems += self._tile_problems()
        return problems

    def _tile_problems(self) -> list[str]:
        if len(self.tile) != self.dims or any(not 1 <= n <= 8192 for n in self.tile):
            return [f"A tile is {self.dims} lengths of 1 to 8192 voxels, not {self.tile}."]
        if self.block is not None:
            steps = set(self.divisor)
            if len(steps) > 1 or any(n < 1 or n > 8192 or n % max(steps) for n in self.block):
                return [
                    f"A block of {self.block} voxels has a side that does not divide by {steps}."
                ]
        # The 2015 network's own arithmetic is checked where it is built.
        if self.network != "original" and self.tile != self.nearest_tile(self.tile):
            return [
                f"A tile of {self.tile} voxels does not divide by {self.divisor}, which "
                f"{len(self.features)} levels need; the nearest is {self.nearest_tile(self.tile)}."
            ]
        return []

    @property
    def divisor(self) -> tuple[int, ...]:
        """Lengths that a padded network's tile must be a multiple of: the product of its strides."""
        return tuple(math.prod(s[i] for s in self.strides) for i in range(self.dims))

    def nearest_tile(self, wanted: tuple[int, ...]) -> tuple[int, ...]:
        """Nearest tile, never smaller than one multiple, that divides by `divisor`."""
        pairs = zip(wanted, self.divisor, strict=True)
        return tuple(max(1, round(n / d)) * d for n, d in pairs)

    @property
    def in_channels(self) -> int:
        """Input channels of the network: image channels times slices seen at once."""
        return len(self.channels) * (2 * self.context + 1)

    @property
    def out_channels(self) -> int:
        """Output channels: one a class, or background, interior and border for instances."""
        return 3 if self.target == "instances" else len(self.classes)
