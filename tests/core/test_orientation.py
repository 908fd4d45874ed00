import nibabel as nib
import numpy as np
import pytest

from napari_unet.core.grid import Grid, as_matrix
from napari_unet.core.orientation import Turn, is_orientation, orientation_of, turn

CODES = ["RAS", "LAS", "LPS", "LPI", "RIA", "ASR", "PIR", "SAL"]
"""As nibabel says them, along a file's own axes i, j, k; ours are k, j, i."""


def facing(code, shape=(3, 4, 5)):
    """Make the grid of a volume of this orientation in the body, as a NIfTI reader would."""
    spacing = dict(zip("RLAPSI", (1.0, 1.0, 2.0, 2.0, 3.0, 3.0), strict=True))
    there = {"R": 2, "L": 2, "A": 1, "P": 1, "S": 0, "I": 0}
    affine = np.zeros((4, 4))
    affine[3, 3] = 1
    for axis, letter in enumerate(reversed(code)):
        affine[there[letter], axis] = spacing[letter] * (1 if letter in "RAS" else -1)
    return Grid(shape, tuple(spacing[c] for c in reversed(code)), "mm", as_matrix(affine))


@pytest.mark.parametrize("code", CODES)
def test_letters_are_those_of_nibabel(code):
    grid = facing(code)
    ours = np.eye(4)[[2, 1, 0, 3]]
    assert "".join(nib.aff2axcodes(ours @ grid.matrix @ ours)) == code
    assert orientation_of(grid) == code[::-1]


@pytest.mark.parametrize("degrees", [0, 20, 40, -44])
def test_an_axis_aslant_takes_the_nearest(degrees):
    angle = np.radians(degrees)
    turned = np.eye(4)
    turned[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    assert orientation_of(Grid((3, 4, 5), (1.0,) * 3, "mm", as_matrix(turned))) == "SAR"


def test_planes_and_grids_without_a_world_have_none():
    assert orientation_of(Grid((3, 4, 5), (1.0,) * 3, "mm")) == ""
    assert orientation_of(Grid((3, 4), (1.0,) * 2, "mm", as_matrix(np.eye(3)))) == ""


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("wanted", ["SAR", "PIL"])
def test_a_turned_volume_runs_as_wanted_and_back(code, wanted):
    grid = facing(code)
    way = turn(grid, wanted)
    index = np.moveaxis(np.indices(grid.shape), 0, -1) @ grid.matrix[:3, :3].T
    seen = [way.of(index[..., i]) for i in range(3)]  # world z, y, x of each voxel as it is seen
    for axis, letter in enumerate(wanted):
        world = next(i for i, way_of in enumerate(("SI", "AP", "RL")) if letter in way_of)
        steps = np.diff(seen[world], axis=axis)
        assert ((steps > 0) if letter in "SAR" else (steps < 0)).all()
        others = [w for i, w in enumerate(seen) if i != world]
        assert all((np.diff(w, axis=axis) == 0).all() for w in others)
    array = np.arange(2 * grid.size).reshape(2, *grid.shape)
    assert np.array_equal(way.back(way.of(array)), array)
    assert way.order(grid.shape) == way.of(array).shape[1:]


@pytest.mark.parametrize(
    ("letters", "is_one"),
    [("SAR", True), ("LIP", True), ("SAX", False), ("SIR", False), ("sar", False)],
)
def test_three_letters_name_three_axes(letters, is_one):
    assert is_orientation(letters) == is_one


def test_where_either_is_unknown_nothing_is_turned():
    assert turn(facing("LPS"), "") == turn(Grid((3, 4, 5), (1.0,) * 3), "SAR") == Turn()
