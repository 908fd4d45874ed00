"""What each variant of the U-Net adds: pruning, gates, recurrence."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from napari_unet.core.spec import ModelSpec
from napari_unet.engine.networks import build_network, gate_maps
from napari_unet.engine.networks.r2 import RECURRENCES, RecurrentConvolution
from napari_unet.errors import SpecError

SHAPE = {"dims": 2, "features": (4, 6, 8, 10), "tile": (16, 24)}
IMAGE = torch.rand(2, 1, 16, 24, generator=torch.manual_seed(0))


@pytest.fixture(autouse=True)
def same_weights_every_time():
    torch.manual_seed(0)


def modules_run(net, image):
    """Names of the convolutions that take part in one prediction."""
    names = []
    hooks = [
        module.register_forward_hook(lambda *_, name=name: names.append(name))
        for name, module in net.named_modules()
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d)
    ]
    with torch.no_grad():
        net(image)
    for hook in hooks:
        hook.remove()
    return names


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_pruned_unetpp_is_the_head_of_that_depth_for_less_work(depth):
    spec = ModelSpec("unetpp", **SHAPE)
    full = build_network(spec)
    pruned = build_network(replace(spec, depth=depth))
    pruned.load_state_dict(full.state_dict())

    heads = full(IMAGE)  # the deepest first
    assert len(heads) == 3
    assert torch.equal(pruned.eval()(IMAGE), heads[3 - depth])

    nodes = {f"{i}_{j}" for i in range(depth + 1) for j in range(depth + 1 - i)}
    run = modules_run(pruned, IMAGE)
    assert {name.split(".")[1] for name in run if name.startswith("nodes")} == nodes
    assert [name for name in run if name.startswith("heads")] == [f"heads.0_{depth}"]


def test_pruned_unetpp_trains_what_is_left():
    net = build_network(ModelSpec("unetpp", depth=1, **SHAPE))
    sum(logits.sum() for logits in net(IMAGE)).backward()
    learnt = {key.split(".")[1] for key, p in net.named_parameters() if p.grad is not None}
    assert learnt == {"0_0", "1_0", "0_1"}


@pytest.mark.parametrize("dims", [2, 3])
def test_gates_are_shown_at_full_size_between_0_and_1(dims):
    spec = ModelSpec("attention", dims=dims, features=(4, 6, 8), tile=(8,) * dims)
    image = torch.rand(1, 1, *spec.tile)
    net = build_network(spec).eval()
    expected = net(image)
    maps = gate_maps(net, image)
    assert [psi.shape for psi in maps] == [(1, 1, *spec.tile)] * 2
    assert all(psi.min() >= 0 and psi.max() <= 1 and psi.std() > 0 for psi in maps)
    assert torch.equal(net(image), expected)  # looking changes nothing


def test_gates_open_and_shut_the_skips():
    spec = ModelSpec("attention", **SHAPE)
    net = build_network(spec).eval()
    plain = build_network(replace(spec, network="unet")).eval()
    plain.load_state_dict({k: v for k, v in net.state_dict().items() if k in plain.state_dict()})

    def set_gates(logit):
        for gate in net.gates:
            nn.init.zeros_(gate.psi[0].conv.weight)
            nn.init.constant_(gate.psi[0].conv.bias, logit)

    set_gates(100.0)
    assert all((psi == 1).all() for psi in gate_maps(net, IMAGE))
    assert torch.equal(net(IMAGE), plain(IMAGE))
    set_gates(-100.0)
    assert all((psi < 1e-6).all() for psi in gate_maps(net, IMAGE))
    assert not torch.equal(net(IMAGE), plain(IMAGE))


def test_gate_maps_are_in_level_order():
    net = build_network(ModelSpec("attention", **SHAPE)).eval()
    nn.init.zeros_(net.gates[0].psi[0].conv.weight)
    nn.init.constant_(net.gates[0].psi[0].conv.bias, 100.0)
    first, *others = gate_maps(net, IMAGE)
    assert (first == 1).all()
    assert not any((psi == 1).all() for psi in others)


def test_only_an_attention_network_has_gates():
    with pytest.raises(SpecError, match='network "attention"'):
        gate_maps(build_network(ModelSpec("unet", **SHAPE)), IMAGE)


def test_recurrences_share_their_weights():
    net = build_network(ModelSpec("r2", **SHAPE)).eval()
    recurrent = [name for name, m in net.named_modules() if isinstance(m, RecurrentConvolution)]
    run = modules_run(net, IMAGE)
    assert len(recurrent) == 2 * 7  # two in each of four blocks down and three up
    assert all(run.count(f"{name}.convolution.conv") == RECURRENCES + 1 for name in recurrent)


def test_recurrent_convolution_by_hand():
    unit = RecurrentConvolution(ModelSpec(dims=2, tile=(8, 8)), 3, (3, 3)).eval()
    x = torch.rand(1, 3, 8, 8)
    once = unit.convolution(x)
    twice = unit.convolution(x + once)
    assert torch.equal(unit(x), unit.convolution(x + twice))
