"""Measure how much memory a prediction takes over its input and output.

    python benchmarks/memory.py --sizes 128 256 --classes 2 100 --backends torch openvino

A cube of noise (16 bits), a small U-Net with random weights, tiles of 64 x 96 x 96 voxels, overlap
0.25. Each case runs in a process of its own: its peak of resident memory, less what was resident
when the libraries were loaded and input and output lay in memory. What waits in a temporary file
is not resident; its size is printed too.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time

COLUMNS = ("size", "classes", "backend", "seconds", "peak MiB", "open MiB", "file MiB")


def main() -> None:
    """Print one row a case."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[128, 256])
    parser.add_argument("--classes", type=int, nargs="+", default=[2, 100])
    parser.add_argument("--backends", nargs="+", default=["openvino"])
    parser.add_argument("--network", default="unet")
    parser.add_argument("--features", type=int, nargs="+", default=[8, 16, 32])
    parser.add_argument("--probabilities", action="store_true", help="Keep them, too.")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case is not None:
        print(json.dumps(measure(**json.loads(arguments.case))))
        return
    print(*(f"{name:>9}" for name in COLUMNS))
    for size in arguments.sizes:
        for classes in arguments.classes:
            for backend in arguments.backends:
                case = {
                    "size": size,
                    "classes": classes,
                    "backend": backend,
                    "network": arguments.network,
                    "features": arguments.features,
                    "probabilities": arguments.probabilities,
                }
                command = [sys.executable, __file__, "--case", json.dumps(case)]
                done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
                row = json.loads(done.stdout.splitlines()[-1])
                print(*(f"{row[name]:>9}" for name in COLUMNS), flush=True)


def measure(
    size: int, classes: int, backend: str, network: str, features: list[int], probabilities: bool
) -> dict[str, object]:
    """Predict one volume and measure this process."""
    import resource

    import numpy as np
    import psutil
    import torch

    from napari_unet.core.classes import BACKGROUND, LabelClass
    from napari_unet.core.grid import Grid
    from napari_unet.core.progress import run
    from napari_unet.core.settings import PredictSettings
    from napari_unet.core.spec import ModelSpec
    from napari_unet.core.volume import Volume
    from napari_unet.engine.model import Model
    from napari_unet.engine.networks import build_network
    from napari_unet.engine.predict import predicting
    from napari_unet.engine.sums import Sums

    if backend == "openvino":
        import openvino  # noqa: F401 - loaded before the baseline

    names = tuple(LabelClass(i, f"class {i}") for i in range(1, classes))
    spec = ModelSpec(network=network, features=tuple(features), classes=(BACKGROUND, *names))
    torch.manual_seed(0)
    model = Model(spec, build_network(spec).state_dict())
    rng = np.random.default_rng(0)
    data = rng.integers(0, 1000, (1, size, size, size), np.uint16)
    out = np.zeros((size,) * 3, np.min_scalar_type(classes - 1))
    out[...] = 1  # resident
    volume = Volume(data, Grid((size,) * 3, (1.0,) * 3))
    largest = [0, 0]
    close = Sums.close

    def closing(sums: Sums) -> None:
        largest[0] = max(largest[0], sums.most_bytes)
        largest[1] = max(largest[1], sums.file_bytes)
        close(sums)

    Sums.close = closing  # type: ignore[method-assign]
    before = psutil.Process().memory_info().rss
    began = time.perf_counter()
    settings = PredictSettings(device="cpu", backend=backend)  # type: ignore[arg-type]
    run(predicting(volume, model, settings, out=out, keep_probabilities=probabilities))
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    values = (
        f"{size}^3",
        classes,
        backend,
        round(seconds, 1),
        (peak - before) >> 20,
        largest[0] >> 20,
        largest[1] >> 20,
    )
    return dict(zip(COLUMNS, values, strict=True))


if __name__ == "__main__":
    main()
