import numpy as np
import pytest

from napari_unet.engine.instances import BORDER, INTERIOR, border_classes, components, objects


def two_touching(shape):
    ids = np.zeros(shape, np.int32)
    ids[..., 4:12, 3:10] = 1
    ids[..., 4:12, 10:18] = 2
    return ids


@pytest.mark.parametrize("shape", [(1, 16, 20), (6, 16, 20)])
def test_touching_objects_come_apart_again(shape):
    ids = two_touching(shape)
    channels = border_classes(ids)
    found = objects(np.stack([channels == k for k in range(3)]).astype(np.float32))
    assert found.max() == 2
    for i in (1, 2):
        best = max(np.mean((found == j)[ids == i]) for j in (1, 2))
        assert best > 0.95
    assert np.array_equal(found > 0, ids > 0)


def test_the_border_is_the_objects_own_outermost_voxel():
    channels = border_classes(two_touching((1, 16, 20)))[0]
    assert channels[8].tolist() == [0] * 3 + [2] + [1] * 5 + [2, 2] + [1] * 6 + [2] + [0] * 2
    assert (INTERIOR, BORDER) == (1, 2)


def test_a_speck_is_no_object():
    probabilities = np.zeros((3, 1, 12, 12), np.float32)
    probabilities[0] = 1
    probabilities[:, 0, 1, 1] = 0, 1, 0
    probabilities[:, 0, 4:10, 4:10] = np.array([0, 1, 0])[:, None, None]
    assert objects(probabilities).max() == 1


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
