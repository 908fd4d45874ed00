"""TorchScript: a file that PyTorch runs without this package, from Python or C++."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from napari_unet.atomic import write_whole
from napari_unet.engine.export.network import agree, example, facts, probabilities_of, quiet
from napari_unet.engine.model import Model

NOTE = "napari_unet.json"
"""Name of the file inside it that tells what the model is."""


def write(model: Model, path: Path) -> None:
    """Write a network that maps (batch, channels, ...) to probabilities (batch, outputs, ...)."""
    network, seen = probabilities_of(model), example(model.spec, 2)
    with quiet():
        traced, wanted = trace(network, seen), network(seen)

        def check(file: Path) -> None:
            agree(read(file)(seen).numpy(), wanted, "The TorchScript")

        write_whole(path, lambda file: save(traced, file, facts(model)), check)


def trace(network: nn.Module, seen: Tensor) -> Any:  # noqa: ANN401 - torch gives it no type
    """Record what a network does; no step of ours depends on the values that it sees."""
    network.requires_grad_(False)  # so that its answers are plain numbers for whoever runs it
    return torch.jit.trace(network, seen, check_trace=False)  # type: ignore[no-untyped-call]


def save(script: Any, file: Path, note: str) -> None:  # noqa: ANN401
    """Write a script with what the model is."""
    written = BytesIO()  # where no disk is full: torch calls all that goes wrong a RuntimeError
    torch.jit.save(script, written, _extra_files={NOTE: note})
    file.write_bytes(written.getvalue())


def read(file: Path) -> Any:  # noqa: ANN401
    """Read a script that this process has just written."""
    return torch.jit.load(str(file), map_location="cpu")  # type: ignore[no-untyped-call]
