"""Train the starter models of `sample_data` from the train splits, and score them on the test splits.

    python benchmarks/train_starters.py hippocampus-mr nuclei-2d nuclei-3d

Each model file carries a card: its data, licence, split, test score and the command above; and exemplars,
patches of what taught it, so that what is made from it need not forget. `--exemplars` chooses these anew
and leaves the rest of a model that is there as it is.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # see docs/architecture.md, "Threads"
os.environ.setdefault("GOMP_SPINCOUNT", "0")

import argparse
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from dataset import Row, rows

from napari_unet.core.annotation import Annotation
from napari_unet.core.bundled import folder
from napari_unet.core.classes import BACKGROUND, PALETTE, LabelClass
from napari_unet.core.progress import Progress, run
from napari_unet.core.scores import average_precision, dice
from napari_unet.core.settings import PredictSettings, TrainSettings
from napari_unet.engine.cases import Case
from napari_unet.engine.exemplars import chosen
from napari_unet.engine.holdout import spared
from napari_unet.engine.learn import augmentation_for
from napari_unet.engine.ledger import Ledger
from napari_unet.engine.model import Model, load_model, save_model
from napari_unet.engine.predict import predicting
from napari_unet.engine.train import training


@dataclass(frozen=True)
class Recipe:
    """What a starter learns from, and for how long."""

    dataset: str
    title: str
    data: str
    licence: str
    classes: tuple[LabelClass, ...]
    settings: TrainSettings


RECIPES = {
    "hippocampus-mr": Recipe(
        "hippocampus",
        "Anterior and posterior hippocampus in T1-weighted MR crops",
        "Medical Segmentation Decathlon, Task04 Hippocampus (Simpson et al. 2019), CC BY-SA 4.0",
        "CC BY-SA 4.0",
        (
            BACKGROUND,
            LabelClass(1, "anterior hippocampus", PALETTE[0]),
            LabelClass(2, "posterior hippocampus", PALETTE[1]),
        ),
        TrainSettings(steps=1200, dims=3),
    ),
    "nuclei-2d": Recipe(
        "dsb2018_fluo",
        "Fluorescent nuclei in single planes, told apart one by one",
        "2018 Data Science Bowl stage 1 (BBBC038v1, Caicedo et al. 2019), CC0 1.0",
        "CC0 1.0",
        (BACKGROUND, LabelClass(1, "nucleus", PALETTE[1])),
        TrainSettings(steps=3000, instances=True),
    ),
    "nuclei-3d": Recipe(
        "bbbc050",
        "Fluorescent nuclei of mouse embryos in 3D stacks, told apart one by one",
        "BBBC050 mouse embryo nuclei, microscope A (Tokuoka et al. 2020), CC0 1.0",
        "CC0 1.0",
        (BACKGROUND, LabelClass(1, "nucleus", PALETTE[1])),
        TrainSettings(steps=1200, holdout=0.2, instances=True),
    ),
}


def main() -> None:
    """Train and score the starters named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="+", choices=list(RECIPES))
    parser.add_argument("--steps", type=int, help="instead of the recipe's")
    parser.add_argument("--score", action="store_true", help="only score a model that is there")
    parser.add_argument("--exemplars", action="store_true", help="only choose exemplars anew")
    parser.add_argument("-o", "--output", type=Path, default=folder())
    arguments = parser.parse_args()
    for name in arguments.names:
        recipe = RECIPES[name]
        if arguments.steps:
            recipe = replace(recipe, settings=replace(recipe.settings, steps=arguments.steps))
        path = arguments.output / f"{name}.safetensors"
        if arguments.exemplars:
            save_model(carrying(load_model(path), recipe), path)
            continue
        model = load_model(path) if arguments.score else learn(name, recipe)
        publish(model, name, recipe, path)


def learn(name: str, recipe: Recipe) -> Model:
    """Train one starter on the whole train split."""
    job = training(lessons(recipe), recipe.settings, classes=recipe.classes, name=name)
    return carrying(run(job, _Printer(name)).model, recipe)


def lessons(recipe: Recipe) -> list[Case]:
    """Read the whole train split."""
    loaded = (row.load() for row in rows(recipe.dataset, "train"))
    return [(volume, Annotation.full(labels)) for volume, labels in loaded]


def carrying(model: Model, recipe: Recipe) -> Model:
    """Return a starter with patches of what taught it, less what was held out to measure it.

    It also notes whether it learned from mirrored images, which models of before did not say.
    """
    cases = lessons(recipe)
    taught = spared(cases, Ledger.of(model.history))
    spec = replace(model.spec, mirrored=augmentation_for(cases).mirror)
    source = f"train split of {recipe.data.rpartition(',')[0]}"
    return replace(model, spec=spec, exemplars=chosen(taught, spec, 0, source, recipe.licence))


def publish(model: Model, name: str, recipe: Recipe, path: Path) -> None:
    """Score a starter and write it with its card."""
    scores = score(model, list(rows(recipe.dataset, "test")))
    card = {
        "title": recipe.title,
        "data": recipe.data,
        "train": f"{len(list(rows(recipe.dataset, 'train')))} images, train split",
        "test": scores,
        "command": f"python benchmarks/train_starters.py {name}",
    }
    save_model(replace(model, card=card), path)
    print(json.dumps({"model": path.name, **model.history[-1], **scores}, indent=1, default=str))


def score(model: Model, test: list[Row]) -> dict[str, Any]:
    """Score a model on whole images: Dice a class, and AP for an instance model."""
    instances = model.spec.target == "instances"
    ids = [c.id for c in model.spec.classes[1:]]
    overlaps: dict[int, list[float]] = {i: [] for i in ids}
    precision: dict[float, list[float]] = {}
    for row in test:
        volume, reference = row.load()
        found = run(predicting(volume, model, PredictSettings(instances=instances))).labels
        truth = (reference > 0).astype(np.uint8) if instances else reference
        given = (found > 0).astype(np.uint8) if instances else found
        for i, value in dice(given, truth, ids).items():
            overlaps[i].append(value)
        if instances:
            for threshold, value in average_precision(found, reference).items():
                precision.setdefault(threshold, []).append(value)
    per_class = {i: round(float(np.mean(v)), 4) for i, v in overlaps.items()}
    scores: dict[str, Any] = {
        "images": len(test),
        "dice": per_class,
        "mean_dice": round(float(np.mean(list(per_class.values()))), 4),
    }
    if instances:
        scores["ap"] = {str(t): round(float(np.mean(v)), 4) for t, v in precision.items()}
    return scores


class _Printer:
    """Prints what a training says, one line a measurement."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, report: Progress) -> None:
        if report.dice is not None and report.loss is not None:
            marks = " ".join(f"{i}:{d:.3f}" for i, d in report.dice.items())
            print(
                f"{self._name} {report.seconds:6.0f} s  step {report.done}  "
                f"loss {report.loss:.3f}  held-out Dice {marks}",
                flush=True,
            )


if __name__ == "__main__":
    main()
