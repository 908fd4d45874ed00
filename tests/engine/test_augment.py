import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it

from napari_unet.engine.augment import MEDICAL, MICROSCOPY, Augmentation, bent_grid, recolour

STILL = Augmentation(
    turn=0, tilt=0, zoom=0, bend=0, mirror=False, contrast=0, shift=0, noise=0, gamma=0
)


def random():
    return np.random.default_rng(0)


@pytest.mark.parametrize("size", [(4, 4), (1, 9), (4, 4, 4), (1, 6, 8), (1, 1, 1)])
@pytest.mark.parametrize("how", [None, STILL, MEDICAL, MICROSCOPY], ids=str)
def test_a_grid_for_every_size(size, how):
    dims = len(size)
    grid = bent_grid((5.0,) * dims, size, (12,) * dims, (1.0,) * dims, how, random())
    assert grid.shape == (1, *size, dims)
    assert torch.isfinite(grid).all()


@pytest.mark.parametrize("dims", [2, 3])
def test_without_any_strength_nothing_moves(dims):
    place = ((5.5,) * dims, (4,) * dims, (12,) * dims, (2.0,) * dims)
    straight = bent_grid(*place, None, random())
    assert torch.allclose(bent_grid(*place, STILL, random()), straight, atol=1e-5)
    patch = torch.randn(2, *(4,) * dims)
    assert torch.allclose(recolour(patch, STILL, random()), patch, atol=1e-5)


MOVES = {
    # name: (what alone is on, largest displacement in voxels of a patch of 17)
    "turn": (Augmentation(turn=0.2, tilt=0, zoom=0, bend=0), 0.2 * 8 * math.sqrt(2)),
    "zoom": (Augmentation(turn=0, tilt=0, zoom=0.2, bend=0), 8 * math.sqrt(2) * 0.31),
    "mirror": (Augmentation(turn=0, tilt=0, zoom=0, bend=0, mirror=True), 16 * math.sqrt(2)),
    "bend": (Augmentation(turn=0, tilt=0, zoom=0, bend=0.03), 17 * 0.03 * 6),
}


@pytest.mark.parametrize(("how", "most"), MOVES.values(), ids=MOVES)
def test_displacements_stay_as_small_as_they_are_set(how, most):
    rng, place = random(), ((20.0, 20.0), (17, 17), (41, 41), (1.0, 1.0))
    straight = bent_grid(*place, None, rng)
    moved = [(bent_grid(*place, how, rng) - straight) * 41 / 2 for _ in range(40)]
    away = torch.cat(moved).norm(dim=-1)
    assert 0.1 * most < away.max() <= most + 1e-3


def test_a_scanner_image_is_never_mirrored_and_a_microscope_image_is():
    """The order of two points along the last axis tells a mirror image from a small turn."""
    for how, both in ((MEDICAL, {True}), (Augmentation(turn=0, mirror=True), {True, False})):
        rng, kept = random(), set()
        for _ in range(30):
            grid = bent_grid((20.0, 20.0), (17, 17), (41, 41), (1.0, 1.0), how, rng)
            kept.add(bool(grid[0, 8, 16, 0] > grid[0, 8, 0, 0]))
        assert kept == both


def test_bending_is_smooth():
    """Neighbouring voxels stay neighbours: no fold, no tear."""
    how = Augmentation(turn=0, tilt=0, zoom=0)
    grid = bent_grid((50.0, 50.0), (64, 64), (100, 100), (1.0, 1.0), how, random()) * 50
    for axis in (1, 2):
        step = grid.diff(dim=axis).norm(dim=-1)
        assert step.min() > 0.2
        assert step.max() < 3


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 4, 8, 8)])
def test_colours_change_and_shapes_do_not(shape):
    rng, patch = random(), torch.randn(shape)
    for _ in range(20):
        new = recolour(patch, MEDICAL, rng)
        assert new.shape == patch.shape
        assert torch.isfinite(new).all()
        assert not torch.equal(new, patch)
        for old_channel, new_channel in zip(patch, new, strict=True):
            pair = torch.stack([old_channel.flatten(), new_channel.flatten()])
            assert torch.corrcoef(pair)[0, 1] > 0.8  # bright stays bright


@pytest.mark.parametrize("value", [0.0, 3.0])
def test_an_empty_patch_stays_finite(value):
    rng = random()
    for _ in range(20):
        assert torch.isfinite(recolour(torch.full((1, 4, 4), value), MEDICAL, rng)).all()


def test_the_same_chance_gives_the_same_patch():
    one, two = (
        F.grid_sample(
            torch.arange(144.0).reshape(1, 1, 12, 12),
            bent_grid((6.0, 6.0), (8, 8), (12, 12), (1.0, 1.0), MICROSCOPY, random()),
            align_corners=False,
        )
        for _ in range(2)
    )
    assert torch.equal(one, two)
