"""Which channels of an image a model reads, whatever the order they come in."""

import dask.array as da
import numpy as np
import pytest

from napari_unet.core.alignment import unreadable
from napari_unet.core.channels import channels_for, picked
from napari_unet.core.grid import Grid
from napari_unet.core.spec import ModelSpec
from napari_unet.core.volume import Volume

READ = {
    # name: (channels of the model, channels of the image, which are read)
    "one and one": (("DAPI",), ("Hoechst",), (0,)),
    "the same": (("DAPI", "GFP"), ("DAPI", "GFP"), (0, 1)),
    "in another order": (("DAPI", "GFP"), ("GFP", "DAPI"), (1, 0)),
    "written otherwise": (("DAPI", "GFP"), ("gfp ", "dapi"), (1, 0)),
    "among others": (("DAPI", "GFP"), ("Cy5", "GFP", "phase", "DAPI"), (3, 1)),
    "one of three": (("DAPI",), ("GFP", "DAPI", "Cy5"), (1,)),
    "no names": (("channel 1", "channel 2"), ("DAPI", "GFP"), (0, 1)),
    "names of the image alone": (("DAPI", "GFP"), ("channel 1", "channel 2"), (0, 1)),
    "other names": (("DAPI", "GFP"), ("Hoechst", "eGFP"), (0, 1)),
    "one of the names": (("DAPI", "GFP"), ("Hoechst", "GFP"), (0, 1)),
    "what it knows as another": (("DAPI", "GFP"), ("GFP", "Cy5"), None),
    "a number is no name": (("channel 1",), ("channel 1", "channel 2"), None),
    "nor is a microscope's": (("Channel:0:0",), ("Channel:0:0", "Channel:0:1"), None),
    "nor a letter and a number": (("C1",), ("C0", "C1"), None),
    "one is missing": (("DAPI", "GFP"), ("DAPI", "Cy5", "phase"), None),
    "two of one name": (("DAPI",), ("DAPI", "DAPI"), None),
}


def image(names):
    rng = np.random.default_rng(0)
    return Volume(
        rng.random((len(names), 4, 6), np.float32),
        Grid((4, 6), (1.0, 1.0)),
        names,
        name="cells.tif",
    )


@pytest.mark.parametrize(("model", "names", "found"), READ.values(), ids=READ)
def test_channels_are_read_by_name_where_names_say_anything(model, names, found):
    spec = ModelSpec(dims=2, tile=(32, 32), channels=model)
    assert channels_for(image(names), spec) == found
    assert bool(unreadable(image(names), spec)) == (found is None)


@pytest.mark.parametrize(
    ("model", "names", "remedy"),
    [
        (
            ("DAPI",),
            ("GFP", "Cy5"),
            "save the channel that it should read as a file of its own, or",
        ),
        (("DAPI", "GFP"), ("a", "b", "c"), "save the 2 channels that it should read as a file"),
        (("DAPI", "GFP"), ("GFP", "Cy5"), "mend their names where these are wrong, or choose"),
        (("DAPI", "GFP"), ("DAPI",), "reads 2 (DAPI, GFP): choose another model."),
    ],
)
def test_what_helps_where_channels_do_not_fit_is_said(model, names, remedy):
    spec = ModelSpec(dims=2, tile=(32, 32), channels=model)
    assert remedy in unreadable(image(names), spec)


ORDERS = [(0,), (2,), (0, 1), (1, 0), (3, 1), (2, 1, 0), (1, 0, 2), (0, 1, 2, 3), (3, 0, 2, 1)]


@pytest.mark.parametrize("order", ORDERS)
def test_channels_are_picked_in_order_in_memory_or_lazy(order):
    data = np.arange(24).reshape(4, 2, 3)
    expected = np.stack([data[i] for i in order])
    assert np.array_equal(picked(data, order), expected)
    assert np.array_equal(np.asarray(picked(da.from_array(data), order)[:]), expected)


def test_two_channels_the_other_way_round_are_not_copied():
    data = np.zeros((2, 4, 6))
    assert np.shares_memory(picked(data, (1, 0)), data)
