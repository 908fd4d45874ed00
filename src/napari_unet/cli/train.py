"""``napari-unet train``: a model from what was labelled, from scratch or from a base."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, get_type_hints

from napari_unet.cli.annotated import Known, known_parts, read_annotation
from napari_unet.cli.command import DONE, STOPPED, Outcome, UsageError
from napari_unet.cli.console import Console
from napari_unet.cli.options import add_axes, add_field, add_settings, read_settings
from napari_unet.cli.outputs import model_file, stopped_file
from napari_unet.core.annotation import Annotation
from napari_unet.core.bundled import samples
from napari_unet.core.classes import LabelClass, default_classes, united
from napari_unet.core.settings import TrainSettings
from napari_unet.core.volume import Volume
from napari_unet.io import read

if TYPE_CHECKING:
    from napari_unet.engine.model import Model
    from napari_unet.engine.trained import Trained

HELP = "train or fine-tune a model on labelled images or slices"

_BUDGET = ("minutes", "steps")


class Case(NamedTuple):
    """One image, what is known of it, and the classes that its label file names."""

    volume: Volume
    annotation: Annotation
    classes: tuple[LabelClass, ...]


def add_arguments(parser: ArgumentParser) -> None:
    """Declare its arguments."""
    parser.add_argument(
        "--image",
        nargs="+",
        action="extend",
        required=True,
        type=Path,
        metavar="IMG",
        dest="images",
        help="What to learn from.",
    )
    parser.add_argument(
        "--labels",
        nargs="+",
        action="extend",
        required=True,
        type=Path,
        metavar="LBL",
        help="The labels of each image, in the same order.",
    )
    parser.add_argument(
        "--slices",
        nargs="+",
        action="extend",
        type=known_parts,
        metavar="z:3,17,40",
        help="Fully annotated slices of each image, in order; without it every voxel is known. Slices of "
        "several orientations and boxes are joined: z:3,17+y:20+box:0:9,40:80,40:80.",
    )
    parser.add_argument("--unknown", type=int, metavar="VALUE", help="Label of unknown voxels.")
    parser.add_argument("--base", metavar="MODEL", help="Start from this model: a file or a name.")
    parser.add_argument(
        "--replay",
        nargs="+",
        type=_replayed,
        action="extend",
        default=[],
        metavar="REF",
        help="Also rehearse what the base has learned from, beside what its file carries: IMAGE=LABELS, or a "
        "bundled sample's name.",
    )
    add_axes(parser)
    hints = get_type_hints(TrainSettings, include_extras=True)
    budget = parser.add_mutually_exclusive_group()
    for field in fields(TrainSettings):
        if field.name in _BUDGET:
            add_field(budget, field, hints[field.name])
    add_settings(parser, TrainSettings, leave_out=_BUDGET)
    parser.add_argument(
        "-o",
        "--output",
        required=True,
        type=Path,
        metavar="MODEL",
        help="The new model's file; one that exists is replaced once training has run to its end.",
    )


def run(args: Namespace, console: Console) -> Outcome:
    """Train, and save the best model so far, also after Ctrl+C once it has learned anything."""
    _check_counts(args)
    settings = read_settings(TrainSettings, args)
    from napari_unet.engine.model import load_model, save_model  # torch: once there is work for it
    from napari_unet.engine.starters import resolve
    from napari_unet.engine.train import training

    base_file = None if args.base is None else resolve(args.base)
    target = model_file(args.output, () if base_file is None else (base_file,))
    base = None if base_file is None else load_model(base_file)
    marked = args.slices or [None] * len(args.images)
    files = zip(args.images, args.labels, marked, strict=True)
    taught = [_read_case(image, labels, known, args) for image, labels, known in files]
    rehearsed = [_read_case(image, labels, None, args) for image, labels in args.replay]
    classes = () if settings.instances else _classes(taught, base)
    job = training(
        [(case.volume, case.annotation) for case in taught],
        settings,
        base,
        classes,
        [(case.volume, case.annotation) for case in rehearsed],
        name=target.stem,
    )
    trained = console.drive(job)
    if console.stopped and target.exists():
        target = _beside(target, console)
    save_model(replace(trained.model, name=target.stem), target)
    code = STOPPED if console.stopped else DONE
    return Outcome(summary(trained, target), report(trained, target), code)


def _beside(target: Path, console: Console) -> Path:
    """Choose another name for a model that was stopped: the one that is there may be better."""
    other = stopped_file(target)
    console.say(
        f"{target} is not replaced, since training was stopped before its end: the model so far is "
        f"{other}."
    )
    return other


def summary(trained: Trained, path: Path) -> dict[str, Any]:
    """Return what ``--json`` says about a training run."""
    return {
        "model": str(path),
        "steps": trained.steps,
        "seconds": round(trained.seconds, 2),
        "device": trained.device,
        "validation": trained.validation.facts(),
        "promoted": trained.promoted,
        "verdict": trained.verdict.reason,
        "difference": trained.verdict.difference,
        "base_dice": trained.base_dice,
        "base": None if trained.base is None else trained.base.facts(),
        "old_task": None if trained.recall is None else asdict(trained.recall),
    }


def report(trained: Trained, path: Path) -> str:
    """Say the same in sentences: how good, compared with what, and measured on what."""
    marks = trained.validation
    lines = [f"{path}: {trained.steps} steps in {trained.seconds:.0f} s on the {trained.device}"]
    if not marks.enough or marks.mean_dice is None:
        held = f"{marks.slices} slice{'s' * (marks.slices != 1)} held out, and 3 are needed"
        lines.append(f"too few to tell how good it is: {held}; annotate more")
    else:
        lines.append(
            f"held-out Dice {_dice(marks.mean_dice, marks.interval)} on {marks.slices} slices, "
            f"{marks.voxels:,} voxels, that it did not learn from but was chosen by"
        )
        names = {c.id: c.name for c in trained.model.spec.classes}
        before = {} if trained.base is None else trained.base.per_class
        lines += [
            f"  {names[i]}: {_dice(one.dice, one.interval)}, {one.voxels:,} voxels on {one.slices} "
            f"of them{f'; the base {before[i]:.3f}' if i in before else ''}"
            for i, one in marks.classes.items()
        ]
    lines += [_compared(trained), _recalled(trained)]
    return "\n".join(line for line in lines if line)


def _dice(value: float, interval: tuple[float, float] | None) -> str:
    """Write a Dice with its confidence interval."""
    return (
        f"{value:.3f}"
        if interval is None
        else f"{value:.3f} ({interval[0]:.3f} to {interval[1]:.3f})"
    )


def _compared(trained: Trained) -> str:
    """Say how the model compares with its base; nothing without one."""
    verdict, base = trained.verdict, trained.base_dice
    if verdict.reason == "too few":
        return "too few to tell whether it is better than its base: keep both, and compare them"
    if verdict.reason == "other classes":
        return "the base lacks a class or reads other channels: only what both know can be compared"
    if verdict.difference is None or base is None:
        return ""
    low, high = verdict.difference
    words = "better" if trained.promoted else "not better beyond noise: keep the base"
    return f"the base on the same voxels: {base:.3f}; gain {low:+.3f} to {high:+.3f} ({words})"


def _recalled(trained: Trained) -> str:
    """Say how well the base's own task is still done; nothing where the base carries none of it."""
    recall = trained.recall
    if recall is None or recall.before is None or recall.after is None:
        return ""
    return (
        f"old task: Dice {recall.before:.3f} before, {recall.after:.3f} after, on {recall.patches} of the "
        f"patches that the base carries, kept aside; {recall.rehearsed} were rehearsed"
    )


def _check_counts(args: Namespace) -> None:
    if len(args.labels) != len(args.images):
        raise UsageError(f"{len(args.images)} images but {len(args.labels)} label files.")
    if args.slices and len(args.slices) != len(args.images):
        raise UsageError(
            f"{len(args.images)} images but {len(args.slices)} --slices: give one for each, in order."
        )


def _replayed(text: str) -> tuple[Path, Path]:
    """Turn ``IMAGE=LABELS`` or the name of a sample into its two files."""
    image, equals, labels = text.partition("=")
    if equals:
        return Path(image), Path(labels)
    known = {s.name: s for s in samples()}
    if text not in known:
        raise ArgumentTypeError(f"{text!r} is neither IMAGE=LABELS nor one of {', '.join(known)}")
    return known[text].image, known[text].labels


def _read_case(image: Path, labels: Path, marked: Known | None, args: Namespace) -> Case:
    """Read an image and what is known of it."""
    volume = read(image, channel_axis=args.channel_axis, time=args.time)
    annotation, classes = read_annotation(labels, volume, marked, args.unknown)
    return Case(volume, annotation, classes)


def _classes(cases: Sequence[Case], base: Model | None) -> tuple[LabelClass, ...]:
    """Name the classes: as the base does, else as the label files do, else by number.

    Empty when the base knows all of them: its own classes then stay as they are.
    """
    from napari_unet.engine.reclass import merged_before

    before = {} if base is None else merged_before(base)
    known = () if base is None or base.spec.target == "instances" else base.spec.classes
    ids = {before.get(i, i) for case in cases for i in case.annotation.counts()}
    if ids <= {c.id for c in known}:
        return ()
    named = [c for case in cases for c in case.classes if c.id in ids]
    return united(known, named, default_classes(ids, (*known, *named)))
