"""Networks assembled from MONAI's blocks against MONAI's own, with the same weights."""

import pytest
import torch
from monai.networks.blocks.dynunet_block import UnetResBlock
from monai.networks.nets import BasicUNetPlusPlus, DynUNet
from torch import nn

from napari_unet.core.spec import ModelSpec
from napari_unet.engine.networks import build_network
from napari_unet.engine.networks.blocks import ACTIVATION, initialise
from napari_unet.engine.networks.residual import ResidualBlock

INSTANCE = ("instance", {"affine": True})
KINDS = (
    (nn.Conv2d, nn.Conv3d),
    (nn.ConvTranspose2d, nn.ConvTranspose3d),
    (nn.InstanceNorm2d, nn.InstanceNorm3d),
)


@pytest.fixture(autouse=True)
def same_weights_every_time():
    torch.manual_seed(0)


def copy_weights(ours, theirs):
    """Copy layer by layer, in the order in which both list the layers of a kind."""
    theirs.apply(initialise)  # their up-convolutions may have a bias: zero
    for kind in KINDS:
        source = [m for m in ours if isinstance(m, kind)]
        target = [m for m in theirs.modules() if isinstance(m, kind)]
        for layer, other in zip(source, target, strict=True):
            if isinstance(layer, nn.InstanceNorm3d):  # so that a swapped pair would show
                nn.init.uniform_(layer.weight, 0.5, 1.5)
                nn.init.uniform_(layer.bias)
            missing = other.load_state_dict(layer.state_dict(), strict=False).missing_keys
            assert missing in ([], ["bias"])


def layers(*modules):
    return [layer for module in modules for layer in module.modules()]


@pytest.mark.parametrize("dims", [2, 3])
def test_unet_is_dynunet(dims):
    spec = ModelSpec(
        "unet",
        dims=dims,
        features=(4, 6, 8, 10),
        kernels=((1, 3, 3)[-dims:],) * 4,
        strides=((1, 2, 2)[-dims:], (2,) * dims, (2,) * dims),
        tile=(16,) * dims,
    )
    ours = build_network(spec)
    theirs = DynUNet(
        dims,
        spec.in_channels,
        spec.out_channels,
        kernel_size=spec.kernels,
        strides=((1,) * dims, *spec.strides),
        upsample_kernel_size=spec.strides,
        filters=spec.features,
    )
    # DynUNet numbers its way up from the deepest level, and `skip_layers` holds all once more.
    down = (theirs.input_block, theirs.downsamples, theirs.bottleneck)
    parts = nn.ModuleList([*down, theirs.upsamples, theirs.output_block])
    copy_weights(layers(ours.encoder, *ours.ups[::-1], *ours.decoder[::-1], ours.head), parts)
    image = torch.rand(2, 1, *spec.tile)
    torch.testing.assert_close(ours(image), theirs(image))


@pytest.mark.parametrize(
    ("inputs", "kernel", "stride"),
    [(3, (3, 3, 3), (1, 1, 1)), (5, (3, 3, 3), (1, 1, 1)), (3, (1, 3, 3), (1, 2, 2))],
)
def test_residual_block_is_monais(inputs, kernel, stride):
    ours = ResidualBlock(ModelSpec(dims=3), inputs, 5, kernel, stride)
    theirs = UnetResBlock(3, inputs, 5, kernel, stride, INSTANCE, ACTIVATION)
    copy_weights(layers(ours), theirs)
    image = torch.rand(2, inputs, 4, 8, 8)
    torch.testing.assert_close(ours(image), theirs(image))


@pytest.mark.parametrize("dims", [2, 3])
def test_unetpp_is_monais_at_every_head(dims):
    features = (2, 2, 4, 8, 16)  # widths at which MONAI's up-convolutions have ours
    spec = ModelSpec("unetpp", dims=dims, features=features, tile=(32,) * dims)
    ours = build_network(spec)
    theirs = BasicUNetPlusPlus(
        dims,
        spec.in_channels,
        spec.out_channels,
        features=(*features, features[0]),
        act=ACTIVATION,
        norm=INSTANCE,
        bias=False,
        deep_supervision=True,
    )
    # MONAI lists the way down first, then the nodes by their place at each level.
    order = sorted(ours.nodes, key=lambda name: name.split("_")[::-1])
    nodes = [ours.nodes[name] for name in order]
    ups = [ours.ups[name] for name in order if name in ours.ups]
    copy_weights(layers(*nodes, *ups, ours.heads), theirs)
    image = torch.rand(1, 1, *spec.tile)
    for own, other in zip(ours(image), reversed(theirs(image)), strict=True):
        torch.testing.assert_close(own, other, rtol=1e-4, atol=1e-4)
