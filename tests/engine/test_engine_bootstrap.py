import numpy as np
import pytest

from napari_unet.engine.bootstrap import difference, interval, pooled


def counts(dices, voxels=1000):
    """One class; each slice with a Dice of its own."""
    dices = np.asarray(dices, float)
    return np.stack([dices * voxels, np.full(len(dices), voxels)], axis=-1)[:, None]


def test_dice_is_pooled_over_slices():
    assert pooled(counts([0.5, 1.0])) == pytest.approx([0.75])
    assert np.isnan(pooled(np.zeros((3, 1, 2)))).all()


@pytest.mark.parametrize("n", [0, 1, 2])
def test_too_few_slices_have_no_interval(n):
    assert interval(counts([0.8] * n)) is None
    assert difference(counts([0.8] * n), counts([0.1] * n)) is None


def test_slices_that_agree_leave_no_doubt_and_others_do():
    assert interval(counts([0.8] * 5)) == pytest.approx((0.8, 0.8))
    low, high = interval(counts([0.5, 0.6, 0.8, 0.9, 0.95]))
    assert 0.45 < low < 0.6
    assert 0.9 < high <= 1


def test_slices_are_compared_pair_by_pair():
    """Hard and easy slices: the gain is the same on each, and so beyond doubt."""
    base = np.array([0.2, 0.5, 0.9, 0.7])
    low, high = difference(counts(base + 0.05), counts(base))
    assert low == pytest.approx(0.05)
    assert high == pytest.approx(0.05)
    assert interval(counts(base))[0] < 0.4


def test_a_class_that_is_in_one_slice_alone_makes_for_doubt():
    table = np.concatenate([counts([0.8] * 4), counts([0.4] * 4)], axis=1)
    assert interval(table) == pytest.approx((0.6, 0.6))
    table[1:, 1] = 0
    low, high = interval(table)
    assert low < 0.45
    assert high > 0.75


@pytest.mark.parametrize("n", [3, 5, 10, 30])
def test_noise_is_rarely_taken_for_a_gain(n):
    """Two models that are equally good, a thousand times: at most one in twenty is called better."""
    rng = np.random.default_rng(n)
    wrong = 0
    for _ in range(300):
        new, base = rng.normal(0.7, 0.1, (2, n)).clip(0, 1)
        wrong += difference(counts(new), counts(base))[0] > 0
    assert wrong / 300 < 0.05 + 3 * (0.05 * 0.95 / 300) ** 0.5


@pytest.mark.parametrize("n", [3, 8, 20])
def test_the_interval_holds_the_truth_as_often_as_it_says(n):
    rng = np.random.default_rng(n)
    inside = 0
    for _ in range(300):
        low, high = interval(counts(rng.normal(0.7, 0.1, n).clip(0, 1)))
        inside += low <= 0.7 <= high
    assert inside / 300 > 0.91
