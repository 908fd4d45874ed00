"""``napari-unet info``: what a model or an image is."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from dataclasses import asdict
from pathlib import Path
from typing import Any

from napari_unet.cli.command import Outcome
from napari_unet.cli.console import Console
from napari_unet.cli.options import add_axes
from napari_unet.core.bundled import model_paths
from napari_unet.core.model_header import read_model_header
from napari_unet.io import FORMATS, read, suffix_of

HELP = "tell what a model or an image is"


def add_arguments(parser: ArgumentParser) -> None:
    """Declare its arguments."""
    parser.add_argument("file", metavar="FILE", help="A model or an image; or a model's name.")
    add_axes(parser)


def run(args: Namespace, console: Console) -> Outcome:  # noqa: ARG001 - nothing to wait for
    """Read the header of a model, or an image."""
    path = Path(args.file)
    if not path.exists():
        path = model_paths().get(args.file, path)
    is_model = path.suffix == ".safetensors"
    result = describe_model(path) if is_model else _describe_image(path, args)
    return Outcome(result, _text(result))


def describe_model(path: Path) -> dict[str, Any]:
    """Return what a model file says about itself; its weights are not read."""
    header = read_model_header(path)
    spec = header.spec
    return {
        "kind": "model",
        "name": header.name,
        "path": str(path),
        "network": spec.network,
        "dims": spec.dims,
        "target": spec.target,
        "channels": list(spec.channels),
        "classes": [asdict(c) for c in spec.classes],
        "spacing": None if spec.spacing is None else list(spec.spacing),
        "unit": spec.unit,
        "context": spec.context,
        "block": None if spec.block is None else list(spec.block),
        "features": list(spec.features),
        "norm": None if spec.network == "original" else spec.norm,
        "tile": list(spec.tile),
        "mirrored": spec.mirrored,
        "orientation": spec.orientation or None,
        "parameters": header.parameters,
        "sha256": header.sha256,
        "parent": header.parent,
        "history": list(header.history),
        "card": header.card,
        "exemplars": {
            "patches": len(header.exemplars),
            "sources": sorted({e.source for e in header.exemplars if e.source}),
            "licences": sorted({e.licence for e in header.exemplars if e.licence}),
        },
    }


def _describe_image(path: Path, args: Namespace) -> dict[str, Any]:
    volume = read(path, channel_axis=args.channel_axis, time=args.time)
    grid = volume.grid
    known = FORMATS.get(suffix_of(path))
    return {
        "kind": "image",
        "name": volume.name,
        "path": str(path),
        "format": known.title if known is not None else suffix_of(path),
        "shape": list(grid.shape),
        "dtype": str(volume.data.dtype),
        "channels": list(volume.channels),
        "spacing": list(grid.spacing),
        "unit": grid.unit,
        "affine": None if grid.affine is None else [list(row) for row in grid.affine],
    }


def _text(result: dict[str, Any]) -> str:
    lines = []
    for key, value in result.items():
        if key == "classes":
            shown = ", ".join(
                f"{c['id']} {c['name']}" + (f" ({c['description']})" if c["description"] else "")
                for c in value
            )
        elif key == "history":
            shown = "; ".join(_run_text(entry) for entry in value) or "-"
        elif key == "card":
            shown = "; ".join(f"{k}: {v}" for k, v in value.items()) or "-"
        elif key == "exemplars":
            shown = _carried(value)
        elif isinstance(value, list):
            shown = ", ".join(map(str, value))
        else:
            shown = "-" if value is None else str(value)
        lines.append(f"{key:<11} {shown}")
    return "\n".join(lines)


def _carried(exemplars: dict[str, Any]) -> str:
    """Say which pieces of images travel with a model, as anybody who passes it on should know."""
    if not exemplars["patches"]:
        return "none: the file holds no image"
    ground = "; ".join([*exemplars["sources"], *exemplars["licences"]])
    return f"{exemplars['patches']} patches of images and labels ({ground or 'source not said'})"


def _run_text(entry: dict[str, Any]) -> str:
    plain = [f"{k} {v}" for k, v in entry.items() if not isinstance(v, dict | list)]
    try:
        measured = _measured(entry.get("held_out") or {})
    except (TypeError, ValueError, LookupError, AttributeError):  # what a run notes is free
        measured = "what was held out can't be understood"
    return ", ".join([*plain, measured] if measured else plain)


def _measured(held: dict[str, Any]) -> str:
    """Say what a run measured on what it held out; nothing where it measured nothing."""
    if held.get("mean_dice") is None:
        return ""
    if not held.get("enough", held["slices"] >= 3):
        return f"held out too few slices to tell ({held['slices']})"
    between = " ({:.3f} to {:.3f})".format(*held["interval"]) if held.get("interval") else ""
    ground = f"on {held['slices']} slices, {held['voxels']:,} voxels"
    return f"held-out Dice {held['mean_dice']:.3f}{between} {ground}"
