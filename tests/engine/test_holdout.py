import numpy as np
import pytest

from napari_unet.core.annotation import Annotation
from napari_unet.core.grid import Grid
from napari_unet.core.volume import Volume
from napari_unet.engine.holdout import (
    SHARE_SCRATCH,
    SHARE_TUNE,
    held_slices,
    hold_out,
    replayed,
    spared,
)
from napari_unet.engine.ledger import Ledger, Page, fingerprint
from napari_unet.engine.regions import regions


def volume(shape=(20, 12, 12), seed=0):
    return Volume.from_array(np.random.default_rng(seed).integers(0, 99, shape, np.uint8))


def case(done=None, axis=0, shape=(20, 12, 12), rich=None, seed=0):
    """An image with a class 1 everywhere, and a class 2 on its `rich` slices."""
    labels = np.zeros(shape, int)
    labels[..., 3:6, 3:6] = 1
    for z in rich or []:
        labels[z, 8:10, 8:10] = 2
    if done is None:
        return volume(shape, seed), Annotation.full(labels)
    return volume(shape, seed), Annotation.from_slices(labels, axis, done)


def known(*places, shape=(20, 20, 20), seed=0):
    mask = np.zeros(shape, bool)
    for place in places:
        mask[place] = True
    labels = np.ones(shape, int)
    return volume(shape, seed), Annotation(labels, mask)


def slices(cases, axis=0):
    found = []
    for _, annotation in cases:
        others = tuple(i for i in range(annotation.known.ndim) if i != axis)
        found.append(set(np.flatnonzero(annotation.known.any(axis=others)).tolist()))
    return found


def near(mask):
    """What lies in a mask or beside it, edges and corners included."""
    from scipy import ndimage

    return ndimage.binary_dilation(mask, np.ones((3,) * mask.ndim))


@pytest.mark.parametrize(
    ("done", "share", "held"),
    [
        (range(19), 0.2, 4),
        ([2, 5, 8, 11, 14], 0.2, 1),
        ([0, 1, 2, 3, 4, 5], 0.34, 3),
        ([3, 10, 17], 0.2, 1),
        (range(0, 20, 2), SHARE_TUNE, 2),
        (range(0, 20, 2), SHARE_SCRATCH, 1),
    ],
)
@pytest.mark.parametrize("axis", [0, 1])
def test_no_held_out_slice_touches_a_training_slice(done, share, held, axis):
    cases = [case(done=done, axis=axis, shape=(20, 20, 20))]
    train, test, _ = hold_out(cases, share, seed=0)
    (learned,), (measured,) = slices(train, axis), slices(test, axis)
    assert len(measured) == held
    assert not {z + d for z in measured for d in (-1, 0, 1)} & learned
    assert learned | measured <= set(done)
    assert learned


@pytest.mark.parametrize(("least", "held"), [(1, 2), (2, 2), (3, 0)])
def test_too_few_to_tell_are_not_kept_aside(least, held):
    cases = [case(done=range(0, 20, 2), shape=(20, 20, 20))]
    split = hold_out(cases, SHARE_TUNE, seed=0, least=least)
    assert sum(len(regions(a)) for _, a in split.held) == held
    assert sum(len(regions(a)) for _, a in split.train) == 10 - held


def test_a_volume_counts_as_many_slices_as_it_has():
    cases = [case(shape=(20, 20, 20), seed=i) for i in range(6)]
    assert len(hold_out(cases, SHARE_SCRATCH, seed=0, least=3).held) == 1


MIXED = [np.s_[3], np.s_[9], np.s_[15], np.s_[:, 4], np.s_[:, 16], np.s_[:, :, 10]]
BOXES = [
    np.s_[1:6, 1:7, 1:7],
    np.s_[10:16, 2:9, 11:17],
    np.s_[2:7, 12:19, 2:8],
    np.s_[12:18, 11:, 12:],
]


@pytest.mark.parametrize("places", [MIXED, BOXES, [*MIXED[:3], BOXES[3]], [np.s_[:]]])
@pytest.mark.parametrize("seed", range(5))
def test_whatever_the_shape_no_voxel_that_measures_touches_one_that_teaches(places, seed):
    (train,), (held,), _ = hold_out([known(*places)], 0.3, seed)
    assert not (near(held[1].known) & train[1].known).any()
    assert not (near(train[1].known) & held[1].known).any()


def test_boxes_are_held_out_whole():
    _, (held,), _ = hold_out([known(*BOXES)], 0.25, seed=0)
    assert held[1].known.sum() in {known(box)[1].known.sum() for box in BOXES}


def test_one_of_several_images_gives_each_held_out_slice():
    cases = [case(done=[4, 9, 14], seed=n) for n in range(5)]
    train, test, _ = hold_out(cases, 0.2, seed=0)
    assert [len(s) for s in slices(test)] == [1, 1, 1]
    assert sum(len(s) for s in slices(train)) == 12


def test_an_image_given_twice_is_held_out_in_both():
    cases = [case(done=[4, 9, 14]), case(done=[4, 9, 14, 18])]
    train, test, _ = hold_out(cases, 0.2, seed=0)
    assert not set.union(*slices(train)) & set.union(*slices(test))


def test_each_class_is_measured_when_it_can_be():
    _, test, _ = hold_out([case(done=[2, 6, 10, 14], rich=[6, 10])], 0.2, seed=0)
    assert slices(test)[0] <= {6, 10}


def test_the_only_slice_of_a_class_teaches():
    for seed in range(5):
        train, test, _ = hold_out([case(done=[2, 6, 10, 14], rich=[10])], 0.2, seed=seed)
        assert 10 in slices(train)[0]
        assert test


def test_objects_are_one_class():
    """Each has an id of its own: none of them would ever be held out."""
    labels = np.arange(20)[:, None, None] * np.ones((20, 12, 12), int)
    cases = [(volume(), Annotation.from_slices(labels, 0, [3, 8, 13, 18]))]
    assert not hold_out(cases, 0.25, 0).held
    assert hold_out(cases, 0.25, 0, instances=True).held


@pytest.mark.parametrize("shape", [(20, 12, 12), (12, 12)])
def test_whole_images_are_held_out_where_there_are_enough(shape):
    cases = [case(shape=shape, seed=n) for n in range(10)]
    train, test, _ = hold_out(cases, 0.2, seed=3)
    assert (len(train), len(test)) == (8, 2)
    assert all(a.known.all() for _, a in [*train, *test])
    assert not {id(v) for v, _ in train} & {id(v) for v, _ in test}


@pytest.mark.parametrize(("done", "share"), [([4, 9], 0.2), ([4, 9, 14], 0.0)])
def test_too_few_slices_are_not_spared(done, share):
    train, test, _ = hold_out([case(done=done)], share, seed=0)
    assert not test
    assert slices(train) == [set(done)]


def test_planes_beside_stacks_are_slices_like_any_other():
    cases = [*(case(shape=(12, 12), seed=n) for n in range(3)), case(done=[4, 9, 14])]
    train, test, _ = hold_out(cases, 0.15, seed=0)
    found = [(id(v), int(a.known.any(axis=(-1, -2)).sum())) for v, a in [*train, *test]]
    assert sum(count for _, count in found) == 6
    assert {number for number, _ in found} == {id(v) for v, _ in cases}
    assert len(test) == 1


def test_many_slices_are_split_without_delay():
    """Each choice looks at every slice, so it must not look at every earlier choice too."""
    cases = [case(shape=(400, 6, 6), seed=n) for n in range(4)]
    train, test, _ = hold_out(cases, 0.2, seed=0)
    assert sum(map(len, slices(test))) == 320
    assert len(train) == 4


class TestDescendants:
    """What a model's history says binds the models that come of it."""

    def rounds(self, *annotated, share=SHARE_TUNE, make=case):
        past = Ledger()
        for done in annotated:
            train, test, record = hold_out([make(done)], share, seed=len(past.pages), past=past)
            past = Ledger.of([{"split": past.joined(record).entry()}])  # through the model's file
            yield train, test

    def test_what_was_held_out_stays_and_new_slices_join_one_to_five(self):
        first, second, third = self.rounds(
            [1, 4, 7, 10], [1, 4, 7, 10, 13, 16], [1, 4, 7, 10, 13, 16, 19]
        )
        (kept,) = slices(first[1])
        assert slices(second[1]) == [kept]
        (more,) = slices(third[1])
        assert kept < more
        assert len(more) == 2
        assert not more & slices(second[0])[0]  # the new one has taught nobody

    def test_to_the_voxel_whatever_is_annotated_across_it(self):
        across = [np.s_[3], np.s_[9], np.s_[15], np.s_[:, 4]]
        later = [*across, np.s_[:, 10], np.s_[:, :, 7]]
        first, second = self.rounds(across, later, share=0.25, make=lambda p: known(*p))
        before, after = first[1][0][1].known, second[1][0][1].known
        assert np.array_equal(before & after, before)
        assert not (near(after) & second[0][0][1].known).any()

    def test_a_slice_that_taught_is_never_measured_on(self):
        first, second = self.rounds([2, 8], [2, 8, 3, 9])
        assert not first[1]
        assert not second[1]

    def test_nothing_held_out_frees_what_was(self):
        past = Ledger()
        for share, expected in ((0.3, 1), (0.0, 0), (0.3, 0)):
            _, test, record = hold_out([case([2, 8, 14])], share, 0, past)
            past = past.joined(record)
            assert len(test) == expected

    def test_another_image_knows_nothing_of_it(self):
        _, _, record = hold_out([case([2, 8, 14])], 0.3, 0)
        other = [case([2, 8, 14], seed=7)]
        assert slices(hold_out(other, 0.3, 0, record).held) == slices(hold_out(other, 0.3, 0).held)

    def test_replayed_cases_are_spared_what_measures(self):
        cases = [case([2, 8, 14])]
        train, test, record = hold_out(cases, 0.3, 0)
        assert slices(spared(cases, record)) == slices(train)
        assert spared(test, record) == []

    def test_a_replayed_case_has_taught_and_is_never_measured_on(self):
        few, more = [case([2, 8, 14])], [case([2, 8, 14, 18]), case(seed=7)]
        _, test, record = hold_out(few, 0.3, 0)
        again = replayed(more, record)
        (held,) = slices(test)
        assert slices(again.train) == [{2, 8, 14, 18} - held, set(range(20))]
        assert again.held == []
        later = hold_out(more, 0.5, 1, record.joined(again.record))
        assert slices(later.held) == [held]
        assert replayed(more, record.joined(again.record)).record == Ledger()  # it is said once


WHOLE = ((0, 0, 0), (20, 20, 20))


@pytest.mark.parametrize(
    ("places", "held", "told"),
    [
        ([np.s_[:, 2:4], np.s_[:, 9]], ((0, 2, 0), (20, 4, 20)), {1: (2, 3)}),
        ([np.s_[4], np.s_[:, :, 7]], ((0, 0, 7), (20, 20, 8)), {2: (7,)}),
        ([np.s_[4:6, 4:9, 4:9], np.s_[15]], ((4, 4, 4), (6, 9, 9)), {0: (4, 5)}),
        ([np.s_[6, 2:4, 2:9]], ((6, 0, 0), (7, 20, 20)), {0: (6,)}),
        ([np.s_[:, 3], np.s_[:, 8]], WHOLE, {1: (3, 8)}),
        ([np.s_[4]], ((9, 0, 0), (10, 20, 20)), {}),
    ],
)
def test_what_measures_is_told_as_slices(places, held, told):
    one = known(*places)
    ledger = Ledger((Page(fingerprint(one[0]), (), (held,)),))
    assert held_slices(one, ledger) == told


BOX = np.s_[4:16, 4:16, 4:16]


@pytest.mark.parametrize("place", [np.s_[:], BOX], ids=["all", "a box"])
@pytest.mark.parametrize(
    ("spacing", "axis"),
    [((1, 1, 1), 0), ((3, 1, 1), 0), ((1, 3, 1), 1), ((1, 1, 3), 2), ((1, 1, 1 + 1e-6), 0)],
)
def test_where_labels_tell_no_slices_those_that_the_image_was_taken_in_are_held_out(
    place, spacing, axis
):
    plain, annotation = known(place)
    one = Volume(plain.data, Grid(plain.grid.shape, spacing, "um")), annotation
    split = hold_out([one], 0.2, 0)
    ((found, held),) = held_slices(one, split.record).items()
    assert found == axis
    assert slices(split.held, axis) == [set(held)]
    assert 1 < len(held) < 6


def test_a_plane_that_measures_is_its_one_slice():
    flat = volume((9, 9)), Annotation.full(np.ones((9, 9), int))
    page = Page(fingerprint(flat[0]), (), (((0, 0, 0), (1, 9, 9)),))
    assert held_slices(flat, Ledger((page,))) == {0: (0,)}
