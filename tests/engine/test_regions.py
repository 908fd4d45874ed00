import numpy as np
import pytest

from napari_unet.core.annotation import Annotation
from napari_unet.engine.regions import (
    grown,
    inside,
    numbered,
    overlap,
    regions,
    shared,
    size,
    slicing_axis,
)

SHAPE = (20, 24, 28)


def annotation(*places, shape=SHAPE):
    known = np.zeros(shape, bool)
    for place in places:
        known[place] = True
    return Annotation(np.zeros(shape, np.uint8), known)


def z(*indices):
    return [np.s_[i] for i in indices]


def y(*indices):
    return [np.s_[:, i] for i in indices]


HOLES = np.s_[[4, 9], 3:9, 5:20]
BOXES = [np.s_[2:6, 2:8, 2:8], np.s_[10:14, 4:12, 15:22], np.s_[2:5, 15:20, 10:20]]
DOTS = [np.s_[3, 4:6, 4:6], np.s_[3, 15, 15], np.s_[11, 8:10, 20]]


@pytest.mark.parametrize(
    ("places", "axes", "count"),
    [
        (z(3, 9, 15), [0], 3),
        (y(2, 5), [1], 2),
        ([*z(3, 17), *y(20)], [0, 1], 3),
        ([*z(3), *y(20), np.s_[:, :, 5]], [0, 1, 2], 3),
        ([np.s_[:]], [0], 20),
        (BOXES, None, 3),
        (BOXES[:1], [0], 4),
        (DOTS, [0], 2),
        ([*z(3, 9), BOXES[1]], None, 3),
    ],
)
def test_slices_stay_slices_and_boxes_boxes(places, axes, count):
    made = annotation(*places)
    found = regions(made)
    assert len(found) == count
    thin = {k for box in found for k in range(3) if box[1][k] - box[0][k] == 1}
    if axes is not None:
        assert thin == set(axes)
    covered = np.zeros(SHAPE, bool)
    for box in found:
        covered[inside(box)] = True
    assert covered[made.known].all()


def test_a_slice_with_holes_is_one_slice():
    made = annotation(*z(4, 9))
    made.known[HOLES] = False
    assert len(regions(made)) == 2


def test_an_image_of_two_axes_is_one_region_whatever_is_known_unless_boxes_are():
    shape = (40, 40)
    assert len(regions(annotation(np.s_[:], shape=shape))) == 1
    assert len(regions(annotation(np.s_[3:5, 3:9], np.s_[20, 30], shape=shape))) == 1
    boxes = [np.s_[2:8, 2:8], np.s_[20:28, 4:12], np.s_[20:25, 30:38]]
    assert len(regions(annotation(*boxes, shape=shape))) == 3


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_finds_the_axis_that_was_annotated_along(axis):
    places = [(slice(None),) * axis + (i,) for i in (2, 5, 9)]
    assert slicing_axis(annotation(*places)) == axis


STROKES = [np.s_[i, 10 * i + 5, 20:60] for i in range(5)]
ONE = [np.s_[:], np.s_[0, 2:4, 3:5], np.s_[0, :, 3:9]]


@pytest.mark.parametrize(
    ("shape", "places", "axis"),
    [
        (SHAPE, [np.s_[4:12, 4:12, 4:12]], None),
        (SHAPE, [np.s_[:16, :16, :16]], None),
        (SHAPE, [np.s_[4:12, 4:10, 4:12]], None),
        ((20, 400, 400), [np.s_[4, 40:50, 40:50]], 0),
        ((20, 400, 400), [np.s_[4:9, 40:50, 40:50]], 0),
        (SHAPE, [np.s_[4:12, 4:8, 4:28]], 1),
        (SHAPE, [np.s_[:, :, 4:20]], 2),
        (SHAPE, [np.s_[:]], None),
        (SHAPE, [np.s_[4], np.s_[:, 4]], None),
        ((5, 60, 60), STROKES, 0),
    ],
)
def test_a_box_and_a_whole_volume_tell_no_axis_and_all_else_does(shape, places, axis):
    made = annotation(*places, shape=shape)
    for otherwise in range(3):
        assert slicing_axis(made, otherwise) == (otherwise if axis is None else axis)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("place", ONE)
def test_an_image_of_one_slice_is_that_slice_whatever_is_known(axis, place):
    known = np.zeros((1, 24, 28), bool)
    known[place] = True
    known = np.moveaxis(known, 0, axis)
    made = Annotation(np.zeros(known.shape, np.uint8), known)
    assert {slicing_axis(made, otherwise) for otherwise in range(3)} == {axis}
    assert regions(made) == (((0, 0, 0), known.shape),)


def test_every_known_voxel_has_the_number_of_its_region():
    made = annotation(*z(3, 17), *y(20))
    numbers, count = numbered(made)
    assert count == 3
    assert (numbers[3] == 0).all()
    assert (numbers[17] == 1).all()
    beside = np.delete(np.arange(len(numbers)), (3, 17))
    assert (numbers[beside, 20] == 2).all()


def test_boxes_are_measured_and_grown():
    one, other = ((0, 2, 0), (1, 6, 8)), ((1, 0, 0), (5, 4, 4))
    assert size(one) == 32
    assert shared(one, other) == 0
    assert grown(one, 1) == ((0, 1, 0), (2, 7, 9))
    assert shared(grown(one, 1), other) == 1 * 3 * 4


def test_what_two_boxes_share_is_found_within_one_of_them():
    rng = np.random.default_rng(0)
    for _ in range(200):
        one, other = (
            tuple(map(tuple, np.sort(rng.integers(0, 12, (2, 3)), axis=0).tolist()))
            for _ in range(2)
        )
        both, within = np.zeros((12, 12, 12), bool), np.zeros((12, 12, 12), bool)
        both[inside(one)] = True
        within[inside(other)][overlap(one, other)] = True
        assert within.sum() == shared(one, other)
        assert both[within].all()
