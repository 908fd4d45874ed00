"""Measure how fast a base learns a class that it lacks: where its logit starts, and learning rates.

    python benchmarks/new_class.py [--starts 0.1 3] [--rates 5e-4 2e-3] [--heads 1 10] [--steps 80]

Hippocampus: the base has learned the anterior part from 5 train volumes, where the posterior one was
background; then the same volumes show both. Scored on 6 other train volumes. One JSON line a run.
"""

from __future__ import annotations

import argparse
import json
from itertools import product

import numpy as np
from dataset import rows

from napari_unet.core.annotation import Annotation
from napari_unet.core.progress import run
from napari_unet.core.scores import dice
from napari_unet.core.settings import TrainSettings
from napari_unet.engine import learn, reclass, train
from napari_unet.engine.predict import predicting


def main() -> None:
    """Train a base for each seed, and from it a model for each rate and number of steps."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--starts", nargs="+", type=float, default=[0.1, 3.0])
    parser.add_argument("--rates", nargs="+", type=float, default=[5e-4, 2e-3])
    parser.add_argument("--heads", nargs="+", type=float, default=[1, 10])
    parser.add_argument("--steps", nargs="+", type=int, default=[80])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    wanted = parser.parse_args()
    volumes = [row.load() for row in list(rows("hippocampus", "train"))[:11]]
    anterior = [(v, Annotation.full(np.where(n == 1, 1, 0))) for v, n in volumes[:5]]
    both = [(v, Annotation.full(n)) for v, n in volumes[:5]]
    for seed in wanted.seeds:
        base = run(train.training(anterior, TrainSettings(steps=300, seed=seed, holdout=0))).model
        grid = product(wanted.steps, wanted.starts, wanted.rates, wanted.heads)
        for steps, start, rate, head in grid:
            reclass.NEWCOMER = start
            learn.NEW_OUTPUTS = head
            settings = TrainSettings(steps=steps, learning_rate=rate, seed=seed, holdout=0)
            model = run(train.training(both, settings, base)).model
            found = [dice(run(predicting(v, model)).labels, n, [1, 2]) for v, n in volumes[5:]]
            scores = {i: round(float(np.mean([one[i] for one in found])), 3) for i in (1, 2)}
            facts = {"seed": seed, "steps": steps, "start": start, "rate": rate, "head": head}
            print(json.dumps(facts | {"dice": scores}), flush=True)


if __name__ == "__main__":
    main()
