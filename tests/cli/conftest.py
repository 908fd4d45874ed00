"""A tiny real image, its labels and a tiny real model, as files."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_unet.cli import main
from napari_unet.core.classes import BACKGROUND, LabelClass
from napari_unet.core.grid import Grid
from napari_unet.core.spec import ModelSpec
from napari_unet.engine.model import Model, from_torch, save_model
from napari_unet.engine.networks import build_network
from napari_unet.io import write_labels, write_probabilities

SHAPE = (12, 24, 24)
GRID = Grid(SHAPE, (2.0, 1.0, 1.0), "mm")
CLASSES = (BACKGROUND, LabelClass(1, "ball", (0.9, 0.6, 0.0)))


@pytest.fixture
def ball():
    """Draw a ball of ones, shape (12, 24, 24), that fills slices 3 to 9."""
    z, y, x = np.ogrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    return ((z - 6) ** 2 * 4 + (y - 12) ** 2 + (x - 12) ** 2 < 64).astype(np.uint8)


@pytest.fixture
def image(tmp_path, ball):
    """Write a bright ball on noise as NIfTI."""
    noise = np.random.default_rng(0).standard_normal(SHAPE)
    grey = (ball * 3 + noise).astype(np.float32)
    return write_probabilities(tmp_path / "image.nii.gz", grey[None], GRID)


@pytest.fixture
def labels(tmp_path, ball):
    """Write the ball itself, with its class."""
    return write_labels(tmp_path / "truth.nii.gz", ball, GRID, CLASSES)


@pytest.fixture
def relabel(labels):
    """Write other label values in the place of the ball's, without classes."""
    return lambda values: write_labels(labels, values, GRID)


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """Save a tiny untrained 3D U-Net."""
    torch.manual_seed(0)
    spec = ModelSpec(
        features=(4, 8),
        tile=(8, 16, 16),
        classes=CLASSES,
        spacing=GRID.spacing,
        unit=GRID.unit,
    )
    network = build_network(spec)
    path = tmp_path_factory.mktemp("models") / "tiny.safetensors"
    return save_model(Model(spec, from_torch(network.state_dict()), "tiny"), path)


@dataclass
class Ran:
    """A command that has run."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        """The one JSON object on standard output."""
        return json.loads(self.out)


@pytest.fixture
def run(capsys, monkeypatch, tmp_path):
    """Run a command in this process, with a data folder of its own."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path.parent / f"{tmp_path.name}-data"))

    def call(*words: str | Path) -> Ran:
        capsys.readouterr()
        code = main([str(word) for word in words])
        return Ran(code, *capsys.readouterr())

    return call
