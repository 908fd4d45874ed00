import numpy as np
import pytest

from napari_unet.core.scores import average_precision, dice, iou, mean


def row(*values):
    return np.array([values], dtype=np.uint8)


CASES = {
    # name: (pred, ref, ids, dice, iou)
    "equal": (row(0, 1, 2), row(0, 1, 2), [1, 2], {1: 1.0, 2: 1.0}, {1: 1.0, 2: 1.0}),
    "half": (row(1, 1, 0, 0), row(0, 1, 1, 0), [1], {1: 0.5}, {1: 1 / 3}),
    "missed": (row(0, 0), row(0, 1), [1], {1: 0.0}, {1: 0.0}),
    "invented": (row(0, 1), row(0, 0), [1], {1: 0.0}, {1: 0.0}),
    "absent on both sides": (row(0, 1), row(0, 1), [1, 7], {1: 1.0}, {1: 1.0}),
    "swapped": (row(1, 2), row(2, 1), [1, 2], {1: 0.0, 2: 0.0}, {1: 0.0, 2: 0.0}),
    "background when asked": (row(0, 0, 1), row(0, 1, 1), [0], {0: 2 / 3}, {0: 0.5}),
    "large ids": (np.array([70000, 0]), np.array([70000, 0]), [70000], {70000: 1.0}, {70000: 1.0}),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_overlap_of_classes(case):
    pred, ref, ids, expected_dice, expected_iou = case
    assert dice(pred, ref, ids) == pytest.approx(expected_dice)
    assert iou(pred, ref, ids) == pytest.approx(expected_iou)


def test_only_known_voxels_count():
    pred, ref = row(1, 1, 0, 2), row(1, 0, 1, 0)
    known = np.array([[True, False, False, False]])
    assert dice(pred, ref, [1, 2], known) == {1: 1.0}
    assert iou(pred, ref, [1, 2], known) == {1: 1.0}


OBJECTS = {
    # name: (pred, ref, {threshold: expected})
    "renumbered": (row(5, 0, 9), row(1, 0, 2), {0.5: 1.0, 0.9: 1.0}),
    "IoU of a half is no match": (row(1, 1, 0), row(1, 0, 0), {0.5: 0.0}),
    "IoU of two thirds": (row(1, 1, 1), row(1, 1, 0), {0.5: 1.0, 0.6: 1.0, 0.7: 0.0}),
    "one found, one missed, one invented": (row(1, 0, 2, 0), row(1, 3, 0, 0), {0.5: 1 / 3}),
    "merged": (row(1, 1, 1, 1), row(1, 1, 2, 2), {0.5: 0.0}),
    "nothing found": (row(0, 0), row(1, 1), {0.5: 0.0}),
    "nothing there": (row(0, 0), row(0, 0), {}),
    "no background": (row(1, 2), row(2, 1), {0.5: 1.0}),
    "ids too large to multiply": (
        np.array([4_000_000_000, 0], np.uint32),
        np.array([4_100_000_000, 0], np.uint32),
        {0.5: 1.0},
    ),
}


@pytest.mark.parametrize("case", OBJECTS.values(), ids=OBJECTS)
def test_matches_of_objects(case):
    pred, ref, expected = case
    assert average_precision(pred, ref, list(expected) or [0.5]) == pytest.approx(expected)


def test_matches_below_a_half_are_not_unique():
    with pytest.raises(ValueError, match=r"0\.3"):
        average_precision(row(1), row(1), [0.3])


@pytest.mark.parametrize(
    ("values", "expected"), [([], None), ([None], None), ([0.5, None, 1.0], 0.75)]
)
def test_mean_of_what_was_scored(values, expected):
    assert mean(values) == expected
