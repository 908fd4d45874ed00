"""``napari-unet export``: a model for other programs."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from napari_unet.cli.command import Outcome
from napari_unet.cli.console import Console
from napari_unet.cli.outputs import export_place
from napari_unet.core.export_formats import EXPORT_FORMATS

HELP = "write a model for other programs: ONNX, TorchScript, bioimage.io, MONAI bundle"


def add_arguments(parser: ArgumentParser) -> None:
    """Declare its arguments."""
    parser.add_argument("model", metavar="MODEL", help="A model file or a name.")
    parser.add_argument("--to", required=True, choices=list(EXPORT_FORMATS), help="For what.")
    parser.add_argument(
        "-o",
        "--output",
        required=True,
        type=Path,
        metavar="OUT",
        help="The file to write (.onnx, .pt, .zip); for monai-bundle a new folder.",
    )


def run(args: Namespace, console: Console) -> Outcome:  # noqa: ARG001 - seconds, without steps
    """Write it, and say what it reads and answers."""
    from napari_unet.engine.export import export  # torch: once there is work for it
    from napari_unet.engine.export.network import outputs
    from napari_unet.engine.model import load_model
    from napari_unet.engine.sizes import input_tile
    from napari_unet.engine.starters import resolve

    source = resolve(args.model)
    target = export_place(args.output, EXPORT_FORMATS[args.to].ending, source)
    model = load_model(source)
    export(model, target, args.to)
    spec = model.spec
    result = {
        "output": str(target),
        "format": args.to,
        "model": model.sha256,
        "channels": spec.in_channels,
        "tile": list(input_tile(spec)),
        "outputs": list(outputs(spec)),
    }
    text = f"{target}: reads {spec.in_channels} channel(s), answers {', '.join(outputs(spec))}"
    return Outcome(result, text)
