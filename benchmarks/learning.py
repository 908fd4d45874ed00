"""Compare what can be learned in a few minutes: ours, a random forest, MONAI's tutorial, nnU-Net.

    python benchmarks/learning.py --tasks hippocampus-slices --seeds 0 1 2 --nnunet-python ~/nnunet/bin/python

Everyone gets the same voxels and the same minutes, one after the other, and is scored on the test split.
The forest and nnU-Net run in an environment of their own (nnunetv2 with the same PyTorch, scikit-learn,
scikit-image). `learners.py` and `nnunet_learns.py` say what each does; the minutes are for training, and
nnU-Net's planning and preprocessing come on top of them.

Objects: the others learn what we learn, background, interior and border (`engine/instances.py`), and get our
watershed for the way back. The images of nuclei are in order of size: the first ten are the smallest, every
fourth is some of each size ("nuclei-spread"). Slices are spread over the whole stack, at other heights in
each volume, with no look at the labels ("spread"); or lie at a fifth, half and four fifths of the structure
("inside").

Membranes are scored at the best of nine thresholds, as the challenge does (`membranes.py`), and as they come.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from contest import alternate, machine, spread, table, timed
from dataset import Row, rows
from membranes import THRESHOLDS, v_scores
from numpy.typing import NDArray

from napari_unet.core.scores import average_precision, dice
from napari_unet.engine.instances import border_classes, depths, objects

UNKNOWN = 255
OTHERS = ("forest", "monai", "nnunet")
"""Who is not this package; that is `ours`, `ours-3d` (blocks, not slices), or a network's name."""
HERE = Path(__file__).parent
Labels = NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Task:
    """Some images of a data set, what of them is annotated, and for how long to learn."""

    dataset: str
    images: int
    minutes: float
    values: tuple[int, ...] = ()
    """Label values that become the classes 1, 2, ...; empty for objects."""
    slices: int | None = None
    where: Literal["spread", "inside"] = "spread"
    measure: Literal["Dice", "AP@0.5", "V_Rand"] = "Dice"
    every: int = 1
    """Which of the train images: 1 for the first ones, 4 for every fourth."""


TASKS = {
    "hippocampus-slices": Task("hippocampus", 5, 5, (1, 2), slices=3),
    "hippocampus-inside": Task("hippocampus", 5, 5, (1, 2), slices=3, where="inside"),
    "hippocampus-volumes": Task("hippocampus", 5, 5, (1, 2)),
    "hippocampus-all": Task("hippocampus", 40, 30, (1, 2)),
    "nuclei-10": Task("dsb2018_fluo", 10, 10, measure="AP@0.5"),
    "nuclei-spread": Task("dsb2018_fluo", 10, 10, measure="AP@0.5", every=4),
    "nuclei-40": Task("dsb2018_fluo", 40, 30, measure="AP@0.5"),
    "mitochondria": Task("vnc_sstem", 1, 5, (3,), slices=5),
    "membranes": Task("isbi2012_em", 24, 30, (255,), measure="V_Rand"),
}


def main() -> None:
    """Print one row a task and learner."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--learners", nargs="+", default=["ours", *OTHERS])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--minutes", type=float, help="instead of the task's")
    parser.add_argument("--nnunet-python", help="interpreter that has nnunetv2 and scikit-learn")
    chosen = parser.parse_args()
    compare(chosen.tasks, chosen.learners, chosen.seeds, chosen.minutes, chosen.nnunet_python)


COLUMNS = {
    "mean": ("score", 3),
    "worst image": ("worst", 3),
    "steps": ("steps", 0),
    "s in all": ("wall", 0),
}
"""What is shown of the runs: a heading, and what it shows with how many digits."""


def compare(
    tasks: Sequence[str],
    learners: Sequence[str],
    seeds: Sequence[int],
    minutes: float | None = None,
    python: str | None = None,
) -> None:
    """Let learners take turns on each task and seed, and print one row a task and learner."""
    lines: list[tuple[object, ...]] = []
    for name in tasks:
        task = TASKS[name] if minutes is None else replace(TASKS[name], minutes=minutes)
        results: dict[str, list[dict[str, float]]] = {learner: [] for learner in learners}
        for seed in seeds:
            with tempfile.TemporaryDirectory() as folder:
                answers = hand_out(task, seed, Path(folder))
                contestants: dict[str, Callable[[], dict[str, float]]] = {
                    learner: partial(learn, learner, Path(folder), python, task, answers)
                    for learner in learners
                }
                for learner, (result,) in alternate(contestants, 1).items():
                    results[learner].append(result)
                    said = {"task": name, "learner": learner, "seed": seed, **result}
                    print(json.dumps(said), flush=True)
        for learner, runs in results.items():
            cells = (spread([r[key] for r in runs], digits) for key, digits in COLUMNS.values())
            lines.append((name, f"{task.minutes:g}", learner, task.measure, *cells, len(runs)))
    print(f"{machine('monai')}\n")
    print(table(("task", "minutes", "learner", "measure", *COLUMNS, "seeds"), lines))


def hand_out(task: Task, seed: int, folder: Path) -> dict[str, Labels]:
    """Write what every learner gets; return the right answers of the test images."""
    for part in ("train", "test"):
        (folder / part).mkdir()
    answers: dict[str, Labels] = {}
    chosen = list(rows(task.dataset, "train"))[:: task.every][: task.images]
    for number, row in enumerate(chosen):
        image, ids, _ = loaded(row)
        target = classes(ids, task)
        if task.slices:
            heights = planes(target, task, number, len(chosen))
            unseen = np.setdiff1d(np.arange(len(target)), heights)
            target[unseen] = UNKNOWN
        save(folder / "train", row, image=image, ids=ids, target=target)
    for row in rows(task.dataset, "test"):
        image, ids, _ = loaded(row)
        answers[row.case] = ids if task.measure == "AP@0.5" else classes(ids, task)
        save(folder / "test", row, image=image)
    grid = loaded(chosen[0])[2].grid
    terms = {
        "minutes": task.minutes,
        "seed": seed,
        "classes": 3 if task.measure == "AP@0.5" else 1 + len(task.values),
        "objects": task.measure == "AP@0.5",
        "first": task.measure == "V_Rand",
        "spacing": (1.0,) * (3 - grid.ndim) + grid.spacing,
        "unit": grid.unit,
    }
    (folder / "task.json").write_text(json.dumps(terms), encoding="utf-8")
    return answers


def loaded(row: Row) -> tuple[NDArray[np.float32], Labels, Any]:
    """Read an image (C, Z, Y, X) and its labels (Z, Y, X); a plane is a stack of one slice."""
    volume, labels = row.load()
    image = volume.array().astype(np.float32)
    return (
        image.reshape(len(image), *(1,) * (3 - volume.grid.ndim), *volume.grid.shape),
        (labels if labels.ndim == 3 else labels[None]),
        volume,
    )


def classes(ids: Labels, task: Task) -> NDArray[np.uint8]:
    """Turn a file's label values into 0, 1, ...: the task's classes, or parts of objects."""
    if task.measure == "AP@0.5":
        return border_classes(ids > 0, depths(ids, 2 if len(ids) == 1 else 3))
    out = np.zeros(ids.shape, np.uint8)
    for number, value in enumerate(task.values, 1):
        out[ids == value] = number
    return out


def planes(target: NDArray[np.uint8], task: Task, number: int, images: int) -> list[int]:
    """Choose the annotated slices of one volume."""
    count = task.slices or 0
    if task.where == "inside":
        inside = np.flatnonzero(target.any(axis=(1, 2)))
        return [int(inside[int(q * (len(inside) - 1))]) for q in (0.2, 0.5, 0.8)]
    own = (number + 0.5) / images
    return [int(len(target) * (i + own) / count) for i in range(count)]


def save(folder: Path, row: Row, **arrays: NDArray[Any]) -> None:
    """Write arrays of one image."""
    for what, array in arrays.items():
        np.save(folder / f"{row.case}.{what}.npy", array)


def learn(
    learner: str, folder: Path, python: str | None, task: Task, answers: dict[str, Labels]
) -> dict[str, float]:
    """Let one learn and label the test images, and score them."""
    script = HERE / ("nnunet_learns.py" if learner == "nnunet" else "learners.py")
    own = python if learner in ("nnunet", "forest") else sys.executable
    if own is None:
        raise SystemExit(f"{learner} needs --nnunet-python.")
    (folder / learner).mkdir()
    wall, said = timed(
        [own, script, learner, folder], OMP_WAIT_POLICY="PASSIVE", GOMP_SPINCOUNT="0"
    )
    scores = []
    for case, truth in answers.items():
        given = np.load(folder / learner / f"{case}.npy")
        if task.measure == "AP@0.5" and learner in OTHERS:
            given = objects(np.eye(3, dtype=np.float32)[given].transpose(3, 0, 1, 2))
        scores.append(score(given, truth, task))
    result = {"score": float(np.mean(scores)), "worst": min(scores), "wall": wall, **said}
    if task.measure == "V_Rand":
        result |= {"as they come": result["score"], **best(folder / learner, answers)}
    return result


def best(folder: Path, answers: dict[str, Labels]) -> dict[str, float]:
    """Score cells and membranes at the threshold that is best for all images together."""
    likely = {case: np.load(folder / f"{case}.first.npy")[0] for case in answers}
    found = np.array(
        [[v_scores(likely[c] > t, a[0] == 0) for c, a in answers.items()] for t in THRESHOLDS]
    )
    each = found[found[..., 0].mean(axis=1).argmax(), :, 0]
    v_info = float(found[..., 1].mean(axis=1).max())
    return {"score": float(each.mean()), "worst": float(each.min()), "V_Info": v_info}


def score(given: Labels, truth: Labels, task: Task) -> float:
    """Score one image by the task's measure."""
    if task.measure == "AP@0.5":
        return average_precision(given, truth)[0.5]
    if task.measure == "V_Rand":
        return v_scores(given[0] == 0, truth[0] == 0)[0]
    return float(np.mean(list(dice(given, truth, range(1, len(task.values) + 1)).values())))


if __name__ == "__main__":
    main()
