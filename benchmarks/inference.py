"""Measure how fast a volume becomes labels, beside MONAI's sliding window on the same network.

    python benchmarks/inference.py

`unet`, `residual` and `attention` as `auto` makes them for a CPU, two classes, random weights, one
NIfTI volume of 128 x 160 x 160 voxels. Every run is a fresh process that reads the image and writes
the labels: MONAI eager, then ours, in turns. "network alone" is the part of it without starting,
reading and writing; in ours building the network counts to it.

Then, in this process, the networks on one tile beside a float32 matrix product, in turns: how much
of what the processor can do is used.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import nibabel
import numpy as np
import torch
from contest import Timed, alternate, machine, network_seconds, seconds, spread, table, timed
from torch.utils.flop_counter import FlopCounterMode
from untrained import chosen_spec, phantom, untrained

from napari_unet.engine.backends import load_backend
from napari_unet.engine.model import Model, save_model

ENDS = ("network", "tile", "MONAI (s)", "ours (s)", "ratio", "network alone", "labels equal")
SHARE = ("network", "GFLOP a tile", "OpenVINO (GFLOP/s)", "PyTorch (GFLOP/s)",
         "matrix product (GFLOP/s)", "share")  # fmt: skip
_PRODUCTS = (768, 1024, 1536, 2048, 3072)
_TURNS = 7


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", default=["unet", "residual", "attention"])
    parser.add_argument("--shape", type=int, nargs=3, default=[128, 160, 160])
    parser.add_argument("--tile", type=int, nargs=3, help="in place of the one that auto takes")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    shape = tuple(arguments.shape)
    specs = [chosen_spec(name, shape) for name in arguments.networks]
    if arguments.tile:
        specs = [replace(spec, tile=tuple(arguments.tile)) for spec in specs]
    models = list(map(untrained, specs))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        image = folder / "image.nii.gz"
        written = nibabel.Nifti1Image(phantom(shape).T, np.eye(4))
        written.header.set_xyzt_units("mm")
        nibabel.save(written, image)
        ends = [end_to_end(model, image, folder, arguments.rounds) for model in models]
    shares = [share(model) for model in models]
    print(f"{'x'.join(map(str, shape))} voxels. {machine('monai', 'openvino')}\n")
    print(table(ENDS, ends), end="\n\n")
    print(table(SHARE, shares))


def end_to_end(model: Model, image: Path, folder: Path, rounds: int) -> tuple[object, ...]:
    """Run both from file to file."""
    file = save_model(model, folder / f"{model.spec.network}.safetensors")
    theirs, ours = folder / "theirs.nii.gz", folder / "ours.nii.gz"
    script = Path(__file__).with_name("monai_eager.py")
    predict = [sys.executable, "-m", "napari_unet", "predict", image]
    predict += ["-m", file, "-o", ours, "--json"]

    contestants: dict[str, Callable[[], Timed]] = {
        "MONAI": partial(timed, [sys.executable, script, image, file, theirs]),
        "ours": partial(timed, predict),
    }
    results = alternate(contestants, rounds)
    whole = {name: [wall for wall, _ in runs] for name, runs in results.items()}
    middle = {name: statistics.median(walls) for name, walls in whole.items()}
    inner = {name: network_seconds(runs) for name, runs in results.items()}
    found = [np.asarray(nibabel.load(path).dataobj) for path in (theirs, ours)]
    return (
        model.spec.network,
        "x".join(map(str, model.spec.tile)),
        *(spread(walls) for walls in whole.values()),
        f"{middle['MONAI'] / middle['ours']:.1f}",
        f"{inner['MONAI']:.1f} / {inner['ours']:.1f} = {inner['MONAI'] / inner['ours']:.1f}",
        f"{np.mean(found[0] == found[1]):.4%}",
    )


def share(model: Model) -> tuple[object, ...]:
    """Compare a network's rate inside a tile with a matrix product's."""
    network, spec = model.build(), model.spec
    tile = phantom(spec.tile).astype(np.float32)[None, None]
    tile = (tile - tile.mean()) / tile.std()
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network(torch.from_numpy(tile))
    work = counter.get_total_flops() / 1e9
    side = max(_PRODUCTS, key=lambda n: max(product_rate(n) for _ in range(3)))
    backends = {
        name: load_backend(name, model, "cpu", tile, 1).forward for name in ("openvino", "torch")
    }
    for forward in backends.values():
        forward(tile)  # the first run makes ready
    rates: dict[str, Callable[[], float]] = {
        name: partial(lambda f: work / seconds(lambda: f(tile)), forward)
        for name, forward in backends.items()
    }
    rates["product"] = partial(product_rate, side)
    results = alternate(rates, _TURNS)
    ratio = statistics.median(results["openvino"]) / statistics.median(results["product"])
    return (
        spec.network,
        f"{work:.1f}",
        *(spread(results[name], 0) for name in rates),
        f"{ratio:.0%}",
    )


def product_rate(side: int) -> float:
    """Return the GFLOP/s of one float32 product of square matrices."""
    a, b, out = torch.rand(side, side), torch.rand(side, side), torch.empty(side, side)
    torch.mm(a, b, out=out)
    return 2 * side**3 / 1e9 / seconds(lambda: torch.mm(a, b, out=out))


if __name__ == "__main__":
    main()
