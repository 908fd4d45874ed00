"""Measure what looking coarsely first, and mirroring, cost or gain: Dice, tiles run, seconds.

    python benchmarks/coarse.py --rounds 3

Starters on labelled test volumes, and on a whole head (mni152, 197 x 233 x 189 voxels) that has no
labels of theirs: there the Dice is that with the plain run's own labels. Dice is of all that is not
background, the mean over volumes; tiles and seconds are of all volumes together, in one round.
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from typing import Any

import numpy as np
from contest import alternate, machine, spread, table
from dataset import rows
from numpy.typing import NDArray

from napari_unet import Prediction, PredictSettings, Volume, predict, starter

WAYS = {
    "plain": PredictSettings(),
    "coarse": PredictSettings(coarse=True),
    "tta": PredictSettings(tta=True),
}
SETS = {
    "hippocampus": "hippocampus-mr",
    "bbbc050": "nuclei-3d",
    "mni152": "hippocampus-mr",
}
LABELLED = ("hippocampus", "bbbc050")


def main() -> None:
    """Print one row a data set and way."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--volumes", type=int, default=5, help="Of each data set, the first ones.")
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=list(SETS))
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=list(WAYS))
    arguments = parser.parse_args()
    ways = ["plain", *(way for way in arguments.ways if way != "plain")]
    lines = []
    for name in arguments.sets:
        loaded = [row.load() for row in list(rows(name, "test"))[: arguments.volumes]]
        lines += compare(name, loaded, ways, arguments.rounds)
    print(table(("data", "volumes", "way", "Dice", "tiles run", "seconds"), lines))
    print(machine("openvino"))


def compare(
    name: str, loaded: list[tuple[Volume, NDArray[Any]]], ways: list[str], rounds: int
) -> list[tuple[object, ...]]:
    """Run each way over some volumes, by turns, and score it."""
    model = starter(SETS[name])
    predict(loaded[0][0], model)  # converting the network is no part of it

    def every(settings: PredictSettings) -> tuple[float, list[Prediction]]:
        began = time.perf_counter()
        found = [predict(volume, model, settings) for volume, _ in loaded]
        return time.perf_counter() - began, found

    results = alternate({way: partial(every, WAYS[way]) for way in ways}, rounds)
    plain = [p.labels for p in results["plain"][0][1]]
    truth = [labels for _, labels in loaded] if name in LABELLED else plain
    return [
        (
            name,
            len(loaded),
            way,
            f"{np.mean([dice(p.labels, t) for p, t in zip(runs[0][1], truth, strict=True)]):.4f}",
            sum(p.tiles["run"] for p in runs[0][1]),
            spread((seconds for seconds, _ in runs), 2),
        )
        for way, runs in results.items()
    ]


def dice(found: NDArray[Any], truth: NDArray[Any]) -> float:
    """Dice of all that is not background; 1 where neither has anything."""
    a, b = found > 0, truth > 0
    total = int(a.sum()) + int(b.sum())
    return 2 * int((a & b).sum()) / total if total else 1.0


if __name__ == "__main__":
    main()
