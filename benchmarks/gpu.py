"""Measure prediction on an NVIDIA GPU: against MONAI, and what each part of it brings.

    python benchmarks/gpu.py --size 256 --classes 2 20 --networks unet residual

Networks as `auto` makes them, random weights, the same image for all, in turns. Transfers to and
from the GPU are in the times, reading and writing of files is not. The last table takes memory
away from the process and shows that the labels stay the same.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from contest import alternate, machine, seconds, spread, table
from monai.inferers import sliding_window_inference
from numpy.typing import NDArray
from untrained import chosen_spec, phantom, untrained

from napari_unet.core.grid import Grid
from napari_unet.core.progress import run
from napari_unet.core.settings import Device, PredictSettings
from napari_unet.core.volume import Volume
from napari_unet.engine.arrays import to_host
from napari_unet.engine.backends import Loaded, load_backend
from napari_unet.engine.backends.pytorch import OnTorch
from napari_unet.engine.infer import infer, plan_tiles, read_tile
from napari_unet.engine.model import Model
from napari_unet.engine.predict import predicting
from napari_unet.engine.selftest import HALF_TOLERANCE, half_precision_error
from napari_unet.engine.view import View, measure

Labels = NDArray[Any]
COLUMNS = ("network", "classes", "how", "seconds", "times MONAI float32", "Mvoxel/s",
           "peak on the GPU (MiB)", "labels equal")  # fmt: skip
LADDER = ("share of the GPU", "seconds", "labels equal", "what was said")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=256, help="voxels along each axis")
    parser.add_argument("--networks", nargs="+", default=["unet", "residual", "attention"])
    parser.add_argument("--classes", type=int, nargs="+", default=[2, 20])
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("This machine has no CUDA device that PyTorch can use: run it on one that has.")
    device = torch.device("cuda")
    image = phantom((arguments.size,) * 3)
    error = half_precision_error(device, torch.float16)
    lines, steps = [], []
    for network in arguments.networks:
        for classes in arguments.classes:
            model = untrained(chosen_spec(network, image.shape, classes))
            lines += compare(model, image, device, arguments.rounds)
            steps += ladder(model, image, device)
    print(f"{machine('monai')} GPU: {torch.cuda.get_device_name()}.\n")
    print(f"Half precision errs by {error:.1e}; the limit is {HALF_TOLERANCE:.0e}.\n")
    print(table(COLUMNS, lines), table(LADDER, steps), sep="\n\n")


def compare(
    model: Model, image: Labels, device: torch.device, rounds: int
) -> list[tuple[object, ...]]:
    """Run each way in turns; return a row for each."""
    case = Case(model, image, device)
    ways: dict[str, Callable[[], Labels]] = {
        "MONAI, float32, 4 at once": partial(case.monai, half=False),
        "MONAI, float16, 4 at once": partial(case.monai, half=True),
        "ours, end to end": case.predict,
    }
    for batch in (1, 2, 4, 8):
        ways[f"float16, {batch} at once"] = partial(case.slide, case.forward(True), batch)
    best = case.loaded.batch
    ways["float32"] = partial(case.slide, case.forward(False), best)
    ways["float16, sums on the host"] = partial(case.slide, case.forward(True), best, host=True)
    compiled = case.forward(True)
    failure = compiled.compile(np.repeat(case.example, best, axis=0))
    if failure:
        print(f"torch.compile: {failure}", file=sys.stderr)
    else:
        compiled.batch = best
        ways["float16, compiled"] = partial(case.slide, compiled, best)
    reference = ways["MONAI, float32, 4 at once"]()
    agreement = {name: f"{(way() == reference).mean():.6f}" for name, way in ways.items()}
    peaks = {name: peak(way, device) for name, way in ways.items()}
    times = alternate({name: partial(seconds, way) for name, way in ways.items()}, rounds)
    slow = statistics.median(times["MONAI, float32, 4 at once"])
    network, classes = model.spec.network, len(model.spec.classes)
    return [
        (network, classes, f"{name} ({best} at once)" if "at once" not in name else name,
         spread(times[name], 2), f"{slow / statistics.median(times[name]):.1f}",
         f"{image.size / 1e6 / statistics.median(times[name]):.1f}", peaks[name], agreement[name])
        for name in ways
    ]  # fmt: skip


def ladder(model: Model, image: Labels, device: torch.device) -> list[tuple[object, ...]]:
    """Predict with less and less of the GPU's memory."""
    case = Case(model, image, device)
    reference = case.predict()
    rows: list[tuple[object, ...]] = []
    total = torch.cuda.get_device_properties(device).total_memory
    for mebibytes in (8192, 2048, 1024, 512, 256, 128, 32):
        share = mebibytes * 2**20 / total
        if share > 1:
            continue
        torch.cuda.empty_cache()
        torch.cuda.set_per_process_memory_fraction(share, device)
        found: list[Labels] = []
        try:
            # Not through `load_backend`, whose probe would keep clear of the limit.
            forward = case.forward(True)
            took = seconds(partial(case.keep, found, forward, 8))
            equal = f"{(found[0] == reference).mean():.6f}"
            rows.append((f"{mebibytes} MiB", f"{took:.2f}", equal, forward.news() or "nothing"))
        except Exception as error:  # a rung that breaks is a result too
            rows.append((f"{mebibytes} MiB", "", "", f"{type(error).__name__}: {error}"))
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0, device)
    return rows


class Case:
    """One model on one image, ready to be run in several ways."""

    def __init__(self, model: Model, image: Labels, device: torch.device) -> None:
        self.model, self.device = model, device
        self.volume = Volume(image[None], Grid(image.shape, (1.0,) * 3, "mm"))
        self.view = View(self.volume, model.spec)
        self.plan = plan_tiles(self.view, model.spec, 0.25)
        self.tiles = self.plan.tiles()
        self.network = model.build()
        self.there = model.build().to(device)
        scaled = measure(self.volume.data, model.spec.normalisation)[0].apply(image)
        self.scaled = torch.from_numpy(scaled)[None, None]
        self.example = read_tile(self.view, model.spec, self.plan, self.tiles[0])[None]
        self.loaded: Loaded = load_backend(
            "torch", model, device.type, self.example, len(self.tiles)
        )
        print(self.loaded.reason, file=sys.stderr)

    def forward(self, half: bool) -> OnTorch:
        """Make the network ready, in half precision or not."""
        return OnTorch(self.network, self.device, half=torch.float16 if half else None, tuned=True)

    def monai(self, half: bool) -> Labels:
        """Run MONAI's sliding window as its tutorials do, with sums on the GPU."""
        with torch.inference_mode(), torch.autocast(self.device.type, torch.float16, enabled=half):
            logits = sliding_window_inference(
                self.scaled.to(self.device), self.model.spec.tile, 4, self.there,
                overlap=0.25, mode="gaussian",
            )  # fmt: skip
            return np.asarray(logits[0].argmax(0).cpu())

    def predict(self) -> Labels:
        """Predict as a user does, the probe of the batch and copying the network included."""
        where: Device = "cuda" if self.device.type == "cuda" else "cpu"
        settings = PredictSettings(device=where, backend="torch")
        return run(predicting(self.volume, self.model, settings)).labels

    def slide(self, forward: OnTorch, batch: int, *, host: bool = False) -> Labels:
        """Run all tiles and take the winners."""

        def on_host(tiles: NDArray[np.float32]) -> NDArray[np.float32]:
            return to_host(forward(tiles))

        labels = np.zeros(self.view.image_shape, np.uint8)
        run_tiles = on_host if host else forward
        for cells in infer(
            self.view, self.model.spec, run_tiles, self.plan, self.tiles, batch=batch
        ):
            for cell in cells:
                labels[tuple(map(slice, cell.start, cell.stop))] = cell.winner()
        return labels

    def keep(self, found: list[Labels], forward: OnTorch, batch: int) -> None:
        """Do as `slide`, and keep the labels where a clock's caller finds them."""
        found.append(self.slide(forward, batch))


def peak(work: Callable[[], object], device: torch.device) -> str:
    """Return the most memory that a way takes on the GPU, in MiB."""
    if device.type != "cuda":
        return ""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    work()
    return f"{torch.cuda.max_memory_allocated(device) / 2**20:.0f}"


if __name__ == "__main__":
    main()
