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


@pytest.mark.parametrize(
    ("shape", "tile", "overlap", "slowest"),
    [
        ((64, 64, 64), (16, 16, 16), (0.25,) * 3, 0),
        ((64, 64, 200), (16, 16, 16), (0.25,) * 3, 2),
        ((64, 200, 64), (16, 16, 16), (0.25,) * 3, 1),
        ((16, 999, 64), (1, 16, 16), (0.0, 0.25, 0.25), 0),  # slices share nothing
    ],
    ids=["cube", "x", "y", "slices"],
)
def test_raster_order_leaves_the_least_open(shape, tile, overlap, slowest):
    tiles = TilePlan(shape, tile, overlap).tiles()
    column = [t[slowest] for t in tiles]
    assert column == sorted(column)


PLANS = [
    TilePlan((20, 17, 9), (8, 8, 8), (0.25, 0.5, 0.0)),
    TilePlan((5, 30, 3), (1, 8, 4), (0.0, 0.6, 0.5)),
    TilePlan((4, 4, 4), (8, 8, 8), (0.25,) * 3),
    TilePlan((30, 11, 25), (8, 8, 8), (0.25,) * 3, (3, 8, 2)),
]


@pytest.mark.parametrize("plan", PLANS)
def test_a_cell_lies_inside_each_tile_that_touches_it(plan):
    for tile in plan.tiles():
        start = np.array(plan.start(tile))
        stop = start + plan.tile
        touched = {
            cell
            for cell in plan.every_cell()
            if (np.array(plan.box(cell)[0]) < stop).all()
            and (np.array(plan.box(cell)[1]) > start).all()
        }
        assert set(plan.cells(tile)) == touched
        for cell in touched:
            low, high = np.clip(plan.box(cell), start, stop)
            assert (tuple(low), tuple(high)) == plan.box(cell)


@pytest.mark.parametrize("plan", PLANS)
def test_the_tiles_of_some_cells_are_those_that_touch_them(plan):
    every = list(plan.every_cell())
    for seed in range(5):
        some = {every[i] for i in np.random.default_rng(seed).integers(len(every), size=3)}
        expected = [t for t in plan.tiles() if some & set(plan.cells(t))]
        assert plan.touching(some) == expected


def test_no_cell_is_longer_than_the_grain():
    plan = TilePlan((64, 50, 40), (16, 16, 16), (0.25,) * 3, (3, 16, 5))
    for edges, longest in zip(plan.edges, plan.grain, strict=True):
        assert np.diff(edges).max() <= longest
        assert np.diff(edges).min() > 0


def test_only_overlaps_stay_open():
    """What several tiles decide is the overlap, and the rest of a tile is final at once."""
    plan = TilePlan((28, 8, 8), (8, 8, 8), (0.25,) * 3)
    shared = [c for c in plan.every_cell() if len(plan.touching([c])) > 1]
    assert [plan.box(c)[0][0] for c in shared] == [6, 12, 18, 20]
