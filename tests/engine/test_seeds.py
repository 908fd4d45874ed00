import numpy as np
import pytest

from napari_unet.engine.seeds import seeds, sizes

# Interiors along a line of 40 voxels: (from, to, probability), later ones over earlier ones.
CASES = {
    "nothing": ([], 0),
    "one": ([(5, 15, 0.8)], 1),
    "two apart": ([(5, 15, 0.8), (20, 30, 0.6)], 2),
    "two with a saddle": ([(5, 30, 0.6), (5, 15, 0.95), (20, 30, 0.8)], 2),
    "a saddle between sure ones": ([(5, 30, 0.8), (5, 15, 0.95), (20, 30, 0.95)], 2),
    "three, level by level": (
        [(2, 38, 0.6), (2, 12, 0.8), (16, 38, 0.8), (16, 24, 0.95), (28, 38, 0.95)],
        3,
    ),
    "one with one summit": ([(5, 30, 0.6), (5, 15, 0.95)], 1),
    "a summit too small to be another": ([(5, 30, 0.6), (5, 15, 0.8), (20, 23, 0.8)], 1),
    "a speck": ([(5, 8, 0.9)], 0),
    "not inside": ([(5, 30, 0.45)], 0),
}


def interior_of(stretches):
    line = np.zeros((1, 1, 40), np.float32)
    for first, last, probability in stretches:
        line[..., first:last] = probability
    return line


@pytest.mark.parametrize(("stretches", "count"), CASES.values(), ids=CASES)
def test_each_object_has_one_seed(stretches, count):
    interior = interior_of(stretches)
    found = seeds(interior)
    assert np.count_nonzero(sizes(found)) == count
    assert (interior[found > 0] > 0.5).all()


def test_what_does_not_fall_apart_keeps_its_seed_beside_what_does():
    first, last = 0, -1
    interior = interior_of([(2, 12, 0.6), (20, 38, 0.6), (20, 27, 0.8), (31, 38, 0.8)])
    found = seeds(interior)[0, 0]
    ids = [set(found[part]) for part in (slice(2, 12), slice(20, 27), slice(31, 38))]
    assert [len(one) for one in ids] == [1, 1, 1]
    assert len(set.union(*ids)) == 3
    assert 0 not in set.union(*ids)
    assert found[first] == found[last] == 0


def test_sizes_count_gaps_as_none():
    assert sizes(np.array([0, 3, 3, 1])).tolist() == [1, 0, 2]
