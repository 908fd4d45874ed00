"""Does the image help to fill the slices between annotated ones? Dice on those slices, train volumes.

::

    python benchmarks/fill.py hippocampus vnc_sstem bbbc050 gonuclear spinalcord
    python benchmarks/fill.py hippocampus --images 5 --others

Every 3rd or 5th slice of the truth is kept and the rest filled, from the shapes alone and following
the image. Of vnc_sstem the mitochondria count. ``--others`` adds two ways of scikit-image to follow
it: random walker and watershed on the gradient, both deciding again around the outline of the shapes.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from dataset import Row, rows
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import random_walker, watershed

from napari_unet.core.volume import Volume
from napari_unet.edit import fill_between

Labels = NDArray[np.integer[Any]]
Fill = Callable[[Labels, Volume, tuple[int, ...], list[int]], Labels]

MITOCHONDRIA = 3


def main() -> None:
    """Print a line for each data set, gap and way to fill."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("datasets", nargs="+")
    parser.add_argument("--every", type=int, nargs="+", default=[3, 5])
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--others", action="store_true")
    args = parser.parse_args()
    ways: dict[str, Fill] = {"shapes": from_shapes, "image": following_image}
    if args.others:
        ways |= {
            "random walker": partial(decided_again, walk),
            "watershed": partial(decided_again, flood),
        }
    for dataset in args.datasets:
        for every in args.every:
            compare(list(rows(dataset, "train"))[: args.images], every, ways)


def compare(images: list[Row], every: int, ways: dict[str, Fill]) -> None:
    """Fill all images each way, and print the means."""
    scores: dict[str, list[float]] = {way: [] for way in ways}
    seconds = dict.fromkeys(ways, 0.0)
    for row in images:
        volume, truth = row.load()
        if row.dataset == "vnc_sstem":
            truth = (truth == MITOCHONDRIA).astype(np.uint8)
        slices = list(range(0, len(truth), every))
        between = np.setdiff1d(np.arange(slices[-1]), slices)
        labels = np.zeros_like(truth)
        labels[slices] = truth[slices]
        ids = tuple(np.unique(labels)[1:].tolist())
        if not truth[between].any():
            continue
        for way, fill in ways.items():
            begun = time.perf_counter()
            found = fill(labels, volume, ids, slices)
            seconds[way] += time.perf_counter() - begun
            scores[way].append(mean_dice(found[between], truth[between], ids))
    for way, values in scores.items():
        better = sum(a > b for a, b in zip(values, scores["shapes"], strict=True))
        print(
            f"{images[0].dataset:12s} every {every}: {way:13s} Dice {np.mean(values):.3f}, "
            f"above shapes in {better} of {len(values)} volumes, {seconds[way]:.1f} s",
            flush=True,
        )


def mean_dice(found: Labels, truth: Labels, ids: tuple[int, ...]) -> float:
    """Return the mean over the ids that occur."""
    dice = []
    for one in ids:
        a, b = found == one, truth == one
        if b.any():
            dice.append(2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b)))
    return float(np.mean(dice))


def from_shapes(labels: Labels, volume: Volume, ids: tuple[int, ...], slices: list[int]) -> Labels:
    """Fill from the shapes alone."""
    return fill_between(labels, ids, slices, volume.grid.spacing, whole=slices).apply(labels)


def following_image(
    labels: Labels, volume: Volume, ids: tuple[int, ...], slices: list[int]
) -> Labels:
    """Fill as the window does when it follows the image."""
    spacing = volume.grid.spacing
    delta = fill_between(labels, ids, slices, spacing, whole=slices, image=volume.data)
    return delta.apply(labels)


def decided_again(
    decide: Callable[[NDArray[np.float32], Labels, tuple[float, ...]], Labels],
    labels: Labels,
    volume: Volume,
    ids: tuple[int, ...],
    slices: list[int],
) -> Labels:
    """Fill from the shapes, and decide again what lies nearer to an outline than to a slice known."""
    spacing = volume.grid.spacing
    shapes = from_shapes(labels, volume, ids, slices).astype(np.int32)
    known = np.min(np.abs(np.arange(len(shapes))[:, None] - slices), axis=1) * spacing[0]
    seeds = shapes + 1
    for z, away in enumerate(known):
        edge = ndimage.morphological_gradient(shapes[z], 3) > 0
        if away and edge.any():
            near = ndimage.distance_transform_edt(~edge, sampling=spacing[1:]) < away
            seeds[z][near] = 0
    image = volume.array()[0].astype(np.float32)
    low, high = np.percentile(image, (1, 99))
    return decide((image - low) / (high - low), seeds, spacing) - 1


def walk(image: NDArray[np.float32], seeds: Labels, spacing: tuple[float, ...]) -> Labels:
    """Decide by random walks (Grady 2006), which cross edges seldom."""
    free = ndimage.binary_dilation(seeds == 0, iterations=2)
    walked = random_walker(
        image,
        np.where(free, seeds, -1),
        mode="cg_j",
        tol=1e-2,
        spacing=np.divide(spacing, min(spacing)),
    )
    return np.where(walked > 0, walked, seeds)


def flood(image: NDArray[np.float32], seeds: Labels, _: tuple[float, ...]) -> Labels:
    """Decide by a watershed on each slice's gradient."""
    steep = np.stack([ndimage.gaussian_gradient_magnitude(s, 1.0) for s in image])
    return np.asarray(watershed(steep, seeds))


if __name__ == "__main__":
    main()
