"""Models as `auto` makes them for a CPU, not trained, and an image to run them on: speed needs no more."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from napari_unet.core.annotation import Annotation
from napari_unet.core.classes import BACKGROUND, LabelClass
from napari_unet.core.grid import Grid
from napari_unet.core.settings import NetworkChoice, TrainSettings
from napari_unet.core.spec import ModelSpec, Normalisation
from napari_unet.core.volume import Volume
from napari_unet.engine.auto import choose_spec
from napari_unet.engine.model import Model, from_torch
from napari_unet.engine.networks import build_network

_ENOUGH = 192
"""Voxels along an axis from which `auto` chooses the same for every larger image."""


def chosen_spec(
    network: NetworkChoice,
    shape: tuple[int, ...],
    classes: int = 2,
    spacing: tuple[float, ...] = (1.0, 1.0, 1.0),
    normalisation: Normalisation | None = None,
) -> ModelSpec:
    """Return what `auto` chooses on a CPU for a fully labelled volume of this shape, in mm."""
    shape = tuple(min(n, _ENOUGH) for n in shape)
    labels = np.zeros(shape, np.uint8)
    labels[0, 0, 0] = 1
    volume = Volume(labels[None], Grid(shape, spacing, "mm"))
    named = (BACKGROUND, *(LabelClass(i, f"class {i}") for i in range(1, classes)))
    settings = TrainSettings(network=network, dims=3, device="cpu")
    spec, _ = choose_spec([(volume, Annotation.full(labels))], settings, named, torch.device("cpu"))
    return replace(spec, normalisation=normalisation or Normalisation())


def untrained(spec: ModelSpec, seed: int = 0) -> Model:
    """Return a model of this spec with random weights, the same ones for the same seed."""
    torch.manual_seed(seed)
    return Model(
        spec, from_torch(build_network(spec).state_dict()), name=f"untrained {spec.network}"
    )


def phantom(shape: tuple[int, ...], seed: int = 0) -> NDArray[np.int16]:
    """Make an image with structures of some voxels and noise, from 0 to about 1,000."""
    rng = np.random.default_rng(seed)
    structures = gaussian_filter(rng.standard_normal(shape, dtype=np.float32), 4)
    structures *= 200 / structures.std()
    noise = rng.normal(0, 20, shape).astype(np.float32)
    return np.asarray(np.clip(500 + structures + noise, 0, None), np.int16)
