"""Does a device compute rightly? Known sums on it, against the same on the CPU in more bits.

PyTorch 2.9 gave silently wrong 3D convolutions in half precision with some versions of cuDNN
(pytorch #163539), so no device is believed before it has shown it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

TOLERANCE = 2e-2
"""Largest error of a convolution that half precision explains; results are about 1 in size."""

HALF_TOLERANCE = 2e-2
"""Largest error of a normalised block in float16; 4e-3 on a CPU, where bfloat16 errs by 3e-2."""


def convolution_error(run: Callable[[nn.Module, Tensor], Tensor]) -> float:
    """Return the largest error of a 3D convolution, against the same sum in 64 bits.

    Parameters
    ----------
    run : callable
        Runs a network on tiles (B, C, z, y, x) in the way that is to be tested.
    """
    rng = np.random.default_rng(0)
    image = rng.standard_normal((1, 4, 12, 14, 16)).astype(np.float32)
    kernel = rng.standard_normal((8, 4, 3, 3, 3)).astype(np.float32) / np.sqrt(4 * 27)
    network = nn.Conv3d(4, 8, 3, bias=False).eval()
    with torch.no_grad():
        network.weight.copy_(torch.from_numpy(kernel))
    windows = np.lib.stride_tricks.sliding_window_view(
        image[0].astype(np.float64), (3, 3, 3), (1, 2, 3)
    )
    expected = np.einsum("czyxijk,ocijk->ozyx", windows, kernel.astype(np.float64))
    found = run(network, torch.from_numpy(image)).cpu().numpy()[0]
    return float(np.nan_to_num(np.abs(found - expected), nan=np.inf).max())


def half_precision_error(device: torch.device, half: torch.dtype) -> float:
    """Return the largest error of a block of our networks in half precision, against the CPU.

    Parameters
    ----------
    device : torch.device
        What is to be tested.
    half : torch.dtype
        Type that autocast takes for convolutions.
    """
    rng = np.random.default_rng(1)
    tiles = torch.from_numpy(rng.standard_normal((2, 16, 16, 16, 16)).astype(np.float32))
    weight = rng.standard_normal((16, 16, 3, 3, 3)).astype(np.float32) / np.sqrt(16 * 27)
    convolution = nn.Conv3d(16, 16, 3, padding=1)
    with torch.no_grad():
        convolution.weight.copy_(torch.from_numpy(weight))
        convolution.bias.zero_() if convolution.bias is not None else None
    block = nn.Sequential(convolution, nn.InstanceNorm3d(16), nn.LeakyReLU(0.01)).eval()
    with torch.inference_mode():
        expected = block(tiles)
        block.to(device)
        try:
            with torch.autocast(device.type, half):
                found = block(tiles.to(device)).float().cpu()
        except (RuntimeError, NotImplementedError):  # a device that lacks it altogether
            return float("inf")
    return float(torch.nan_to_num((found - expected).abs(), nan=float("inf")).max())
