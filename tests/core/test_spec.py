import pytest

from napari_unet.core.classes import BACKGROUND, LabelClass
from napari_unet.core.spec import ModelSpec, Normalisation
from napari_unet.errors import SpecError

ONE = LabelClass(1, "one")
TWO = LabelClass(2, "two")

REFUSED = {
    # name: (what is asked for, what the message must say)
    "unknown network": ({"network": "unetr"}, "choose one of unet, original"),
    "four dimensions": ({"dims": 4}, "2 or 3 dimensions"),
    "one level": ({"features": (16,)}, "2 to 8 levels"),
    "a level without features": ({"features": (16, 0)}, "1 to 4096"),
    "too few kernels": ({"kernels": ((3, 3, 3),)}, "4 levels need 4 kernels"),
    "too many strides": ({"strides": ((2, 2, 2),) * 4}, "3 strides"),
    "even kernel": ({"kernels": ((2, 3, 3),) * 4}, "odd"),
    "flat kernel": ({"kernels": ((3, 3),) * 4}, "3 odd numbers"),
    "stride of three": ({"strides": ((3, 2, 2),) * 3}, "1, 2 or 4"),
    "no channel": ({"channels": ()}, "at least one channel"),
    "background only": ({"classes": (BACKGROUND,)}, "at least one class"),
    "no background": ({"classes": (ONE, TWO)}, "background"),
    "an id twice": ({"classes": (BACKGROUND, ONE, LabelClass(1, "again"))}, "[0, 1, 1]"),
    "objects of two classes": (
        {"classes": (BACKGROUND, ONE, TWO), "target": "instances"},
        "exactly one class",
    ),
    "context in 3D": ({"context": 1}, "for 2D networks only"),
    "a block in 3D": ({"block": (8, 8, 8)}, "not for a 3D unet"),
    "an odd block": ({"dims": 2, "block": (8, 8, 12), "tile": (8, 8)}, "does not divide by {8}"),
    "axis": ({"axis": 3}, "0, 1 or 2"),
    "unit": ({"unit": "inch"}, "inch"),
    "spacing": ({"spacing": (1.0, 0.0, 1.0)}, "positive"),
    "pruned plain network": ({"depth": 1}, "Only unetpp"),
    "pruned to nothing": ({"network": "unetpp", "depth": 0}, "1 to 3"),
    "flat tile": ({"tile": (64, 64)}, "3 lengths"),
    "huge tile": ({"tile": (8, 8, 100_000)}, "8192"),
    "odd tile": ({"tile": (64, 64, 63)}, "the nearest is (64, 64, 64)"),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_impossible_specs_are_refused_with_the_nearest_possible(case):
    changes, words = case
    with pytest.raises(SpecError) as caught:
        ModelSpec(**changes)
    assert words in str(caught.value)


def test_kernels_and_strides_have_defaults():
    spec = ModelSpec(dims=2, features=(8, 16, 32), tile=(64, 64))
    assert spec.kernels == ((3, 3),) * 3
    assert spec.strides == ((2, 2),) * 2


@pytest.mark.parametrize(
    ("strides", "divisor"),
    [((), (8, 8, 8)), (((1, 2, 2), (2, 2, 2), (2, 4, 2)), (4, 16, 8))],
)
def test_tiles_divide_by_the_product_of_the_strides(strides, divisor):
    assert ModelSpec(strides=strides, tile=(16, 32, 32)).divisor == divisor


@pytest.mark.parametrize(
    ("wanted", "nearest"), [((64, 96, 96), (64, 96, 96)), ((1, 13, 11), (8, 16, 8))]
)
def test_nearest_tile(wanted, nearest):
    assert ModelSpec().nearest_tile(wanted) == nearest


@pytest.mark.parametrize(
    ("changes", "channels_in", "channels_out"),
    [
        ({}, 1, 2),
        ({"channels": ("red", "green"), "classes": (BACKGROUND, ONE, TWO)}, 2, 3),
        ({"dims": 2, "tile": (64, 64), "context": 2, "channels": ("a", "b")}, 10, 2),
        ({"target": "instances"}, 1, 3),
    ],
)
def test_channels_of_the_network(changes, channels_in, channels_out):
    spec = ModelSpec(**changes)
    assert (spec.in_channels, spec.out_channels) == (channels_in, channels_out)


def test_the_original_network_checks_its_own_tiles():
    assert ModelSpec(network="original", dims=2, tile=(388, 388)).tile == (388, 388)


@pytest.mark.parametrize(("low", "high"), [(99, 1), (5, 5)])
def test_normalisation_needs_a_range(low, high):
    with pytest.raises(SpecError, match="low < high"):
        Normalisation("window", low, high)
    assert Normalisation("none", low, high).kind == "none"
