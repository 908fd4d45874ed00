import psutil
import pytest
import torch

from napari_unet.engine.backends.batch import best_batch, free_bytes

GIB = 1 << 30


@pytest.mark.parametrize(
    ("seconds", "budget", "most", "expected", "tried"),
    [
        pytest.param([1, 1, 1, 1], 8 * GIB, 8, 8, [1, 2, 4, 8], id="free of charge"),
        pytest.param([1, 2, 4, 8], 8 * GIB, 8, 1, [1, 2], id="no gain"),
        pytest.param([1, 1.2, 2.3, 4.6], 9 * GIB, 8, 2, [1, 2, 4], id="gain ends"),
        pytest.param([1, 1, 1, 1], 3 * GIB, 8, 2, [1, 2], id="memory is not tried out"),
        pytest.param([1, 1, 1, 1], GIB // 2, 8, 1, [1], id="hardly any memory"),
        pytest.param([1, 1, 1, 1], 8 * GIB, 3, 2, [1, 2], id="few tiles"),
        pytest.param([1, 1], 8 * GIB, 1, 1, [1], id="one tile"),
    ],
)
def test_tiles_at_once_grow_while_it_pays_and_fits(seconds, budget, most, expected, tried):
    asked = []

    def measure(count):
        asked.append(count)
        return seconds[count.bit_length() - 1], count * GIB

    assert best_batch(measure, budget, most) == expected
    assert asked == tried


def test_a_cpu_has_less_than_the_machine():
    assert 0 < free_bytes(torch.device("cpu")) <= psutil.virtual_memory().total


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_what_pytorch_has_cached_on_a_gpu_counts_as_free():
    device = torch.device("cuda")
    torch.zeros(1, device=device)
    before = free_bytes(device)
    block = torch.zeros(1 << 28, dtype=torch.uint8, device=device)
    assert before - free_bytes(device) >= 1 << 28
    del block
    assert abs(before - free_bytes(device)) < 1 << 26
