import numpy as np
import pytest
from scipy import ndimage

from napari_unet.core.grid import Grid
from napari_unet.engine.evaluate import evaluate, surface_distances
from napari_unet.errors import GridError

GRID = Grid((12, 12, 12), (2.0, 1.0, 1.0), "um")


def cube(start, side=4, value=1, shape=GRID.shape):
    labels = np.zeros(shape, np.uint8)
    labels[tuple(slice(a, a + side) for a in start)] = value
    return labels


def by_hand(mask, reference, spacing):
    """HD95 and ASSD from distance maps of scipy, not MONAI's code."""
    surfaces = [m & ~ndimage.binary_erosion(m) for m in (mask, reference)]
    there, back = (
        ndimage.distance_transform_edt(~other, spacing)[own]
        for own, other in (surfaces, surfaces[::-1])
    )
    hd95 = max(np.percentile(there, 95), np.percentile(back, 95))
    return hd95, np.concatenate([there, back]).mean()


DISTANCES = {
    # name: (mask, reference, grid)
    "same place": (cube((4, 4, 4)), cube((4, 4, 4)), GRID),
    "one slice up": (cube((4, 4, 4)), cube((5, 4, 4)), GRID),
    "one row up": (cube((4, 4, 4)), cube((4, 5, 4)), GRID),
    "larger": (cube((3, 3, 3), 6), cube((4, 4, 4)), GRID),
    "plane": (
        cube((4, 4), shape=(12, 12)),
        cube((4, 6), shape=(12, 12)),
        Grid((12, 12), (0.5, 0.25), "mm"),
    ),
}


@pytest.mark.parametrize("case", DISTANCES.values(), ids=DISTANCES)
def test_distances_are_in_the_unit_of_the_grid(case):
    mask, reference, grid = case
    found = surface_distances(mask > 0, reference > 0, grid)
    assert found == pytest.approx(by_hand(mask > 0, reference > 0, grid.spacing), abs=1e-6)


def test_a_volume_of_one_slice_is_measured_as_a_plane():
    mask, reference = cube((4, 4), shape=(12, 12)) > 0, cube((4, 6), shape=(12, 12)) > 0
    flat = surface_distances(mask, reference, Grid((12, 12), (1.0, 1.0)))
    slab = surface_distances(mask[None], reference[None], Grid((1, 12, 12), (9.0, 1.0, 1.0)))
    assert slab == flat


def test_a_case_of_two_classes():
    labels, reference = cube((1, 1, 1)) + cube((6, 6, 6), value=2), cube((1, 1, 1))
    case = evaluate(labels, reference, GRID, ids=[0, 1, 2, 3])
    assert case["dice"] == {1: 1.0, 2: 0.0, 3: None}
    assert case["iou"] == {1: 1.0, 2: 0.0, 3: None}
    assert case["hd95"] == {1: 0.0, 2: None, 3: None}
    assert case["mean_dice"] == 0.5
    assert case["mean_assd"] == 0.0
    assert (case["unit"], case["voxels"]) == ("um", 12**3)
    assert "ap" not in case


def test_ids_come_from_both_sides_when_not_given():
    case = evaluate(cube((1, 1, 1), value=2), cube((1, 1, 1), value=5), GRID)
    assert case["dice"] == {2: 0.0, 5: 0.0}


def test_large_ids_of_both_signednesses_are_told_apart():
    signed = np.array([[0, 2**60], [2**60, 2**60 + 1]], np.int64)
    plane = Grid((2, 2), (1.0, 1.0))
    scores = evaluate(signed.astype(np.uint64), signed, plane)
    assert scores["dice"] == {2**60: 1.0, 2**60 + 1: 1.0}


def test_objects():
    reference = cube((1, 1, 1), value=3) + cube((6, 6, 6), value=4)
    labels = cube((1, 1, 1), value=1)
    case = evaluate(labels, reference, GRID, instances=True)
    assert case["dice"] == pytest.approx({1: 2 / 3})
    assert case["ap"] == {0.5: 0.5, 0.6: 0.5, 0.7: 0.5, 0.8: 0.5, 0.9: 0.5}
    assert case["mean_ap"] == 0.5


def test_nothing_on_either_side_scores_nothing():
    empty = np.zeros(GRID.shape, np.uint8)
    assert evaluate(empty, empty, GRID)["mean_dice"] is None
    case = evaluate(empty, empty, GRID, instances=True)
    assert (case["mean_dice"], case["ap"], case["mean_ap"]) == (None, {}, None)


def test_other_shapes_are_refused():
    with pytest.raises(GridError, match=r"\(12, 12\)"):
        evaluate(np.zeros((12, 12), np.uint8), np.zeros(GRID.shape, np.uint8), GRID)
