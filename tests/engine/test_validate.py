from dataclasses import replace

import numpy as np
import pytest

from napari_unet.core.annotation import Annotation
from napari_unet.core.classes import BACKGROUND, LabelClass
from napari_unet.core.grid import Grid
from napari_unet.core.spec import ModelSpec, Normalisation
from napari_unet.core.volume import Volume
from napari_unet.engine.holdout import hold_out
from napari_unet.engine.ledger import Ledger, Page, divided, fingerprint
from napari_unet.engine.validate import NOTHING_HELD_OUT, Examiner

SHAPE = (20, 12, 12)
SPEC = ModelSpec(
    classes=(BACKGROUND, LabelClass(3, "a"), LabelClass(7, "b")),
    features=(2, 2),
    tile=(8, 8, 8),
    normalisation=Normalisation("none"),
)
PLANAR = replace(SPEC, dims=2, tile=(8, 8), kernels=(), strides=())


def labelled():
    labels = np.zeros(SHAPE, np.uint16)
    labels[:, 2:6] = 3
    labels[:, 6:10, 4:] = 7
    return labels


def case(done, seen=None, axis=0, spacing=(1.0, 1.0, 1.0)):
    """Slices of labels, and an image that shows `seen`: by default the labels themselves."""
    labels = labelled()
    data = (labels if seen is None else seen).astype(np.float32)[None]
    return Volume(data, Grid(SHAPE, spacing, "mm")), Annotation.from_slices(labels, axis, done)


def reader(tiles):
    """A network that reads the class from the voxel: it is right wherever the image is."""
    ids = np.array([0.0, 3.0, 7.0], np.float32).reshape(1, 3, *(1,) * (tiles.ndim - 2))
    return -((tiles[:, :1] - ids) ** 2)


def examined(cases, spec=SPEC, forward=reader, ledger=None):
    exam = Examiner(cases, spec, ledger).examine(forward)
    while True:
        try:
            next(exam)
        except StopIteration as end:
            return end.value


BOXES = [
    np.s_[a : a + 3, b : b + 3, c : c + 3] for a in (0, 5, 10, 15) for b in (2, 7) for c in (0, 5)
]
PIECES = {
    # name: (what is known, share to hold out, pieces that measure)
    "one of sixteen boxes": (BOXES, 0.05, 1),
    "four of sixteen boxes": (BOXES, 0.25, 4),
    "slices of a lone box": ([np.s_[2:18, 3:9, 3:9]], 0.2, 4),
    "slices of all": ([np.s_[:]], 0.2, 4),
}


@pytest.mark.parametrize(("places", "share", "count"), PIECES.values(), ids=PIECES)
def test_what_was_held_out_as_one_counts_once(places, share, count):
    """Slices of a box are alike: five of them say little more than one."""
    volume, _ = case([0])
    known = np.zeros(SHAPE, bool)
    for place in places:
        known[place] = True
    split = hold_out([(volume, Annotation(labelled(), known))], share, seed=0)
    marks = examined(split.held, ledger=split.record)
    assert marks.slices == count
    assert marks.enough == (count >= 3)
    assert marks.voxels == split.held[0][1].known.sum()


def test_of_a_whole_image_that_is_held_out_each_slice_counts():
    cases = [case(range(20)) for _ in range(12)]
    cases = [(replace(v, data=v.data + n), a) for n, (v, a) in enumerate(cases)]
    split = hold_out(cases, 0.1, seed=0)
    assert len(split.held) == 2
    assert examined(split.held, ledger=split.record).slices == 40


@pytest.mark.parametrize("spec", [SPEC, PLANAR])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_only_known_voxels_count(spec, axis):
    """The image lies everywhere but on the held-out slices, and the marks are full."""
    done = [4, 8]
    seen = np.full(SHAPE, 7)
    place = (slice(None),) * axis + (done,)
    seen[place] = labelled()[place]
    marks = examined([case(done, seen, axis)], spec)
    assert marks.per_class == {3: 1.0, 7: 1.0}
    assert marks.slices == 2
    assert marks.voxels == 2 * np.prod(SHAPE) // SHAPE[axis]
    assert marks.mean_dice == marks.score == 1


def test_marks_are_taken_over_all_cases_together():
    wrong = np.zeros(SHAPE)
    half = examined([case([5]), case([9], wrong)])
    assert half.per_class == pytest.approx({3: 2 / 3, 7: 2 / 3})
    assert (half.slices, half.voxels) == (2, 2 * 144)
    assert examined([case([5], wrong)]).score == 0


def test_a_class_that_occurs_nowhere_has_no_mark():
    spec = replace(SPEC, classes=(*SPEC.classes, LabelClass(9, "c")))

    def blind(tiles):
        return np.concatenate([reader(tiles), np.full_like(tiles[:, :1], -1e6)], axis=1)

    assert set(examined([case([5])], spec, blind).per_class) == {3, 7}


@pytest.mark.parametrize("spacing", [(0.7, 1.0, 1.0), (1.6, 1.2, 1.2), (5.0, 1.0, 1.0)])
@pytest.mark.parametrize("index", [0, 9, 19])
def test_a_slice_is_measured_whatever_the_models_spacing(spacing, index):
    """All in the image's own voxels, so a slice can't vanish and two models see the same ones."""
    marks = examined([case([index])], replace(SPEC, spacing=spacing, unit="mm"))
    assert (marks.slices, marks.voxels) == (1, 144)
    assert marks.score > 0.8


@pytest.mark.parametrize(("spec", "tiles"), [(PLANAR, 4), (SPEC, 8)])
def test_no_tile_is_run_in_vain(spec, tiles):
    """One slice needs the tiles that hold it: 2 x 2 of a plane, 2 x 2 x 2 where two overlap."""
    run = []

    def counting(stack):
        run.append(len(stack))
        return reader(stack)

    examined([case([6])], spec, counting)
    assert sum(run) == tiles


def test_objects_are_scored_by_foreground_interior_and_border():
    spec = replace(SPEC, target="instances", classes=SPEC.classes[:2])

    def all_interior(tiles):
        return np.concatenate([tiles * 0, tiles * 0 + 1, tiles * 0], axis=1)

    marks = examined([case([5])], spec, all_interior)
    share = (labelled()[5] > 0).mean()
    assert marks.per_class == {3: pytest.approx(2 * share / (share + 1))}
    assert 0 < marks.score < marks.mean_dice


def test_without_held_out_cases_there_is_no_mark():
    assert Examiner([], SPEC).empty
    marks = examined([])
    assert marks is NOTHING_HELD_OUT
    assert marks.mean_dice is None
    assert marks.interval is None
    assert marks.classes == {}
    assert marks.score == 0


def test_each_slice_is_counted_for_itself():
    """The first of three is wrong; the class b is in two of them."""
    seen = labelled()
    seen[4] = 0
    truth = labelled()
    truth[12][truth[12] == 7] = 0
    seen[12] = truth[12]
    data = Volume(seen.astype(np.float32)[None], Grid(SHAPE, (1.0, 1.0, 1.0), "mm"))
    marks = examined([(data, Annotation.from_slices(truth, 0, [4, 8, 12]))])
    assert marks.slices == 3
    assert marks.counts[:, :, 0].tolist() == [[0, 0], [96, 64], [96, 0]]
    assert marks.counts[:, :, 1].tolist() == [[48, 32], [96, 64], [96, 0]]
    one = marks.classes[7]
    assert (one.slices, one.voxels) == (2, 64)
    assert one.dice == pytest.approx(2 / 3)
    assert marks.interval[0] < marks.mean_dice < marks.interval[1]
    assert marks.facts()["enough"]


def test_a_slice_that_others_cross_counts_as_one():
    """Gaps around slices that teach cut it to pieces, which are no slices of their own."""
    volume, annotation = case(done=(1,))
    known = np.zeros(SHAPE, bool)
    known[[1, 5, 9, 13, 17]] = known[:, 6] = True
    everything = replace(annotation, known=known)
    page = Page(
        fingerprint(volume),
        taught=tuple(((z, 0, 0), (z + 1, 12, 12)) for z in (1, 5, 9, 13)),
        held=(((0, 6, 0), (20, 7, 12)), ((17, 0, 0), (18, 12, 12))),
    )
    _, measures = divided([page], known)
    held = [(volume, replace(everything, known=measures))]
    assert examined(held, ledger=Ledger((page,))).slices == 2
    assert examined(held, ledger=Ledger((page,))).voxels == measures.sum()
    # Neighbours are written as one box, and a slice of which nothing is left to measure is none.
    page = replace(page, taught=(), held=(((2, 0, 0), (5, 12, 12)), ((9, 0, 0), (10, 12, 12))))
    done = case(done=(2, 3, 4))
    assert examined([done], ledger=Ledger((replace(page, image=fingerprint(done[0])),))).slices == 3


def test_a_box_of_a_plane_that_was_held_out_counts_as_one():
    labels = labelled()[5]
    plane = Volume(labels.astype(np.float32)[None], Grid(labels.shape, (1.0, 1.0), "mm"))
    known = np.zeros(labels.shape, bool)
    known[2:8] = True
    page = Page(fingerprint(plane), held=(((0, 2, 0), (1, 8, 12)),))
    held = [(plane, Annotation(labels, known))]
    assert examined(held, PLANAR, ledger=Ledger((page,))).slices == 1
