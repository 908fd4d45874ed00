"""``napari-unet report``: a page about a model, with pictures."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from napari_unet.atomic import require_writable
from napari_unet.cli.annotated import Known, axis_of, known_parts
from napari_unet.cli.command import Outcome, UsageError
from napari_unet.cli.console import Console
from napari_unet.cli.options import add_axes
from napari_unet.core.bundled import model_paths
from napari_unet.core.model_header import ModelHeader, read_model_header
from napari_unet.errors import AnnotationError
from napari_unet.io import read, read_labels
from napari_unet.report import Example, write_report

HELP = "write a page about a model: what it is, what it learned from, how good it is, with pictures"


def add_arguments(parser: ArgumentParser) -> None:
    """Declare its arguments."""
    parser.add_argument("model", metavar="MODEL", help="A model file or a name.")
    parser.add_argument("--image", type=Path, metavar="IMG", help="An image to show it on.")
    parser.add_argument(
        "--labels", type=Path, metavar="LBL", help="What a person says of the image."
    )
    parser.add_argument(
        "--prediction", type=Path, metavar="PRED", help="What the model says of it, from `predict`."
    )
    parser.add_argument(
        "--slices",
        type=known_parts,
        metavar="z:3,17,40",
        help="The slices that are labelled in full; also z:3+y:20. Default: all.",
    )
    parser.add_argument(
        "-o", "--output", required=True, type=Path, metavar="HTML", help="The page's file."
    )
    add_axes(parser)


def run(args: Namespace, console: Console) -> Outcome:  # noqa: ARG001 - nothing to wait for
    """Read what there is and write the page."""
    if args.image is None and (args.labels or args.prediction or args.slices):
        raise UsageError(
            "--labels, --prediction and --slices lie on an image: name it with --image."
        )
    if args.output.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"{args.output} is to be a page: end its name in .html.")
    require_writable(args.output.parent)
    model = Path(args.model)
    if not model.exists():
        model = model_paths().get(args.model, model)
    header = read_model_header(model)
    files = [f for f in (model, args.image, args.labels, args.prediction) if f is not None]
    shown = write_report(
        args.output,
        header,
        example=None if args.image is None else _example(args, header),
        files=files,
    )
    result: dict[str, Any] = {
        "report": str(args.output),
        "model": header.sha256,
        "slices": [
            {
                "axis": "zyx"[p.axis],
                "index": p.index,
                "ground": p.ground.name.lower(),
                "dice": p.dice,
            }
            for p in shown
        ],
    }
    return Outcome(result, str(args.output))


def _example(args: Namespace, header: ModelHeader) -> Example:
    volume = read(args.image, channel_axis=args.channel_axis, time=args.time)
    labels, prediction = (
        None if path is None else read_labels(path, volume.grid)[0]
        for path in (args.labels, args.prediction)
    )
    return Example(
        volume,
        header.spec.classes,
        labels,
        prediction,
        _done(args.slices, volume.grid.shape),
        instances=header.spec.target == "instances",
    )


def _done(marked: Known | None, shape: tuple[int, ...]) -> tuple[tuple[int, int], ...] | None:
    if marked is None:
        return None
    if len(shape) == 2:
        raise UsageError("The image is a plane and has no slices: leave --slices out.")
    if marked.boxes or not marked.slices:
        raise UsageError("A report shows slices, not boxes: name them as z:3,17.")
    found = [(axis_of(s.letter, len(shape)), i) for s in marked.slices for i in s.indices]
    for axis, index in found:
        if index >= shape[axis]:
            raise AnnotationError(
                f"There is no slice {'zyx'[axis - len(shape)]} = {index}: the last one is {shape[axis] - 1}."
            )
    return tuple(found)
