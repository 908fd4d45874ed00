"""A network as other programs run it: it answers with probabilities, and says what they are of."""

from __future__ import annotations

import importlib
import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from napari_unet.core.model_header import KEY, dump_model_header
from napari_unet.core.spec import ModelSpec
from napari_unet.engine.bootstrap import FEWEST
from napari_unet.engine.model import Model
from napari_unet.engine.sizes import input_tile
from napari_unet.errors import WriteError

_NOISE = 1e-4
"""Largest difference of probabilities between programs that do the same sums in another order."""


class Probabilities(nn.Module):
    """A network whose logits become probabilities.

    Parameters
    ----------
    network : nn.Module
        Maps (batch, channels, ...) to logits (batch, outputs, ...).
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        """Return the probability of each output, shape (batch, outputs, ...)."""
        found: Tensor = torch.softmax(self.network(image), 1)
        return found


def probabilities_of(model: Model) -> Probabilities:
    """Return a model's network with a softmax, in evaluation mode."""
    return Probabilities(model.build()).eval()


def example(spec: ModelSpec, batch: int) -> Tensor:
    """Make tiles of noise as the network reads them, shape (batch, in_channels, *tile)."""
    rng = np.random.default_rng(0)
    shape = (batch, spec.in_channels, *input_tile(spec))
    return torch.from_numpy(rng.standard_normal(shape, np.float32))


def outputs(spec: ModelSpec) -> tuple[str, ...]:
    """Name what each probability is of."""
    if spec.target == "instances":
        return "background", "interior", "border"
    return tuple(c.name for c in spec.classes)


def facts(model: Model) -> str:
    """Return all that a model file says but weights and exemplars, as JSON."""
    header = replace(model.header(), exemplars=())
    return dump_model_header(header)[KEY]


def in_words(model: Model) -> str:
    """Describe, in Markdown, what the network reads and answers."""
    spec = model.spec
    channels = f"{len(spec.channels)} channel(s): {', '.join(spec.channels)}"
    if spec.context:
        n = 2 * spec.context + 1
        channels += (
            f"; of each the slice and its {spec.context} neighbours on each side, {n} in all"
        )
    lines = [
        f"# {model.name}",
        "",
        str(model.card.get("title") or f"A {spec.network} for {', '.join(outputs(spec)[1:])}."),
        "",
        "## What it reads",
        f"- {channels}.",
        f"- {_size(spec)}",
        f"- Intensities: {_intensities(spec)}",
    ]
    if spec.orientation:
        lines.append(f"- Axes (z, y, x) that run towards {spec.orientation}.")
    step = ", ".join(str(n) for n in spec.divisor)
    lines += [
        f"- Tiles of which each side is a multiple of ({step}) voxels, by default {input_tile(spec)}."
        if spec.network != "original"
        else f"- Tiles of {input_tile(spec)} voxels; it answers for the middle {spec.tile} of them.",
        "",
        "## What it answers",
        f"Probabilities of {', '.join(outputs(spec))}.",
    ]
    if spec.target == "instances":
        lines.append(
            "Objects come apart by a watershed from the interiors, which is not part of this."
        )
    lines += [
        "",
        "## Validation",
        _validation(model),
        "",
        f"Model {model.sha256}, by napari-unet.",
        "",
    ]
    return "\n".join(lines)


def agree(found: np.ndarray[Any, Any], wanted: Tensor, what: str) -> None:
    """Make sure that what was written computes what the model does.

    Raises
    ------
    WriteError
        When it does not.
    """
    error = float(np.abs(found - wanted.numpy()).max())
    if not error < _NOISE:  # so that NaN is an error, too
        raise WriteError(f"{what} answers otherwise than the model, by up to {error:.1e}.")


def required(package: str) -> Any:  # noqa: ANN401 - a module
    """Return a package that only exporting needs.

    Raises
    ------
    WriteError
        When it is not installed.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise WriteError(
            f"This format needs the package {package}: pip install 'napari-unet[export]'."
        ) from error


@contextmanager
def quiet() -> Iterator[None]:
    """Keep what the writers of formats have to say to their own developers from the user."""
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        yield


def _size(spec: ModelSpec) -> str:
    if spec.spacing is None:
        return "Voxels as they come."
    sides = " x ".join(f"{s:g}" for s in spec.spacing)
    return f"Voxels (z, y, x) of {sides} {spec.unit}."


def _intensities(spec: ModelSpec) -> str:
    how = spec.normalisation
    if how.kind == "none":
        return "as they are."
    if how.kind == "window":
        return f"{how.low:g} to {how.high:g} scaled to -1 to 1, clipped."
    return (
        f"each channel of an image clipped to its percentiles {how.low:g} and {how.high:g}, then brought to "
        "mean 0 and standard deviation 1."
    )


def _validation(model: Model) -> str:
    if test := model.card.get("test"):
        return f"On a test split: {json.dumps(test)}."
    held = model.history[-1].get("held_out") if model.history else None
    if not held or not held["slices"]:
        return "Nothing was held out to measure it."
    dice = held["mean_dice"]  # None where no class shows in what was held out
    if dice is None or not held.get("enough", held["slices"] >= FEWEST):
        return f"Too few slices were held out to tell how good it is: {held['slices']}."
    return f"Dice {dice:.3f} on {held['slices']} slices that taught nothing."
