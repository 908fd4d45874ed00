import numpy as np
import pytest

from napari_unet.core.annotation import Annotation
from napari_unet.errors import AnnotationError

LABELS = np.arange(24, dtype=np.uint8).reshape(4, 3, 2) % 3
KNOWN = np.ones(LABELS.shape, dtype=bool)

REFUSED = {
    # name: (labels, known, what the message must say)
    "shapes differ": (LABELS, KNOWN[:2], "(2, 3, 2)"),
    "fractions": (LABELS.astype(np.float32), KNOWN, "float32"),
    "nothing known": (LABELS, ~KNOWN, "mark at least one slice as done"),
    "negative": (LABELS.astype(np.int16) - 1, KNOWN, "-1"),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_what_can_not_be_learned_from_is_refused(case):
    labels, known, words = case
    with pytest.raises(AnnotationError) as caught:
        Annotation(labels, known)
    assert words in str(caught.value)


def test_negative_values_may_stand_where_nothing_is_known():
    labels = np.array([[-1, 1]], dtype=np.int16)
    assert Annotation(labels, labels >= 0).counts() == {1: 1}


@pytest.mark.parametrize(("axis", "done"), [(0, (1, 3)), (1, (0,)), (2, (0, 1))])
def test_slices(axis, done):
    annotation = Annotation.from_slices(LABELS, axis, done)
    expected = np.zeros(LABELS.shape, dtype=bool)
    for index in done:
        np.moveaxis(expected, axis, 0)[index] = True
    assert np.array_equal(annotation.known, expected)
    assert annotation.done(axis) == done
    assert annotation.labels is LABELS


@pytest.mark.parametrize(
    ("labels", "axis", "done", "words"),
    [
        (LABELS, 0, (4,), "axis z has slices 0 to 3"),
        (LABELS, 2, (-1,), "axis x has slices 0 to 1"),
        (LABELS[0], 0, (9,), "axis y has slices 0 to 2"),
        (LABELS, 0, (), "No voxel"),
        (LABELS, 0, np.array([True, False, True, False]), "True is no number of a slice"),
        (LABELS, 0, [False, True, False, False], "False is no number of a slice"),
        (LABELS, 0, (1.0,), "1.0 is no number of a slice"),
    ],
)
def test_slices_that_do_not_exist(labels, axis, done, words):
    with pytest.raises(AnnotationError, match=words):
        Annotation.from_slices(labels, axis, done)


@pytest.mark.parametrize(("labels", "axis"), [(LABELS, -1), (LABELS, 3), (LABELS[0], 2)])
def test_axes_that_do_not_exist(labels, axis):
    words = f"Axis {axis} does not exist: these labels have axes 0 to {labels.ndim - 1}"
    with pytest.raises(AnnotationError, match=words):
        Annotation.from_slices(labels, axis, [0])
    with pytest.raises(AnnotationError, match=words):
        Annotation.full(labels).done(axis)


def test_slices_of_all_orientations_and_boxes_together():
    box = (slice(0, 2), slice(1, 3), slice(0, 1))
    annotation = Annotation.from_parts(LABELS, [(0, (3,)), (2, (1,))], [box])
    expected = np.zeros(LABELS.shape, dtype=bool)
    expected[3] = expected[:, :, 1] = expected[box] = True
    assert np.array_equal(annotation.known, expected)


@pytest.mark.parametrize(
    "box",
    [
        (slice(0, 9), slice(0, 2), slice(0, 1)),
        (slice(0, 2),),
        (slice(2, 2), slice(0, 1), slice(0, 1)),
    ],
)
def test_boxes_that_do_not_exist(box):
    with pytest.raises(
        AnnotationError, match=r"box .* does not lie in labels of shape \(4, 3, 2\)"
    ):
        Annotation.from_parts(LABELS, boxes=[box])


def test_full_without_an_unknown_value():
    annotation = Annotation.full(LABELS)
    assert annotation.known.all()
    assert annotation.counts() == {0: 8, 1: 8, 2: 8}


def test_full_with_an_unknown_value():
    annotation = Annotation.full(LABELS, unknown=2)
    assert np.array_equal(annotation.known, LABELS != 2)
    assert annotation.counts() == {0: 8, 1: 8}
    assert annotation.labels.max() == 1
    assert annotation.labels.dtype == LABELS.dtype
