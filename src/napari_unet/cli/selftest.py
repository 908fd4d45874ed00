"""Does a device compute rightly? One convolution on it, against the same sum in 64 bits."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from napari_unet.core.settings import Backend, Device
from napari_unet.engine.backends import load_backend
from napari_unet.engine.device import choose_device

TOLERANCE = 2e-2
"""Largest error that half precision explains; results here are about 1 in size."""


def convolution_error(kind: Device, backend: Backend) -> float:
    """Run a 3D convolution on a device and backend; return its largest error.

    Raises
    ------
    DeviceError
        When the device or backend is not there.
    """
    rng = np.random.default_rng(0)
    image = rng.standard_normal((1, 4, 12, 14, 16)).astype(np.float32)
    kernel = rng.standard_normal((8, 4, 3, 3, 3)).astype(np.float32) / np.sqrt(4 * 27)
    network = nn.Conv3d(4, 8, 3, bias=False)
    with torch.no_grad():
        network.weight.copy_(torch.from_numpy(kernel))
    tiles = torch.from_numpy(image)
    forward, became = load_backend(backend, network, choose_device(kind), tiles, 1)
    if became != backend:
        return float("inf")
    windows = np.lib.stride_tricks.sliding_window_view(
        image[0].astype(np.float64), (3, 3, 3), (1, 2, 3)
    )
    expected = np.einsum("czyxijk,ocijk->ozyx", windows, kernel.astype(np.float64))
    return float(np.abs(forward(tiles).numpy()[0] - expected).max())
