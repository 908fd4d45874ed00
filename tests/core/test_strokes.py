"""What was painted is known for as long as it stands."""

import numpy as np
import pytest
import zarr

from napari_unet.core.strokes import Strokes

SHAPE = (4, 5, 6)


def box(*sides):
    return tuple(slice(a, b) for a, b in sides)


def paint(strokes, labels, at, label, mask=None):
    """Paint as a brush does, and remember it."""
    mask = np.ones(labels[at].shape, bool) if mask is None else mask
    labels[at][mask] = label
    strokes.add(at, mask, label)


def test_nothing_is_known_at_first():
    strokes = Strokes(SHAPE)
    assert not strokes
    assert not strokes.known(np.zeros(SHAPE, np.uint8)).any()


def test_painted_voxels_are_known_background_too():
    strokes, labels = Strokes(SHAPE), np.zeros(SHAPE, np.uint8)
    paint(strokes, labels, box((1, 2), (0, 2), (0, 3)), 1)
    paint(strokes, labels, box((3, 4), (4, 5), (5, 6)), 0)  # background over background
    known = strokes.known(labels)
    assert known[1, :2, :3].all()
    assert known[3, 4, 5]
    assert known.sum() == 7
    assert strokes.counts(labels) == {0: 1, 1: 6}
    assert strokes.counts(labels, skip={1}) == {0: 1}


def test_only_the_mask_of_a_stroke_counts():
    strokes, labels = Strokes(SHAPE), np.zeros(SHAPE, np.uint8)
    mask = np.array([[[True, False], [False, True]]])
    paint(strokes, labels, box((2, 3), (1, 3), (1, 3)), 2, mask)
    assert np.argwhere(strokes.known(labels)).tolist() == [[2, 1, 1], [2, 2, 2]]


def test_the_last_stroke_has_the_say_and_an_undo_takes_knowledge_back():
    strokes, labels = Strokes(SHAPE), np.zeros(SHAPE, np.uint8)
    at = box((0, 1), (0, 1), (0, 2))
    paint(strokes, labels, at, 1)
    assert strokes.known(labels).sum() == 2
    paint(strokes, labels, box((0, 1), (0, 1), (0, 1)), 2)
    assert strokes.known(labels).sum() == 2
    labels[0, 0, 0] = 1  # what stood there before
    assert np.argwhere(strokes.known(labels)).tolist() == [[0, 0, 1]]
    labels[at] = 0
    assert not strokes.known(labels).any()


def test_a_merged_class_is_known_as_either_until_somebody_paints_anew():
    strokes, labels = Strokes(SHAPE), np.zeros(SHAPE, np.uint8)
    at = box((1, 2), (0, 2), (0, 3))
    paint(strokes, labels, at, 2)
    paint(strokes, labels, box((1, 2), (4, 5), (0, 3)), 1)
    labels[1, 0, 0] = 1  # what stands there is nobody's
    for _ in range(2):  # merged, undone, and merged again
        strokes.merge(labels, 2, 1)
        labels[labels == 2] = 1
        assert strokes.counts(labels) == {1: 8}
        assert not strokes.known(labels)[1, 0, 0]
        labels[at] = 2
        labels[1, 0, 0] = 1
        assert strokes.counts(labels) == {1: 3, 2: 5}
    strokes.merge(labels, 2, 1)
    labels[labels == 2] = 1
    strokes.merge(labels, 1, 3)  # what was merged goes on
    labels[labels == 1] = 3
    assert strokes.still().counts(labels) == {3: 8}
    paint(strokes, labels, at, 4)
    labels[at] = 3
    assert strokes.counts(labels) == {3: 3}


@pytest.mark.parametrize(
    ("axis", "slices"), [(0, [1, 2]), (1, [3]), (2, [0, 1, 2])], ids=["z", "y", "x"]
)
def test_each_axis_knows_its_slices_until_they_are_checked_again(axis, slices):
    strokes, labels = Strokes(SHAPE), np.zeros(SHAPE, np.uint8)
    paint(strokes, labels, box((1, 3), (3, 4), (0, 3)), 1)
    assert np.flatnonzero(strokes.touched(axis)).tolist() == slices
    labels[:] = 0
    strokes.recheck(labels, axis, slices[0])
    assert np.flatnonzero(strokes.touched(axis)).tolist() == slices[1:]


@pytest.mark.parametrize(
    "at", [box((0, 4), (0, 5), (0, 6)), box((1, 3), (2, 4), (1, 5)), box((0, 1), (0, 1), (0, 1))]
)
def test_a_box_is_cut_from_the_whole(at):
    rng = np.random.default_rng(0)
    strokes, labels = Strokes(SHAPE), np.zeros(SHAPE, np.uint8)
    for label in (1, 2, 0, 3):
        corner = rng.integers(0, 3, 3)
        paint(strokes, labels, tuple(slice(c, c + 2) for c in corner), label)
    assert np.array_equal(strokes.known(labels, at), strokes.known(labels)[at])


@pytest.mark.parametrize("shape", [SHAPE, SHAPE[1:]])
def test_labels_in_a_store_are_known_like_others(shape):
    labels = np.zeros(shape, np.uint8)
    strokes = Strokes(shape)
    paint(strokes, labels, box(*((1, 3),) * len(shape)), 2)
    store = zarr.create_array({}, data=labels)
    assert np.array_equal(strokes.known(store), strokes.known(labels))
    assert strokes.known(store).any()
    assert strokes.counts(store) == strokes.counts(labels)


def test_a_plane_is_one_slice():
    strokes, labels = Strokes((5, 6)), np.zeros((5, 6), np.uint8)
    paint(strokes, labels, box((1, 2), (0, 3)), 1)
    assert strokes.known(labels).sum() == 3
    assert strokes.touched(0).tolist() == [True]


def test_a_plane_stays_painted_wherever_in_it_a_stroke_lies():
    strokes, labels = Strokes((5, 6)), np.zeros((5, 6), np.uint8)
    paint(strokes, labels, box((3, 5), (2, 4)), 1)
    strokes.recheck(labels, 0, 0)
    assert strokes
    labels[:] = 0
    strokes.recheck(labels, 0, 0)
    assert not strokes
