"""How much memory a device has left, and whether an error says that there was too little."""

from __future__ import annotations

import psutil
import torch

_SAYINGS = (
    "out of memory",  # MPS, and CUDA's older allocator messages
    "can't allocate memory",  # PyTorch on the CPU
    "not enough memory",  # the same on Windows
    "cudnn_status_not_supported",  # what cuDNN says when its workspace does not fit
    "cudnn_status_alloc_failed",
    "cublas_status_alloc_failed",
    "could not create a memory object",  # oneDNN
    "std::bad_alloc",  # OpenVINO
)


def out_of_memory(error: BaseException) -> bool:
    """Whether an error means that a device or the machine had too little memory.

    A ``RuntimeError`` about anything else is a fault of ours, and no smaller batch would mend it.

    Parameters
    ----------
    error : BaseException
        What was raised.
    """
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    if not isinstance(error, RuntimeError):
        return False
    text = str(error).lower()
    return any(saying in text for saying in _SAYINGS)


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
