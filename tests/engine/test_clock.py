import pytest

from napari_unet.core.settings import TrainSettings
from napari_unet.engine.clock import POINTS, Clock


@pytest.mark.parametrize("count", [0, 1, 2, POINTS, 1000])
def test_a_curve_has_few_points_and_both_ends(count):
    clock = Clock(TrainSettings(steps=1000))
    for step in range(count):
        clock.steps = step
        clock.report("train", [1 / (step + 1), 0.0])
    loss = clock.curve()["loss"]
    assert len(loss) == min(count, POINTS)
    if count:
        assert loss[0] == (0, 0.5)
        assert loss[-1][0] == count - 1
    assert clock.curve()["dice"] == []


def test_what_is_no_number_is_left_out():
    clock = Clock(TrainSettings(steps=10))
    clock.report("train", [float("nan")])
    clock.steps = 4
    clock.report("train", [0.25])
    assert clock.curve()["loss"] == [(4, 0.25)]


@pytest.mark.parametrize("budget", [{"minutes": 1e-9}, {"steps": 1}])
def test_the_budget_is_counted_once_learning_begins(budget):
    clock = Clock(TrainSettings(**budget))
    assert clock.report("prepare").seconds_left is None
    assert not clock.over()
    clock.learns()
    clock.steps = 1
    assert clock.over()
    assert clock.report("train").seconds_left == 0
