"""Measure how long volumes of several sizes take, and how much memory over their input and output.

    python benchmarks/volume_sizes.py
    python benchmarks/volume_sizes.py --sizes 256 --classes 2 10 100 --networks unet

Cubes of 16 bits and random weights in the networks that `auto` makes for a CPU. Each case is a
fresh process. Its memory is the peak while predicting, less what was resident just before, when
the libraries were loaded and input and output lay in memory. Seconds include loading the network.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from contest import command_seconds, machine, table
from untrained import chosen_spec, phantom, untrained

COLUMNS = ("network", "voxels", "classes", "backend", "seconds", "Mvoxel/s", "peak over input and "
           "output (MiB)")  # fmt: skip
_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def main() -> None:
    """Print one row a case."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 128, 256, 512])
    parser.add_argument("--classes", type=int, nargs="+", default=[2])
    parser.add_argument("--networks", nargs="+", default=["residual"])
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case is not None:
        print(json.dumps(measure(**json.loads(arguments.case))))
        return
    if not _RESET.exists():
        raise SystemExit("Peak memory is read from /proc: run this on Linux.")
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        for network in arguments.networks:
            for size in arguments.sizes:
                image = Path(folder) / f"{size}.npy"
                # One block again and again: quick to make, and no tile is like its neighbour.
                block = phantom((min(size, 128),) * 3)
                np.save(image, np.tile(block, (size // len(block),) * 3))
                for classes in arguments.classes:
                    case = {"image": str(image), "network": network, "classes": classes}
                    case["backend"] = arguments.backend
                    lines.append(row(case, size))
                    print(lines[-1], file=sys.stderr, flush=True)
                image.unlink()
    print(f"{machine('monai', 'openvino')}\n")
    print(table(COLUMNS, lines))


def row(case: dict[str, object], size: int) -> tuple[object, ...]:
    """Measure one case in a process of its own."""
    with tempfile.TemporaryDirectory() as empty:
        command = [sys.executable, __file__, "--case", json.dumps(case)]
        _, said = command_seconds(command, XDG_CACHE_HOME=empty)
    found = json.loads(said.splitlines()[-1])
    rate = size**3 / found["seconds"] / 1e6
    return (
        case["network"],
        f"{size}^3",
        case["classes"],
        found["backend"],
        f"{found['seconds']:.1f}",
        f"{rate:.2f}",
        f"{found['bytes'] / 2**20:.0f}",
    )


def measure(image: str, network: str, classes: int, backend: str) -> dict[str, object]:
    """Predict one volume and measure this process."""
    import openvino  # noqa: F401 - before the baseline

    from napari_unet.core.grid import Grid
    from napari_unet.core.progress import run
    from napari_unet.core.settings import PredictSettings
    from napari_unet.core.volume import Volume
    from napari_unet.engine.predict import predicting

    data = np.load(image)[None]
    shape = data.shape[1:]
    volume = Volume(data, Grid(shape, (1.0,) * 3, "mm"))
    model = untrained(chosen_spec(network, shape, classes))  # type: ignore[arg-type]
    out = np.zeros(shape, np.min_scalar_type(classes - 1))
    out[...] = 1  # resident from now on
    _RESET.write_text("5", encoding="ascii")  # the peak so far is forgotten
    before = kib("VmRSS")
    began = time.perf_counter()
    settings = PredictSettings(device="cpu", backend=backend)  # type: ignore[arg-type]
    prediction = run(predicting(volume, model, settings, out=out))
    return {
        "seconds": time.perf_counter() - began,
        "bytes": (kib("VmHWM") - before) * 1024,
        "backend": prediction.backend,
    }


def kib(what: str) -> int:
    """Read a number of this process's memory in KiB.

    `ru_maxrss` would not do: it begins with what the parent held.
    """
    for line in _STATUS.read_text(encoding="ascii").splitlines():
        if line.startswith(what):
            return int(line.split()[1])
    raise LookupError(what)


if __name__ == "__main__":
    main()
