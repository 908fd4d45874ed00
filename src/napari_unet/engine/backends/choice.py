"""Which backend runs a network, how many tiles at once, and why."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from napari_unet.core.settings import Backend
from napari_unet.engine.backends.batch import probe_batch
from napari_unet.engine.backends.openvino_cpu import OnOpenVINO, installed, is_kept
from napari_unet.engine.backends.pytorch import OnTorch
from napari_unet.engine.backends.stepping import Stepping
from napari_unet.engine.device import device_name
from napari_unet.engine.selftest import HALF_TOLERANCE, half_precision_error
from napari_unet.errors import DeviceError

Forward = Callable[[Tensor], Tensor]
"""Takes tiles (B, C, ...) on the CPU; returns logits (B, K, ...) in float32 on the device where they
are to be summed. That is the CPU from the moment on at which a GPU ran out of memory."""

_REMEDY = 'pip install "napari-unet[openvino]"'

_WORTH_CONVERTING = 3.0
"""Seconds of work on PyTorch from which OpenVINO's conversion (about one second) pays."""

_WORTH_TIMING = 3
"""Batches from which a timed one can pay: the conversion runs one on PyTorch as well."""

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
    network: nn.Module,
    device: torch.device,
    example: Tensor,
    batches: int,
    *,
    identity: str | None = None,
    compiled: bool = False,
) -> Loaded:
    """Make a network ready to run.

    Parameters
    ----------
    wanted : {"auto", "torch", "openvino"}
        ``"auto"`` takes OpenVINO on a CPU when it has converted this network before, or when one
        timed batch on PyTorch says that converting pays.
    network : Module
        In evaluation mode, on the CPU.
    device : torch.device
        Where it runs.
    example : Tensor
        A batch (B, C, ...) as it will come.
    batches : int
        How many will come.
    identity : str, optional
        Hash of the network and its weights; OpenVINO keeps the converted network under it.
    compiled : bool
        Let ``torch.compile`` make it faster, on CUDA.

    Returns
    -------
    Loaded
        A network that OpenVINO can't convert runs on PyTorch, and the reason says so.

    Raises
    ------
    DeviceError
        When OpenVINO is asked for and is not installed, or not for the CPU.
    """
    if wanted == "openvino" and device.type != "cpu":
        raise DeviceError(f"The openvino backend runs on the CPU, not on {device.type}.")
    if wanted == "openvino" and not installed():
        raise DeviceError(f"OpenVINO is not installed: {_REMEDY}.")
    if device.type == "cuda":
        return _on_cuda(network, device, example, batches * len(example), compiled)
    name = device_name(device)
    if device.type != "cpu":
        reason = f"PyTorch on {name}, in float32."
        return Loaded(OnTorch(network, device), "torch", reason, len(example))
    if wanted == "torch":
        return _on_torch(network, example, f"PyTorch on {name}, as asked.")
    if wanted == "openvino":
        return _on_openvino(network, example, identity, "as asked")
    if not installed():
        return _on_torch(
            network, example, f"PyTorch on {name}; OpenVINO would be faster: {_REMEDY}."
        )
    if is_kept(identity, example):
        return _on_openvino(network, example, identity, "this network was converted before")
    if batches < _WORTH_TIMING:
        return _on_torch(network, example, f"PyTorch on {name}: too few tiles to convert for.")
    seconds = _seconds(OnTorch(network, device), example) * batches
    if seconds <= _WORTH_CONVERTING:
        return _on_torch(
            network,
            example,
            f"PyTorch on {name}: {seconds:.1f} s of work, too little to convert.",
        )
    return _on_openvino(
        network, example, identity, f"it saves more of {seconds:.0f} s than its conversion costs"
    )


def on_torch(network: nn.Module, device: torch.device) -> OnTorch:
    """Run a network on PyTorch, in half precision on CUDA where that computes rightly."""
    half, _ = _half_precision(device)
    return OnTorch(network, device, half=half)


def _on_torch(network: nn.Module, example: Tensor, reason: str) -> Loaded:
    return Loaded(OnTorch(network, torch.device("cpu")), "torch", reason, len(example))


def _on_openvino(network: nn.Module, example: Tensor, identity: str | None, why: str) -> Loaded:
    try:
        forward = OnOpenVINO(network, example, identity)
    except Exception as error:  # an operator it does not know, or a new version: anything
        cause = str(error).strip().partition("\n")[0]
        reason = f"OpenVINO could not convert this network ({cause}); PyTorch runs it instead."
        logging.getLogger(__name__).warning("%s", reason, exc_info=error)
        return _on_torch(network, example, reason)
    return Loaded(forward, "openvino", f"OpenVINO on the CPU: {why}.", len(example))


def _on_cuda(
    network: nn.Module, device: torch.device, example: Tensor, tiles: int, compiled: bool
) -> Loaded:
    half, precision = _half_precision(device)
    forward = OnTorch(network, device, half=half)
    batch = probe_batch(forward, example[:1], tiles)
    if forward.device.type != "cuda":
        return Loaded(forward, "torch", forward.news(), len(example))
    forward.tuned = tiles >= _WORTH_TUNING * batch
    forward.batch = batch
    parts = [f"PyTorch on {device_name(device)}", precision, f"{batch} tiles at once"]
    if compiled:
        failure = forward.compile(example[:1].expand(batch, *example.shape[1:]).contiguous())
        parts.append(f"not compiled ({failure})" if failure else "compiled")
    return Loaded(forward, "torch", ", ".join(parts) + ".", batch)


def _half_precision(device: torch.device) -> tuple[torch.dtype | None, str]:
    """Return the half precision that a device may compute in, and a word on it."""
    if device.type != "cuda":
        return None, "float32"
    error = half_precision_error(device, torch.float16)
    if error < HALF_TOLERANCE:
        return torch.float16, "half precision"
    return None, f"float32 (its half precision errs by {error:.1g})"


def _seconds(forward: Forward, example: Tensor) -> float:
    began = time.perf_counter()
    forward(example)
    return time.perf_counter() - began
