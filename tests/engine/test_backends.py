import os
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
import torch

from napari_unet.core.classes import LabelClass
from napari_unet.core.spec import NETWORKS, ModelSpec
from napari_unet.engine.backends import load_backend, on_torch, openvino_cpu
from napari_unet.engine.blueprint import weight_shapes
from napari_unet.engine.model import Model, from_torch
from napari_unet.engine.networks import build_network
from napari_unet.engine.sizes import input_tile, nearest_tile
from napari_unet.errors import DeviceError

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
    *[pytest.param({"network": name, "dims": 2, "norm": "batch"}, id=f"{name}-batch")
      for name in NETWORKS],
    pytest.param({"network": "unet", "dims": 3, "norm": "batch"}, id="unet-3d-batch"),
]  # fmt: skip


def model_of(batch=2, length=12, seed=0, **facts):
    facts = {"features": (4, 8, 8), "classes": CLASSES, **facts}
    draft = ModelSpec(tile=(4,) * facts["dims"], **facts)
    spec = ModelSpec(tile=nearest_tile(draft, (length,) * facts["dims"]), **facts)
    torch.manual_seed(seed)
    network = build_network(spec)
    for weight in network.parameters():  # norms and biases that do something
        if weight.ndim == 1:
            torch.nn.init.normal_(weight, 0.5)
    for average in network.buffers():
        torch.nn.init.uniform_(average, 0.5, 2.0)
    tiles = torch.randn(batch, spec.in_channels, *input_tile(spec)).numpy()
    return Model(spec, from_torch(network.state_dict())), tiles


def plain(model, tiles):
    return on_torch(model.build(), "cpu")(tiles)


@pytest.mark.parametrize("facts", KINDS)
def test_the_blueprint_knows_every_weight(facts):
    model, _ = model_of(**facts)
    assert weight_shapes(model.spec) == {k: v.shape for k, v in model.weights.items()}


@needs_openvino
@pytest.mark.parametrize("facts", KINDS)
def test_every_network_gives_the_same_labels_on_openvino(facts):
    model, tiles = model_of(**facts)
    loaded = load_backend("openvino", model, "cpu", tiles, 1)
    assert (loaded.name, loaded.batch) == ("openvino", 2)
    for batch in (tiles, tiles[:1], np.concatenate([tiles, tiles])):  # the last may be smaller
        found, expected = loaded.forward(batch), plain(model, batch)
        assert np.allclose(found, expected, atol=1e-3)
        assert (found.argmax(1) == expected.argmax(1)).mean() >= 0.9999


@needs_openvino
def test_a_wrong_weight_is_seen_in_the_logits():
    """The comparison above can fail: each kind of weight matters."""
    model, tiles = model_of(network="attention", dims=2)
    expected = plain(model, tiles)
    for name in (
        "encoder.0.1.adn.N.bias",
        "gates.0.psi.0.conv.weight",
        "head.bias",
        "ups.1.weight",
    ):
        other = Model(model.spec, {**model.weights, name: model.weights[name] + 0.5})
        found = load_backend("openvino", other, "cpu", tiles, 1).forward(tiles)
        assert not np.allclose(found, expected, atol=1e-3), name


@needs_openvino
def test_logits_of_openvino_are_the_callers_own():
    model, tiles = model_of(network="unet", dims=2)
    forward = load_backend("openvino", model, "cpu", tiles, 1).forward
    first = forward(tiles)
    before = first.copy()
    forward(tiles + 1)
    assert np.array_equal(first, before)
    flipped = np.flip(tiles, -1)  # a view that is not contiguous
    assert np.allclose(forward(flipped), plain(model, flipped), atol=1e-3)


def test_auto_takes_the_fastest_on_a_cpu_and_says_why():
    model, tiles = model_of(network="unet", dims=2)
    loaded = load_backend("auto", model, "cpu", tiles, 1)
    if openvino_cpu.installed():
        assert (loaded.name, loaded.reason) == (
            "openvino",
            "OpenVINO on the CPU: the fastest there.",
        )
    else:
        assert loaded.name == "torch"
        assert "pip install" in loaded.reason
    asked = load_backend("torch", model, "cpu", tiles, 1)
    assert (asked.name, asked.reason) == ("torch", "PyTorch on the CPU, as asked.")


@needs_openvino
def test_a_model_is_compiled_once_for_each_shape():
    model, tiles = model_of(network="unet", dims=2, seed=1)
    openvino_cpu._compiled.cache_clear()
    for _ in range(3):
        load_backend("openvino", model, "cpu", tiles, 1)
    assert openvino_cpu._compiled.cache_info().misses == 1
    wider = np.concatenate([tiles, tiles], axis=2)
    found = load_backend("openvino", model, "cpu", wider, 1).forward(wider)
    assert np.allclose(found, plain(model, wider), atol=1e-3)
    assert openvino_cpu._compiled.cache_info().misses == 2
    openvino_cpu._compiled.cache_clear()


@needs_openvino
def test_a_network_that_openvino_cannot_build_runs_on_pytorch_and_says_why(caplog):
    model, _ = model_of(network="unet", dims=2)
    odd = np.ones((1, 1, 4, 4, 4, 4), np.float32)  # no image of any of our networks
    with pytest.raises(RuntimeError):  # PyTorch gets its turn, and says so too
        load_backend("openvino", model, "cpu", odd, 1).forward(odd)
    assert "could not build" in caplog.text
    loaded = load_backend("openvino", model, "cpu", odd, 1)
    assert loaded.name == "torch"
    assert "PyTorch runs it instead" in loaded.reason


def test_openvino_is_refused_on_another_device():
    model, tiles = model_of(network="unet", dims=2)
    with pytest.raises(DeviceError, match="runs on the CPU, not on cuda"):
        load_backend("openvino", model, "cuda", tiles, 1)


@needs_openvino
def test_a_prediction_on_a_cpu_loads_no_torch_and_tells_nobody(tmp_path):
    """PyTorch and MONAI take seconds to import; importing OpenVINO reports to Intel."""
    code = """
import logging, sys
logging.getLogger().setLevel(logging.INFO)
import numpy as np
import napari_unet as nu
model = nu.starter("nuclei-2d")
volume = nu.Volume.from_array(np.ones((64, 64), np.float32))
prediction = nu.predict(volume, model, device="cpu")
assert prediction.backend == "openvino"
heavy = {"torch", "monai", "scipy", "skimage", "zarr", "dask", "napari"} & set(sys.modules)
assert not heavy, heavy
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
    model, tiles = model_of(**facts)
    expected = plain(model, tiles)
    loaded = load_backend("auto", model, "cuda", tiles, 40)
    assert np.allclose(loaded.forward(tiles[:1]).cpu().numpy(), expected[:1], atol=5e-2)
    assert "half precision" in loaded.reason
