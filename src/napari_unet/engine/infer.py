"""A network slid over a view: logits of one final cell after the other."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from functools import partial
from operator import mul
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.spec import ModelSpec
from napari_unet.engine.ahead import ahead
from napari_unet.engine.arrays import Array, flipped, on_host, to_host
from napari_unet.engine.backends import Forward
from napari_unet.engine.planes import Planes, crosses
from napari_unet.engine.repeats import Repeats
from napari_unet.engine.sizes import margin, nearest_tile
from napari_unet.engine.sums import Cell, Sums
from napari_unet.engine.tiles import Index, TilePlan
from napari_unet.engine.view import Padding, View

__all__ = ["Cell", "infer", "plan_tiles", "read_tile"]

_LOGITS = 64 << 20
"""Bytes of a tile's logits, of which backends hold several copies: the default tile and 28 classes."""
_CELL = 32 << 20
"""Bytes of a cell's logits: it is interpolated and finished as one piece."""


def plan_tiles(view: View, spec: ModelSpec, overlap: float) -> TilePlan:
    """Lay tiles over a view: the model's tile, no larger than the volume needs.

    A network that goes along one axis has tiles one slice thick, which do not overlap. One that goes
    along all three has blocks.
    """
    if view.sliced:
        tile: Index = (1, *_fitted(spec, view.shape[1:]))
        return TilePlan(view.shape, tile, (0.0, overlap, overlap), _grain(view, spec, tile))
    tile = _fitted(spec, view.shape) if spec.block is None else _affordable(spec, spec.block)
    return TilePlan(view.shape, tile, (overlap,) * 3, _grain(view, spec, tile))


def _grain(view: View, spec: ModelSpec, tile: Index) -> Index:
    """Longest cell, an axis each, whose logits in the image's voxels stay below `_CELL` bytes."""
    grain = list(tile)
    ratio = [m / n for n, m in zip(view.shape, view.image_shape, strict=True)]
    while math.prod(map(mul, grain, ratio)) * spec.out_channels * 4 > _CELL and max(grain) > 1:
        longest = max((i for i in range(3) if grain[i] > 1), key=lambda i: grain[i] * ratio[i])
        grain[longest] = -(-grain[longest] // 2)
    return grain[0], grain[1], grain[2]


def _fitted(spec: ModelSpec, shape: tuple[int, ...]) -> Any:  # noqa: ANN401 - 2 or 3 lengths
    """Shrink the model's tile to the volume, and to what is affordable."""
    tile = spec.tile
    if spec.network != "original":  # its valid sizes are few
        pairs = zip(tile, shape, spec.divisor, strict=True)
        tile = tuple(min(t, -(-n // d) * d) for t, n, d in pairs)
    return _affordable(spec, tile)


def _affordable(spec: ModelSpec, tile: tuple[int, ...]) -> Any:  # noqa: ANN401 - 2 or 3 lengths
    """Shrink a tile to `_LOGITS`, in steps that the network can halve.

    A block is cut to nothing else, not to the volume either: its slices are normalised as they are,
    and those that taught were as large, with as much of nothing around them.
    """
    while math.prod(tile) * spec.out_channels * 4 > _LOGITS:
        longest = tile.index(max(tile))
        wanted = tuple(n // 2 if i == longest else n for i, n in enumerate(tile))
        if len(tile) > spec.dims:
            step = spec.divisor[0]
            smaller = tuple(-(-n // step) * step for n in wanted)
        else:
            smaller = nearest_tile(spec, wanted)
        if math.prod(smaller) >= math.prod(tile):
            break
        tile = smaller
    return tile


def infer(
    view: View,
    spec: ModelSpec,
    forward: Forward,
    plan: TilePlan,
    tiles: list[Index],
    *,
    batch: int = 1,
    mirror: bool = False,
    wanted: Callable[[Index], bool] | None = None,
    read: Callable[[Index], NDArray[np.float32] | None] | None = None,
) -> Generator[list[Cell], None, None]:
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
        Tiles computed at once; slices of one tile, where a 2D network goes along all axes.
    mirror : bool
        Average over mirrored copies.
    wanted : callable, optional
        Says of a cell whether it is summed and yielded; all are when absent. A cell is summed in the
        order of its tiles: alone it becomes what it is in the whole, to the last bit, if these come
        in the same order.
    read : callable, optional
        Reads a tile as `read_tile` does; None from it says that the tile is background and need
        not be run.
    """
    see = read or partial(read_tile, view, spec, plan)
    whole = forward
    if crosses(view, spec):
        whole, batch = Planes(forward, spec.context, batch), 1
    run = Repeats(partial(_mirrored, whole) if mirror else whole)
    sums = Sums(view, plan, tiles, wanted)
    inputs = ahead(see, tiles)
    try:
        for first in range(0, len(tiles), batch):
            group = tiles[first : first + batch]
            seen = [next(inputs) for _ in group]
            logits = iter(run([box for box in seen if box is not None]))
            finished: list[Cell] = []
            for tile, box in zip(group, seen, strict=True):
                if box is None:
                    finished += sums.skip(tile, spec.out_channels)
                    continue
                part = next(logits)
                finished += sums.add(tile, part[:, None] if view.sliced else part)
            yield finished
    finally:
        inputs.close()
        sums.close()


def read_tile(view: View, spec: ModelSpec, plan: TilePlan, tile: Index) -> NDArray[np.float32]:
    """Read what the network must see for one tile, shape (in_channels, *input tile)."""
    mode: Padding = "mirror" if spec.network == "original" else "zero"
    seen = seen_by(view, spec, plan, tile)
    box = view.read(*seen, ("edge" if view.sliced else mode, mode, mode))
    return box.reshape(-1, *box.shape[2:]) if view.sliced else box


def seen_by(view: View, spec: ModelSpec, plan: TilePlan, tile: Index) -> tuple[Index, Index]:
    """Box (start, stop) of a view that the network sees for one tile: margins, neighbours."""
    around = (spec.context, *margin(spec)) if view.sliced else margin(spec)
    if len(around) == 2:
        around = (spec.context,) * 3
    z, y, x = (
        (s - m, s + t + m) for s, t, m in zip(plan.start(tile), plan.tile, around, strict=True)
    )
    return (z[0], y[0], x[0]), (z[1], y[1], x[1])


def _mirrored(forward: Forward, stack: NDArray[np.float32]) -> Array:
    """Average the logits over every combination of mirrored spatial axes."""
    spatial = range(2, stack.ndim)
    total = forward(stack)
    for bits in range(1, 2 ** len(spatial)):
        axes = [axis for i, axis in enumerate(spatial) if bits >> i & 1]
        logits = forward(np.ascontiguousarray(flipped(stack, axes)))
        if on_host(logits) != on_host(total):  # a GPU ran out of memory in between
            logits, total = to_host(logits), to_host(total)
        for channel in range(total.shape[1]):  # one by one: flipping copies
            total[:, channel] += flipped(logits[:, channel], [axis - 1 for axis in axes])
    total /= 2 ** len(spatial)
    return total
