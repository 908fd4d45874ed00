"""Play a person who annotates slice by slice, and measure what each further slice buys.

    python benchmarks/human_loop.py --dataset hippocampus --seeds 0 1 2
    python benchmarks/human_loop.py --dataset vnc_sstem --volumes 1 --seeds 0 1 2

The person annotates the middle slice of each volume and trains. Then, round by round, they look at one
more slice of each volume, correct what the model says there (the reference annotation plays the
person), mark it done, and train on from the current model on all slices so far. Nothing is held
out, so that strategies differ in nothing but the slices. How the next slice is chosen:

suggest   `suggesting`, which knows the model and nothing of the reference
change    the same, also given the model of the round before
even      the foreground slice farthest from those done: every k-th slice, k halving as needed
random    any foreground slice

The last two know where the foreground is, which a person sees. Scored on the test split.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import mean, stdev
from typing import Any

import numpy as np
from dataset import rows
from numpy.typing import NDArray

from napari_unet.core import scores
from napari_unet.core.annotation import Annotation
from napari_unet.core.classes import LabelClass, default_classes
from napari_unet.core.progress import run
from napari_unet.core.settings import TrainSettings
from napari_unet.core.volume import Volume
from napari_unet.engine.model import Model, load_model
from napari_unet.engine.predict import predicting
from napari_unet.engine.rank import distances
from napari_unet.engine.starters import resolve
from napari_unet.engine.suggest import suggesting
from napari_unet.engine.train import training

STRATEGIES = ("suggest", "change", "even", "random")
SHOWN = (1, 2, 3, 5, 8)
"""Rounds after which models are scored."""

Truth = tuple[Volume, NDArray[np.integer[Any]]]


@dataclass
class Desk:
    """A volume on the person's desk, with the slices that are done."""

    volume: Volume
    reference: NDArray[np.integer[Any]]
    done: list[int] = field(default_factory=list)

    @property
    def annotation(self) -> Annotation:
        """What the person has said so far."""
        return Annotation.from_slices(self.reference, 0, self.done)

    def foreground(self) -> NDArray[np.intp]:
        """Slices that show anything."""
        return np.flatnonzero(self.reference.any(axis=(1, 2)))

    def correct(self, index: int, model: Model | None) -> int:
        """Mark a slice done; return how many of its voxels had to be changed."""
        self.done.append(index)
        right = self.reference[index]
        if model is None:
            return int(np.count_nonzero(right))
        return int(np.count_nonzero(run(predicting(self.volume, model)).labels[index] != right))


@dataclass(frozen=True)
class Score:
    """What stood after one round."""

    slices: int
    corrected: int
    dice: float
    seconds: float


def main() -> None:
    """Play all strategies with all seeds and print a table."""
    options = arguments()
    train = [row.load() for row in rows(options.dataset, "train")][: options.volumes]
    test = [row.load() for row in rows(options.dataset, "test")][: options.tests]
    found: dict[tuple[str, int], list[Score]] = {}
    for seed in options.seeds:
        began = time.perf_counter()
        first = learned([desk(*truth) for truth in train], opening(options), options, seed, 1)
        seconds = time.perf_counter() - began
        for strategy in options.strategies:
            played = play(strategy, train, test, first, options, seed)
            for number, score in played:
                whole = Score(score.slices, score.corrected, score.dice, score.seconds + seconds)
                found.setdefault((strategy, number), []).append(whole)
                print(f"# {strategy}, seed {seed}, round {number}: {whole}", flush=True)
    print("\n".join(table(options, found)))


def play(
    strategy: str,
    train: Sequence[Truth],
    test: Sequence[Truth],
    first: Model,
    options: argparse.Namespace,
    seed: int,
) -> Iterator[tuple[int, Score]]:
    """Go through the rounds; yield those that are shown with their scores."""
    desks = [desk(*truth) for truth in train]
    corrected = sum(int(np.count_nonzero(d.reference[d.done])) for d in desks)
    rng = np.random.default_rng(seed)
    model, before, seconds = first, None, 0.0
    for number in range(1, options.rounds + 1):
        began = time.perf_counter()
        if number > 1:
            for place in desks:
                index = choice(strategy, place, model, before, rng)
                corrected += 0 if index is None else place.correct(index, model)
            model, before = learned(desks, model, options, seed, number), model
        seconds += time.perf_counter() - began
        if number in SHOWN or number == options.rounds:
            done = sum(len(d.done) for d in desks)
            yield number, Score(done, corrected, dice(model, test), seconds)


def choice(
    strategy: str, place: Desk, model: Model, before: Model | None, rng: np.random.Generator
) -> int | None:
    """Choose the next slice of one volume; None when all are done."""
    left = np.setdiff1d(place.foreground(), place.done)
    if strategy == "random":
        return int(rng.choice(left)) if left.size else None
    if strategy == "even":
        away = distances(len(place.reference), place.done)
        return int(left[away[left].argmax()]) if left.size else None
    earlier = before if strategy == "change" else None
    seed = int(rng.integers(1 << 31))
    job = suggesting(place.volume, model, place.annotation, count=1, seed=seed, before=earlier)
    found = run(job).slices
    return found[0].index if found else None


def desk(volume: Volume, reference: NDArray[np.integer[Any]]) -> Desk:
    """Put a volume on the desk, with the middle slice of its foreground done."""
    place = Desk(volume, reference)
    inside = place.foreground()
    place.correct(int(inside[len(inside) // 2]), None)
    return place


def learned(
    desks: Sequence[Desk],
    model: Model | None,
    options: argparse.Namespace,
    seed: int,
    number: int,
) -> Model:
    """Train on from a model, on every slice that is done."""
    settings = TrainSettings(steps=options.steps, seed=1000 * seed + number, holdout=0.0)
    cases = [(d.volume, d.annotation) for d in desks]
    return run(training(cases, settings, model, classes(desks))).model


def classes(desks: Sequence[Desk]) -> tuple[LabelClass, ...]:
    """Name every class from the start, so that one met late needs no new network."""
    return default_classes(int(i) for d in desks for i in np.unique(d.reference))


def opening(options: argparse.Namespace) -> Model | None:
    """Return the model to start from, or None to start from scratch."""
    return None if options.base == "none" else load_model(resolve(options.base))


def dice(model: Model, test: Sequence[Truth]) -> float:
    """Return the mean Dice over the classes of each test volume, and over these."""
    each = []
    for volume, reference in test:
        labels = run(predicting(volume, model)).labels
        ids = [int(i) for i in np.unique(reference) if i]
        each.append(scores.mean(scores.dice(labels, reference, ids).values()) or 0.0)
    return mean(each)


def table(options: argparse.Namespace, found: dict[tuple[str, int], list[Score]]) -> list[str]:
    """Lay out what was found in Markdown: Dice, voxels corrected, and minutes, means over seeds."""
    numbers = sorted({number for _, number in found})
    lines = [
        f"{options.dataset}: {options.volumes} volume(s), {options.steps} steps a round, from "
        f"{'scratch' if options.base == 'none' else options.base}, seeds {options.seeds}, "
        "mean Dice of the test volumes (standard deviation over the seeds).",
        "",
        "| next slice | " + " | ".join(f"round {n}" for n in numbers) + " | corrected | minutes |",
        "|---|" + "---|" * (len(numbers) + 2),
    ]
    for strategy in options.strategies:
        rounds = [found[strategy, n] for n in numbers]
        cells = [spread([s.dice for s in some]) for some in rounds]
        voxels = mean(s.corrected for s in rounds[-1])
        minutes = mean(s.seconds for s in rounds[-1]) / 60
        cells += [f"{voxels:,.0f}", f"{minutes:.1f}"]
        lines.append(f"| {strategy} | " + " | ".join(cells) + " |")
    slices = [str(found[options.strategies[0], n][0].slices) for n in numbers]
    lines.append("| slices done | " + " | ".join(slices) + " | | |")
    return lines


def spread(values: Sequence[float]) -> str:
    """Write a mean and how far the values lie from it."""
    return f"{mean(values):.3f}" + (f" ({stdev(values):.3f})" if len(values) > 1 else "")


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", choices=["hippocampus", "vnc_sstem"], default="hippocampus")
    parser.add_argument("--volumes", type=int, default=3, help="volumes on the desk")
    parser.add_argument("--tests", type=int, default=20, help="test volumes to score on")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--steps", type=int, default=200, help="training steps a round")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--strategies", nargs="+", choices=STRATEGIES, default=list(STRATEGIES))
    parser.add_argument("--base", default="none", help="model to start from")
    return parser.parse_args()


if __name__ == "__main__":
    main()
