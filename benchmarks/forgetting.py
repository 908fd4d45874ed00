"""Measure what a base forgets when it is fine-tuned on another kind of image, with and without replay.

    python benchmarks/forgetting.py [--base nuclei-2d] [--steps 300] [--seeds 0 1 2] [--images 3]

The base, a starter for fluorescent nuclei, learns from three train images of `usiigaci_phase`; it and what
comes of it are scored on the test images of both. With replay, half of each step are the patches that
the base's own file carries. Nothing is held out. One JSON line a model, the base first.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import Any

from dataset import Row, rows
from train_starters import score

from napari_unet.core.annotation import Annotation
from napari_unet.core.progress import run
from napari_unet.core.settings import TrainSettings
from napari_unet.engine.model import Model
from napari_unet.engine.starters import starter
from napari_unet.engine.train import training

NEW, OLD = "usiigaci_phase", "dsb2018_fluo"


def main() -> None:
    """Score the base, then what comes of it with and without replay."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base", default="nuclei-2d")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--images", type=int, default=3, help="train images of the new kind")
    parser.add_argument("--most", type=int, help="test images of each kind; all when not given")
    wanted = parser.parse_args()
    tests = {name: list(rows(name, "test"))[: wanted.most] for name in (NEW, OLD)}
    base = starter(wanted.base)
    if not base.exemplars:
        parser.error(f"{wanted.base} carries no exemplars: choose a base that does.")
    every = list(rows(NEW, "train"))
    taught = every[:: max(1, len(every) // wanted.images)][: wanted.images]
    cases = [(v, Annotation.full(n)) for v, n in (row.load() for row in taught)]
    say({"model": wanted.base}, base, tests)
    for seed in wanted.seeds:
        for replay in (False, True):
            settings = TrainSettings(
                steps=wanted.steps, seed=seed, instances=True, holdout=0, rehearse=replay
            )
            trained = run(training(cases, settings, base))
            facts = {"seed": seed, "steps": wanted.steps, "replay": replay}
            recall = None if trained.recall is None else asdict(trained.recall)
            say(facts | {"old_task": recall}, trained.model, tests)


def say(facts: dict[str, Any], model: Model, tests: dict[str, list[Row]]) -> None:
    """Print how well a model does on the new and the old kind of image."""
    scored = {name: score(model, part) for name, part in tests.items()}
    print(json.dumps(facts | scored), flush=True)


if __name__ == "__main__":
    main()
