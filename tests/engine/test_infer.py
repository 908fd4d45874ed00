import threading

import numpy as np
import pytest
import torch
from monai.data.utils import compute_importance_map
from monai.utils import BlendMode

from napari_unet.core.classes import BACKGROUND, LabelClass
from napari_unet.core.grid import Grid
from napari_unet.core.spec import ModelSpec, Normalisation
from napari_unet.core.volume import Volume
from napari_unet.engine.infer import Cell, infer, plan_tiles, read_tile
from napari_unet.engine.scope import image_edges
from napari_unet.engine.sums import Sums, importance
from napari_unet.engine.view import View

SHAPE = (21, 18, 15)


def setting(dims, spacing=None, **more):
    """A view of noise, its spec and a network that is not indifferent to where a tile begins."""
    spec = ModelSpec(
        dims=dims,
        features=(2, 2),
        tile=(8,) * dims,
        spacing=spacing,
        unit="mm",
        normalisation=Normalisation("none"),
        **more,
    )
    data = np.random.default_rng(0).normal(size=(1, *SHAPE)).astype(np.float32)
    return View(Volume(data, Grid(SHAPE, (1.0,) * 3, "mm")), spec), spec


def forward(tiles):
    ramp = np.arange(tiles.shape[-1]) + 10 * np.arange(tiles.shape[-2])[:, None]
    return np.stack([tiles.sum(axis=1), tiles[:, 0] * ramp], axis=1).astype(np.float32)


def on_a_device(tiles):
    """Return the same as tensors, as a GPU's are."""
    return torch.from_numpy(forward(tiles))


def painted(view, spec, plan, tiles, run=forward, **more):
    """Logits of the whole image; NaN where no cell has become final."""
    out = np.full((spec.out_channels, *view.image_shape), np.nan, np.float32)
    for cells in infer(view, spec, run, plan, tiles, **more):
        for cell in cells:
            place = (slice(None), *map(slice, cell.start, cell.stop))
            assert np.isnan(out[place]).all()  # a voxel becomes final once
            out[place] = cell.logits
    return out


@pytest.mark.parametrize("spacing", [None, (1.7, 1.0, 1.0), (0.6, 1.3, 0.8)])
@pytest.mark.parametrize("dims", [2, 3])
def test_order_and_batch_change_nothing(dims, spacing):
    view, spec = setting(dims, spacing)
    plan = plan_tiles(view, spec, 0.5)
    whole = painted(view, spec, plan, plan.tiles())
    assert np.isfinite(whole).all()
    for batch, tiles in ((3, plan.tiles()), (2, plan.tiles((20.0, 0.0, 7.0)))):
        assert np.allclose(painted(view, spec, plan, tiles, batch=batch), whole, atol=1e-4)


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("spacing", [None, (0.6, 1.3, 0.8)])
@pytest.mark.parametrize("dims", [2, 3])
def test_sums_on_a_device_are_those_in_the_hosts_memory(dims, spacing, mirror):
    view, spec = setting(dims, spacing)
    plan = plan_tiles(view, spec, 0.5)
    here = painted(view, spec, plan, plan.tiles(), mirror=mirror)
    there = painted(view, spec, plan, plan.tiles(), on_a_device, mirror=mirror)
    assert np.allclose(here, there, atol=1e-4)


@pytest.mark.parametrize("tile", [(8, 12, 20), (1, 24, 32), (1, 1, 1)])
def test_weights_are_monais(tile):
    theirs = compute_importance_map(tile, mode=BlendMode.GAUSSIAN, sigma_scale=0.125)
    assert np.allclose(importance(tile), theirs.numpy(), rtol=1e-5)


@pytest.mark.parametrize("spacing", [None, (1.7, 1.0, 1.0), (0.6, 1.3, 0.8)])
@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("seed", range(3))
def test_some_cells_alone_become_what_they_are_in_the_whole(dims, spacing, seed):
    view, spec = setting(dims, spacing)
    plan = plan_tiles(view, spec, 0.5)
    whole = painted(view, spec, plan, plan.tiles())
    every = list(plan.every_cell())
    some = {every[i] for i in np.random.default_rng(seed).integers(len(every), size=4)}
    tiles = plan.touching(some)
    part = painted(view, spec, plan, tiles, wanted=some.__contains__)
    found = np.isfinite(part)
    assert found.any()
    assert not found.all()
    assert np.array_equal(part[found], whole[found])


@pytest.mark.parametrize("order", ["raster", "near"])
def test_what_waits_in_a_file_is_summed_as_in_memory(order, monkeypatch):
    view, spec = setting(3)
    plan = plan_tiles(view, spec, 0.5)
    tiles = plan.tiles(None if order == "raster" else (20.0, 0.0, 7.0))
    whole = painted(view, spec, plan, tiles)
    monkeypatch.setattr("napari_unet.engine.sums._HOST_BUDGET", 3000)
    assert np.array_equal(painted(view, spec, plan, tiles), whole)


@pytest.mark.parametrize("at", [0, 1, 40, 101])
def test_sums_go_on_where_memory_ran_out(at):
    """Each cell is added once, whether memory runs out before it or not."""
    view, spec = setting(3)
    plan = plan_tiles(view, spec, 0.5)
    tiles = plan.tiles()
    whole = painted(view, spec, plan, tiles)

    class Full(Sums):
        cuts = 0

        def _cut(self, *facts):
            self.cuts += 1
            if self.cuts == at + 1:
                raise torch.OutOfMemoryError("CUDA out of memory.")
            return super()._cut(*facts)

    sums, out = Full(view, plan, tiles), np.full((2, *view.image_shape), np.nan, np.float32)
    for tile in tiles:
        stack = read_tile(view, spec, plan, tile)[None]
        for cell in sums.add(tile, on_a_device(stack)[0]):
            out[(slice(None), *map(slice, cell.start, cell.stop))] = cell.logits
    assert np.allclose(out, whole, atol=1e-4)


def test_another_error_in_summing_is_not_taken_for_want_of_memory():
    view, spec = setting(3)
    plan = plan_tiles(view, spec, 0.5)
    sums = Sums(view, plan, plan.tiles())
    with pytest.raises(ValueError, match="broadcast"):
        sums.add((0, 0, 0), np.zeros((2, 3, 3, 3), np.float32))
    with pytest.raises(RuntimeError, match="size"):
        Sums(view, plan, plan.tiles()).add((0, 0, 0), torch.zeros(2, 3, 3, 3))


def test_tiles_without_structure_are_run_once_for_each_value():
    data = np.zeros((1, 24, 24, 24), np.float32)
    data[:, 16:] = 5
    spec = ModelSpec(features=(2, 2), tile=(8,) * 3, normalisation=Normalisation("none"))
    view = View(Volume(data, Grid((24, 24, 24), (1.0,) * 3)), spec)
    plan = plan_tiles(view, spec, 0.0)
    seen = []

    def counted(tiles):
        seen.extend(tiles)
        return forward(tiles)

    for batch in (1, 4):
        for mirror in (False, True):
            seen.clear()
            cells = [
                c
                for group in infer(
                    view, spec, counted, plan, plan.tiles(), batch=batch, mirror=mirror
                )
                for c in group
            ]
            assert len(seen) == 2 * (8 if mirror else 1)
            assert len(cells) == 27
            assert all(np.array_equal(c.logits, cells[0].logits) for c in cells[:18])
            assert not np.array_equal(cells[0].logits, cells[-1].logits)


def test_a_tile_that_is_not_read_is_background():
    view, spec = setting(3)
    plan = plan_tiles(view, spec, 0.25)
    tiles = plan.tiles()
    kept = tiles[:3]

    def read(tile):
        return read_tile(view, spec, plan, tile) if tile in kept else None

    out = painted(view, spec, plan, tiles, read=read)
    assert np.isfinite(out).all()  # every cell becomes final
    own = painted(view, spec, plan, kept)
    reached = np.isfinite(own)
    assert np.allclose(out[reached], own[reached], atol=1e-4)
    assert (out.argmax(0)[~reached[0]] == 0).all()


def test_an_error_in_reading_comes_out_and_ends_the_thread():
    view, spec = setting(3)
    plan = plan_tiles(view, spec, 0.25)

    def read(tile):
        if tile == (1, 1, 0):
            raise OSError("the disk is gone")
        return read_tile(view, spec, plan, tile)

    before = threading.active_count()
    with pytest.raises(OSError, match="the disk is gone"):
        painted(view, spec, plan, plan.tiles(), read=read)
    assert threading.active_count() == before


def test_stopping_ends_the_thread():
    view, spec = setting(3)
    plan = plan_tiles(view, spec, 0.25)
    before = threading.active_count()
    cells = infer(view, spec, forward, plan, plan.tiles())
    next(cells)
    assert threading.active_count() == before + 1
    cells.close()
    assert threading.active_count() == before


@pytest.mark.parametrize("place", [np.asarray, torch.from_numpy], ids=["host", "device"])
@pytest.mark.parametrize("classes", [1, 2, 7, 300])
def test_the_first_of_the_highest_wins(classes, place):
    logits = np.random.default_rng(0).integers(0, 5, (classes, 4, 5, 6)).astype(np.float32)
    winner = Cell((0, 0, 0), (4, 5, 6), place(logits)).winner()
    assert np.array_equal(winner, logits.argmax(0))


@pytest.mark.parametrize("dims", [2, 3])
def test_many_classes_take_smaller_tiles_and_cells(dims):
    classes = (BACKGROUND, *(LabelClass(i, f"class {i}") for i in range(1, 100)))
    tile = (256,) * 2 if dims == 2 else (64, 96, 96)
    spec = ModelSpec(
        dims=dims, tile=tile, classes=classes, spacing=(4.0,) * 3, unit="mm", features=(2, 2)
    )
    data = np.zeros((1, 1, 1, 1), np.uint8)
    shape = (2000,) * 3
    view = View(Volume(np.broadcast_to(data, (1, *shape)), Grid(shape, (0.5,) * 3, "mm")), spec)
    plan = plan_tiles(view, spec, 0.25)
    assert np.prod(plan.tile) * 100 * 4 <= 64 << 20
    assert spec.nearest_tile(plan.tile[-dims:]) == plan.tile[-dims:]
    sizes = [np.diff(edges).max() for edges in image_edges(view, plan)]
    assert np.prod(sizes) * 100 * 4 <= 40 << 20  # rounding to whole voxels


@pytest.mark.parametrize("wanted", range(SHAPE[0]))
@pytest.mark.parametrize("spacing", [None, (1.7, 1.0, 1.0), (0.6, 1.3, 0.8)])
def test_the_tiles_that_hold_a_slice_give_its_logits(wanted, spacing):
    """What validation relies on: it runs the tiles of the held-out slices alone."""
    view, spec = setting(3, spacing)
    plan = plan_tiles(view, spec, 0.25)
    whole = painted(view, spec, plan, plan.tiles())
    centre = (wanted + 0.5) * view.shape[0] / view.image_shape[0]
    few = [t for t in plan.tiles() if plan.start(t)[0] <= centre < plan.start(t)[0] + plan.tile[0]]
    part = painted(view, spec, plan, few)
    assert np.allclose(part[:, wanted], whole[:, wanted], atol=1e-4)


@pytest.mark.parametrize("channels", [("a",), ("a", "b")])
@pytest.mark.parametrize("context", [0, 1])
def test_a_slice_comes_with_its_neighbours(context, channels):
    spec = ModelSpec(dims=2, context=context, channels=channels, tile=(8, 8), features=(2, 2))
    data = np.random.default_rng(0).normal(size=(len(channels), *SHAPE))
    view = View(Volume(data, Grid(SHAPE, (1.0,) * 3)), spec)
    plan = plan_tiles(view, spec, 0.25)
    tile = read_tile(view, spec, plan, (5, 0, 0))
    assert tile.shape == (spec.in_channels, 8, 8)
    for channel in range(len(channels)):
        for step in range(2 * context + 1):
            seen = view.read((5 - context + step, 0, 0), (6 - context + step, 8, 8))[channel, 0]
            assert np.array_equal(tile[channel * (2 * context + 1) + step], seen)


@pytest.mark.parametrize(
    ("shape", "tile"), [((1, 1, 1), (2, 2, 2)), ((3, 40, 9), (4, 8, 10)), ((8, 8, 8), (8, 8, 8))]
)
def test_a_tile_is_no_larger_than_the_image_needs(shape, tile):
    spec = ModelSpec(features=(2, 2), tile=(8, 8, 16))
    view = View(Volume(np.zeros((1, *shape)), Grid(shape, (1.0,) * 3)), spec)
    assert plan_tiles(view, spec, 0.25).tile == tile
