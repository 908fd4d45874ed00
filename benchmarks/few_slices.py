"""Measure how good a model is that learns for minutes from three slices in each of five volumes.

    python benchmarks/few_slices.py --minutes 3 --seeds 0 1 2

Five training volumes of the hippocampus set, three axial slices each (at a fifth, half and four
fifths of the structure), from scratch and from starters of other tasks; scored on the 20 test
volumes. Everything runs through the command line, as a user would run it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from dataset import Row, rows

VOLUMES = 5


def main() -> None:
    """Train and score once for each base and seed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--bases", nargs="+", default=["none", "nuclei-2d"])
    arguments = parser.parse_args()
    train = list(rows("hippocampus", "train"))[:VOLUMES]
    test = list(rows("hippocampus", "test"))
    for base in arguments.bases:
        for seed in arguments.seeds:
            result = once(train, test, base, seed, arguments.minutes)
            print(json.dumps({"base": base, "seed": seed, **result}), flush=True)


def once(train: list[Row], test: list[Row], base: str, seed: int, minutes: float) -> dict[str, Any]:
    """Train one model and score it on the test volumes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = folder / "model.safetensors"
        learned = call(
            "train", "--image", *(r.image for r in train), "--labels", *(r.labels for r in train),
            "--slices", *map(slices, train), "--minutes", minutes, "--seed", seed, "-o", model,
            *(() if base == "none" else ("--base", base)),
        )  # fmt: skip
        call("predict", *(r.image for r in test), "-m", model, "-o", f"{folder / 'labels'}/")
        found = [folder / "labels" / r.image.name.replace(".nii", "_labels.nii") for r in test]
        scores = call("evaluate", *found, "--reference", *(r.labels for r in test))
    return {
        "mean_dice": round(scores["mean_dice"], 4),
        "worst": round(min(c["mean_dice"] for c in scores["cases"]), 4),
        "held_out": learned["validation"]["mean_dice"],
        "steps": learned["steps"],
        "seconds": round(learned["seconds"]),
    }


def slices(row: Row) -> str:
    """Name three axial slices through the structure."""
    _, labels = row.load()
    inside = np.flatnonzero(labels.any(axis=(1, 2)))
    chosen = (int(inside[int(q * (len(inside) - 1))]) for q in (0.2, 0.5, 0.8))
    return "z:" + ",".join(map(str, chosen))


def call(*arguments: object) -> dict[str, Any]:
    """Run one command of napari-unet and return its JSON."""
    words = [str(a) for a in arguments]
    command = [sys.executable, "-m", "napari_unet", *words, "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


if __name__ == "__main__":
    main()
