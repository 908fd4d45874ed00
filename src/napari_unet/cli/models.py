"""``napari-unet models``: the models that have a name."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any

from napari_unet.cli.command import Outcome
from napari_unet.cli.console import Console, table
from napari_unet.cli.info import describe_model
from napari_unet.core.bundled import model_paths, starter_paths
from napari_unet.errors import ModelFileError

HELP = "list the starter models and your own"


def add_arguments(parser: ArgumentParser) -> None:
    """Declare its arguments: it has none of its own."""


def run(args: Namespace, console: Console) -> Outcome:  # noqa: ARG001
    """Read the header of each model; one that is damaged is named and left out."""
    starters = set(starter_paths().values())
    models: list[dict[str, Any]] = []
    for name, path in model_paths().items():
        origin = "starter" if path in starters else "yours"
        try:
            models.append({**describe_model(path), "name": name, "origin": origin})
        except ModelFileError as error:
            console.say(str(error))
    return Outcome({"models": models}, _text(models))


def _text(models: list[dict[str, Any]]) -> str:
    rows = [("name", "origin", "network", "classes")]
    for model in models:
        classes = ", ".join(c["name"] for c in model["classes"][1:])
        network = f"{model['network']} {model['dims']}D"
        rows.append((model["name"], model["origin"], network, classes))
    return table(rows)
