import numpy as np
import pytest

from napari_unet.report.panels import Panel, side_by_side, stretched


@pytest.mark.parametrize("shape", [(100, 120), (700, 500), (1, 1)])
def test_panels_stand_side_by_side(shape):
    plane = np.random.default_rng(0).random(shape)
    labels = (plane > 0.5).astype(np.uint8)
    alone = side_by_side(plane, [Panel("image")])
    both = side_by_side(plane, [Panel("image"), Panel("labels", labels)])
    assert both.dtype == np.uint8
    assert both.shape[0] == alone.shape[0]
    assert both.shape[1] > 2 * alone.shape[1]
    assert np.array_equal(both[:, : alone.shape[1]], alone)


@pytest.mark.parametrize("nothing", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_takes_no_grey_from_the_rest(nothing):
    """As in maps of ratios, which divide by zero outside of a body."""
    plane = np.linspace(100, 200, 10_000).reshape(100, 100)
    plane[:, :10] = nothing
    drawn = stretched(plane)
    assert np.array_equal(drawn[:, 10:], stretched(plane[:, 10:]))
    assert (drawn[:, :10] > 250).all() if nothing > 0 else (drawn[:, :10] == 0).all()


def test_nothing_but_what_is_no_number_is_black():
    assert (stretched(np.full((5, 5), np.nan)) == 0).all()


def test_only_outlines_are_coloured():
    labels = np.zeros((100, 100), np.uint8)
    labels[20:60, 20:60] = 3
    plain = side_by_side(np.ones((100, 100)), [Panel("same")])
    drawn = side_by_side(np.ones((100, 100)), [Panel("same", labels)])
    changed = (plain != drawn).any(axis=2)
    assert 0 < changed.sum() < 0.1 * changed.size
