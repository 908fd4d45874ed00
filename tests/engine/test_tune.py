"""What new data change about the spec of a model to start from."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_unet.core.annotation import Annotation
from napari_unet.core.classes import default_classes
from napari_unet.core.grid import Grid
from napari_unet.core.settings import TrainSettings
from napari_unet.core.spec import ModelSpec
from napari_unet.core.volume import Volume
from napari_unet.engine.tune import measurable, tuned_spec
from napari_unet.engine.view import View

COARSE = ModelSpec(
    dims=2,
    features=(4, 8),
    tile=(32, 32),
    classes=default_classes([1]),
    spacing=(1.0, 6.0, 6.0),
    unit="pixel",
)


def planes(labels, spacing=(1.0, 1.0), unit="pixel"):
    volume = Volume(np.zeros((1, *labels.shape), np.float32), Grid(labels.shape, spacing, unit))
    return volume, Annotation.full(labels)


def painted(*, thin):
    """Half of an image, and maybe lines as thin as a pixel."""
    labels = np.zeros((192, 192), np.uint8)
    labels[:96] = 1
    if thin:
        labels[::7] = 2
    return labels


CASES = {
    # name: (base, labels, grid, factor of the new model's pixels, whether it says why)
    "the base's class": (COARSE, painted(thin=False), {}, 6, False),
    "a thin class beside it": (COARSE, painted(thin=True), {}, 1, True),
    "the base's class, in micrometres": (
        replace(COARSE, unit="um", spacing=(1.0, 0.6, 0.6)),
        painted(thin=False),
        {"spacing": (0.1, 0.1), "unit": "um"},
        0.6,
        False,
    ),
    "the base's class, much larger than it was": (
        replace(COARSE, unit="um", spacing=(1.0, 0.6, 0.6)),
        painted(thin=False),
        {"spacing": (2.0, 2.0), "unit": "um"},
        2.0,
        True,
    ),
    "the base's class, much smaller than it was": (
        replace(COARSE, unit="um", spacing=(1.0, 600.0, 600.0)),
        painted(thin=False),
        {"spacing": (0.1, 0.1), "unit": "um"},
        0.8,
        True,
    ),
    "in micrometres": (
        replace(COARSE, unit="um", spacing=(1.0, 0.6, 0.6)),
        painted(thin=True),
        {"spacing": (0.1, 0.1), "unit": "um"},
        0.1,
        True,
    ),
    "of unknown size": (
        replace(COARSE, unit="um", spacing=(1.0, 0.6, 0.6)),
        painted(thin=True),
        {},
        0.6,
        False,
    ),
}


@pytest.mark.parametrize(("base", "labels", "grid", "pixel", "said"), CASES.values(), ids=CASES)
def test_pixels_are_the_base_s_unless_something_would_be_lost(base, labels, grid, pixel, said):
    spec, reasons = tuned_spec(
        base, [planes(labels, **grid)], TrainSettings(), (), torch.device("cpu")
    )
    assert spec.spacing == pytest.approx((1.0, pixel, pixel))
    assert any("in place of the base's" in reason for reason in reasons) == said
    assert spec.features == base.features


FULL, BOX = np.s_[:], np.s_[2:8, 2:8, 2:8]


@pytest.mark.parametrize(
    ("shape", "place", "context", "axis"),
    [
        ((16, 18, 20), FULL, 0, 2),
        ((16, 18, 20), BOX, 0, 2),
        ((16, 18, 20), np.s_[:, 5], 0, 1),
        ((16, 18, 20), np.s_[:, 5], 1, 2),
        ((16, 1, 20), FULL, 0, 1),
        ((16, 1, 20), FULL, 1, 1),
    ],
)
def test_a_base_goes_along_its_own_axis_unless_slices_are_annotated_along_another(
    shape, place, context, axis
):
    base = replace(COARSE, spacing=None, axis=2, context=context)
    known = np.zeros(shape, bool)
    known[place] = True
    volume = Volume(np.zeros((1, *shape), np.float32), Grid(shape, (1.0,) * 3))
    case = volume, Annotation(known.astype(np.uint8), known)
    spec, _ = tuned_spec(base, [case], TrainSettings(), (), torch.device("cpu"))
    assert spec.axis == axis


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_plane_is_seen_as_a_slice_along_whatever_axis(axis):
    spacing = [0.4, 0.4, 0.4]
    spacing[axis] = 3.0
    base = replace(COARSE, unit="mm", spacing=tuple(spacing), axis=axis)
    case = planes(painted(thin=False), spacing=(0.3, 0.3), unit="mm")
    spec, reasons = tuned_spec(base, [case], TrainSettings(), (), torch.device("cpu"))
    assert (spec.spacing, reasons) == (base.spacing, [])
    _, height, width = View(case[0], spec).shape
    assert height == width == round(case[0].grid.shape[0] * 0.3 / 0.4)
    assert all(height <= t < height + d for t, d in zip(spec.tile, spec.divisor, strict=True))


def coloured(grey):
    """Save a grey image in colour, or give it colours that differ."""
    volume, annotation = planes(painted(thin=False))
    data = np.repeat(volume.data, 3, axis=0)
    if not grey:
        data[1, 0, 0] += 1
    return Volume(data, volume.grid, ("red", "green", "blue")), annotation


GREY, SAVED_IN_COLOUR, COLOUR = (
    planes(painted(thin=False)),
    coloured(grey=True),
    coloured(grey=False),
)
CHANNELS = {
    # name: (images, channels of the new model)
    "grey": ([GREY], 1),
    "grey, saved in colour": ([SAVED_IN_COLOUR], 1),
    "grey, saved both ways": ([SAVED_IN_COLOUR, GREY], 1),
    "colour": ([COLOUR, SAVED_IN_COLOUR], 3),
    "colour after grey": ([SAVED_IN_COLOUR, COLOUR], 3),
}


STAINS = {
    # name: (channels of the image, those of the new model)
    "in another order": (("GFP", "DAPI"), ("DAPI", "GFP")),
    "among others": (("phase", "GFP", "DAPI"), ("DAPI", "GFP")),
    "others": (("Hoechst", "eGFP"), ("DAPI", "GFP")),
    "one that was another": (("GFP", "Cy5"), ("GFP", "Cy5")),
    "more": (("DAPI", "Cy5", "phase"), ("DAPI", "Cy5", "phase")),
}


@pytest.mark.parametrize(("given", "read"), STAINS.values(), ids=STAINS)
def test_a_base_goes_on_with_the_channels_it_knows_by_name(given, read):
    volume, annotation = GREY
    case = Volume(np.repeat(volume.data, len(given), axis=0), volume.grid, given), annotation
    base = replace(COARSE, channels=("DAPI", "GFP"))
    spec, reasons = tuned_spec(base, [case], TrainSettings(), (), torch.device("cpu"))
    assert spec.channels == read
    assert measurable(base, spec) == (read == base.channels)
    assert any("what they show is learned anew" in reason for reason in reasons) == (
        read != base.channels
    )


def test_nothing_is_said_to_be_learned_anew_where_channels_stay():
    """The first image has the base's; what can't be read of another one is said when it is."""
    volume, annotation = GREY
    base = replace(COARSE, channels=("DAPI",))
    others = Volume(np.concatenate([volume.data, 1 - volume.data]), volume.grid, ("GFP", "Cy5"))
    cases = [(replace(volume, channels=("DAPI",)), annotation), (others, annotation)]
    spec, reasons = tuned_spec(base, cases, TrainSettings(), (), torch.device("cpu"))
    assert spec.channels == base.channels
    assert not any("anew" in reason for reason in reasons)


@pytest.mark.parametrize(("cases", "channels"), CHANNELS.values(), ids=CHANNELS)
def test_a_grey_base_stays_grey_for_images_that_are(cases, channels):
    spec, reasons = tuned_spec(COARSE, cases, TrainSettings(), (), torch.device("cpu"))
    assert len(spec.channels) == channels
    assert any("what they show is learned anew" in reason for reason in reasons) == (channels > 1)
    assert [len(View(volume, spec).intensities) for volume, _ in cases] == [channels] * len(cases)
