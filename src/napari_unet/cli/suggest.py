"""``napari-unet suggest``: the slices of an image that are worth annotating next."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from napari_unet.cli.annotated import annotated, known_parts, read_annotation
from napari_unet.cli.command import DONE, STOPPED, Outcome, UsageError
from napari_unet.cli.console import Console, table
from napari_unet.cli.options import add_axes, add_settings, read_settings
from napari_unet.core.annotation import Annotation
from napari_unet.core.settings import PredictSettings
from napari_unet.core.suggestion import Suggestions
from napari_unet.core.volume import Volume
from napari_unet.io import read

HELP = "name the slices of an image that are worth annotating next"

_NOT_OURS = ("instances", "skip_below", "coarse", "compile")
"""Settings of prediction that make no difference here."""


def add_arguments(parser: ArgumentParser) -> None:
    """Declare its arguments."""
    parser.add_argument("image", type=Path, metavar="IMAGE", help="What is being annotated.")
    parser.add_argument(
        "-m", "--model", required=True, help="A .safetensors file, or a name that `models` lists."
    )
    parser.add_argument("--labels", type=Path, metavar="LBL", help="Its labels so far.")
    parser.add_argument(
        "--slices",
        type=known_parts,
        metavar="z:3,17,40",
        help="The slices that are annotated in full; also z:3+y:20, and box:0:9,40:80,40:80.",
    )
    parser.add_argument("--unknown", type=int, metavar="VALUE", help="Label of unknown voxels.")
    parser.add_argument(
        "-n",
        dest="count",
        type=_at_least(1),
        default=3,
        metavar="N",
        help="How many slices. Default: 3.",
    )
    parser.add_argument(
        "--before", metavar="MODEL", help="The model before this one: prefer what has changed."
    )
    parser.add_argument(
        "--seed", type=_at_least(0), default=0, metavar="S", help="Of the random share. Default: 0."
    )
    add_settings(parser, PredictSettings, leave_out=_NOT_OURS)
    add_axes(parser)


def run(args: Namespace, console: Console) -> Outcome:
    """Rank the slices of one image that are not annotated."""
    if args.labels is not None and args.slices is None and args.unknown is None:
        raise UsageError(
            "--labels alone would mean that every voxel is known: name the annotated slices with "
            "--slices, or the label of unknown voxels with --unknown."
        )
    settings = read_settings(PredictSettings, args)
    from napari_unet.engine.model import load_model  # only once there is work for it
    from napari_unet.engine.starters import resolve
    from napari_unet.engine.suggest import suggesting

    model = load_model(resolve(args.model))
    before = None if args.before is None else load_model(resolve(args.before))
    volume = read(args.image, channel_axis=args.channel_axis, time=args.time)
    job = suggesting(
        volume,
        model,
        _annotation(args, volume),
        settings,
        count=args.count,
        seed=args.seed,
        before=before,
    )
    found = console.drive(job)
    letter = "zyx"[found.axis]
    result = {"image": str(args.image), "axis": letter, "suggestions": _entries(found)}
    return Outcome(result, _text(found, letter), STOPPED if console.stopped else DONE)


def _annotation(args: Namespace, volume: Volume) -> Annotation | None:
    """Return what is known of the image; where there are slices and no labels, only that they are."""
    if args.labels is not None:
        return read_annotation(args.labels, volume, args.slices, args.unknown)[0]
    if args.slices is None:
        return None
    empty = np.zeros(volume.grid.shape, np.uint8)
    return annotated(empty, args.slices)


def _entries(found: Suggestions) -> list[dict[str, Any]]:
    entries = []
    for suggestion in found.slices:
        facts = asdict(suggestion)
        entries.append({"slice": facts.pop("index"), **facts, "unit": found.unit})
    return entries


def _text(found: Suggestions, letter: str) -> str:
    if not found.slices:
        return "Every slice is annotated." if found.complete else "No slice was finished."
    rows = [("", "score", "why")]
    rows += [(f"{letter} {s.index}", f"{s.score:.2f}", s.reason) for s in found.slices]
    return table(rows)


def _at_least(least: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise ArgumentTypeError(f"{text!r} is no whole number from {least} on")
        return int(text)

    return number
