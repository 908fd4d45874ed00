"""Whether an error says that there was too little memory."""

from __future__ import annotations

_SAYINGS = (
    "out of memory",  # CUDA and MPS
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
    if isinstance(error, MemoryError):
        return True
    if not isinstance(error, RuntimeError):  # as torch.OutOfMemoryError is
        return False
    text = str(error).lower()
    return any(saying in text for saying in _SAYINGS)
