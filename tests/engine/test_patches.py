from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage

from napari_unet.core.annotation import Annotation
from napari_unet.core.classes import BACKGROUND, LabelClass
from napari_unet.core.grid import Grid
from napari_unet.core.spec import BORDER, INTERIOR, ModelSpec, Normalisation
from napari_unet.core.volume import Volume
from napari_unet.engine.augment import MEDICAL, MICROSCOPY, bent_grid
from napari_unet.engine.cases import UNKNOWN, prepare
from napari_unet.engine.patches import PatchSampler

CLASSES = (BACKGROUND, LabelClass(1, "a"), LabelClass(2, "b"))


def lesson(spec, shape=(12, 20, 24), done=None):
    """An image that shows its own labels, so that patch and target can be compared."""
    labels = np.zeros(shape, int)
    labels[:, 4:14, 5:12] = 1
    labels[:, 8:10, 15:17] = 2
    data = labels.astype(np.float32)[None]
    volume = Volume(data, Grid(shape, (1.0,) * 3))
    annotation = (
        Annotation.full(labels) if done is None else Annotation.from_slices(labels, 0, done)
    )
    return prepare((volume, annotation), spec)


def spec_of(dims, **more):
    tile = {2: (16, 16), 3: (8, 16, 16)}[dims]
    return ModelSpec(
        dims=dims,
        classes=CLASSES,
        tile=tile,
        features=(2, 4, 8),
        normalisation=Normalisation("none"),
        **more,
    )


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("context", [0, 2])
def test_a_straight_patch_is_a_piece_of_the_volume(dims, context):
    spec = spec_of(dims, context=context if dims == 2 else 0)
    sampler = PatchSampler([lesson(spec)], spec, None, (1.0,) * 3, seed=0)
    images, targets, _ = sampler.batch(8)
    assert images.shape == (8, spec.in_channels, *spec.tile)
    middle = images[:, spec.context]
    known = targets != UNKNOWN
    assert (middle.round().long()[known] == targets[known]).float().mean() > 0.95


def test_patches_come_from_slices_of_three_orientations():
    """Each voxel's channels say where it lies, and so from which orientation a patch was cut."""
    spec = spec_of(2, context=1, block=(16, 16, 16), channels=("z", "y", "x"))
    places = np.indices((20, 20, 20)).astype(np.float32)
    annotation = Annotation.from_slices(np.ones((20, 20, 20), int), 0, [3, 9])
    volume = Volume(places, Grid((20, 20, 20), (1.0,) * 3), ("z", "y", "x"))
    sampler = PatchSampler([prepare((volume, annotation), spec)], spec, None, (1.0,) * 3, seed=0)
    batches = [sampler.batch(1) for _ in range(60)]
    middle = [batch.image[0, 1::3] for batch in batches]
    count = [0, 0, 0]
    for patch, batch in zip(middle, batches, strict=True):
        target = batch.target[0]
        there = patch[:, target != UNKNOWN]
        assert set(there[0].round().tolist()) <= {3, 9}  # nothing else is known
        whole = patch[:, 4:12, 4:12].flatten(1)
        still = (whole.amax(dim=1) - whole.amin(dim=1)) < 1e-3
        assert int(still.sum()) == 1
        count[int(still.int().argmax())] += 1
    assert min(count) > 8


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_of_each_orientation_show_the_border_of_whole_objects(axis):
    """The middle of a ball's cap is border along the axis that it is cut across, as in its other slices."""
    spec = replace(spec_of(2, block=(16,) * 3), target="instances", classes=CLASSES[:2])
    away = np.moveaxis(np.indices((16, 16, 16)) - 7.5, 0, -1)
    ball = (np.linalg.norm(away, axis=-1) < 6).astype(int)
    volume = Volume(ball[None].astype(np.float32), Grid(ball.shape, (1.0,) * 3))
    whole = prepare((volume, Annotation.full(ball)), spec)
    wanted = whole.target.movedim(axis, 0).long()
    assert (wanted[2, 7, 7], wanted[7, 7, 7]) == (BORDER, INTERIOR)
    sampler = PatchSampler([whole], spec, None, (1.0,) * 3, seed=0)
    _, targets, _ = sampler.batch(12, axis)
    assert all((patch == wanted).flatten(1).all(dim=1).any() for patch in targets)


@pytest.mark.parametrize("how", [MEDICAL, MICROSCOPY])
def test_image_and_target_are_bent_alike(how):
    spec = spec_of(3)
    sampler = PatchSampler([lesson(spec)], spec, how, (2.0, 1.0, 1.0), seed=0)
    images, targets, _ = sampler.batch(16)
    known = targets != UNKNOWN
    a = images[:, 0][known & (targets == 0)].mean()
    b = images[:, 0][known & (targets == 1)].mean()
    assert b > a + 0.3


def test_rare_classes_are_seen_as_often_as_common_ones():
    spec = spec_of(2)
    sampler = PatchSampler([lesson(spec)], spec, None, (1.0,) * 3, seed=0)
    _, targets, _ = sampler.batch(100)
    with_rare = (targets == 2).flatten(1).any(dim=1).float().mean()
    assert with_rare > 0.5


@pytest.mark.parametrize("dims", [2, 3])
def test_every_patch_holds_a_known_voxel(dims):
    spec = spec_of(dims)
    sampler = PatchSampler([lesson(spec, done=[3])], spec, MICROSCOPY, (1.0,) * 3, seed=1)
    _, targets, _ = sampler.batch(50)
    share = (targets != UNKNOWN).flatten(1).any(dim=1).float().mean()
    assert share > 0.9  # a bent patch may miss a slice that is one voxel thick
    if dims == 3:
        assert (targets != UNKNOWN).float().mean() < 0.5


def test_outside_the_volume_is_unknown():
    spec = spec_of(3)
    small = lesson(spec, shape=(4, 20, 24))
    _, targets, _ = PatchSampler([small], spec, None, (1.0,) * 3, seed=0).batch(4)
    assert (targets[:, [0, 1, 6, 7]] == UNKNOWN).all()
    assert (targets[:, 2:6] != UNKNOWN).all()


def test_the_same_seed_draws_the_same_patches():
    spec = spec_of(2)
    one, two = (
        PatchSampler([lesson(spec)], spec, MICROSCOPY, (1.0,) * 3, seed=5).batch(4)
        for _ in range(2)
    )
    assert torch.equal(one.image, two.image)
    assert torch.equal(one.target, two.target)


def test_a_straight_grid_hits_the_voxels():
    rng = np.random.default_rng(0)
    grid = bent_grid((3.5, 3.5), (4, 4), (8, 8), (1.0, 1.0), None, rng)
    volume = torch.arange(64.0).reshape(1, 1, 8, 8)
    cut = torch.nn.functional.grid_sample(volume, grid, align_corners=False)
    assert torch.allclose(cut, volume[..., 2:6, 2:6], atol=1e-4)


def test_rotations_are_rigid_in_space():
    """With long voxels in z, a quarter turn about x takes a step in z to many steps in y."""
    from napari_unet.engine.augment import Augmentation, _affine

    how = Augmentation(turn=0, tilt=0, zoom=0, mirror=False)
    assert np.allclose(_affine(3, (5.0, 1.0, 1.0), how, np.random.default_rng(0)), np.eye(3))
    turned = _affine(3, (5.0, 1.0, 1.0), Augmentation(zoom=0), np.random.default_rng(0))
    rigid = np.diag([5.0, 1.0, 1.0])
    matrix = rigid @ turned @ np.linalg.inv(rigid)
    assert np.allclose(matrix @ matrix.T, np.eye(3))


def grid_of_cells(side=5, cells=12):
    """Touching square objects: every one has a border all around."""
    plane = np.arange(cells * cells).reshape(cells, cells) + 1
    return np.kron(plane, np.ones((side, side), int))[None]


@pytest.mark.parametrize("how", [None, MICROSCOPY])
def test_bent_objects_keep_closed_borders(how):
    spec = ModelSpec(
        dims=2, classes=CLASSES[:2], target="instances", tile=(32, 32), features=(2, 4)
    )
    ids = grid_of_cells(side=7, cells=12)
    volume = Volume(ids.astype(np.float32), Grid(ids.shape[1:], (1.0, 1.0)))
    case = (volume, Annotation.full(ids[0]))
    sampler = PatchSampler([prepare(case, spec)], spec, how, (1.0,) * 3, seed=0)
    _, targets, _ = sampler.batch(16)
    for target in targets.numpy():
        # Were a border broken, the interiors of neighbours would run into one another.
        pieces, count = ndimage.label(target == INTERIOR)
        assert count >= 9
        assert np.bincount(pieces.ravel())[1:].max() <= 2 * 7**2
