"""Does a device compute rightly? Known sums on it, against the same on the CPU in more bits.

PyTorch 2.9 gave silently wrong 3D convolutions in half precision with some versions of cuDNN
(pytorch #163539), so no device is believed before it has shown it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from napari_unet.core.spec import ModelSpec
from napari_unet.engine.arrays import Array, to_host
from napari_unet.engine.model import Model, from_torch
from napari_unet.engine.networks import build_network

TOLERANCE = 2e-2
"""Largest error of a small network that half precision explains; results are about 1 in size."""

HALF_TOLERANCE = 2e-2
"""Largest error of a normalised block in float16; 4e-3 on a CPU, where bfloat16 errs by 3e-2."""


def network_error(run: Callable[[Model, NDArray[np.float32]], Array]) -> float:
    """Return the largest error of a small network's logits, against PyTorch in 64 bits on the CPU.

    Parameters
    ----------
    run : callable
        Runs a model on tiles (B, C, z, y, x) in the way that is to be tested.
    """
    spec = ModelSpec(features=(4, 8), tile=(12, 14, 16))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build_network(spec).eval()
    model = Model(spec, from_torch(network.state_dict()))
    tiles = np.random.default_rng(0).standard_normal((1, 1, *spec.tile)).astype(np.float32)
    with torch.inference_mode():
        expected = network.double()(torch.from_numpy(tiles).double()).numpy()
    found = to_host(run(model, tiles))
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
