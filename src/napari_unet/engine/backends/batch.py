"""How many tiles at once: measured, because a GPU is too fast for one and too small for all."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import psutil
import torch
from numpy.typing import NDArray

from napari_unet.engine.backends.pytorch import OnTorch

GAIN = 1.05
"""Twice the tiles must be so many times faster a tile, or they are not worth their memory."""

SHARE = 0.5
"""Of the free memory; the rest is for the sums, for cuDNN and for what else runs there. Windows
swaps a full GPU to the machine's memory without an error, so nobody may wait for one."""


def best_batch(measure: Callable[[int], tuple[float, int]], budget: int, most: int) -> int:
    """Double the tiles at once while that is faster and their memory is there.

    Parameters
    ----------
    measure : callable
        Runs a number of tiles at once; returns seconds and the bytes that it took.
    budget : int
        Bytes that a batch may take.
    most : int
        Tiles there are.
    """
    best = 1
    seconds, needed = measure(1)
    while 2 * best <= most and 2 * needed <= budget:
        longer, needed = measure(2 * best)
        if 2 * seconds < GAIN * longer:
            break
        best, seconds = 2 * best, longer
    return best


def probe_batch(forward: OnTorch, tile: NDArray[np.float32], most: int) -> int:
    """Measure how many tiles at once are best on a CUDA device.

    Parameters
    ----------
    forward : OnTorch
        The network.
    tile : ndarray
        One tile, (1, C, ...).
    most : int
        Tiles there are.
    """

    def measure(count: int) -> tuple[float, int]:
        tiles = np.repeat(tile, count, axis=0)
        forward(tiles)  # the first call chooses algorithms and takes their memory
        if forward.device.type != "cuda":
            return float("inf"), 1 << 62  # it has stepped down to the CPU
        torch.cuda.synchronize(forward.device)
        before = torch.cuda.memory_allocated(forward.device)
        torch.cuda.reset_peak_memory_stats(forward.device)
        began = time.perf_counter()
        forward(tiles)
        torch.cuda.synchronize(forward.device)
        seconds = time.perf_counter() - began
        return seconds, torch.cuda.max_memory_allocated(forward.device) - before

    return best_batch(measure, int(free_bytes(forward.device) * SHARE), most)


def free_bytes(device: torch.device) -> int:
    """Return the memory that new tensors on a device can have, in bytes.

    On CUDA what PyTorch has cached counts as free. MPS shares the machine's memory, up to the
    share that Metal recommends.

    Parameters
    ----------
    device : torch.device
        The device.
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(free + cached)
    machine = int(psutil.virtual_memory().available)
    if device.type == "mps":
        room = torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
        return max(0, min(machine, int(room)))
    return machine
