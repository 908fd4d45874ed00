import math

import numpy as np
import pytest
from scipy import ndimage

from napari_unet.engine.borders import pieces, ridges


def two_squares(gap):
    ids = np.zeros((1, 40, 60), int)
    ids[0, 10:30, 5:20] = 3
    ids[0, 10:30, 20 + gap : 50] = 8
    return ids


@pytest.mark.parametrize("gap", [0, 1, 4, 9])
def test_between_two_objects_it_is_the_formula_of_2015(gap):
    """In a gap of g voxels the distances to both sides add up to g + 1, wherever one stands."""
    ridge = ridges(two_squares(gap), dims=2)
    expected = math.exp(-((gap + 1) ** 2) / (2 * 5**2))
    assert ridge[0, 20, 20 : 20 + gap] == pytest.approx(expected)
    assert ridge[0, 20, 19] == pytest.approx(expected)  # inside, the nearest one is 0 away


def test_ids_too_large_for_a_fraction_stay_apart():
    ids = two_squares(2)
    large = np.array([0, 2**60, 2**60 + 1], np.uint64)[np.searchsorted([0, 3, 8], ids)]
    assert np.array_equal(ridges(large, dims=2), ridges(ids, dims=2))


def test_it_equals_the_distances_to_every_object():
    rng = np.random.default_rng(0)
    seeds = rng.random((6, 30, 30)) > 0.997
    ids, count = ndimage.label(seeds)
    ids = ndimage.grey_dilation(ids, (1, 5, 5))
    spacing = (3.0, 1.0, 1.5)
    away = np.sort(
        [
            ndimage.distance_transform_edt(ids != i, sampling=spacing)
            for i in range(1, count + 1)
            if (ids == i).any()
        ],
        axis=0,
    )
    assert ridges(ids, 3, spacing) == pytest.approx(
        np.exp(-((away[0] + away[1]) ** 2) / 50), abs=1e-3
    )


@pytest.mark.parametrize("ids", [np.zeros((2, 8, 8), int), np.ones((2, 8, 8), int)])
def test_without_a_second_object_it_is_zero(ids):
    assert not ridges(ids, dims=3).any()


def test_in_2d_planes_know_nothing_of_each_other():
    ids = np.zeros((2, 8, 8), int)
    ids[0, 4, 4], ids[1, 4, 5] = 1, 2
    assert not ridges(ids, dims=2).any()
    assert ridges(ids, dims=3).max() > 0.9


def test_voxels_are_told_in_the_finest_of_the_axes_seen():
    fine, coarse = (
        ridges(two_squares(4), 2, (9.0, 1.0, 1.0)),
        ridges(two_squares(4), 2, (9, 0.2, 0.2)),
    )
    assert np.allclose(fine, coarse)


def test_pieces_of_classes_are_objects():
    labels = np.zeros((2, 4, 9), int)
    labels[:, 1, 1:3] = 1
    labels[:, 1, 3:5] = 2
    labels[:, 1, 6] = 1
    flat, solid = pieces(labels, 2), pieces(labels, 3)
    assert [np.unique(flat[0]).size, np.unique(solid).size] == [4, 4]
    assert solid[0, 1, 6] == solid[1, 1, 6] not in (solid[0, 1, 1], solid[0, 1, 3])
