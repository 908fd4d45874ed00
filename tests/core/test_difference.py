import numpy as np
import pytest

from napari_unet.core.difference import Change, difference

BEFORE = np.zeros((3, 4, 5), np.uint8)
BEFORE[1, 1, :3] = (1, 2, 2)
AFTER = np.zeros((3, 4, 5), np.uint16)
AFTER[1, 1, :3] = (1, 1, 0)
AFTER[2, 3, 4] = 300


@pytest.mark.parametrize(
    ("instances", "changes", "slices", "moves"),
    [
        (False, (0, 3, 2), [0, 2, 1], {(2, 1): 1, (2, 0): 1, (0, 300): 1}),
        (True, (0, 0, 2), [0, 1, 1], {}),
    ],
)
def test_each_voxel_is_new_gone_or_another(instances, changes, slices, moves):
    found = difference(BEFORE, AFTER, instances=instances)
    assert tuple(found.changes[1, 1, :3]) == changes
    assert found.changes[2, 3, 4] == Change.NEW
    assert np.count_nonzero(found.changes) == found.voxels == sum(slices)
    assert found.slices[0].tolist() == slices
    assert [len(counts) for counts in found.slices] == [3, 4, 5]
    assert all(counts.sum() == found.voxels for counts in found.slices)
    assert found.moves == moves


def test_a_plane_has_slices_of_two_axes():
    found = difference(BEFORE[1], AFTER[1])
    assert [counts.tolist() for counts in found.slices] == [[0, 2, 0, 0], [0, 1, 1, 0, 0]]
    assert found.voxels == 2


def test_equal_labels_do_not_differ():
    found = difference(AFTER, AFTER)
    assert (found.voxels, found.moves) == (0, {})


def test_the_most_frequent_move_comes_first():
    before, after = np.zeros((1, 3, 3), np.uint8), np.zeros((1, 3, 3), np.uint8)
    after[0, 0, 0], after[0, 1] = 1, 2
    assert list(difference(before, after).moves.items()) == [((0, 2), 3), ((0, 1), 1)]


@pytest.mark.parametrize("large", [3_100_000_000, 2**32 - 1, 2**64 - 1])
def test_ids_may_be_as_large_as_they_like(large):
    before, after = np.zeros((2, 1, 4), np.uint64)
    before[0], after[0] = [large, 1, 0, 5], [large - 1, large, large, 5]
    found = difference(before, after)
    assert found.moves == {(large, large - 1): 1, (1, large): 1, (0, large): 1}
    assert found.changes[0].tolist() == [Change.OTHER, Change.OTHER, Change.NEW, Change.SAME]
