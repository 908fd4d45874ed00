import numpy as np
import pytest

from napari_unet.core.correction import Correction, Round, compared, rounds

SAID = np.array([[0, 1, 1, 2], [0, 0, 5, 5]])
LEFT = np.array([[0, 1, 2, 2], [0, 0, 5, 0]])


@pytest.mark.parametrize(
    ("ids", "instances", "expected"),
    [
        ((1, 2, 3), False, {1: 2 / 3, 2: 2 / 3}),
        ((1,), True, {1: 2 * 4 / (5 + 4)}),
        ((7,), False, {}),
    ],
)
def test_a_prediction_is_scored_by_what_a_person_left(ids, instances, expected):
    found, changed = compared(SAID, LEFT, ids, instances=instances)
    assert found == pytest.approx(expected)
    assert changed == (1 if instances else 2)


def one(sha256, dice, index=0):
    return Correction(0, index, f"model {sha256}", sha256, dice, 100, 3)


def test_rounds_follow_the_models_and_empty_slices_have_no_say():
    made = (
        one("a", {1: 0.2, 2: 0.4}),
        one("a", {1: 0.7}),
        one("b", {}),
        one("c", {}),
        one("c", {1: 1.0}),
    )
    assert rounds(made) == (
        Round("model a", 2, pytest.approx(0.5)),
        Round("model b", 0, None),
        Round("model c", 1, 1.0),
    )
    assert rounds(()) == ()
