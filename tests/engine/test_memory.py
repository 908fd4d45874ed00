import pytest
import torch
from torch import nn

from napari_unet.engine.memory import out_of_memory

TOO_LITTLE = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB."),
    MemoryError(),
    RuntimeError("MPS backend out of memory (MPS allocated: 9.00 GB)"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: "
                 "can't allocate memory: you tried to allocate 8 bytes."),
    RuntimeError("[enforce fail at alloc_cpu.cpp] data. DefaultCPUAllocator: not enough memory"),
    RuntimeError("cuDNN error: CUDNN_STATUS_NOT_SUPPORTED. This error may appear if ..."),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
]  # fmt: skip
OTHER = [
    RuntimeError("CUDA error: device-side assert triggered"),
    RuntimeError("Given groups=1, weight of size [4, 1, 3, 3], expected input to have 1 channels"),
    ValueError("out of memory"),
    KeyboardInterrupt(),
]


@pytest.mark.parametrize("error", TOO_LITTLE, ids=lambda e: str(e)[:30])
def test_too_little_memory_is_told(error):
    assert out_of_memory(error)


@pytest.mark.parametrize("error", OTHER, ids=lambda e: str(e)[:30])
def test_any_other_error_is_none(error):
    assert not out_of_memory(error)


def test_a_real_allocation_that_fails_is_told():
    with pytest.raises((RuntimeError, MemoryError)) as caught:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert out_of_memory(caught.value)


def test_a_real_mistake_is_not():
    with pytest.raises(RuntimeError) as caught:
        nn.Conv2d(1, 1, 3)(torch.zeros(1, 2, 8, 8))
    assert not out_of_memory(caught.value)
