import os
import subprocess
import sys
from importlib.util import find_spec

import pytest
import torch
from torch import nn

from napari_unet.core.classes import LabelClass
from napari_unet.core.spec import NETWORKS, ModelSpec
from napari_unet.engine.backends import load_backend, on_torch
from napari_unet.engine.networks import build_network, input_tile, nearest_tile
from napari_unet.errors import DeviceError

CPU = torch.device("cpu")
needs_openvino = pytest.mark.skipif(find_spec("openvino") is None, reason="needs OpenVINO")
CLASSES = (
    LabelClass(0, "background", (0, 0, 0)),
    LabelClass(1, "a", (1, 0, 0)),
    LabelClass(2, "b", (0, 1, 0)),
)
KINDS = [
    *[pytest.param({"network": name, "dims": dims}, id=f"{name}-{dims}d")
      for name in NETWORKS for dims in (2, 3)],
    pytest.param({"network": "unetpp", "dims": 2, "depth": 1}, id="unetpp-pruned"),
    pytest.param({"network": "unet", "dims": 2, "context": 2}, id="unet-2.5d"),
    pytest.param({"network": "original", "dims": 2, "context": 1}, id="original-2.5d"),
    pytest.param({"network": "unet", "dims": 3, "channels": ("a", "b")}, id="unet-channels"),
    pytest.param({"network": "residual", "dims": 3, "kernels": ((1, 3, 3), (3, 3, 3), (3, 3, 3)),
                  "strides": ((1, 2, 2), (2, 2, 2))}, id="residual-flat"),
]  # fmt: skip


class Rare(nn.Module):
    """A network with an operation that OpenVINO does not know."""

    def forward(self, x):
        return torch.lgamma(x)


def network_of(batch=2, length=12, **facts):
    facts = {"features": (4, 8, 8), "classes": CLASSES, **facts}
    draft = ModelSpec(tile=(4,) * facts["dims"], **facts)
    spec = ModelSpec(tile=nearest_tile(draft, (length,) * facts["dims"]), **facts)
    torch.manual_seed(0)
    return build_network(spec).eval(), torch.randn(batch, spec.in_channels, *input_tile(spec))


@needs_openvino
@pytest.mark.parametrize("facts", KINDS)
def test_every_network_gives_the_same_labels_on_openvino(facts):
    network, tiles = network_of(**facts)
    # With an identity it is written to disk and read back first.
    loaded = load_backend("openvino", network, CPU, tiles, 1, identity=repr(facts))
    assert (loaded.name, loaded.batch) == ("openvino", 2)
    for batch in (tiles, tiles[:1], torch.cat([tiles, tiles])):  # the last batch may be smaller
        found, plain = loaded.forward(batch), on_torch(network, CPU)(batch)
        assert torch.allclose(found, plain, atol=1e-3)
        assert (found.argmax(1) == plain.argmax(1)).float().mean() >= 0.9999


@needs_openvino
def test_logits_of_openvino_are_the_callers_own():
    network, tiles = network_of(network="unet", dims=2)
    forward = load_backend("openvino", network, CPU, tiles, 1).forward
    first = forward(tiles)
    before = first.clone()
    forward(tiles + 1)
    assert torch.equal(first, before)
    flipped = tiles.flip(-1)  # not contiguous in memory order of a view
    assert torch.allclose(forward(tiles.transpose(2, 3)), forward(tiles.mT.contiguous()))
    assert torch.allclose(forward(flipped), on_torch(network, CPU)(flipped), atol=1e-3)


@pytest.mark.parametrize(("batches", "timed"), [(0, 0), (1, 0), (2, 0), (3, 1)])
def test_auto_does_not_convert_for_little_work(batches, timed):
    network, tiles = network_of(network="unet", dims=2)
    calls = []
    network.register_forward_hook(lambda *_: calls.append(1))
    loaded = load_backend("auto", network, CPU, tiles, batches, identity="little work")
    assert loaded.name == "torch"
    assert len(calls) == (timed if find_spec("openvino") else 0)
    assert "PyTorch on cpu" in loaded.reason


@needs_openvino
def test_auto_converts_where_it_pays():
    network, tiles = network_of(network="unet", dims=2)
    loaded = load_backend("auto", network, CPU, tiles, 10**9)
    assert loaded.name == "openvino"
    assert loaded.reason.startswith("OpenVINO on the CPU: it saves")


@needs_openvino
def test_auto_takes_what_was_converted_before_without_asking_pytorch():
    network, tiles = network_of(network="unet", dims=2)
    calls = []
    network.register_forward_hook(lambda *_: calls.append(1))
    load_backend("openvino", network, CPU, tiles, 1, identity="asked once")
    calls.clear()
    loaded = load_backend("auto", network, CPU, tiles, 1, identity="asked once")
    assert (loaded.name, calls) == ("openvino", [])
    assert "converted before" in loaded.reason
    other = torch.cat([tiles, tiles], dim=2)  # another shape is another network
    assert load_backend("auto", network, CPU, other, 1, identity="asked once").name == "torch"


@needs_openvino
def test_a_network_that_openvino_cannot_convert_runs_on_pytorch_and_says_why(caplog):
    tiles = torch.ones(1, 1, 4, 4)
    loaded = load_backend("openvino", Rare(), CPU, tiles, 1, identity="rare")
    assert loaded.name == "torch"
    assert (loaded.forward(tiles) == 0).all()
    assert "could not convert" in caplog.text
    assert "could not convert" in loaded.reason


def test_openvino_is_refused_on_another_device():
    network, tiles = network_of(network="unet", dims=2)
    with pytest.raises(DeviceError, match="runs on the CPU, not on cuda"):
        load_backend("openvino", network, torch.device("cuda"), tiles, 1)


@needs_openvino
def test_converting_tells_nobody_and_leaves_the_log_alone(tmp_path):
    """Importing OpenVINO reports to Intel, and `convert_model` raises the root logger's level."""
    code = """
import logging, torch
logging.getLogger().setLevel(logging.INFO)
from napari_unet.engine.backends import load_backend
network = torch.nn.Conv2d(1, 2, 3).eval()
loaded = load_backend("openvino", network, torch.device("cpu"), torch.ones(1, 1, 8, 8), 1)
assert loaded.name == "openvino", loaded.reason
assert logging.getLogger().level == logging.INFO
"""
    home = {"HOME": str(tmp_path), "USERPROFILE": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | home, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "intel").exists()  # where its telemetry keeps who one is


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
@pytest.mark.parametrize("facts", KINDS)
def test_half_precision_on_a_gpu_gives_nearly_the_same_logits(facts):
    network, tiles = network_of(**facts)
    plain = on_torch(network, CPU)(tiles)
    loaded = load_backend("auto", network, torch.device("cuda"), tiles, 40)
    assert torch.allclose(loaded.forward(tiles[:1]).cpu(), plain[:1], atol=5e-2)
    assert "cuda" in loaded.reason
