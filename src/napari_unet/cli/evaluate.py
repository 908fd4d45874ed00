"""``napari-unet evaluate``: how well labels agree with a reference."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

import numpy as np

from napari_unet.cli.command import Outcome, UsageError
from napari_unet.cli.console import Console, table
from napari_unet.core.classes import (
    LIKELY_OBJECTS,
    LabelClass,
    default_classes,
    nameless,
)
from napari_unet.core.progress import Progress
from napari_unet.core.scores import MEASURES, mean
from napari_unet.io import read_labels

_STRANGE = 10
"""Values beyond the classes that one of two files names, from which they are objects, most likely."""

HELP = "compare labels with a reference: Dice, IoU, HD95, ASSD, and AP of objects"


def add_arguments(parser: ArgumentParser) -> None:
    """Declare its arguments."""
    parser.add_argument("labels", nargs="+", type=Path, metavar="PRED", help="Labels to judge.")
    parser.add_argument(
        "--reference",
        nargs="+",
        action="extend",
        required=True,
        type=Path,
        metavar="REF",
        help="The right labels, in the same order.",
    )
    parser.add_argument(
        "--instances", action="store_true", help="Label values are objects, not classes."
    )


def run(args: Namespace, console: Console) -> Outcome:
    """Score each pair of files, then all of them together."""
    if len(args.labels) != len(args.reference):
        raise UsageError(
            f"{len(args.labels)} label files but {len(args.reference)} references: give one each."
        )
    from napari_unet.engine.evaluate import evaluate  # torch: only once there is work for it

    cases: list[dict[str, Any]] = []
    for path, right in zip(args.labels, args.reference, strict=True):
        console.show(Progress("evaluate", len(cases), len(args.labels)))
        reference, grid, named = read_labels(right)
        labels, _, more = read_labels(path, grid)
        ids = np.union1d(labels, reference).tolist()
        doubt = "" if args.instances else _doubt(path, right, ids, (*named, *more))
        if doubt:
            console.say(doubt)  # before, since hundreds of classes take minutes
        scores = evaluate(labels, reference, grid, ids, instances=args.instances)
        cases.append({"case": path.name, **scores, **({"warning": doubt} if doubt else {})})
    ids = sorted({i for case in cases for i in case["dice"]})
    thresholds = sorted({t for case in cases for t in case.get("ap", {})})
    for case in cases:  # every case names every class: null where it has none
        case |= {m: {i: case[m].get(i) for i in ids} for m in MEASURES}
        if args.instances:  # likewise where it has no object at all
            case["ap"] = {t: case["ap"].get(t) for t in thresholds}
    result = {"cases": cases, **_summary(cases, ids)}
    return Outcome(result, _text(result))


def _doubt(path: Path, right: Path, ids: list[int], named: tuple[LabelClass, ...]) -> str:
    """Say that objects are compared as classes, most likely; empty where nothing tells so."""
    count = len(nameless(default_classes(ids), named))
    if count < (_STRANGE if named else LIKELY_OBJECTS):
        return ""
    return (
        f"{path} and {right} are compared as classes but hold {count} different values that have no name: "
        "if they are objects, say so (--instances)."
    )


def _summary(cases: list[dict[str, Any]], ids: list[int]) -> dict[str, Any]:
    """Means over the cases; what a case has no value for is left out of them."""
    units = {case["unit"] for case in cases}
    summary: dict[str, Any] = {}
    for measure in MEASURES:
        # Distances in different units have no mean.
        counted = [] if measure in ("hd95", "assd") and len(units) > 1 else cases
        summary[measure] = {i: mean(case[measure][i] for case in counted) for i in ids}
        summary[f"mean_{measure}"] = mean(case[f"mean_{measure}"] for case in counted)
    summary["unit"] = units.pop() if len(units) == 1 else None
    summary["voxels"] = sum(case["voxels"] for case in cases)
    if "ap" in cases[0]:
        summary["ap"] = {t: mean(case["ap"][t] for case in cases) for t in cases[0]["ap"]}
        summary["mean_ap"] = mean(case["mean_ap"] for case in cases)
    return summary


def _text(result: dict[str, Any]) -> str:
    unit = result["unit"] or "own unit"
    heads = ["Dice", "IoU", f"HD95 ({unit})", f"ASSD ({unit})"]
    heads += [f"AP@{t}" for t in result.get("ap", {})]
    rows = [("", *heads)]
    rows += [_row(case["case"], case) for case in result["cases"]]
    count = len(result["cases"])
    rows.append(_row(f"mean of {count} case(s), {result['voxels']:,} voxels", result))
    if len(result["dice"]) > 1:
        rows += [
            (f"  class {i}", *(_number(result[m][i]) for m in MEASURES), *[""] * (len(heads) - 4))
            for i in result["dice"]
        ]
    doubts = [case["warning"] for case in result["cases"] if "warning" in case]
    return "\n".join([table(rows), *doubts])  # said before, but far above by now


def _row(name: str, scores: dict[str, Any]) -> tuple[str, ...]:
    means = [scores[f"mean_{m}"] for m in MEASURES]
    return (name, *map(_number, [*means, *scores.get("ap", {}).values()]))


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
