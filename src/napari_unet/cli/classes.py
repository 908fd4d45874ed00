"""``napari-unet classes``: other classes for a model, keeping what the others learned."""

from __future__ import annotations

import re
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from dataclasses import replace
from pathlib import Path

from napari_unet.cli.command import Outcome, UsageError
from napari_unet.cli.console import Console
from napari_unet.cli.info import describe_model
from napari_unet.cli.outputs import model_file
from napari_unet.core.classes import LabelClass, default_classes, united

HELP = "add, rename, describe, order, merge or remove classes of a model, keeping what was learned"


def add_arguments(parser: ArgumentParser) -> None:
    """Declare its arguments."""
    parser.add_argument("model", metavar="MODEL", help="A model file or a name.")
    for what, form, kind in (
        ("add", "ID=NAME", _named),
        ("rename", "ID=NAME", _named),
        ("describe", "ID=TEXT", _named),
        ("order", "ID", int),
        ("merge", "ID=INTO", _pair),
        ("remove", "ID", int),
    ):
        parser.add_argument(
            f"--{what}", nargs="+", action="extend", default=[], type=kind, metavar=form
        )
    parser.add_argument(
        "-o", "--output", required=True, type=Path, metavar="MODEL", help="The new model's file."
    )


def run(args: Namespace, console: Console) -> Outcome:  # noqa: ARG001 - nothing to wait for
    """Change the classes and save a new model; the old one stays."""
    from napari_unet.engine.model import load_model, save_model  # torch: once there is work for it
    from napari_unet.engine.reclass import reclassed
    from napari_unet.engine.starters import resolve

    source = resolve(args.model)
    target = model_file(args.output, (source,))
    model = load_model(source)
    merged = dict(args.merge)
    changed = reclassed(model, _changed(model.spec.classes, args, merged), merged)
    save_model(changed, target)
    lines = [f"{c.id} {c.name}" for c in changed.spec.classes]
    taught = "; teach it the new ones with: napari-unet train --base" if args.add or merged else ""
    return Outcome(describe_model(target), "\n".join([*lines, f"{target}{taught}"]))


def _changed(
    classes: tuple[LabelClass, ...], args: Namespace, merged: dict[int, int]
) -> tuple[LabelClass, ...]:
    """Return the classes that are asked for."""
    known = {c.id: c for c in classes}
    names, words, gone = dict(args.rename), dict(args.describe), {*args.remove, *merged}
    for i, name in args.add:
        if i in known:
            raise UsageError(f"Class {i} is there already ({known[i].name}): rename it instead.")
        known[i] = replace(default_classes([i], known.values())[1], name=name)
    for one, into in merged.items():
        if into not in known or into in gone:
            raise UsageError(
                f"Class {one} can't be merged into {into}, which is not there to stay."
            )
    asked = (*names, *words, *gone, *args.order)
    strange = [i for i in asked if i not in known or (i == 0 and i in gone)]
    if strange:
        listed = ", ".join(f"{c.id} {c.name}" for c in classes)
        raise UsageError(f"There is no class {strange[0]} to change; the model has {listed}.")
    named = {
        i: replace(c, name=names.get(i, c.name), description=words.get(i, c.description))
        for i, c in known.items()
    }
    return united(named[i] for i in (*args.order, *named) if i not in gone)


def _named(text: str) -> tuple[int, str]:
    found = re.fullmatch(r"(\d+)=(.*\S)", text)
    if found is None:
        raise ArgumentTypeError(f"{text!r} is not of the form 3=vessel")
    return int(found[1]), found[2].strip()


def _pair(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d+)=(\d+)", text)
    if found is None:
        raise ArgumentTypeError(f"{text!r} is not of the form 2=1 (class 2 becomes part of 1)")
    return int(found[1]), int(found[2])
