"""A network slid over a view: logits of one final cell after the other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from monai.data.utils import compute_importance_map
from monai.utils import BlendMode
from numpy.typing import NDArray
from torch import Tensor

from napari_unet.core.spec import ModelSpec
from napari_unet.engine.backends import Forward
from napari_unet.engine.networks import margin
from napari_unet.engine.resample import along, interpolation, positions
from napari_unet.engine.tiles import Index, TilePlan
from napari_unet.engine.view import Padding, View


@dataclass(frozen=True, eq=False)
class Cell:
    """A part of the image whose logits are final.

    Parameters
    ----------
    start, stop : tuple of int
        Its voxels along the view's axes, in the image's own sampling.
    logits : ndarray of float32
        Shape (K, *(stop - start)).
    """

    start: Index
    stop: Index
    logits: NDArray[np.float32]


def plan_tiles(view: View, spec: ModelSpec, overlap: float) -> TilePlan:
    """Lay tiles over a view: the model's tile, no larger than the volume needs.

    A 2D network's tile is one slice thick, and slices do not overlap.
    """
    if spec.dims == 2:
        return TilePlan(view.shape, (1, *_fitted(spec, view.shape[1:])), (0.0, overlap, overlap))
    return TilePlan(view.shape, _fitted(spec, view.shape), (overlap,) * 3)


def _fitted(spec: ModelSpec, shape: tuple[int, ...]) -> Any:  # noqa: ANN401 - 2 or 3 lengths
    """Shrink the model's tile to the volume, in steps that its network can halve."""
    if spec.network == "original":
        return spec.tile  # its valid sizes are few
    pairs = zip(spec.tile, shape, spec.divisor, strict=True)
    return tuple(min(t, -(-n // d) * d) for t, n, d in pairs)


def infer(
    view: View,
    spec: ModelSpec,
    forward: Forward,
    plan: TilePlan,
    tiles: list[Index],
    *,
    batch: int = 1,
    mirror: bool = False,
) -> Iterator[list[Cell]]:
    """Run a network over tiles; after each batch, yield the cells that have become final.

    Overlapping tiles are averaged with Gaussian weights, as MONAI's sliding window does. Where the
    model's spacing is not the image's, each tile's logits are interpolated to the image's voxels
    before they are summed: ids are never interpolated, and there are no seams.

    Parameters
    ----------
    view : View
        The volume.
    spec : ModelSpec
        The model.
    forward : callable
        Runs a batch of tiles.
    plan : TilePlan
        From `plan_tiles`.
    tiles : list of Index
        In the order to be computed.
    batch : int
        Tiles computed at once.
    mirror : bool
        Average over mirrored copies.
    """
    sums = _Sums(view, plan, tiles, spec.out_channels)
    for first in range(0, len(tiles), batch):
        group = tiles[first : first + batch]
        stack = torch.from_numpy(np.stack([read_tile(view, spec, plan, t) for t in group]))
        logits = _mirrored(forward, stack) if mirror else forward(stack)
        finished: list[Cell] = []
        for tile, part in zip(group, logits.numpy(), strict=True):
            finished += sums.add(tile, part if spec.dims == 3 else part[:, None])
        yield finished


def read_tile(view: View, spec: ModelSpec, plan: TilePlan, tile: Index) -> NDArray[np.float32]:
    """Read what the network must see for one tile, shape (in_channels, *input tile)."""
    start = plan.start(tile)
    stop = tuple(s + t for s, t in zip(start, plan.tile, strict=True))
    mode: Padding = "mirror" if spec.network == "original" else "zero"
    edge = margin(spec)
    if spec.dims == 2:
        around = (spec.context, *edge)
        padding: tuple[Padding, Padding, Padding] = ("edge", mode, mode)
    else:
        around, padding = edge, (mode, mode, mode)
    low = tuple(s - m for s, m in zip(start, around, strict=True))
    high = tuple(s + m for s, m in zip(stop, around, strict=True))
    box = view.read(low, high, padding)  # type: ignore[arg-type]
    return box.reshape(-1, *box.shape[2:]) if spec.dims == 2 else box


def _mirrored(forward: Forward, stack: Tensor) -> Tensor:
    """Average the logits over every combination of mirrored spatial axes."""
    spatial = list(range(2, stack.ndim))
    total = torch.zeros(())
    for bits in range(2 ** len(spatial)):
        flipped = [axis for i, axis in enumerate(spatial) if bits >> i & 1]
        total = total + forward(stack.flip(flipped).contiguous()).flip(flipped)
    return total.div(2 ** len(spatial))


@dataclass(eq=False)
class _Sum:
    """A cell on its way: weighted logits, weights, and tiles still to come."""

    logits: NDArray[np.float32]
    weights: NDArray[np.float32]
    missing: int


class _Sums:
    """The cells between their first and their last tile, in the image's sampling."""

    def __init__(self, view: View, plan: TilePlan, tiles: list[Index], classes: int) -> None:
        self._view, self._plan, self._classes = view, plan, classes
        self._open: dict[Index, _Sum] = {}
        self._visits = Counter(cell for tile in tiles for cell in plan.cells(tile))
        weight = compute_importance_map(plan.tile, mode=BlendMode.GAUSSIAN, sigma_scale=0.125)
        # MONAI's own floor, so that a voxel in a corner never divides by nothing.
        floor = max(float(weight[weight != 0].min()), 1e-3)
        self._weight = torch.clamp(weight.float(), min=floor).numpy()

    def add(self, tile: Index, logits: NDArray[np.float32]) -> list[Cell]:
        """Add one tile's logits (K, *tile); return the cells it completes."""
        start, stop, logits, weight = self._in_image(tile, logits)
        weighted = logits * weight
        finished = []
        for cell in self._plan.cells(tile):
            low, high = self._box(cell)
            if any(a >= b for a, b in zip(low, high, strict=True)):
                continue
            part = self._open.get(cell)
            if part is None:
                shape = tuple(b - a for a, b in zip(low, high, strict=True))
                part = _Sum(
                    np.zeros((self._classes, *shape), np.float32),
                    np.zeros(shape, np.float32),
                    self._visits[cell],
                )
                self._open[cell] = part
            # The overlap of tile and cell, in the coordinates of each.
            inner = [
                (max(a, s), min(b, e)) for a, b, s, e in zip(low, high, start, stop, strict=True)
            ]
            here = tuple(slice(a - o, b - o) for (a, b), o in zip(inner, low, strict=True))
            there = tuple(slice(a - o, b - o) for (a, b), o in zip(inner, start, strict=True))
            part.logits[(slice(None), *here)] += weighted[(slice(None), *there)]
            part.weights[here] += weight[there]
            part.missing -= 1
            if part.missing == 0:
                del self._open[cell]
                # Voxels no tile reached (when only some tiles are run) stay at logits 0.
                part.logits /= np.maximum(part.weights, np.float32(1e-12))
                finished.append(Cell(low, high, part.logits))
        return finished

    def _box(self, cell: Index) -> tuple[Index, Index]:
        low, high = self._plan.box(cell)
        return self._to_image(low), self._to_image(high)

    def _to_image(self, corner: tuple[int, ...]) -> Index:
        """First image voxel whose centre lies at or after an edge between network voxels."""
        z, y, x = (
            edge if n == m else int(np.ceil(edge * m / n - 0.5))
            for edge, n, m in zip(corner, self._view.shape, self._view.image_shape, strict=True)
        )
        return z, y, x

    def _in_image(
        self, tile: Index, logits: NDArray[np.float32]
    ) -> tuple[Index, Index, NDArray[np.float32], NDArray[np.float32]]:
        """Cut a tile to the volume and interpolate it to the image's voxels."""
        begin = self._plan.start(tile)
        weight = self._weight
        start: list[int] = []
        stop: list[int] = []
        for i, (s, t) in enumerate(zip(begin, self._plan.tile, strict=True)):
            n, m = self._view.shape[i], self._view.image_shape[i]
            first, last = max(0, s), min(n, s + t)
            if n == m:
                cut = (slice(None),) * i + (slice(first - s, last - s),)
                logits, weight = logits[(slice(None), *cut)], weight[cut]
                start.append(first)
                stop.append(last)
                continue
            a = int(np.ceil(first * m / n - 0.5))
            b = int(np.ceil(last * m / n - 0.5))
            at = positions(a, b, n, m) - s
            low, high, weights = interpolation(at, t, n / m) if b > a else (0, t, np.empty((0, t)))
            cut = (slice(None),) * i + (slice(low, high),)
            logits = along(logits[(slice(None), *cut)], i + 1, weights.astype(np.float32))
            weight = along(weight[cut], i, weights.astype(np.float32))
            start.append(a)
            stop.append(b)
        return (start[0], start[1], start[2]), (stop[0], stop[1], stop[2]), logits, weight
