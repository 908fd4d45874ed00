import numpy as np
import pytest

from napari_unet.engine.instances import (
    BORDER,
    INTERIOR,
    RIM,
    border_classes,
    components,
    depths,
    objects,
)


def classes_of(ids, dims):
    return border_classes(ids > 0, depths(ids, dims))


def two_touching(shape):
    ids = np.zeros(shape, np.int32)
    ids[..., 4:12, 3:10] = 1
    ids[..., 4:12, 10:18] = 2
    return ids


@pytest.mark.parametrize("shape", [(1, 16, 20), (6, 16, 20)])
def test_touching_objects_come_apart_again(shape):
    ids = two_touching(shape)
    channels = classes_of(ids, 2 if shape[0] == 1 else 3)
    found = objects(np.stack([channels == k for k in range(3)]).astype(np.float32))
    assert found.max() == 2
    for i in (1, 2):
        best = max(np.mean((found == j)[ids == i]) for j in (1, 2))
        assert best > 0.95
    assert np.array_equal(found > 0, ids > 0)


def test_the_border_is_a_rim_in_proportion_to_the_object():
    row = classes_of(two_touching((1, 16, 20)), 2)[0, 8].tolist()
    assert row == [0] * 3 + [2, 2] + [1] * 3 + [2] * 4 + [1] * 4 + [2, 2] + [0] * 2
    small, large = np.zeros((2, 1, 80, 80), np.int32)
    small[0, 30:37, 30:37], large[0, 10:70, 10:70] = 1, 1
    rims = [int((classes_of(ids, 2)[0][33] == BORDER).sum()) for ids in (small, large)]
    assert rims[0] == 4
    assert rims[1] == pytest.approx(2 * 30 * RIM, abs=2)


@pytest.mark.parametrize("depth_of_the_thinnest", [1, 2, 3])
def test_even_the_thinnest_touching_objects_differ_at_their_edge(depth_of_the_thinnest):
    ids = np.zeros((1, 20, 20), np.int32)
    n = depth_of_the_thinnest
    ids[0, 5 : 5 + n, 2:18], ids[0, 5 + n : 5 + 2 * n, 2:18] = 1, 2
    edge = classes_of(ids, 2)[0][4 + n : 6 + n, 3:17]
    assert (edge == BORDER).all()


def test_thick_slices_count_as_thick():
    ids = np.zeros((9, 41, 41), np.int32)
    ids[1:8, 5:36, 5:36] = 1
    assert depths(ids, 3, (5.0, 1.0, 1.0))[2, 20, 20] == pytest.approx(1 / 3)


def test_an_object_that_fills_the_image_has_no_border():
    assert (classes_of(np.ones((1, 8, 8), np.int32), 2) == INTERIOR).all()


def test_slices_of_a_2d_model_are_planes_of_their_own():
    ids = np.zeros((2, 8, 8), np.int32)
    ids[0, 1:7, 1:7], ids[1, 1:7, 1:7] = 1, 2
    assert (classes_of(ids, 2)[:, 3, 3] == INTERIOR).all()
    assert (classes_of(ids, 3)[:, 3, 3] == BORDER).all()


def test_a_speck_is_no_object():
    probabilities = np.zeros((3, 1, 12, 12), np.float32)
    probabilities[0] = 1
    probabilities[:, 0, 1, 1] = 0, 1, 0
    probabilities[:, 0, 4:10, 4:10] = np.array([0, 1, 0])[:, None, None]
    assert objects(probabilities).max() == 1


# Sides in voxels of squares of "border" alone, beside two objects of 10 x 10; how many are found in all.
SEEDLESS = {
    "as large": ([10], 3),
    "half as long": ([5], 3),
    "small beside them": ([4], 2),
    "two": ([6, 4], 3),
}


@pytest.mark.parametrize(("sides", "count"), SEEDLESS.values(), ids=SEEDLESS)
def test_what_is_all_border_is_an_object_unless_it_is_small_beside_the_others(sides, count):
    probabilities = np.zeros((3, 1, 20, 80), np.float32)
    probabilities[0] = 1
    for column in (2, 20):
        probabilities[:, 0, 2:12, column : column + 10] = np.array([0, 1, 0])[:, None, None]
    for number, side in enumerate(sides):
        part = (0, slice(2, 2 + side), slice(40 + 15 * number, 40 + 15 * number + side))
        probabilities[:, *part] = np.array([0, 0.2, 0.8])[:, None, None]
    found = objects(probabilities)
    assert found.max() == count
    assert len(np.unique(found)) == count + 1


def test_objects_that_are_all_border_are_found_where_none_has_an_interior():
    probabilities = np.zeros((3, 1, 12, 40), np.float32)
    probabilities[0] = 1
    for column, side in ((2, 6), (20, 6), (30, 2)):
        part = (0, slice(2, 2 + side), slice(column, column + side))
        probabilities[:, *part] = np.array([0, 0.2, 0.8])[:, None, None]
    assert objects(probabilities).max() == 2


def test_two_that_touch_come_apart_at_the_saddle_of_a_network_that_is_not_sure():
    probabilities = np.zeros((3, 1, 16, 40), np.float32)
    probabilities[0] = 1
    probabilities[:, 0, 3:13, 4:36] = np.array([0, 0.6, 0.4])[:, None, None]
    for column in (4, 23):
        probabilities[:, 0, 3:13, column : column + 13] = np.array([0, 0.95, 0.05])[:, None, None]
    found = objects(probabilities)[0]
    assert found.max() == 2
    assert found[8, 10] != found[8, 30]


def test_no_object_grows_where_nothing_was_computed():
    probabilities = np.zeros((3, 1, 12, 24), np.float16)
    probabilities[0, :, :, :12] = 1
    probabilities[:, 0, 4:10, 4:12] = np.array([0, 1, 0])[:, None, None]
    found = objects(probabilities)
    assert found[..., :12].max() == 1
    assert not found[..., 12:].any()


def test_components_keep_classes_apart():
    labels = np.array([[1, 1, 2, 0, 1]])
    assert components(labels).tolist() == [[1, 1, 3, 0, 2]]
