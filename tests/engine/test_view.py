import re
from dataclasses import replace

import dask.array as da
import numpy as np
import pytest

from napari_unet.core.grid import Grid
from napari_unet.core.spec import ModelSpec, Normalisation
from napari_unet.core.volume import Volume
from napari_unet.engine.view import View, measure, predictable
from napari_unet.errors import SpecError

RAW = Normalisation("none")
PLAIN = ModelSpec(normalisation=RAW, tile=(8, 8, 8))
PLANAR = ModelSpec(dims=2, normalisation=RAW, tile=(8, 8))


def numbered(shape, **grid):
    data = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    return Volume(data[None], Grid(shape, grid.pop("spacing", (1.0,) * len(shape)), **grid))


def test_reads_the_voxels_themselves():
    volume = numbered((4, 5, 6))
    view = View(volume, PLAIN)
    assert np.array_equal(view.read((0, 0, 0), (4, 5, 6)), volume.data)
    assert np.array_equal(view.read((1, 2, 3), (3, 4, 6)), volume.data[:, 1:3, 2:4, 3:6])


@pytest.mark.parametrize(
    ("padding", "expected"),
    [
        ("zero", [0, 0, 1, 2, 3, 0, 0]),
        ("edge", [1, 1, 1, 2, 3, 3, 3]),
        ("mirror", [3, 2, 1, 2, 3, 2, 1]),
    ],
)
def test_outside_the_volume(padding, expected):
    data = np.array([1.0, 2.0, 3.0]).reshape(1, 1, 1, 3)
    view = View(Volume(data, Grid((1, 1, 3), (1.0, 1.0, 1.0))), PLAIN)
    box = view.read((0, 0, -2), (1, 1, 5), (padding,) * 3)
    assert box.ravel().tolist() == expected


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_2d_network_goes_along_its_axis(axis):
    volume = numbered((3, 4, 5))
    view = View(volume, replace(PLANAR, axis=axis))
    assert np.array_equal(view.read((0, 0, 0), view.shape)[0], np.moveaxis(volume.data[0], axis, 0))
    labels = np.zeros((3, 4, 5))
    view.oriented(labels)[1] = 7
    assert (labels.take(1, axis) == 7).all()
    assert view.in_grid((0, 0, 0), view.shape) == ((0, 0, 0), (3, 4, 5))


def test_a_plane_is_one_slice():
    volume = numbered((4, 5))
    view = View(volume, PLANAR)
    assert view.shape == (1, 4, 5)
    assert np.array_equal(view.read((0, 0, 0), (1, 4, 5))[:, 0], volume.data)
    assert view.in_grid((0, 0, 1), (1, 2, 3)) == ((0, 1), (2, 3))


@pytest.mark.parametrize(("axis", "expected"), [(0, (1, 4, 8)), (1, (1, 8, 8)), (2, (1, 8, 4))])
def test_a_plane_takes_the_spacing_within_the_models_slices(axis, expected):
    spec = replace(PLANAR, axis=axis, spacing=(1.0, 2.0, 1.0), unit="mm")
    assert View(numbered((8, 8), unit="mm"), spec).shape == expected


def test_brings_an_image_to_the_models_spacing_whatever_the_unit():
    spec = replace(PLAIN, spacing=(1.0, 1.0, 1.0), unit="mm")
    volume = numbered((4, 6, 6), spacing=(2000.0, 1000.0, 500.0), unit="um")
    view = View(volume, spec)
    assert view.shape == (8, 6, 3)
    whole = view.read((0, 0, 0), view.shape)
    box = view.read((2, 1, 1), (7, 5, 3))
    assert np.allclose(box, whole[:, 2:7, 1:5, 1:3])


@pytest.mark.parametrize(
    ("unit", "spacing", "expected"),
    [
        ("pixel", (1.0, 1.0, 1.0), (4, 3, 3)),
        ("pixel", (1.0, 2.0, 1.0), (4, 6, 3)),  # pixels twice as long as wide
        ("um", (0.5, 0.1, 0.1), (4, 3, 3)),  # a pixel of known size is a pixel
    ],
)
def test_a_model_may_count_in_pixels_of_the_image(unit, spacing, expected):
    spec = replace(PLANAR, spacing=(1.0, 2.0, 2.0), unit="pixel")
    volume = numbered((4, 6, 6), spacing=spacing, unit=unit)
    assert View(volume, spec).shape == expected


def test_lazy_data_is_read_box_by_box():
    array = da.zeros((1, 1000, 1000, 1000), chunks=(1, 10, 100, 100), dtype=np.uint8)
    view = View(Volume(array, Grid((1000, 1000, 1000), (1.0, 1.0, 1.0))), PLAIN)
    assert view.read((500, 500, 500), (508, 508, 508)).shape == (1, 8, 8, 8)


@pytest.mark.parametrize(
    "values",
    [np.full(64, 5.0), np.full(64, np.nan), np.r_[np.inf, -np.inf, np.nan, np.ones(61)]],
    ids=["constant", "nan", "infinite"],
)
@pytest.mark.parametrize("how", [Normalisation(), Normalisation("window", 0, 9), RAW])
def test_strange_intensities_stay_small(values, how):
    data = values.reshape(1, 4, 4, 4)
    view = View(Volume(data, Grid((4, 4, 4), (1.0,) * 3)), replace(PLAIN, normalisation=how))
    assert (abs(view.read((0, 0, 0), (4, 4, 4))) < 100).all()


def test_a_few_bright_voxels_on_black_are_not_clipped_away():
    data = np.zeros((1, 1, 100, 100), np.uint16)
    data[..., 5:8, 5:8] = 1000  # fewer than the percentiles leave out
    (scale,) = measure(data, Normalisation())
    assert scale.apply(data).max() > scale.apply(data).min()


def test_wide_planes_are_measured_throughout_the_stack():
    """The first slice of a stack is often dark: it alone must not set the scale."""
    data = da.zeros((1, 40, 1600, 1600), chunks=(1, 1, 1600, 1600), dtype=np.uint16)
    data = data + np.arange(40, dtype=np.uint16).reshape(40, 1, 1)
    (scale,) = measure(data, Normalisation())
    assert (scale.low, scale.high) == (0, 39)
    assert abs(scale.mean - 19.5) < 1


def test_zscore_has_mean_0_and_deviation_1():
    data = np.random.default_rng(0).normal(300, 20, (2, 10, 20, 20))
    for channel, scale in zip(data, measure(data, Normalisation()), strict=True):
        scaled = scale.apply(channel)
        assert abs(scaled.mean()) < 0.01
        assert abs(scaled.std() - 1) < 0.01


@pytest.mark.parametrize(
    ("spec", "shape", "words"),
    [
        (replace(PLAIN, channels=("a", "b")), (4, 4, 4), "1 channel"),
        (PLAIN, (4, 4), "plane"),
    ],
)
def test_refuses_what_does_not_fit(spec, shape, words):
    with pytest.raises(SpecError, match=words):
        View(numbered(shape), spec)


def test_a_grey_image_saved_in_colour_is_grey():
    grey = numbered((4, 5))
    colour = Volume(np.repeat(grey.data, 3, axis=0), grey.grid, ("red", "green", "blue"))
    seen, expected = (View(v, PLANAR).read((0, 0, 0), (1, 4, 5)) for v in (colour, grey))
    assert np.array_equal(seen, expected)
    colour.data[1, 0, 0] += 1
    with pytest.raises(
        SpecError, match="save the channel that it should read as a file of its own"
    ):
        View(replace(colour), PLANAR)  # another volume: of the first it is known by now


UM = {"spacing": (1.0, 0.5, 0.5), "unit": "um"}

FITS = {
    # name: (spec, shape, spacing, unit, what is said where it does not fit)
    "eight times as long": (replace(PLAIN, **UM), (4, 6, 6), (8.0, 4.0, 4.0), "um", None),
    "in another unit": (replace(PLAIN, **UM), (4, 6, 6), (1000.0, 500.0, 500.0), "nm", None),
    "thick slices alone": (replace(PLAIN, **UM), (4, 6, 6), (20.0, 0.5, 0.5), "um", None),
    "of unknown size": (replace(PLAIN, **UM), (4, 6, 6), (1.0, 1.0, 1.0), "pixel", None),
    "to a model without a size": (PLAIN, (4, 6, 6), (1.0, 1.0, 1.0), "mm", None),
    "to a model of coarse pixels": (
        replace(PLANAR, spacing=(1.0, 8.0, 8.0)), (4, 64, 64), (1.0, 1.0, 1.0), "pixel", None,
    ),
    "finer than coarse pixels were chosen for": (
        replace(PLANAR, spacing=(1.0, 4.0, 4.0), unit="um"), (64, 64), (0.2, 0.2), "um", None,
    ),
    "millimetres for micrometres": (
        replace(PLAIN, **UM),
        (4, 6, 6),
        (1.0, 0.5, 0.5),
        "mm",
        "an image has voxels of 1 x 0.5 x 0.5 mm, but those of the model measure 1 x 0.5 x 0.5 um, "
        "1,000 times less: correct the voxel size of the image, choose a model for such images, "
        "or fine-tune this one on them.",
    ),
    "a plane": (
        replace(PLANAR, axis=1, spacing=(0.5, 3.0, 0.25), unit="um"),
        (6, 6),
        (84.7, 84.7),
        "um",
        "84.7 x 84.7 um, but those of the model measure 0.5 x 0.25 um, 169 times less:",
    ),
    "slices": (
        replace(PLANAR, **UM), (4, 6, 6), (1.0, 5.0, 5.0), "um", "measure 1 x 0.5 x 0.5 um, 10 times less:",
    ),
    "micrometres for nanometres": (
        replace(PLAIN, **UM), (4, 6, 6), (1e3, 500.0, 500.0), "um", "has voxels of 1,000 x 500 x 500 um,",
    ),
    "nanometres for micrometres": (
        replace(PLAIN, **UM), (4, 6, 6), (1.0, 0.5, 0.5), "nm", "measure 1 x 0.5 x 0.5 um, 1,000 times more:",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("spec", "shape", "spacing", "unit", "says"), FITS.values(), ids=FITS)
def test_voxels_of_quite_another_size_are_refused(spec, shape, spacing, unit, says):
    volume = replace(numbered(shape, spacing=spacing, unit=unit), name="an image")
    if says is None:
        assert predictable(volume, spec).shape == View(volume, spec).shape
    else:
        with pytest.raises(SpecError, match=re.escape(says)):
            predictable(volume, spec)


class Counted:
    """Data that notes what is read of it."""

    def __init__(self, data):
        self.data, self.shape, self.dtype, self.reads = data, data.shape, data.dtype, []

    def __getitem__(self, key):
        part = self.data[key]
        self.reads.append((key, part.size))
        return part


def test_each_plane_is_measured_with_one_read_of_all_channels():
    data = Counted(np.random.default_rng(0).normal(size=(3, 40, 20, 20)))
    measure(data, Normalisation())
    planes = [key[1] for key, _ in data.reads]
    assert len(planes) == len(set(planes)) == 40


def test_a_box_of_a_volume_reads_no_more_than_itself():
    data = Counted(np.zeros((1, 50, 60, 70), np.uint8))
    view = View(Volume(data, Grid((50, 60, 70), (1.0,) * 3)), PLAIN)
    view.read((10, 10, 60), (18, 18, 68))
    view.read((-4, -4, 66), (4, 4, 74))
    assert [size for _, size in data.reads] == [8**3, 4**3]


@pytest.mark.parametrize("spacing", [None, (2.0, 2.0, 2.0)])
@pytest.mark.parametrize("intensity", [6.9, 7.0])
def test_says_whether_anything_is_brighter(spacing, intensity):
    data = np.zeros((2, 16, 16, 16), np.uint8)
    data[1, 9, 9, 9] = 7
    spec = replace(PLAIN, channels=("a", "b"), spacing=spacing, unit="mm")
    view = View(Volume(data, Grid((16, 16, 16), (1.0,) * 3, "mm")), spec)
    half = tuple(n // 2 for n in view.shape)
    assert view.exceeds(half, view.shape, intensity) == (intensity < 7)
    assert not view.exceeds((0, 0, 0), tuple(n // 2 for n in half), intensity)


def test_a_coarser_view_shows_the_same_image():
    volume = numbered((8, 6, 7))
    view = View(volume, PLAIN).coarser((2, 1, 2))
    assert view.shape == (4, 6, 4)
    assert view.image_shape == (8, 6, 7)
    means = volume.data[0].reshape(4, 2, 6, 7).mean(1)
    seen = view.read((0, 0, 0), view.shape)[0]
    assert np.allclose(seen[1:3, :, 1:3].mean(), means[1:3, :, 1:6].mean(), rtol=0.05)
