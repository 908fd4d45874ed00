"""Batches of patches, drawn where somebody has labelled something."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from numpy.typing import NDArray
from torch import Tensor

from napari_unet.core.spec import ModelSpec
from napari_unet.engine.augment import Augmentation, bent_grid, recolour
from napari_unet.engine.cases import UNKNOWN, Lesson
from napari_unet.engine.instances import border_classes
from napari_unet.engine.sizes import margin

_FOREGROUND_SHARE = 0.5
_REMEMBERED = 20_000
"""Voxels of each class and lesson that patches may be centred on; more would change nothing."""


class Batch(NamedTuple):
    """Patches to learn from.

    Parameters
    ----------
    image : Tensor of float32
        Shape (B, in_channels, *patch).
    target : Tensor of int64
        Shape (B, *tile); `UNKNOWN` where nobody knows.
    ridge : Tensor of float32, optional
        Shape (B, *tile), see `borders.ridges`; None where the lessons have none.
    """

    image: Tensor
    target: Tensor
    ridge: Tensor | None = None

    def beside(self, other: Batch) -> Batch:
        """Return one batch with the patches of both."""
        near = None
        if self.ridge is not None and other.ridge is not None:
            near = torch.cat([self.ridge, other.ridge])
        both = torch.cat([self.image, other.image]), torch.cat([self.target, other.target])
        return Batch(*both, near)

    def to(self, device: torch.device) -> Batch:
        """Return the same on a device."""
        near = None if self.ridge is None else self.ridge.to(device)
        return Batch(self.image.to(device), self.target.to(device), near)


class PatchSampler:
    """Draws patches whose centre is a known voxel, half of them of a class chosen evenly.

    Rare classes are seen as often as common ones; a patch is never empty of known voxels.

    Parameters
    ----------
    lessons : sequence of Lesson
        At least one with a known voxel.
    spec : ModelSpec
        Gives the patch (its tile), its margin and context.
    augmentation : Augmentation, optional
        None for straight cuts.
    spacing : tuple of float
        Voxel size along the lesson's three axes.
    seed : int
        The same seed draws the same patches.
    """

    def __init__(
        self,
        lessons: Sequence[Lesson],
        spec: ModelSpec,
        augmentation: Augmentation | None,
        spacing: tuple[float, float, float],
        seed: int,
    ) -> None:
        self._spec = spec
        self._augmentation = augmentation
        self._spacing = spacing[-spec.dims :]
        self._rng = np.random.default_rng(seed)
        self._edge = margin(spec)
        self._mode = "reflection" if spec.network == "original" else "zeros"
        self._pages: list[_Page] = []
        self.show(lessons)

    def show(self, lessons: Sequence[Lesson]) -> None:
        """Draw from these lessons from now on; those known already are not looked through again."""
        known = {id(page.lesson): page for page in self._pages}
        self._pages = [known.get(id(one)) or _Page(one, self._rng) for one in lessons]
        self._places: dict[int, list[tuple[int, NDArray[np.int64]]]] = {}
        for i, page in enumerate(self._pages):
            for channel, places in page.places.items():
                self._places.setdefault(channel, []).append((i, places))
        thick = all(len(lesson.target) > 1 for lesson in lessons)
        self._crosses = self._spec.block is not None and thick
        self._foreground = sorted(set(self._places) - {0}) or sorted(self._places)

    def orientation(self) -> int:
        """Draw the axis that the slices of the next batch are cut along; 0 unless the model has a block."""
        return int(self._rng.integers(3)) if self._crosses else 0

    def batch(self, size: int, axis: int | None = None) -> Batch:
        """Draw patches.

        Where the model has a block they are slices of it, of one orientation each time: of `axis`, or
        of one that is drawn.
        """
        along = self.orientation() if axis is None else axis
        images, targets, ridges = zip(*(self._draw(along) for _ in range(size)), strict=True)
        near = None if ridges[0] is None else torch.stack(ridges)
        return Batch(torch.stack(images), torch.stack(targets), near)

    def _draw(self, axis: int) -> tuple[Tensor, Tensor, Tensor | None]:
        index, centre = self._place()
        lesson = self._pages[index].lesson
        target = lesson.target
        if self._spec.dims == 2:
            image = self._slice(lesson.image.movedim(axis + 1, 1), centre[axis])
            target = target.movedim(axis, 0)[centre[axis]]
            inside = [c for i, c in enumerate(centre) if i != axis]
        else:
            inside, image = list(centre), lesson.image
        shape = tuple(image.shape[1:])
        tile = self._spec.tile
        if self._crosses and self._spec.block is not None:
            tile = tuple(n for i, n in enumerate(self._spec.block) if i != axis)
        size = tuple(t + 2 * m for t, m in zip(tile, self._edge, strict=True))
        where = tuple(map(self._jittered, inside, tile, shape))
        grid = bent_grid(where, size, shape, self._spacing, self._augmentation, self._rng)
        patch = F.grid_sample(image[None], grid, padding_mode=self._mode, align_corners=False)[0]
        core = tuple(slice(m, m + t) for m, t in zip(self._edge, tile, strict=True))
        inner = grid[(slice(None), *core)]
        labels = _sampled(target, inner, "nearest", "zeros", UNKNOWN).round().long()
        if lesson.depth is not None:
            depth = lesson.depth
            if self._spec.dims == 2:
                depth = depth.movedim(axis, 0)[centre[axis]]
            deep = _sampled(depth, inner, "bilinear", "border").numpy()
            borders = border_classes((labels > 0).numpy(), deep)
            labels = torch.where(labels == UNKNOWN, labels, torch.from_numpy(borders).long())
        if self._augmentation is not None:
            patch = recolour(patch, self._augmentation, self._rng)
        if lesson.ridge is None:
            return patch, labels, None
        near = lesson.ridge
        if self._spec.dims == 2:
            near = near.movedim(axis, 0)[centre[axis]]
        return patch, labels, _sampled(near, inner, "bilinear", "zeros")

    def _slice(self, image: Tensor, z: int) -> Tensor:
        """Return a slice with its neighbours as channels, (C * (2 context + 1), h, w).

        Beyond the ends lies the last slice again, or nothing where the network goes along all axes: what
        is beside a block looks the same from each side (`infer.read_tile`).
        """
        around = torch.arange(z - self._spec.context, z + self._spec.context + 1)
        inside = around.clamp(0, image.shape[1] - 1)
        found = image[:, inside]
        if self._crosses:
            found = found * (inside == around)[:, None, None]
        return found.flatten(0, 1)

    def _place(self) -> tuple[int, tuple[int, ...]]:
        """Choose a lesson and a known voxel of it."""
        classes = self._foreground
        if self._rng.random() >= _FOREGROUND_SHARE:
            classes = sorted(self._places)
        places = self._places[classes[int(self._rng.integers(len(classes)))]]
        index, voxels = places[int(self._rng.integers(len(places)))]
        voxel = voxels[int(self._rng.integers(len(voxels)))]
        shape = tuple(self._pages[index].lesson.target.shape)
        return index, tuple(int(v) for v in np.unravel_index(voxel, shape))

    def _jittered(self, voxel: int, tile: int, length: int) -> float:
        """Place a patch so that it holds a voxel, and as little as can be of what lies outside."""
        if length <= tile:
            return (length - 1) / 2
        shifted = voxel + self._rng.uniform(-tile / 3, tile / 3)
        return float(np.clip(shifted, (tile - 1) / 2, length - 1 - (tile - 1) / 2))


class _Page:
    """A lesson, and where in it each class is known."""

    def __init__(self, lesson: Lesson, rng: np.random.Generator) -> None:
        self.lesson = lesson
        target = lesson.target.numpy()
        rows = np.flatnonzero(target.max(axis=(1, 2)) != UNKNOWN)  # a few slices of many
        there = np.nonzero(target[rows] != UNKNOWN)
        known = np.ravel_multi_index((rows[there[0]], *there[1:]), target.shape)
        channels = target.reshape(-1)[known]
        self.places: dict[int, NDArray[np.int64]] = {}
        for channel in np.unique(channels):
            places = known[channels == channel]
            few = min(_REMEMBERED, len(places))
            self.places[int(channel)] = rng.choice(places, few, replace=False, shuffle=False)


def _sampled(numbers: Tensor, grid: Tensor, how: str, outside: str, lowest: int = 0) -> Tensor:
    """Sample single numbers (*shape) along a grid (1, *patch, dims).

    Outside the volume they are `lowest`, or what is at its edge. Only what the grid reaches is
    brought to single precision, which is what can be sampled; it is exact for ids up to 2^24.
    """
    lengths = torch.tensor(numbers.shape, dtype=torch.float32).flip(0)
    voxels = ((grid + 1) * lengths - 1) / 2
    flat = voxels.flatten(0, -2)
    first = torch.minimum((flat.amin(0).floor() - 1).clamp_min(0), lengths - 1)
    last = torch.maximum(torch.minimum(flat.amax(0).ceil() + 2, lengths), first + 1)
    part = tuple(slice(int(a), int(b)) for a, b in zip(first.flip(0), last.flip(0), strict=True))
    there = (2 * (voxels - first) + 1) / (last - first) - 1
    seen = numbers[part].float() - lowest  # shifted, so that what lies outside (zero) is the lowest
    found = F.grid_sample(
        seen[None, None], there, mode=how, padding_mode=outside, align_corners=False
    )
    return found[0, 0] + lowest
