"""What runs a network on one tile: PyTorch anywhere, OpenVINO on the CPU."""

from __future__ import annotations

import importlib.util
import logging
import time
from collections.abc import Callable
from contextlib import nullcontext

import torch
from torch import Tensor, nn

from napari_unet.core.settings import Backend
from napari_unet.errors import DeviceError

Forward = Callable[[Tensor], Tensor]
"""Takes tiles (B, C, ...) on the CPU and returns logits (B, K, ...) in float32 on the CPU."""

_WORTH_COMPILING = 5.0
"""Seconds of work on PyTorch from which OpenVINO's compilation (about two seconds) pays."""


def load_backend(
    wanted: Backend, network: nn.Module, device: torch.device, example: Tensor, batches: int
) -> tuple[Forward, str]:
    """Make a network ready to run; say which backend it became.

    Parameters
    ----------
    wanted : {"auto", "torch", "openvino"}
        ``"auto"`` times one batch on PyTorch and takes OpenVINO where that pays.
    network : Module
        In evaluation mode.
    device : torch.device
        Where it runs.
    example : Tensor
        A batch as it will come.
    batches : int
        How many will come.

    Returns
    -------
    callable, str
        The network, and ``"torch"`` or ``"openvino"``. A network that OpenVINO can't convert runs
        on PyTorch, and a log line says why.

    Raises
    ------
    DeviceError
        When OpenVINO is asked for and is not installed, or not for the CPU.
    """
    installed = importlib.util.find_spec("openvino") is not None
    if wanted == "openvino" and device.type != "cpu":
        raise DeviceError(f"The openvino backend runs on the CPU, not on {device.type}.")
    if wanted == "openvino" and not installed:
        raise DeviceError('OpenVINO is not installed: pip install "napari-unet[openvino]".')
    plain = on_torch(network, device)
    if wanted == "auto" and installed and device.type == "cpu":
        wanted = "openvino" if _seconds(plain, example) * batches > _WORTH_COMPILING else "torch"
    if wanted == "openvino":
        try:
            return _on_openvino(network, example), "openvino"
        except Exception as error:
            logging.getLogger(__name__).warning(
                "OpenVINO could not convert this network (%s); PyTorch runs it instead.", error
            )
    return plain, "torch"


def on_torch(network: nn.Module, device: torch.device) -> Forward:
    """Run a network on PyTorch, in half precision on CUDA."""
    network = network.to(device).eval()

    def forward(tiles: Tensor) -> Tensor:
        # Half precision pays on CUDA alone; on a CPU autocast is slower than float32.
        half = torch.autocast("cuda") if device.type == "cuda" else nullcontext()
        with torch.inference_mode(), half:
            logits: Tensor = network(tiles.to(device))
        return logits.float().cpu()

    return forward


def _on_openvino(network: nn.Module, example: Tensor) -> Forward:
    import openvino  # optional, and slow to import

    shape = [-1, *example.shape[1:]]
    level = logging.getLogger().level
    try:
        converted = openvino.convert_model(network, example_input=example, input=[shape])
    finally:
        logging.getLogger().setLevel(level)  # the conversion raises it, for the whole program
    # float32: a CPU that offers bfloat16 would otherwise trade labels for speed unasked.
    compiled = openvino.compile_model(converted, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    def forward(tiles: Tensor) -> Tensor:
        return torch.from_numpy(compiled(tiles.numpy())[0].copy())

    return forward


def _seconds(forward: Forward, example: Tensor) -> float:
    began = time.perf_counter()
    forward(example)
    return time.perf_counter() - began
