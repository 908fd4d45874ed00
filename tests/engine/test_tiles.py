import numpy as np
import pytest
from monai.data.utils import dense_patch_slices

from napari_unet.engine.tiles import TilePlan, starts_along


@pytest.mark.parametrize("length", [8, 9, 17, 40, 63])
@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5])
def test_tiles_lie_where_monai_puts_them(length, overlap):
    step = max(1, int(8 * (1 - overlap)))
    expected = [s[0].start for s in dense_patch_slices((length,), (8,), (step,))]
    assert list(starts_along(length, 8, overlap)) == expected


def test_a_short_axis_gets_one_centred_tile():
    assert starts_along(5, 8, 0.25) == (-1,)
    assert starts_along(8, 8, 0.25) == (0,)


@pytest.mark.parametrize(
    ("shape", "tile"), [((20, 17, 9), (8, 8, 8)), ((5, 30, 3), (1, 8, 4)), ((4, 4, 4), (8, 8, 8))]
)
def test_cells_cover_each_voxel_once(shape, tile):
    plan = TilePlan(shape, tile, (0.25, 0.5, 0.0))
    covered = np.zeros(shape, int)
    for cell in {cell for index in plan.tiles() for cell in plan.cells(index)}:
        low, high = plan.box(cell)
        covered[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] += 1
    assert (covered == 1).all()


def test_nearest_tiles_come_first():
    plan = TilePlan((64, 64, 64), (16, 16, 16), (0.25,) * 3)
    tiles = plan.tiles(near=(60, 5, 30))
    away = [np.linalg.norm(np.array(plan.start(t)) + 8 - np.array([60, 5, 30])) for t in tiles]
    assert away == sorted(away)
    assert sorted(tiles) == plan.tiles()
