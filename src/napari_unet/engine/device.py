"""Where the network runs."""

from __future__ import annotations

import torch

from napari_unet.core.settings import Device
from napari_unet.errors import DeviceError

_REMEDY = {
    "cuda": "install a CUDA build of PyTorch and an NVIDIA driver, or choose auto",
    "mps": "this needs a Mac with Apple silicon; choose auto",
}


def choose_device(wanted: Device = "auto") -> torch.device:
    """Return the device that a setting means.

    Raises
    ------
    DeviceError
        When the wanted device is not there.
    """
    there = available()
    if wanted == "auto":
        return torch.device(there[0])
    if wanted not in there:
        raise DeviceError(
            f"There is no {wanted} device here: {_REMEDY.get(wanted, 'choose auto')}."
        )
    return torch.device(wanted)


def available() -> tuple[str, ...]:
    """Return the kinds of device there are, the fastest first."""
    kinds = []
    if torch.cuda.is_available():
        kinds.append("cuda")
    if torch.backends.mps.is_available():
        kinds.append("mps")
    return (*kinds, "cpu")


def device_name(device: torch.device) -> str:
    """Return a device's name for people."""
    if device.type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(device)})"
    if device.type == "cpu":
        return f"cpu ({torch.get_num_threads()} threads)"
    return device.type
