import numpy as np
import pytest
import torch

from napari_unet.core.grid import Grid
from napari_unet.core.spec import ModelSpec, Normalisation
from napari_unet.core.volume import Volume
from napari_unet.engine.infer import infer, plan_tiles, read_tile
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
    ramp = torch.arange(tiles.shape[-1]) + 10 * torch.arange(tiles.shape[-2])[:, None]
    return torch.stack([tiles.sum(dim=1), tiles[:, 0] * ramp], dim=1)


def painted(view, spec, plan, tiles, **more):
    """Logits of the whole image; NaN where no cell has become final."""
    out = np.full((spec.out_channels, *view.image_shape), np.nan, np.float32)
    for cells in infer(view, spec, forward, plan, tiles, **more):
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
