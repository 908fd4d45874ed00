from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_unet.core.annotation import Annotation
from napari_unet.core.classes import BACKGROUND, LabelClass
from napari_unet.core.grid import Grid
from napari_unet.core.spec import ModelSpec, Normalisation
from napari_unet.core.volume import Volume
from napari_unet.engine.cases import UNKNOWN, prepare
from napari_unet.engine.exemplars import (
    MOST,
    ROOM,
    as_seen,
    chosen,
    handed_on,
    joined,
    kept_aside,
    rehearsed,
    told,
)
from napari_unet.engine.view import View

ONE, TWO, THREE = (LabelClass(i, f"class {i}") for i in (1, 2, 3))
PLANAR = ModelSpec(dims=2, classes=(BACKGROUND, ONE, TWO), tile=(16, 16))
SOLID = ModelSpec(dims=3, classes=(BACKGROUND, ONE, TWO), tile=(8, 16, 16))


def case(shape=(12, 40, 40), seed=0, unit="pixel", spacing=None):
    """Two kinds of blocks, one rare, in noise of any intensity."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, np.uint16)
    labels[..., 5:20, 5:20] = 1
    labels[..., 30:33, 30:33] = 2
    image = rng.normal(400, 90, (1, *shape)) + 200 * labels
    grid = Grid(shape, spacing or (1.0,) * len(shape), unit)
    return Volume(image.astype(np.float32), grid), Annotation.full(labels)


CROSSED = replace(PLANAR, context=1, block=(8, 16, 16))


@pytest.mark.parametrize("spec", [PLANAR, SOLID, replace(PLANAR, context=1), CROSSED])
def test_an_exemplar_is_seen_as_a_part_of_the_whole_image_is(spec):
    """Its intensities are those of the whole image, whose scaling a part alone could not tell."""
    volume, annotation = case()
    found = chosen([(volume, annotation)], spec, seed=3)
    assert len(found) > 3
    view = View(volume, spec)
    whole = view.read((0, 0, 0), view.shape)
    for one in found:
        lesson = prepare(one.case(), as_seen(spec))
        size = lesson.image.shape[1:]
        places = np.lib.stride_tricks.sliding_window_view(whole[0], size)
        apart = np.abs(places - lesson.image[0].numpy()).max(axis=(-3, -2, -1))
        assert apart.min() < np.ptp(whole) / 255
        at = np.unravel_index(apart.argmin(), apart.shape)
        truth = annotation.labels[tuple(slice(a, a + n) for a, n in zip(at, size, strict=True))]
        target = lesson.target.numpy()
        assert (target[target != UNKNOWN] == truth[target != UNKNOWN]).all()
        assert (target != UNKNOWN).all(axis=(1, 2)).sum() == (
            1 if spec.dims == 2 and spec.block is None else size[0]
        )


def test_an_exemplar_holds_the_channels_that_the_model_reads():
    volume, annotation = case()
    three = np.concatenate([volume.data * 0, volume.data[:, ::-1], volume.data])
    many = Volume(three, volume.grid, ("phase", "GFP", "DAPI"))
    spec = replace(PLANAR, channels=("DAPI", "GFP"))
    one, other = (
        chosen([(many, annotation)], spec, seed=0),
        chosen([(volume, annotation)], PLANAR, seed=0),
    )
    assert len(one) == len(other) > 3
    assert all(
        np.array_equal(a.image[0], b.image[0]) and a.image[1].any()
        for a, b in zip(one, other, strict=True)
    )


def test_every_class_is_the_centre_of_as_many():
    found = chosen([case(seed=i) for i in range(4)], PLANAR, seed=0)
    middles = Counter()
    for one in found:
        middles.update(np.unique(one.case()[1].labels).tolist())
    assert len(found) == MOST
    assert min(middles[1], middles[2]) >= MOST // 3


def test_only_what_is_known_is_taken_along():
    volume, annotation = case()
    known = np.zeros_like(annotation.known)
    known[3, :, :25] = True
    found = chosen([(volume, replace(annotation, known=known))], SOLID, seed=0)
    for one in found:
        ids, seen = one.case()[1].labels, one.case()[1].known
        assert 0 < seen.sum() <= 16 * 16
        assert set(np.unique(ids[seen])) <= {0, 1}


def test_a_small_image_is_taken_once():
    assert len(chosen([case((34, 34))], replace(PLANAR, tile=(64, 64)), 0)) == 1


@pytest.mark.parametrize(
    "spec", [replace(PLANAR, tile=(4096, 4096)), replace(SOLID, tile=(512,) * 3)]
)
def test_large_tiles_are_cut_so_that_some_fit(spec):
    shape = (2400, 2400) if spec.dims == 2 else (150, 150, 150)
    found = chosen([case(shape, seed=i) for i in range(4)], spec, 0)
    assert len(found) >= 4
    assert sum(e.nbytes for e in found) <= ROOM


def test_a_volume_of_one_slice_gives_planes_whatever_the_models_axis():
    found = chosen([case((1, 40, 40), spacing=(5.0, 2.0, 1.0))], replace(PLANAR, axis=1), seed=0)
    assert {one.labels.ndim for one in found} == {2}
    assert {one.note.spacing for one in found} == {(2.0, 1.0)}


def test_objects_stay_apart():
    volume, _ = case()
    ids = np.zeros(volume.grid.shape, np.int32)
    ids[:, 5:20, 5:12], ids[:, 5:20, 12:20] = 4000, 5000
    spec = replace(PLANAR, target="instances", classes=(BACKGROUND, ONE))
    found = chosen([(volume, Annotation.full(ids))], spec, 0)
    assert max(e.labels.max() for e in found) == 3
    assert all(e.note.classes == () for e in found)
    assert handed_on(found, spec, PLANAR, {}) == ()
    assert len(handed_on(found, spec, spec, {})) == len(found)


def test_what_is_rehearsed_is_not_what_measures():
    found = chosen([case(seed=i) for i in range(4)], PLANAR, seed=0)
    teach, measure = rehearsed(found, PLANAR), kept_aside(found, PLANAR)
    assert len(teach) + len(measure) == len(found)
    assert len(measure) == 5
    seen = {v.array().tobytes() for v, _ in teach}
    assert not seen & {v.array().tobytes() for v, _ in measure}


def test_background_is_unknown_beside_a_class_that_is_new_since():
    """Whoever drew the exemplars did not know of it, so their background may hold it."""
    found = chosen([case()], PLANAR, seed=0)
    wider = replace(PLANAR, classes=(*PLANAR.classes, THREE))
    assert all((a.labels[a.known] > 0).all() for _, a in rehearsed(found, wider))
    assert any((a.labels[a.known] == 0).any() for _, a in kept_aside(found, wider))
    assert told(found, wider) == {0, 1, 2}


def test_a_removed_class_is_unknown_and_a_merged_one_is_the_other():
    found = chosen([case()], PLANAR, seed=0)
    fewer = replace(PLANAR, classes=(BACKGROUND, ONE))
    assert all(2 not in a.counts() for _, a in rehearsed(found, fewer))
    merged = handed_on(found, PLANAR, fewer, {2: 1})
    assert sum(a.counts().get(1, 0) for _, a in rehearsed(merged, fewer)) == sum(
        a.counts().get(1, 0) + a.counts().get(2, 0) for _, a in rehearsed(found, PLANAR)
    )
    assert told(merged, fewer) == {0, 1}


def test_large_ids_beside_each_other_are_told_apart():
    """No number with a fraction is fine enough for them."""
    large, next_one = (LabelClass(i, f"class {i}") for i in (2**60, 2**60 + 1))
    volume, annotation = case()
    labels = np.array([0, large.id, next_one.id], np.uint64)[annotation.labels]
    spec = replace(PLANAR, classes=(BACKGROUND, large, next_one))
    found = chosen([(volume, Annotation.full(labels))], spec, seed=0)
    fewer = replace(spec, classes=(BACKGROUND, large))
    assert {i for _, a in rehearsed(found, fewer) for i in a.counts()} == {0, large.id}
    merged = handed_on(found, spec, fewer, {next_one.id: large.id})
    assert sum(a.counts().get(large.id, 0) for _, a in rehearsed(merged, fewer)) == sum(
        a.counts().get(large.id, 0) + a.counts().get(next_one.id, 0)
        for _, a in rehearsed(found, spec)
    )


def test_channels_decide_whether_they_make_sense():
    found = chosen([case()], PLANAR, seed=0)
    assert handed_on(found, PLANAR, replace(PLANAR, channels=("a", "b")), {}) == ()
    stained = replace(PLANAR, channels=("DAPI",))
    assert len(handed_on(found, stained, stained, {})) == len(found)
    assert handed_on(found, stained, replace(PLANAR, channels=("GFP",)), {}) == ()
    assert handed_on(found, PLANAR, SOLID, {}) == ()  # planes to a network of blocks


@pytest.mark.parametrize("spec", [PLANAR, SOLID], ids=["planes", "blocks"])
def test_a_model_of_another_spacing_sees_the_same_voxels(spec):
    """Tiny cells of another microscope must not blow up what was rehearsed, nor take minutes."""
    base = replace(spec, spacing=(2.0, 1.0, 1.0), unit="um")
    finer = replace(base, spacing=(0.2, 0.1, 0.125))
    shape = (40, 40) if spec.dims == 2 else (12, 40, 40)
    own = base.spacing[-len(shape) :]
    found = chosen([case(shape, unit="um", spacing=own)], base, 0)
    moved = handed_on(found, base, finer, {})
    for one, other in zip(rehearsed(found, base), rehearsed(moved, finer), strict=True):
        before, after = prepare(one, as_seen(base)), prepare(other, as_seen(finer))
        assert torch.equal(before.image, after.image)
        assert torch.equal(before.target, after.target)


def test_two_sets_share_the_room():
    old, new = (chosen([case(seed=i + k) for i in range(4)], PLANAR, 0) for k in (0, 9))
    both = joined(old, new)
    assert len(both) == MOST
    assert sum(any(e is o for o in old) for e in both) == MOST // 2
    assert joined(old, ()) == old
    assert joined((), new) == new


def test_spacing_is_kept():
    thick = case(unit="um", spacing=(5.0, 1.0, 1.0))
    spec = replace(PLANAR, unit="um", spacing=(5.0, 2.0, 2.0), normalisation=Normalisation("none"))
    for one in chosen([thick], spec, 0):
        assert one.image.shape == (1, 32, 32)
        assert one.note.spacing == (1.0, 1.0)
        assert prepare(one.case(), as_seen(spec)).target.shape == (1, 16, 16)
