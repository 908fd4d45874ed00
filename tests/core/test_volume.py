import dask.array as da
import numpy as np
import pytest

from napari_unet.core.grid import Grid
from napari_unet.core.volume import Volume
from napari_unet.errors import GridError

GRID = Grid((2, 3, 4), (1.0, 1.0, 1.0))


@pytest.mark.parametrize(
    ("shape", "channels", "words"),
    [
        ((2, 3, 4), (), "channels first"),
        ((1, 2, 3, 5), (), "(1, 2, 3, 5)"),
        ((2, 2, 3, 4), ("only one",), "2 channels but 1 names"),
    ],
)
def test_data_must_fit_its_grid(shape, channels, words):
    with pytest.raises(GridError) as caught:
        Volume(np.zeros(shape), GRID, channels, name="brain.nii")
    assert words in str(caught.value)
    assert "brain.nii" in str(caught.value)


FROM_ARRAY = {
    # name: (shape of the array, channel axis, shape of the data)
    "volume": ((2, 3, 4), None, (1, 2, 3, 4)),
    "plane": ((3, 4), None, (1, 3, 4)),
    "channels last": ((3, 4, 2), -1, (2, 3, 4)),
    "channels second": ((2, 5, 3, 4), 1, (5, 2, 3, 4)),
}


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("case", FROM_ARRAY.values(), ids=FROM_ARRAY)
def test_from_array(case, lazy):
    shape, axis, expected = case
    array = np.arange(np.prod(shape)).reshape(shape)
    volume = Volume.from_array(da.from_array(array) if lazy else array, channel_axis=axis)
    assert volume.data.shape == expected
    assert volume.grid.shape == expected[1:]
    assert volume.channels == tuple(f"channel {i + 1}" for i in range(expected[0]))
    moved = array[None] if axis is None else np.moveaxis(array, axis, 0)
    assert isinstance(volume.array(), np.ndarray)
    assert np.array_equal(volume.array(), moved)


class Watched(np.ndarray):
    """Pixels that count how often a part of them is looked at."""

    looks = 0

    def __getitem__(self, key):
        Watched.looks += 1
        return super().__getitem__(key)


def test_whether_an_image_is_grey_is_looked_up_once():
    """Windows ask at every change of their layers, and a grey image is compared to its last pixel."""
    grey = Volume(np.zeros((3, 4, 5, 6), np.uint8).view(Watched), Grid((4, 5, 6), (1.0,) * 3))
    assert grey.is_grey
    looks = Watched.looks
    assert looks > 4
    assert grey.is_grey
    assert Watched.looks == looks


def test_from_array_keeps_spacing_and_unit():
    volume = Volume.from_array(np.zeros((2, 3)), spacing=(0.5, 0.25), unit="um")
    assert (volume.grid.spacing, volume.grid.unit) == ((0.5, 0.25), "um")
    in_numpy = Volume.from_array(np.zeros((2, 3)), spacing=np.array((0.5, 0.25)), unit="um")
    assert in_numpy.grid == volume.grid
