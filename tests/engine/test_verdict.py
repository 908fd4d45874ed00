import numpy as np
import pytest

from napari_unet.engine.validate import Validation
from napari_unet.engine.verdict import judged


def marks(*dices):
    hits = np.array([[[1000 * d, 1000]] for d in dices])
    return Validation((1,), hits, np.full((len(dices), 1), 500), 4000 * len(dices))


@pytest.mark.parametrize(
    ("new", "base", "reason"),
    [
        (marks(0.8, 0.7, 0.9, 0.8), marks(0.5, 0.4, 0.6, 0.5), "better"),
        (marks(0.8, 0.7, 0.9, 0.8), marks(0.7, 0.8, 0.8, 0.89), "not better"),
        (marks(0.81, 0.71, 0.91), marks(0.8, 0.7, 0.9), "better"),
        (marks(0.9, 0.9, 0.5), marks(0.5, 0.5, 0.51), "not better"),
        (marks(0.5, 0.5, 0.5), marks(0.8, 0.8, 0.8), "not better"),
        (marks(0.9, 0.9), marks(0.1, 0.1), "too few"),
        (marks(0.9, 0.9, 0.9), None, "too few"),
    ],
)
def test_a_model_is_promoted_only_beyond_noise(new, base, reason):
    verdict = judged(new, base, has_base=True, comparable=True)
    assert verdict.reason == reason
    assert verdict.promoted == (reason == "better")
    assert (verdict.difference is None) == (reason == "too few")


def test_without_anything_to_compare_with_the_new_one_it_is():
    assert judged(marks(0.1), None, has_base=False, comparable=False).promoted
    assert judged(marks(0.1), None, has_base=True, comparable=False).promoted
