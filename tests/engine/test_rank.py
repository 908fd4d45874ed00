import numpy as np
import pytest

from napari_unet.core.suggestion import Survey
from napari_unet.engine.rank import distances, ranked, spread, suggestions

FLAT = np.ones(9)
PEAK = np.array([0.0, 0.05, 0.1, 0.2, 0.3, 1.0, 0.2, 0.1, 0.0])

CASES = {
    # name: (doubt, slices that are known, how many are wanted, those expected in order)
    "the most doubtful first": (PEAK, [], 1, [5]),
    "neighbours of a chosen one wait": (PEAK, [], 2, [5, 3]),
    "a known one counts like a chosen one": (PEAK, [5], 1, [3]),
    "all alike: away from a known one": (FLAT, [4], 1, [0]),
    "no more than there are": (FLAT[:3], [0, 1], 5, [2]),
    "nothing is left": (FLAT[:2], [0, 1], 1, []),
    "sure everywhere": (0 * FLAT, [], 2, [0, 1]),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_slices_are_chosen_one_after_the_other(case):
    doubt, known, count, expected = case
    free = np.ones(len(doubt), bool)
    free[known] = False
    found = ranked(doubt, free, known, count, seed=0, luck=0.0)
    assert [index for index, _ in found] == expected
    scores = [score for _, score in found]
    assert all(0 <= score <= 1 for score in scores)
    assert scores == sorted(scores, reverse=True)


def test_a_slice_beside_a_known_one_is_worth_little():
    free = np.ones(100, bool)
    free[50] = False
    doubt = np.zeros(100)
    doubt[51], doubt[90] = 1.0, 0.2
    assert ranked(doubt, free, [50], 1, seed=0, luck=0.0)[0][0] == 90


def test_many_known_slices_leave_room_for_more_beside_them():
    doubt = np.zeros(20)
    doubt[11] = 1.0
    known = list(range(0, 20, 2))
    free = np.ones(20, bool)
    free[known] = False
    assert ranked(doubt, free, known, 1, seed=0, luck=0.0) == [(11, 1.0)]


def test_a_slice_that_was_not_computed_is_not_chosen():
    free = np.arange(9) < 3
    assert {i for i, _ in ranked(PEAK, free, [], 9, seed=0)} == {0, 1, 2}


def test_chance_is_the_seeds_and_decides_among_equals_only():
    free = np.ones(9, bool)
    drawn = [ranked(FLAT, free, [], 1, seed=s)[0][0] for s in range(30)]
    assert drawn == [ranked(FLAT, free, [], 1, seed=s)[0][0] for s in range(30)]
    assert len(set(drawn)) > 4
    clear = np.zeros(9)
    clear[2] = 1.0
    assert {ranked(clear, free, [], 1, seed=s)[0][0] for s in range(30)} == {2}


def test_distances():
    assert distances(5, [3]).tolist() == [3, 2, 1, 0, 1]
    assert distances(5, [0, 4]).tolist() == [0, 1, 2, 1, 0]
    assert np.isinf(distances(2, [])).all()


SPREAD = {
    # name: (slices, taken, how many, those expected in order)
    "the middle, the ends, the quarters": (9, [], 5, [4, 0, 8, 2, 6]),
    "far from those taken": (9, [0, 8], 2, [4, 2]),
    "no more than there are": (3, [1], 5, [0, 2]),
}


@pytest.mark.parametrize("case", SPREAD.values(), ids=SPREAD)
def test_without_doubts_slices_are_spread_evenly(case):
    length, taken, count, expected = case
    free = np.ones(length, bool)
    free[taken] = False
    found = spread(free, taken, count)
    assert [index for index, _ in found] == expected
    assert all(0 <= score <= 1 for _, score in found)


def survey_of(uncertainty):
    length = len(uncertainty)
    causes = ("unsure about it",) * length
    return Survey(0, 2.0, "mm", (True,) * length, tuple(uncertainty), causes)


def test_a_reason_says_what_is_unsure_and_how_far_away():
    doubt = [0, 0, 0, 0.5, 0, 0.2, 0, 0, 0.4, 0]
    chosen = suggestions(survey_of(doubt), [4], 3, seed=0)
    assert chosen[0].index == 8
    assert chosen[0].reason == "unsure about it; 8 mm from the nearest annotated slice"


def test_a_slice_passed_over_is_not_offered_and_keeps_its_neighbours_away():
    doubt = np.exp(-((np.arange(10) - 5.0) ** 2))
    plain = suggestions(survey_of(doubt), [], 1, seed=0)[0].index
    assert plain == 5
    later = suggestions(survey_of(doubt), [], 9, seed=0, passed=[5])
    assert 5 not in [s.index for s in later]
    assert later[0].distance is None


def test_without_a_model_the_reason_says_so():
    blank = Survey.unasked(0, 9, 2.0, "mm")
    first = suggestions(blank, [], 3, seed=0)
    assert [s.index for s in first] == [4, 0, 8]
    assert first[0].reason == "spread evenly, as no model was asked; no slice is annotated yet"
    assert [s.index for s in suggestions(blank, [4], 3, seed=0)] == [0, 8, 2]
