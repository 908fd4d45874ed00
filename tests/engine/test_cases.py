import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_unet.core.annotation import Annotation
from napari_unet.core.classes import BACKGROUND, LabelClass
from napari_unet.core.grid import Grid
from napari_unet.core.spec import ModelSpec
from napari_unet.core.volume import Volume
from napari_unet.engine import cases
from napari_unet.engine.cases import UNKNOWN, prepare
from napari_unet.engine.losses import loss_of
from napari_unet.engine.patches import PatchSampler
from napari_unet.engine.view import View
from napari_unet.errors import AnnotationError, GridError

SPEC = ModelSpec(classes=(BACKGROUND, LabelClass(7, "a"), LabelClass(300, "b")), tile=(8, 8, 8))


def case(labels, known=None, **grid):
    volume = Volume(
        np.random.default_rng(0).random((1, *labels.shape)),
        Grid(labels.shape, grid.pop("spacing", (1.0,) * labels.ndim), **grid),
    )
    return volume, Annotation(labels, np.ones(labels.shape, bool) if known is None else known)


def test_ids_become_channels_and_unknown_voxels_stay_unknown():
    labels = np.zeros((3, 4, 4), int)
    labels[1, 0] = 7
    labels[1, 1] = 300
    known = np.zeros_like(labels, bool)
    known[1] = True
    target = prepare(case(labels, known), SPEC).target.numpy()
    assert target[1].tolist() == [[1] * 4, [2] * 4, [0] * 4, [0] * 4]
    assert (target[[0, 2]] == UNKNOWN).all()


def test_labels_are_never_interpolated():
    labels = np.zeros((6, 6, 6), int)
    labels[2:4] = 300
    spec = replace(SPEC, spacing=(1.0, 1.0, 1.0), unit="mm")
    lesson = prepare(case(labels, spacing=(2.0, 1.0, 0.5), unit="mm"), spec)
    assert tuple(lesson.target.shape) == tuple(lesson.image.shape[1:]) == (12, 6, 3)
    assert set(np.unique(lesson.target)) == {0, 2}


def test_an_edge_to_the_unknown_is_no_border_of_an_object():
    """A done slice through an object teaches its interior, though its neighbours are unknown."""
    ids = np.zeros((5, 12, 12), int)
    ids[:, 3:9, 3:9] = 4
    known = np.zeros_like(ids, bool)
    known[2] = True
    spec = replace(SPEC, target="instances", classes=SPEC.classes[:2])
    for dims, tile in ((3, (8, 8, 8)), (2, (8, 8))):
        made = replace(spec, dims=dims, kernels=(), strides=(), tile=tile)
        target = prepare(case(ids, known), made).target.numpy()
        assert (target[2, 4:8, 4:8] == 1).all()
        assert (target[2, 3, 3:9] == 2).all()
        assert (target[[0, 1, 3, 4]] == UNKNOWN).all()


@pytest.mark.parametrize("dims", [2, 3])
def test_objects_that_were_outlined_end_where_they_were_drawn(dims):
    """Two objects are drawn, the rest is unknown: their edges are borders, and nothing else teaches."""
    z, y, x = np.indices((9, 30, 30))
    ids = np.zeros(z.shape, int)
    for number, centre in ((1, 8), (2, 21)):
        ids[(z - 4) ** 2 + (y - centre) ** 2 + (x - centre) ** 2 < 16] = number
    spec = replace(SPEC, target="instances", classes=SPEC.classes[:2], dims=dims, kernels=(),
                   strides=(), tile=(8,) * dims)  # fmt: skip
    whole = prepare(case(ids), spec).target.numpy()
    drawn = prepare(case(ids, ids > 0), spec).target.numpy()
    assert np.array_equal(drawn[ids > 0], whole[ids > 0])
    assert (drawn[ids == 0] == UNKNOWN).all()
    stroke = ids > 0
    stroke[4, 14, :25] = True
    both = prepare(case(ids, stroke), spec).target.numpy()
    assert (both[4, 14, :25] == whole[4, 14, :25]).all()
    assert ((both == UNKNOWN) == ~stroke).all()


SPARSE = {
    "slices": [np.s_[2], np.s_[7]],
    "three orientations": [np.s_[2], np.s_[:, 5], np.s_[:, :, 9]],
    "box": [np.s_[1:5, 2:7, 3:9]],
    "strokes": [np.s_[3, 4, 2:9], np.s_[6, 1:4, 6]],
    "an empty slice": [np.s_[0]],
}


@pytest.mark.parametrize("places", SPARSE.values(), ids=SPARSE)
@pytest.mark.parametrize("target", ["classes", "instances"])
@pytest.mark.parametrize("dims", [2, 3])
def test_only_what_somebody_vouches_for_has_a_gradient(places, target, dims):
    labels = np.zeros((12, 12, 12), int)
    labels[2:9, 3:8, 3:10] = 7
    known = np.zeros_like(labels, bool)
    for place in places:
        known[place] = True
    spec = replace(SPEC, target=target, classes=SPEC.classes[:2], dims=dims, kernels=(), strides=(),
                   tile=(8,) * dims)  # fmt: skip
    lesson = prepare(case(labels, known), spec)
    truth = lesson.target
    assert np.array_equal((truth != UNKNOWN).numpy(), known)
    logits = torch.randn(1, spec.out_channels, *truth.shape, requires_grad=True)
    loss_of(logits, truth[None].long(), "auto").backward()
    taught = (logits.grad != 0).any(dim=1)[0].numpy()
    assert np.array_equal(taught, known)
    sampler = PatchSampler([lesson], spec, None, (1.0, 1.0, 1.0), seed=0)
    assert all((patch != UNKNOWN).any() for patch in sampler.batch(8)[1])


def test_refuses_a_label_that_is_no_class():
    with pytest.raises(AnnotationError, match=r"5.*no class"):
        prepare(case(np.full((3, 4, 4), 5)), SPEC)


def test_refuses_labels_of_another_shape():
    volume, annotation = case(np.zeros((3, 4, 4), int))
    other = Volume(np.zeros((1, 3, 4, 5)), Grid((3, 4, 5), (1.0,) * 3))
    assert volume.grid.shape == annotation.labels.shape
    with pytest.raises(GridError, match="shape"):
        prepare((other, annotation), SPEC)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("index", range(20))
def test_no_annotated_slice_is_lost_by_resampling(axis, index):
    """A model of coarser voxels still learns from every slice that somebody looked at."""
    labels = np.zeros((20, 20, 20), int)
    labels[5:15, 5:15, 5:15] = 7
    known = Annotation.from_slices(labels, axis, [index]).known
    spec = replace(SPEC, spacing=(1.9, 1.6, 1.3), unit="mm")
    target = prepare(case(labels, known, unit="mm"), spec).target.numpy()
    seen = (target != UNKNOWN).any(axis=tuple({0, 1, 2} - {axis}))
    assert seen.sum() == 1
    assert ((target == 1).sum() > 0) == (5 <= index < 15)


@pytest.mark.parametrize("target", ["instances", "classes"])
def test_the_border_loss_is_told_where_two_objects_are_near(target):
    labels = np.zeros((5, 12, 30), int)
    labels[:, 3:9, 3:12] = 7
    labels[:, 3:9, 14:23] = 7 if target == "classes" else 8
    known = np.zeros_like(labels, bool)
    known[2] = True
    spec = ModelSpec(dims=2, target=target, classes=SPEC.classes[:2], tile=(8, 8))
    assert prepare(case(labels, known), spec).ridge is None
    ridge = prepare(case(labels, known), spec, borders=True).ridge
    assert ridge.shape == labels.shape
    assert ridge[2, 5, 12].item() == pytest.approx(np.exp(-9 / 50))
    batch = PatchSampler(
        [prepare(case(labels, known), spec, borders=True)], spec, None, (1,) * 3, 0
    )
    drawn = batch.batch(4)
    assert drawn.ridge.shape == drawn.target.shape
    assert drawn.ridge.max() > 0.5


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.0, 0.5, 1.5)])
def test_an_image_read_in_parts_is_the_image(monkeypatch, spacing):
    labels = np.zeros((40, 20, 24), np.uint8)
    volume, annotation = case(labels, spacing=spacing, unit="mm")
    spec = replace(SPEC, spacing=(1.0, 1.0, 1.0), unit="mm")
    view = View(volume, spec)
    monkeypatch.setattr(cases, "_PART", 3 * 20 * 24)
    monkeypatch.setattr(cases, "_FEWEST_ROWS", 1)
    found = prepare((volume, annotation), spec).image.numpy()
    assert np.allclose(found, view.read((0, 0, 0), view.shape), atol=1e-5)


def test_preparing_a_volume_takes_little_more_than_what_comes_of_it(monkeypatch):
    monkeypatch.setattr(cases, "_PART", 1 << 19)
    shape = (128, 256, 256)
    labels = np.zeros(shape, np.uint8)
    volume = Volume(np.ones((1, *shape), np.uint8), Grid(shape, (1.0, 1.0, 1.0)))
    known = np.zeros(shape, bool)
    known[40] = True
    spec = replace(SPEC, spacing=(1.0, 2.0, 2.0), unit="pixel")
    tracemalloc.start()
    lesson = prepare((volume, Annotation(labels, known)), spec)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert lesson.image.numpy().nbytes == volume.data.nbytes
    assert peak < 10 * volume.data.nbytes  # read at once it takes 15 times as much
