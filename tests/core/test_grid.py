from dataclasses import replace

import numpy as np
import pytest

from napari_unet.core.grid import Grid, as_matrix, size_in_words
from napari_unet.errors import GridError

GRID = Grid((4, 6, 8), (2.0, 1.0, 0.5), "mm")

REFUSED = {
    # name: (arguments, what the message must name)
    "one axis": (((4,), (1.0,)), "shape (4,)"),
    "four axes": (((2, 2, 2, 2), (1.0,) * 4), "2 or 3 axes"),
    "an empty axis": (((0, 4), (1.0, 1.0)), "(0, 4)"),
    "axes that differ": (((4, 4), (1.0, 1.0, 1.0)), "differ"),
    "no spacing": (((4, 4), (0.0, 1.0)), "positive"),
    "endless spacing": (((4, 4), (float("nan"), 1.0)), "finite"),
    "unknown unit": (((4, 4), (1.0, 1.0), "inch"), "inch"),
    "affine of a volume": (((4, 4), (1.0, 1.0), "mm", as_matrix(np.eye(4))), "(4, 4)"),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_impossible_grids_are_refused(case):
    arguments, words = case
    with pytest.raises(GridError) as caught:
        Grid(*arguments)
    assert words in str(caught.value)


def test_numbers_of_other_libraries_are_spelled_alike():
    """As nibabel and numpy give them: what writes files knows Python's own."""
    sizes = np.array(GRID.spacing, np.float32)
    found = Grid(list(np.array(GRID.shape)), sizes, "mm", GRID.matrix)
    assert found == Grid(GRID.shape, GRID.spacing, "mm", as_matrix(GRID.matrix))
    assert hash(found) == hash(Grid(GRID.shape, tuple(sizes), "mm", as_matrix(GRID.matrix)))
    assert {type(n) for n in found.spacing} == {float}
    assert {type(n) for n in found.shape} == {int}


def test_size_and_matrix():
    assert (GRID.ndim, GRID.size) == (3, 192)
    assert np.array_equal(GRID.matrix, np.diag([2.0, 1.0, 0.5, 1.0]))


@pytest.mark.parametrize(
    ("grid", "unit", "expected"),
    [
        (GRID, "mm", (2.0, 1.0, 0.5)),
        (GRID, "um", (2000.0, 1000.0, 500.0)),
        (GRID, "cm", (0.2, 0.1, 0.05)),
        (GRID, "pixel", (2.0, 1.0, 0.5)),
        (Grid((2, 2), (1.0, 1.0)), "nm", (1.0, 1.0)),
    ],
)
def test_spacing_in_other_units(grid, unit, expected):
    assert grid.spacing_in(unit) == pytest.approx(expected)


def test_voxels_of_another_size_are_turned_as_before():
    turn = np.array([[0, 0, 1, 5], [0, -1, 0, 6], [1, 0, 0, 7], [0, 0, 0, 1.0]])
    grid = Grid((4, 6, 8), (2.0, 1.0, 0.5), "mm", as_matrix(turn @ GRID.matrix), header=b"exact")
    other = grid.respaced((3.0, 0.2, 0.1), "um")
    assert (other.shape, other.spacing, other.unit) == (grid.shape, (3.0, 0.2, 0.1), "um")
    assert np.allclose(other.matrix, turn @ np.diag([3.0, 0.2, 0.1, 1.0]))
    assert other.header == b""
    assert GRID.respaced((1.0, 1.0, 1.0), "mm").affine is None


def corners(grid):
    """World positions of the two outer corners, half a voxel outside the outer centres."""
    low, high = np.full(grid.ndim, -0.5), np.array(grid.shape) - 0.5
    return [(grid.matrix @ [*corner, 1.0])[:-1] for corner in (low, high)]


@pytest.mark.parametrize("shape", [(4, 6, 8), (2, 6, 8), (8, 3, 16), (1, 1, 1)])
def test_resizing_keeps_the_field_of_view(shape):
    resized = GRID.resized(shape)
    assert resized.shape == shape
    assert np.allclose(corners(resized), corners(GRID))


def test_a_crop_stays_at_its_place():
    crop = GRID.crop((1, 2, 4), (3, 5, 8))
    assert crop.shape == (2, 3, 4)
    assert crop.spacing == GRID.spacing
    assert np.allclose(crop.matrix @ [0, 0, 0, 1], GRID.matrix @ [1, 2, 4, 1])


def moved(by):
    matrix = GRID.matrix
    matrix[0, 3] += by
    return Grid(GRID.shape, GRID.spacing, GRID.unit, as_matrix(matrix))


CUBE = Grid((4, 4, 4), (1.0, 1.0, 1.0), "mm", as_matrix(np.eye(4)))


def turned(cube):
    return replace(cube, affine=as_matrix(cube.matrix[:, [0, 2, 1, 3]]))


COINCIDE = {
    "itself": (GRID, GRID),
    "in another unit": (GRID, Grid(GRID.shape, (2000.0, 1000.0, 500.0), "um")),
    "no position known": (moved(50), GRID),
    "a rounding error away": (moved(0), moved(1e-4)),
    "another header": (GRID, Grid(GRID.shape, GRID.spacing, "mm", None, b"other")),
}

DIFFER = {
    # name: (image, labels, what the message must name)
    "shape": (GRID, Grid((4, 6, 9), GRID.spacing, "mm"), "(4, 6, 9)"),
    "spacing": (GRID, Grid(GRID.shape, (3.0, 1.0, 0.5), "mm"), "spacing (3.0, 1.0, 0.5)"),
    "place": (moved(0), moved(5), "5 mm away"),
    "axes of a cube": (CUBE, turned(CUBE), "4 mm away"),
}


@pytest.mark.parametrize("case", COINCIDE.values(), ids=COINCIDE)
def test_grids_that_coincide(case):
    image, labels = case
    image.require(labels)


@pytest.mark.parametrize("case", DIFFER.values(), ids=DIFFER)
def test_grids_that_differ(case):
    image, labels, words = case
    with pytest.raises(GridError) as caught:
        image.require(labels, "brain.nii")
    assert "brain.nii" in str(caught.value)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("spacing", "unit", "words"),
    [
        ((2.0, 0.5, 0.5), "um", "2 × 0.5 × 0.5 µm"),
        ((0.12345, 1.0), "mm", "0.123 × 1 mm"),
        ((1.0,), "pixel", "1 pixel"),
    ],
)
def test_a_voxel_size_is_told_as_people_read_it(spacing, unit, words):
    assert size_in_words(spacing, unit) == words
