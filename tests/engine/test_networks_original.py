"""The 2015 network against the numbers and the promise of its paper."""

import pytest
import torch

from napari_unet.core.spec import ModelSpec
from napari_unet.engine.networks import build_network
from napari_unet.engine.sizes import input_tile, margin, nearest_tile
from napari_unet.errors import SpecError

PAPER = ModelSpec("original", dims=2, features=(64, 128, 256, 512, 1024), tile=(388, 388))
SMALL = {"dims": 2, "features": (2, 3, 4)}


@pytest.fixture(autouse=True)
def same_weights_every_time():
    torch.manual_seed(0)


def weights_by_hand(features, inputs, classes):
    """Count weights and biases layer by layer, as drawn in the paper's figure 1."""
    count = classes * (features[0] + 1)
    for width in features:  # way down: two 3x3 convolutions
        count += width * (9 * inputs + 1) + width * (9 * width + 1)
        inputs = width
    for width in features[:-1]:  # way up: 2x2 up-convolution, then two 3x3 convolutions
        count += width * (4 * 2 * width + 1) + width * (9 * 2 * width + 1) + width * (9 * width + 1)
    return count


def test_paper_sizes():
    assert margin(PAPER) == (92, 92)
    assert input_tile(PAPER) == (572, 572)
    spec = ModelSpec("original", dims=2, features=(2,) * 5, tile=(388, 388))
    with torch.no_grad():
        assert build_network(spec)(torch.rand(1, 1, 572, 572)).shape == (1, 2, 388, 388)


def test_paper_weights():
    with torch.device("meta"):
        net = build_network(PAPER)
    count = sum(p.numel() for p in net.parameters())
    assert count == weights_by_hand(PAPER.features, inputs=1, classes=2) == 31_030_658


@pytest.mark.parametrize(
    ("wanted", "nearest"), [(388, 388), (395, 388), (397, 404), (1, 4), (4, 4), (13, 20)]
)
def test_nearest_output(wanted, nearest):
    assert nearest_tile(PAPER, (wanted, wanted)) == (nearest, nearest)


def test_refusal_names_the_nearest_output_and_its_input():
    spec = ModelSpec("original", dims=2, features=PAPER.features, tile=(384, 400))
    with pytest.raises(SpecError, match=r"\(384, 400\).*\(388, 404\).*\(572, 588\)"):
        build_network(spec)


@pytest.mark.parametrize("strides", [(), ((1, 2), (2, 2)), ((4, 2), (1, 4))])
@pytest.mark.parametrize("kernels", [(), ((3, 1), (5, 3), (3, 3))])
def test_every_output_it_offers_it_makes(strides, kernels):
    shape = SMALL | {"strides": strides, "kernels": kernels}
    open_spec = ModelSpec("original", tile=(1, 1), **shape)
    tiles = {nearest_tile(open_spec, (n, n)) for n in range(1, 40)}
    for tile in tiles:
        spec = ModelSpec("original", tile=tile, **shape)
        with torch.no_grad():
            logits = build_network(spec)(torch.rand(1, 1, *input_tile(spec)))
        assert logits.shape[2:] == tile


def test_tiles_fit_without_a_seam():
    """The overlap-tile promise: a tile's logits are those of the whole image, cut out."""
    spec = ModelSpec("original", tile=(16, 16), **SMALL)
    net = build_network(spec).eval()
    whole = torch.rand(1, 1, *(n + 32 for n in input_tile(spec)))
    side = input_tile(spec)[0]
    with torch.no_grad():
        expected = net(whole)
        for y, x in [(0, 0), (16, 0), (16, 32)]:
            part = net(whole[..., y : y + side, x : x + side])
            torch.testing.assert_close(part, expected[..., y : y + 16, x : x + 16])


def test_drops_out_while_training_only():
    spec = ModelSpec("original", dims=2, features=(8, 16), tile=(16, 16))
    net, image = build_network(spec), torch.rand(1, 1, *input_tile(spec))
    assert not torch.equal(net(image), net(image))
    net.eval()
    assert torch.equal(net(image), net(image))
