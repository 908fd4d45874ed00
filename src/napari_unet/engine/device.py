"""Where the network runs."""

from __future__ import annotations

import ctypes
import importlib.metadata
import platform

from napari_unet.core.settings import Device
from napari_unet.errors import DeviceError

_REMEDY = {
    "cuda": "install a CUDA build of PyTorch and an NVIDIA driver, or choose auto",
    "mps": "this needs a Mac with Apple silicon; choose auto",
}
_DRIVER = "nvcuda.dll" if platform.system() == "Windows" else "libcuda.so.1"


def choose_device(wanted: Device = "auto") -> str:
    """Return the kind of device that a setting means: ``"cuda"``, ``"mps"`` or ``"cpu"``.

    Raises
    ------
    DeviceError
        When the wanted device is not there.
    """
    if wanted == "cpu":
        return wanted
    there = available()
    if wanted == "auto":
        return there[0]
    if wanted not in there:
        raise DeviceError(
            f"There is no {wanted} device here: {_REMEDY.get(wanted, 'choose auto')}."
        )
    return wanted


def available() -> tuple[str, ...]:
    """Return the kinds of device there are, the fastest first.

    PyTorch, which knows, takes seconds to import: it is asked only where there may be a GPU.
    """
    if not _may_have_gpu():
        return ("cpu",)
    import torch

    kinds = []
    if torch.cuda.is_available():
        kinds.append("cuda")
    if torch.backends.mps.is_available():
        kinds.append("mps")
    return (*kinds, "cpu")


def device_name(kind: str) -> str:
    """Return a device's name for people."""
    if kind == "cpu":
        return "the CPU"
    if kind == "mps":
        return "Apple's GPU"
    import torch

    return str(torch.cuda.get_device_name(kind))


def _may_have_gpu() -> bool:
    """Whether PyTorch could find a GPU at all: by its build, and by the driver that it needs."""
    if platform.system() == "Darwin":
        return platform.machine() == "arm64"
    build = importlib.metadata.version("torch").partition("+")[2]
    if build == "cpu" or "rocm" in build:
        return build != "cpu"
    try:
        ctypes.CDLL(_DRIVER)
    except OSError:
        return False
    return True
