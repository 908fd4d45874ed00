"""Compare losses on objects that touch: AP@0.5 after the same number of steps.

    python benchmarks/losses.py [--losses auto border] [--steps 300] [--seeds 0 1 2]

Learns from 10 train images of `dsb2018_fluo` and is scored on 10 others of them. One JSON line a run.
"""

from __future__ import annotations

import argparse
import json
from typing import get_args

import numpy as np
from dataset import rows

from napari_unet.core.annotation import Annotation
from napari_unet.core.progress import run
from napari_unet.core.scores import average_precision
from napari_unet.core.settings import Loss, PredictSettings, TrainSettings
from napari_unet.engine.predict import predicting
from napari_unet.engine.train import training


def main() -> None:
    """Train with each loss and seed, and print what each reached."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--losses", nargs="+", choices=get_args(Loss), default=["auto", "border"])
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    wanted = parser.parse_args()
    images = list(rows("dsb2018_fluo", "train"))
    taught = [(v, Annotation.full(n)) for v, n in (row.load() for row in images[1::4])]
    scored = [row.load() for row in images[::4]]
    for seed in wanted.seeds:
        for loss in wanted.losses:
            settings = TrainSettings(
                steps=wanted.steps, loss=loss, seed=seed, instances=True, holdout=0
            )
            model = run(training(taught, settings)).model
            found = [
                average_precision(
                    run(predicting(v, model, PredictSettings(instances=True))).labels, n
                )
                for v, n in scored
            ]
            ap = {t: round(float(np.mean([one[t] for one in found])), 4) for t in (0.5, 0.7, 0.9)}
            print(
                json.dumps({"loss": loss, "seed": seed, "steps": wanted.steps, "ap": ap}),
                flush=True,
            )


if __name__ == "__main__":
    main()
