"""What a grid tells of how an image lies to a model; sizes that misfit are in `engine/test_view.py`."""

from dataclasses import replace

import numpy as np
import pytest

from napari_unet.core.alignment import Alignment, misfit, strangeness
from napari_unet.core.grid import Grid
from napari_unet.core.spec import ModelSpec
from napari_unet.core.volume import Volume

FLAT = ModelSpec(dims=2, tile=(64, 64))
SOLID = ModelSpec(dims=3, tile=(16, 16, 16))
UM = {"spacing": (1.0, 0.5, 0.5), "unit": "um"}
VOLUME, PLANE = Grid((4, 6, 6), (2.0, 1.0, 1.0), "um"), Grid((6, 6), (1.0, 1.0), "um")

STRANGE = {
    "nothing": (replace(SOLID, **UM), VOLUME, (False, False)),
    "no size": (replace(SOLID, **UM), Grid((4, 6, 6), (1.0, 1.0, 1.0)), (True, False)),
    "a model that counts voxels": (SOLID, VOLUME, (False, False)),
    "a volume to planes": (FLAT, VOLUME, (False, True)),
    "a volume to planes with neighbours": (replace(FLAT, context=2), VOLUME, (False, False)),
    "a volume to planes of all orientations": (replace(FLAT, block=(32, 32, 32)), VOLUME, (False, False)),
    "a plane to planes": (replace(FLAT, **UM), PLANE, (False, False)),
    "a plane to planes with neighbours": (replace(FLAT, context=2), PLANE, (False, True)),
}  # fmt: skip


@pytest.mark.parametrize(("spec", "grid", "found"), STRANGE.values(), ids=STRANGE)
def test_in_what_an_image_is_unlike_what_was_learned_from(spec, grid, found):
    assert strangeness(grid, spec) == found


STRETCHES = {
    "a volume": (replace(SOLID, **UM), VOLUME, (2.0, 2.0, 2.0)),
    "slices keep their distance": (replace(FLAT, **UM), VOLUME, (1.0, 2.0, 2.0)),
    "a plane": (replace(FLAT, **UM), PLANE, (1.0, 2.0, 2.0)),
    "another axis": (replace(FLAT, axis=1, **UM), VOLUME, (1.0, 2.0, 2.0)),
    "nobody knows": (replace(SOLID, **UM), Grid((4, 6, 6), (2.0, 1.0, 1.0)), (1.0, 1.0, 1.0)),
    "as it comes": (SOLID, VOLUME, (1.0, 1.0, 1.0)),
}


@pytest.mark.parametrize(("spec", "grid", "stretch"), STRETCHES.values(), ids=STRETCHES)
def test_how_long_voxels_are_in_those_of_the_model(spec, grid, stretch):
    assert Alignment(grid, spec).stretch == stretch


def test_a_grey_image_in_colour_can_be_read_and_a_coloured_one_not():
    grey = np.repeat(np.arange(36, dtype=np.uint8).reshape(1, 6, 6), 3, axis=0)
    coloured = grey.copy()
    coloured[2, 5, 5] += 1
    names = ("red", "green", "blue")
    assert not misfit(Volume(grey, PLANE, names), FLAT)
    assert "has 3 channel(s) (red, green, blue)" in misfit(Volume(coloured, PLANE, names), FLAT)
