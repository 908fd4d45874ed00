import pytest
import torch
from torch import nn

from napari_unet.core.spec import NETWORKS, ModelSpec
from napari_unet.engine.backends import load_backend, on_torch
from napari_unet.engine.networks import build_network, input_tile, nearest_tile
from napari_unet.errors import DeviceError

CPU = torch.device("cpu")


class Rare(nn.Module):
    """A network with an operation that OpenVINO does not know."""

    def forward(self, x):
        return torch.lgamma(x)


def network_of(name, dims=2):
    features = (4, 8)
    draft = ModelSpec(network=name, dims=dims, features=features, tile=(4,) * dims)
    tile = nearest_tile(draft, (8,) * dims)
    spec = ModelSpec(network=name, dims=dims, features=features, tile=tile)
    torch.manual_seed(0)
    return build_network(spec).eval(), torch.randn(2, spec.in_channels, *input_tile(spec))


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_gives_the_same_logits_on_openvino(name):
    pytest.importorskip("openvino")
    network, tiles = network_of(name)
    forward, backend = load_backend("openvino", network, CPU, tiles, 1)
    assert backend == "openvino"
    for batch in (tiles, tiles[:1], torch.cat([tiles, tiles])):  # the last batch may be smaller
        assert torch.allclose(forward(batch), on_torch(network, CPU)(batch), atol=1e-3)


@pytest.mark.parametrize("batches", [0, 1])
def test_auto_does_not_compile_for_little_work(batches):
    network, tiles = network_of("unet")
    assert load_backend("auto", network, CPU, tiles, batches)[1] == "torch"


def test_auto_compiles_where_it_pays():
    pytest.importorskip("openvino")
    network, tiles = network_of("unet")
    assert load_backend("auto", network, CPU, tiles, 10**9)[1] == "openvino"


def test_a_network_that_openvino_cannot_convert_runs_on_pytorch(caplog):
    pytest.importorskip("openvino")
    caplog.set_level("WARNING", "napari_unet")  # OpenVINO's converter raises the root's to ERROR
    forward, backend = load_backend("openvino", Rare(), CPU, torch.ones(1, 1, 4, 4), 1)
    assert backend == "torch"
    assert (forward(torch.ones(1, 1, 4, 4)) == 0).all()
    assert "could not convert" in caplog.text


def test_pytorch_runs_in_evaluation_mode_and_gives_float32_on_the_cpu():
    network = nn.Sequential(nn.Dropout(0.5)).train()
    forward = on_torch(network, CPU)
    tiles = torch.ones(1, 1, 8, 8)
    assert torch.equal(forward(tiles), tiles)
    logits = forward(tiles)
    assert (logits.dtype, logits.device.type, logits.requires_grad) == (torch.float32, "cpu", False)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
@pytest.mark.parametrize("name", NETWORKS)
def test_half_precision_on_a_gpu_gives_nearly_the_same_logits(name):
    network, tiles = network_of(name, dims=3)
    plain = on_torch(network, CPU)(tiles)
    assert torch.allclose(on_torch(network, torch.device("cuda"))(tiles), plain, atol=5e-2)


def test_openvino_is_refused_on_another_device():
    network, tiles = network_of("unet")
    with pytest.raises(DeviceError, match="runs on the CPU, not on cuda"):
        load_backend("openvino", network, torch.device("cuda"), tiles, 1)
