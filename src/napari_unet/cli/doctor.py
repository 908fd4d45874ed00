"""``napari-unet doctor``: what is there, whether it computes rightly, and how to get the rest."""

from __future__ import annotations

import os
import platform
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, cast

from napari_unet.atomic import require_writable
from napari_unet.cli.command import DONE, FAILED, Outcome
from napari_unet.cli.console import Console
from napari_unet.core.bundled import folder, starter_paths, user_models_folder
from napari_unet.core.model_header import read_model_header
from napari_unet.core.settings import Backend, Device
from napari_unet.core.versions import version_of, versions
from napari_unet.errors import DeviceError, UNetError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_unet.engine.arrays import Array
    from napari_unet.engine.model import Model

HELP = "check devices, backends, versions and arithmetic, and say what is missing"

PACKAGES = ("napari", "torch", "monai", "numpy", "nibabel", "tifffile", "zarr", "openvino")


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Parameters
    ----------
    name : str
        What.
    ok : bool
        Whether it is as it should be.
    detail : str
        What was found.
    remedy : str
        What to do when it is not ok.
    needed : bool
        Whether the command line can't work without it.
    """

    name: str
    ok: bool
    detail: str
    remedy: str = ""
    needed: bool = True


def add_arguments(parser: ArgumentParser) -> None:
    """Declare its arguments: it has none of its own."""


def run(args: Namespace, console: Console) -> Outcome:  # noqa: ARG001
    """Look at everything; it ends with 1 when something that is needed fails."""
    from napari_unet.engine.device import available

    installed = versions(*PACKAGES)
    checks = [*_arithmetic(available()), *_files(), *window_checks(), _openvino(), export_check()]
    healthy = all(check.ok for check in checks if check.needed)
    result: dict[str, Any] = {
        "ok": healthy,
        "versions": installed,
        "platform": platform.platform(),
        "devices": list(available()),
        "backends": ["torch", *(["openvino"] if "openvino" in installed else [])],
        "checks": [asdict(check) for check in checks],
    }
    lines = [f"{name} {number}" for name, number in installed.items()]
    lines += ["", *(_line(check) for check in checks)]
    return Outcome(result, "\n".join(lines), DONE if healthy else FAILED)


def _arithmetic(kinds: Iterable[str]) -> list[Check]:
    """Let each device, and OpenVINO where it is there, do a sum that is known."""
    from napari_unet.engine.device import device_name
    from napari_unet.engine.selftest import TOLERANCE  # torch

    pairs: list[tuple[str, Backend]] = [(kind, "torch") for kind in kinds]
    if _version("openvino"):
        pairs.append(("cpu", "openvino"))
    checks = []
    for kind, backend in pairs:
        device = cast(Device, kind)
        name = f"device {kind}" if backend == "torch" else f"backend {backend}"
        try:
            error = network_error_on(device, backend)
        except Exception as reason:  # a broken driver raises anything
            checks.append(Check(name, False, f"does not compute: {reason}", _repair(kind)))
            continue
        detail = f"{device_name(kind)}, error of a network {error:.1e}"
        checks.append(Check(name, error < TOLERANCE, detail, _repair(kind)))
        if kind == "cuda":
            checks.append(_half_precision(kind))
    return checks


def network_error_on(kind: Device, backend: Backend) -> float:
    """Run a network as a prediction would on a device and backend; return its largest error.

    Raises
    ------
    DeviceError
        When the device or backend is not there.
    """
    from napari_unet.engine.backends import load_backend
    from napari_unet.engine.device import choose_device
    from napari_unet.engine.selftest import network_error  # torch

    device = choose_device(kind)

    def run(model: Model, tiles: NDArray[np.float32]) -> Array:
        loaded = load_backend(backend, model, device, tiles, 1)
        if loaded.name != backend:
            raise DeviceError(loaded.reason)
        return loaded.forward(tiles)

    return network_error(run)


def _half_precision(kind: str) -> Check:
    """See whether a GPU may compute in half precision; prediction looks for itself each time."""
    import torch

    from napari_unet.engine.selftest import HALF_TOLERANCE, half_precision_error

    error = half_precision_error(torch.device(kind), torch.float16)
    remedy = "update PyTorch and the driver; until then prediction takes float32, which is slower"
    detail = f"error of a block {error:.1e}"
    return Check(f"half precision {kind}", error < HALF_TOLERANCE, detail, remedy, needed=False)


def _repair(kind: str) -> str:
    if kind == "cpu":
        return "install PyTorch again"
    return f"choose --device cpu, and update the driver or PyTorch for {kind}"


def _files() -> list[Check]:
    """Look for what comes with the package, and for room for the user's own models."""
    checks = []
    try:
        names = [read_model_header(path).name for path in starter_paths().values()]
        found = ", ".join(names) or f"none in {folder()}"
        checks.append(Check("starters", bool(names), found, "install napari-unet again"))
    except UNetError as error:
        checks.append(Check("starters", False, str(error), "install napari-unet again"))
    try:
        home = require_writable(user_models_folder())
        checks.append(Check("own models", True, str(home)))
    except (UNetError, OSError) as error:
        checks.append(Check("own models", False, str(error), "make your data folder writable"))
    return checks


def window_checks() -> list[Check]:
    """Look for what the window needs, without opening one."""
    binding = next((name for name in ("PyQt6", "PySide6") if _version(name)), None)
    remedy = 'pip install "napari-unet[pyqt6]"'
    checks = [Check("window", binding is not None, binding or "no Qt", remedy, needed=False)]
    if sys.platform.startswith("linux"):
        display = os.environ.get("WAYLAND_DISPLAY") or os.environ.get("DISPLAY")
        remedy = "log in to a desktop, or use the command line alone"
        checks.append(Check("display", bool(display), display or "none", remedy, needed=False))
    return checks


def _openvino() -> Check:
    found = _version("openvino")
    detail = (
        found or "not installed; without it prediction on a CPU is slower and waits for PyTorch"
    )
    return Check("openvino", bool(found), detail, "pip install openvino", needed=False)


def export_check() -> Check:
    """Look for what the formats of other programs need."""
    missing = [name for name in ("onnx", "onnxscript") if not _version(name)]
    detail = f"no {' and no '.join(missing)}" if missing else "ONNX, bioimage.io and all others"
    remedy = "pip install 'napari-unet[export]', for ONNX and bioimage.io"
    return Check("export", not missing, detail, remedy, needed=False)


def _version(package: str) -> str | None:
    return version_of(package) or version_of(f"{package}-Essentials")  # PySide6 comes in parts


def _line(check: Check) -> str:
    mark = "ok     " if check.ok else "FAILED " if check.needed else "missing"
    remedy = "" if check.ok else f" -> {check.remedy}"
    return f"{mark}  {check.name}: {check.detail}{remedy}"
