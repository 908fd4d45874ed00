"""Which backend runs a network, how many tiles at once, and why."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.settings import Backend
from napari_unet.engine.arrays import Array
from napari_unet.engine.backends.openvino_cpu import OnOpenVINO, installed
from napari_unet.engine.backends.stepping import Stepping
from napari_unet.engine.device import device_name
from napari_unet.engine.model import Model
from napari_unet.errors import DeviceError

if TYPE_CHECKING:
    import torch
    from torch import nn

    from napari_unet.engine.backends.pytorch import OnTorch

Forward = Callable[[NDArray[np.float32]], Array]
"""Takes tiles (B, C, ...); returns logits (B, K, ...) in float32, which lie where they were computed:
in the host's memory from the moment on at which a GPU ran out of its own."""

_REMEDY = "pip install openvino"

_WORTH_TUNING = 16
"""Batches from which cuDNN's trial of its algorithms pays."""


@dataclass(frozen=True, eq=False)
class Loaded:
    """A network that is ready to run.

    Parameters
    ----------
    forward : Stepping
        The network, a `Forward`; its ``news()`` tells when it had to step down.
    name : str
        ``"torch"`` or ``"openvino"``.
    reason : str
        One line: what was chosen, and why.
    batch : int
        Tiles to be given at once.
    """

    forward: Stepping
    name: str
    reason: str
    batch: int


def load_backend(
    wanted: Backend,
    model: Model,
    device: str,
    example: NDArray[np.float32],
    batches: int,
    *,
    compiled: bool = False,
) -> Loaded:
    """Make a network ready to run.

    Parameters
    ----------
    wanted : {"auto", "torch", "openvino"}
        ``"auto"`` takes OpenVINO on a CPU where it is installed, else PyTorch.
    model : Model
        The model.
    device : {"cpu", "cuda", "mps"}
        Where it runs.
    example : ndarray of float32
        A batch (B, C, ...) as it will come.
    batches : int
        How many will come.
    compiled : bool
        Let ``torch.compile`` make it faster, on CUDA.

    Returns
    -------
    Loaded
        A network that OpenVINO can't build runs on PyTorch, and the reason says so.

    Raises
    ------
    DeviceError
        When OpenVINO is asked for and is not installed, or not for the CPU.
    """
    if wanted == "openvino" and device != "cpu":
        raise DeviceError(f"The openvino backend runs on the CPU, not on {device}.")
    if wanted == "openvino" and not installed():
        raise DeviceError(f"OpenVINO is not installed: {_REMEDY}.")
    if device == "cuda":
        return _on_cuda(model, example, batches * len(example), compiled)
    if device != "cpu":
        return _plain(model, device, example, f"PyTorch on {device_name(device)}, in float32.")
    if wanted == "torch":
        return _plain(model, device, example, "PyTorch on the CPU, as asked.")
    if wanted == "auto" and not installed():
        reason = f"PyTorch on the CPU; OpenVINO would be faster: {_REMEDY}."
        return _plain(model, device, example, reason)
    return _on_openvino(model, example, "as asked" if wanted == "openvino" else "the fastest there")


def on_torch(network: nn.Module, device: str) -> OnTorch:
    """Run a network on PyTorch, in half precision on CUDA where that computes rightly."""
    import torch

    from napari_unet.engine.backends.pytorch import OnTorch

    half, _ = _half_precision(device)
    return OnTorch(network, torch.device(device), half=half)


def _plain(model: Model, device: str, example: NDArray[np.float32], reason: str) -> Loaded:
    return Loaded(on_torch(model.build(), device), "torch", reason, len(example))


def _on_openvino(model: Model, example: NDArray[np.float32], why: str) -> Loaded:
    try:
        forward = OnOpenVINO(model, example.shape[1:])
    except Exception as error:  # a CPU or a version that it does not get on with: anything
        cause = str(error).strip().partition("\n")[0]
        reason = f"OpenVINO could not build this network ({cause}); PyTorch runs it instead."
        logging.getLogger(__name__).warning("%s", reason, exc_info=error)
        return _plain(model, "cpu", example, reason)
    return Loaded(forward, "openvino", f"OpenVINO on the CPU: {why}.", len(example))


def _on_cuda(model: Model, example: NDArray[np.float32], tiles: int, compiled: bool) -> Loaded:
    from napari_unet.engine.backends.batch import probe_batch

    forward = on_torch(model.build(), "cuda")
    batch = probe_batch(forward, example[:1], tiles)
    if forward.device.type != "cuda":
        return Loaded(forward, "torch", forward.news(), len(example))
    forward.tuned = tiles >= _WORTH_TUNING * batch
    forward.batch = batch
    _, precision = _half_precision("cuda")
    parts = [f"PyTorch on {device_name('cuda')}", precision, f"{batch} tiles at once"]
    if compiled:
        failure = forward.compile(np.repeat(example[:1], batch, axis=0))
        parts.append(f"not compiled ({failure})" if failure else "compiled")
    return Loaded(forward, "torch", ", ".join(parts) + ".", batch)


def _half_precision(device: str) -> tuple[torch.dtype | None, str]:
    """Return the half precision that a device may compute in, and a word on it."""
    if device != "cuda":
        return None, "float32"
    import torch

    from napari_unet.engine.selftest import HALF_TOLERANCE, half_precision_error

    error = half_precision_error(torch.device(device), torch.float16)
    if error < HALF_TOLERANCE:
        return torch.float16, "half precision"
    return None, f"float32 (its half precision errs by {error:.1g})"
