import numpy as np
import pytest

from napari_unet.core.annotation import Annotation
from napari_unet.core.volume import Volume
from napari_unet.engine.holdout import hold_out, slicing_axis


def case(done=None, axis=0, shape=(20, 12, 12), rich=None):
    labels = np.zeros(shape, int)
    labels[..., 3:6, 3:6] = 1
    for z in rich or []:
        labels[z, 8:10, 8:10] = 2
    volume = Volume.from_array(np.zeros(shape, np.uint8))
    if done is None:
        return volume, Annotation.full(labels)
    return volume, Annotation.from_slices(labels, axis, done)


def slices(cases, axis=0):
    found = []
    for _, annotation in cases:
        others = tuple(i for i in range(annotation.known.ndim) if i != axis)
        found.append(set(np.flatnonzero(annotation.known.any(axis=others)).tolist()))
    return found


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_finds_the_axis_that_was_annotated_along(axis):
    _, annotation = case(done=[2, 5, 9], axis=axis)
    assert slicing_axis(annotation) == axis


@pytest.mark.parametrize(
    ("done", "share", "held"),
    [
        (range(19), 0.2, 3),
        ([2, 5, 8, 11, 14], 0.2, 1),
        ([0, 1, 2, 3, 4, 5], 0.34, 2),
        ([3, 10, 17], 0.2, 1),
    ],
)
@pytest.mark.parametrize("axis", [0, 1])
def test_no_held_out_slice_touches_a_training_slice(done, share, held, axis):
    cases = [case(done=done, axis=axis, shape=(20, 20, 20))]
    train, test = hold_out(cases, share, seed=0)
    (learned,), (measured,) = slices(train, axis), slices(test, axis)
    assert len(measured) == held
    assert not {z + d for z in measured for d in (-1, 0, 1)} & learned
    assert learned | measured <= set(done)
    assert learned


def test_one_of_several_images_gives_each_held_out_slice():
    cases = [case(done=[4, 9, 14]) for _ in range(5)]
    train, test = hold_out(cases, 0.2, seed=0)
    assert [len(s) for s in slices(test)] == [1, 1, 1]
    assert sum(len(s) for s in slices(train)) == 12


def test_slices_with_all_classes_are_preferred():
    cases = [case(done=[2, 6, 10, 14], rich=[10])]
    _, test = hold_out(cases, 0.2, seed=0)
    assert slices(test) == [{10}]


@pytest.mark.parametrize("shape", [(20, 12, 12), (12, 12)])
def test_whole_images_are_held_out_where_there_are_enough(shape):
    cases = [case(shape=shape) for _ in range(10)]
    train, test = hold_out(cases, 0.2, seed=3)
    assert (len(train), len(test)) == (8, 2)
    assert not {id(v) for v, _ in train} & {id(v) for v, _ in test}


@pytest.mark.parametrize(("done", "share"), [([4, 9], 0.2), ([4, 9, 14], 0.0)])
def test_too_few_slices_are_not_spared(done, share):
    train, test = hold_out([case(done=done)], share, seed=0)
    assert not test
    assert slices(train) == [set(done)]


def test_planes_beside_stacks_are_slices_like_any_other():
    cases = [*(case(shape=(12, 12)) for _ in range(3)), case(done=[4, 9, 14])]
    train, test = hold_out(cases, 0.2, seed=0)
    found = [(id(v), int(a.known.any(axis=(-1, -2)).sum())) for v, a in [*train, *test]]
    assert sum(count for _, count in found) == 6
    assert {number for number, _ in found} == {id(v) for v, _ in cases}
    assert len(test) == 1


def test_many_slices_are_split_without_delay():
    """Each choice looks at every slice, so it must not look at every earlier choice too."""
    cases = [case(shape=(400, 6, 6)) for _ in range(4)]
    train, test = hold_out(cases, 0.2, seed=0)
    assert sum(map(len, slices(test))) == 320
    assert len(train) == 4
