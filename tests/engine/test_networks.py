"""What holds for all six networks, as images and volumes, isotropic and not."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from napari_unet.core.spec import NETWORKS, ModelSpec
from napari_unet.engine.networks import build_network
from napari_unet.engine.networks.blocks import convolution
from napari_unet.engine.sizes import input_tile, margin, nearest_tile
from napari_unet.errors import SpecError

# Wide enough that no ReLU of the original is dead from the start.
SHAPES = {
    "2d": {"dims": 2, "features": (4, 6, 8), "tile": (16, 24)},
    "2d, two levels": {"dims": 2, "features": (4, 6), "tile": (8, 8)},
    "2d, anisotropic": {
        "dims": 2,
        "features": (4, 6, 8),
        "kernels": ((1, 3), (3, 5), (3, 3)),
        "strides": ((1, 2), (2, 4)),
        "tile": (8, 32),
    },
    "3d": {"dims": 3, "features": (6, 8, 10), "tile": (8, 8, 16)},
    "2d, batch norm": {"dims": 2, "features": (6, 8, 10), "tile": (8, 16), "norm": "batch"},
    "3d, batch norm": {"dims": 3, "features": (6, 8, 10), "tile": (8, 8, 16), "norm": "batch"},
    "3d, anisotropic": {
        "dims": 3,
        "features": (6, 8, 10),
        "kernels": ((1, 3, 3), (1, 3, 3), (3, 3, 3)),
        "strides": ((1, 2, 2), (2, 2, 1)),
        "tile": (6, 8, 8),
    },
    "3d, kernel 1 and stride 4": {
        "dims": 3,
        "features": (6, 16),
        "kernels": ((3, 3, 3), (1, 1, 1)),
        "strides": ((2, 4, 4),),
        "tile": (4, 8, 8),
    },
}
CASES = [(network, shape) for network in NETWORKS for shape in SHAPES]


@pytest.fixture(autouse=True)
def same_weights_every_time():
    torch.manual_seed(0)


def spec_of(network, shape, **changes):
    choices = {"channels": ("red", "green")} | SHAPES[shape] | changes
    spec = ModelSpec(network, **choices)
    return replace(spec, tile=nearest_tile(spec, spec.tile))


def image_for(spec, batch=1):
    return torch.rand(batch, spec.in_channels, *input_tile(spec), generator=torch.manual_seed(0))


def as_list(logits):
    return logits if isinstance(logits, list) else [logits]


@pytest.mark.parametrize(("network", "shape"), CASES)
def test_tile_in_tile_out_and_every_weight_learns(network, shape):
    spec = spec_of(network, shape)
    net = build_network(spec)
    trained = as_list(net(image_for(spec, batch=2)))
    assert all(logits.shape == (2, 2, *spec.tile) for logits in trained)

    sum(logits.square().sum() for logits in trained).backward()
    silent = [key for key, p in net.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []

    with torch.no_grad():
        logits = net.eval()(image_for(spec))
    assert logits.shape == (1, 2, *spec.tile)
    assert logits.isfinite().all()


@pytest.mark.parametrize("shape", ["2d", "3d, anisotropic"])
@pytest.mark.parametrize("network", NETWORKS)
def test_openvino_computes_the_same(network, shape):
    openvino = pytest.importorskip("openvino")
    spec = spec_of(network, shape)
    net, image = build_network(spec).eval(), image_for(spec)
    converted = openvino.convert_model(net, example_input=image)
    compiled = openvino.compile_model(converted, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    with torch.no_grad():
        expected = net(image)
    torch.testing.assert_close(
        torch.from_numpy(compiled(image.numpy())[0]), expected, rtol=1e-3, atol=1e-3
    )


@pytest.mark.parametrize("network", [name for name in NETWORKS if name != "original"])
@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_a_bottleneck_of_one_voxel_trains(network, dims, norm):
    spec = ModelSpec(network, dims=dims, features=(4, 6, 8), tile=(4,) * dims, norm=norm)
    net = build_network(spec)
    logits = as_list(net(image_for(spec)))
    sum(each.square().sum() for each in logits).backward()
    assert all(each.isfinite().all() for each in logits)
    assert all(p.grad.isfinite().all() for p in net.parameters())


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("shape", ["2d", "2d, batch norm"])
def test_state_dict_lists_every_weight_once_and_rebuilds_the_network(network, shape):
    spec = spec_of(network, shape)
    net, other = build_network(spec).eval(), build_network(spec).eval()
    state = net.state_dict()
    assert len({tensor.data_ptr() for tensor in state.values()}) == len(state)
    assert set(state) == {key for key, _ in (*net.named_parameters(), *net.named_buffers())}
    other.load_state_dict(state)
    image = image_for(spec)
    assert torch.equal(net(image), other(image))


WEIGHTS = {
    # network: (how many, a name deep inside)
    "unet": (3578, "encoder.2.1.conv.weight"),
    "original": (3532, "encoder.2.3.conv.bias"),
    "unetpp": (4276, "nodes.1_1.0.adn.N.weight"),
    "attention": (3647, "gates.1.psi.0.conv.weight"),
    "residual": (3818, "decoder.1.shortcut.conv.weight"),
    "r2": (3674, "decoder.0.recurrent.1.convolution.conv.weight"),
}


@pytest.mark.parametrize("network", NETWORKS)
def test_number_and_names_of_weights_stay(network):
    """A change here makes every model file out there unreadable."""
    count, name = WEIGHTS[network]
    net = build_network(spec_of(network, "2d"))
    assert sum(p.numel() for p in net.parameters()) == count
    assert name in net.state_dict()


@pytest.mark.parametrize("dims", [2, 3])
def test_batch_norm_is_torchs(dims):
    spec = ModelSpec("unet", dims=dims, tile=(8,) * dims, norm="batch")
    ours = convolution(spec, 3, 4, 3)[1].N
    theirs = (nn.BatchNorm2d if dims == 2 else nn.BatchNorm3d)(4)
    image = torch.rand(3, 4, *(6,) * dims)
    for _ in range(3):  # the running averages, too
        torch.testing.assert_close(ours(image), theirs(image))
        image = image * 2 + 1
    torch.testing.assert_close(ours.eval()(image), theirs.eval()(image))


def test_a_single_number_leaves_the_averages_of_batch_norm_as_they_are():
    network = build_network(ModelSpec(dims=2, features=(4, 6, 8), tile=(4, 4), norm="batch"))
    network(torch.randn(1, 1, 4, 4)).mean().backward()  # one number a channel at the bottom
    averages = [v for name, v in network.state_dict().items() if "running" in name]
    assert all(v.isfinite().all() for v in averages)
    assert any((v != 0).any() and (v != 1).any() for v in averages)


def test_batch_norm_says_the_same_of_a_place_whatever_lies_elsewhere():
    """Which instance norm does not, and is why nuclei alone on black were missed."""
    calm, bright = torch.rand(2, 1, 2, 64, 64).unbind()
    bright[..., 48:] += 20
    calm[..., :48] = bright[..., :48]
    far = {}
    for norm in ("instance", "batch"):
        net = build_network(spec_of("unet", "2d, batch norm", norm=norm, tile=(64, 64))).eval()
        far[norm] = (net(calm) - net(bright))[..., :8].abs().max().item()
    assert far["batch"] < 1e-5 < far["instance"]


@pytest.mark.parametrize("network", NETWORKS)
def test_weights_start_as_he_proposed(network):
    net = build_network(spec_of(network, "2d", features=(32, 64, 32)))
    wide = [m for m in net.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)]
    for layer in wide[2:]:
        fan_in = layer.in_channels * 9
        assert layer.weight.std().item() == pytest.approx((2 / fan_in) ** 0.5, rel=0.1)
        assert layer.bias is None or not layer.bias.any()


@pytest.mark.parametrize("network", NETWORKS)
def test_margin_is_what_is_lost(network):
    spec = spec_of(network, "3d, anisotropic")
    lost = (4, 20, 16) if network == "original" else (0, 0, 0)
    assert margin(spec) == lost
    assert input_tile(spec) == tuple(n + 2 * m for n, m in zip(spec.tile, lost, strict=True))


def test_a_name_outside_the_table_is_never_built():
    spec = spec_of("unet", "2d")
    object.__setattr__(spec, "network", "os.system")
    with pytest.raises(SpecError, match=r"os\.system.*unet, original"):
        build_network(spec)
