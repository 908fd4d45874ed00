"""Measure each network on each backend for several tiles, and how well the two agree.

    python benchmarks/backends.py

All six networks with the features that `auto` takes on a CPU, random weights, one channel, two
classes, one tile at a time, in turns. Six networks at the default tiles take about six minutes.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from contest import alternate, machine, seconds, table
from numpy.typing import NDArray
from untrained import phantom, untrained

from napari_unet.core.settings import Backend
from napari_unet.core.spec import NETWORKS, ModelSpec
from napari_unet.engine.backends import load_backend
from napari_unet.engine.networks import build_network
from napari_unet.engine.sizes import input_tile, nearest_tile

COLUMNS = ("network", "tile", "PyTorch (ms)", "OpenVINO (ms)", "ratio", "PyTorch (Mvoxel/s)",
           "OpenVINO (Mvoxel/s)", "labels equal", "logits differ by")  # fmt: skip
_BACKENDS: tuple[Backend, ...] = ("torch", "openvino")
_PATIENCE = 8.0
"""Seconds that one network and tile may take after its first run, on both backends together."""
_MOST_TURNS = 7


def main() -> None:
    """Print one row a network and tile."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--tiles", nargs="+", default=["32x64x64", "64x96x96", "96x128x128"])
    arguments = parser.parse_args()
    tiles = [tuple(map(int, tile.split("x"))) for tile in arguments.tiles]
    lines = [compare(network, tile) for network in arguments.networks for tile in tiles]
    print(f"{machine('monai', 'openvino')}\n")
    print(table(COLUMNS, lines))


def compare(network: str, wanted: tuple[int, ...]) -> tuple[object, ...]:
    """Run one tile on both backends."""
    spec = legal(network, wanted)
    model = untrained(spec)
    seen = phantom(input_tile(spec)).astype(np.float32)[None, None]
    seen = (seen - seen.mean()) / seen.std()
    forwards = {name: load_backend(name, model, "cpu", seen, 1).forward for name in _BACKENDS}
    once = sum(seconds(partial(forward, seen)) for forward in forwards.values())
    turns = max(1, min(_MOST_TURNS, round(_PATIENCE / once)))
    clocks: dict[str, Callable[[], float]] = {
        name: partial(seconds, partial(f, seen)) for name, f in forwards.items()
    }
    middle = {name: statistics.median(t) for name, t in alternate(clocks, turns).items()}
    plain, fast = (forward(seen) for forward in forwards.values())
    voxels = spec.tile[0] * spec.tile[1] * spec.tile[2] / 1e6
    return (
        network,
        "x".join(map(str, spec.tile)),
        *(f"{middle[name] * 1000:.0f}" for name in _BACKENDS),
        f"{middle['torch'] / middle['openvino']:.1f}",
        *(f"{voxels / middle[name]:.2f}" for name in _BACKENDS),
        f"{equal(plain, fast):.4%}",
        f"{np.abs(plain - fast).max():.1g}",
    )


def legal(network: str, wanted: tuple[int, ...]) -> ModelSpec:
    """Return a spec with the nearest tile that the network can put out."""
    free = ModelSpec(network=network, tile=(16, 16, 16))  # type: ignore[arg-type]
    spec = ModelSpec(network=network, tile=nearest_tile(free, wanted))  # type: ignore[arg-type]
    with torch.device("meta"):
        build_network(spec)
    return spec


def equal(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Return the share of voxels with the same label."""
    return float((one.argmax(1) == other.argmax(1)).mean())


if __name__ == "__main__":
    main()
