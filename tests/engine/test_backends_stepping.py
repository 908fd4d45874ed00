"""The way down when memory runs out, on real networks that fail when they are told to."""

import numpy as np
import pytest
import torch
from torch import nn

from napari_unet.core.spec import ModelSpec
from napari_unet.engine.backends.pytorch import OnTorch
from napari_unet.engine.networks import build_network
from napari_unet.errors import DeviceError

CPU = torch.device("cpu")
ELSEWHERE = torch.device("meta")
"""A device that is not the CPU and is always there; nothing can be computed on it."""


class Fails(nn.Module):
    """A real network in front of which memory runs out.

    Parameters
    ----------
    most : int
        Larger batches do not fit.
    first : int
        So many calls fail, whatever they bring.
    """

    def __init__(self, error, most=1 << 30, first=0, where="any"):
        super().__init__()
        torch.manual_seed(0)
        self.network = build_network(ModelSpec(dims=2, features=(4, 8), tile=(16, 16)))
        self.error, self.most, self.first, self.where = error, most, first, where
        self.calls = []

    def forward(self, tiles):
        self.calls.append((len(tiles), tiles.device.type))
        if self.where in ("any", tiles.device.type) and (
            len(tiles) > self.most or len(self.calls) <= self.first
        ):
            raise self.error
        return self.network(tiles)

    def __deepcopy__(self, memo):
        twin = type(self)(self.error, self.most, self.first, self.where)
        twin.load_state_dict(self.state_dict())
        twin.calls = self.calls  # a copy elsewhere goes on counting here
        return twin


def oom():
    return torch.OutOfMemoryError("CUDA out of memory.")


def tiles_and_logits(network, count=8):
    tiles = np.random.default_rng(1).standard_normal((count, 1, 16, 16)).astype(np.float32)
    return tiles, plain(network.eval().network, tiles)


def plain(network, tiles):
    with torch.inference_mode():
        return network(torch.from_numpy(tiles)).numpy()


def zeros(*shape):
    return np.zeros(shape, np.float32)


@pytest.mark.parametrize(
    ("most", "first", "sizes"),
    [
        (8, 0, [8]),
        (4, 0, [8, 4, 4]),
        (3, 0, [8, 4, 2, 2, 2, 2]),
        (1, 0, [8, 4, 2, *[1] * 8]),
        (8, 2, [8, 4, 2, 2, 2, 2]),
        (8, 3, [8, 4, 2, *[1] * 8]),
    ],
)
def test_fewer_tiles_at_once_give_the_same_logits(most, first, sizes):
    network = Fails(oom(), most, first)
    tiles, expected = tiles_and_logits(network)
    forward = OnTorch(network, CPU)
    logits = forward(tiles)
    assert [n for n, _ in network.calls] == sizes
    assert np.allclose(logits, expected, atol=1e-5)
    assert np.array_equal(logits.argmax(1), expected.argmax(1))
    assert ("Memory ran out" in forward.news()) == (len(sizes) > 1)
    assert forward.news() == ""  # it is told once


def test_a_step_down_holds_for_the_tiles_to_come():
    network = Fails(oom(), most=4)
    tiles, expected = tiles_and_logits(network)
    forward = OnTorch(network, CPU)
    forward(tiles)
    network.calls.clear()
    assert np.allclose(forward(tiles), expected, atol=1e-5)
    assert np.allclose(forward(tiles[:3]), expected[:3], atol=1e-5)
    assert [n for n, _ in network.calls] == [4, 4, 3]


def test_the_step_is_taken_when_the_failed_tensors_are_free_again():
    """In an except block the traceback would still hold them."""

    class Large(Fails):
        def forward(self, tiles):
            held = torch.zeros(1)
            with_owner.append(weakref.ref(held))
            if len(tiles) > 1:
                assert held is not None
                raise oom()
            assert [r() is None for r in with_owner[:-1]] == [True] * (len(with_owner) - 1)
            return self.network(tiles)

    import weakref

    with_owner = []
    tiles, expected = tiles_and_logits(Fails(oom()), 2)
    assert np.allclose(OnTorch(Large(oom()), CPU)(tiles), expected, atol=1e-5)


def test_with_no_memory_for_one_tile_it_ends():
    network = Fails(oom(), first=1 << 30)
    with pytest.raises(DeviceError, match="one tile of 16×16 voxels: close other programs"):
        OnTorch(network, CPU)(zeros(8, 1, 16, 16))
    assert [n for n, _ in network.calls] == [8, 4, 2, 1]


@pytest.mark.parametrize(
    ("error", "sizes", "word"),
    [
        (oom(), [8, 4, 2, 1], "memory"),
        (NotImplementedError("aten::_upsample for device"), [8], "lacks an operator"),
    ],
    ids=["memory", "operator"],
)
def test_the_cpu_goes_on_where_another_device_can_not(error, sizes, word):
    network = Fails(error, most=0, where=ELSEWHERE.type)
    tiles, expected = tiles_and_logits(network)
    forward = OnTorch(network, ELSEWHERE)
    logits = forward(tiles)
    assert network.calls == [*[(n, "meta") for n in sizes], (8, "cpu")]
    assert isinstance(logits, np.ndarray)
    assert np.allclose(logits, expected, atol=1e-5)
    news = forward.news()
    assert "The CPU goes on" in news
    assert word in news


@pytest.mark.parametrize(
    "error",
    [RuntimeError("shape '[2]' is invalid"), NotImplementedError("no"), KeyboardInterrupt()],
    ids=repr,
)
def test_any_other_failure_is_raised_at_once(error):
    network = Fails(error, first=1)
    with pytest.raises(type(error)):
        OnTorch(network, CPU)(zeros(8, 1, 16, 16))
    assert len(network.calls) == 1


def test_float32_goes_on_where_half_precision_overflows():
    torch.manual_seed(0)
    network = nn.Conv2d(1, 2, 3).eval()
    forward = OnTorch(network, CPU, half=torch.float16)
    small = np.random.default_rng(0).standard_normal((2, 1, 8, 8)).astype(np.float32)
    large = np.full((2, 1, 8, 8), 1e6, np.float32)
    assert np.allclose(forward(small), plain(network, small), atol=1e-2)
    assert forward.news() == ""
    assert not np.array_equal(forward(small), plain(network, small))  # it was half precision indeed
    assert np.array_equal(forward(large), plain(network, large))
    assert "float32 goes on" in forward.news()
    assert np.array_equal(forward(small), plain(network, small))


def test_what_is_not_finite_in_float32_either_ends():
    network = nn.Conv2d(1, 2, 3).eval()
    tiles = np.full((1, 1, 8, 8), np.nan, np.float32)
    assert np.isnan(OnTorch(network, CPU, half=torch.float16)(tiles)).all()


def test_a_small_last_batch_is_filled_up_to_one_shape():
    network = Fails(oom())
    tiles, expected = tiles_and_logits(network)
    forward = OnTorch(network, CPU)
    forward.batch = 4
    assert np.allclose(forward(tiles[:3]), expected[:3], atol=1e-5)
    assert network.calls == [(4, "cpu")]


def test_pytorch_runs_in_evaluation_mode_and_gives_float32():
    forward = OnTorch(nn.Sequential(nn.Dropout(0.5)).train(), CPU)
    tiles = np.ones((1, 1, 8, 8), np.float32)
    logits = forward(tiles)
    assert np.array_equal(logits, tiles)
    assert logits.dtype == np.float32


def test_the_callers_network_stays_where_it_is():
    network = nn.Conv2d(1, 2, 3)
    OnTorch(network, ELSEWHERE)
    assert network.weight.device == CPU


def test_settings_of_the_process_are_as_before():
    before = (torch.backends.cudnn.benchmark, torch.is_autocast_enabled("cpu"))
    OnTorch(nn.Conv2d(1, 2, 3), CPU, half=torch.bfloat16, tuned=True)(zeros(1, 1, 8, 8))
    assert (torch.backends.cudnn.benchmark, torch.is_autocast_enabled("cpu")) == before


def test_a_network_that_can_not_be_compiled_runs_as_it_is(caplog):
    network = nn.Conv2d(1, 2, 3).eval()
    forward = OnTorch(network, CPU)
    why = forward.compile(zeros(1, 3, 8, 8))  # three channels are two too many
    assert why
    assert f"torch.compile failed: {why}" in caplog.text
    tiles = zeros(1, 1, 8, 8)
    assert np.array_equal(forward(tiles), plain(network, tiles))
