"""How coarse voxels may be, on labels drawn here."""

import numpy as np
import pytest

from napari_unet.core.annotation import Annotation
from napari_unet.core.grid import Grid
from napari_unet.core.volume import Volume
from napari_unet.engine.detail import FACTORS, coarsest


def discs(radius, side=240, gap=4):
    """Round things of one size, each with an id of its own."""
    y, x = np.indices((side, side))
    labels = np.zeros((side, side), np.uint16)
    step = 2 * radius + gap
    for number, place in enumerate(np.ndindex(side // step, side // step), 1):
        cy, cx = (step * n + step / 2 for n in place)
        labels[(y - cy) ** 2 + (x - cx) ** 2 < radius**2] = number
    return labels


def planes(labels):
    volume = Volume(
        np.zeros((1, *labels.shape), np.float32), Grid(labels.shape, (1.0,) * labels.ndim)
    )
    return volume, Annotation.full(labels)


def lines(width, side=240):
    labels = np.zeros((side, side), np.uint8)
    labels[:, np.arange(side) % (3 * width) < width] = 1
    return labels


CASES = {
    # name: (labels, whether they are objects, lowest and highest factor that is right)
    "large discs": (discs(58) > 0, False, 4, FACTORS[-1]),
    "small discs": (discs(4) > 0, False, 1, 1),
    "thin lines": (lines(1), False, 1, 1),
    "one large class beside a thin one": (np.maximum(discs(58) > 0, 2 * lines(1)), False, 1, 1),
    "large objects": (discs(58), True, 1.5, 6),
    "small objects": (discs(6), True, 1, 1),
    "half and half": (np.arange(240)[:, None] >= np.full((1, 240), 120), False, 8, 8),
    "nothing but background": (np.zeros((240, 240)), False, 8, 8),
}


@pytest.mark.parametrize(("labels", "objects", "low", "high"), CASES.values(), ids=CASES)
def test_pixels_grow_until_something_would_be_lost(labels, objects, low, high):
    labels = np.asarray(labels).astype(np.uint16)
    assert low <= coarsest([planes(labels)], 0, 8, instances=objects) <= high


@pytest.mark.parametrize("most", [0.5, 1, 2, 3.5])
def test_pixels_grow_no_further_than_is_of_use(most):
    case = planes((discs(58) > 0).astype(np.uint16))
    found = coarsest([case], 0, most, instances=False)
    assert found == max([1, *(f for f in FACTORS if f <= most)])


def test_only_annotated_slices_are_looked_at():
    stack = np.stack([lines(1), (discs(58) > 0).astype(np.uint8), lines(1)])
    volume, _ = planes(stack)
    fine = [(volume, Annotation.from_slices(stack, 0, [0, 1]))]
    coarse = [(volume, Annotation.from_slices(stack, 0, [1]))]
    assert coarsest(fine, 0, 8, instances=False) == 1
    assert coarsest(coarse, 0, 8, instances=False) >= 4


def test_strokes_of_a_brush_are_kept_as_fine_as_they_are():
    labels = (discs(58) > 0).astype(np.uint8)
    known = np.zeros(labels.shape, np.bool_)
    known[100:103, :] = True  # a stroke three pixels wide
    volume, _ = planes(labels)
    assert coarsest([(volume, Annotation(labels, known))], 0, 8, instances=False) < 3


@pytest.mark.parametrize("value", [1, 255, 256, 300])
def test_any_number_may_stand_for_a_class(value):
    labels = np.where(lines(1), value, 0).astype(np.uint16)
    assert coarsest([planes(labels)], 0, 8, instances=False) == 1


def apart(labels, side):
    """Put labels into the corner of a large plane of background."""
    out = np.zeros((side, side), np.uint16)
    out[: labels.shape[0], : labels.shape[1]] = labels
    return out


@pytest.mark.parametrize("objects", [False, True])
def test_what_lies_off_the_middle_is_looked_at(objects):
    small = apart(discs(4), 1400)
    labels = small if objects else (small > 0).astype(np.uint16)
    assert coarsest([planes(labels)], 0, 8, instances=objects) == 1


def test_a_class_on_few_slices_is_looked_at():
    stack = np.tile((discs(58) > 0).astype(np.uint16), (32, 1, 1))
    stack[[1, 30]] = 2 * (discs(4) > 0)
    volume, annotation = planes(stack)
    assert coarsest([(volume, annotation)], 0, 8, instances=False) == 1
