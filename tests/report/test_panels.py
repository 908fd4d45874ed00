import numpy as np
import pytest

from napari_unet.report.panels import Panel, side_by_side


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


def test_only_outlines_are_coloured():
    labels = np.zeros((100, 100), np.uint8)
    labels[20:60, 20:60] = 3
    plain = side_by_side(np.ones((100, 100)), [Panel("same")])
    drawn = side_by_side(np.ones((100, 100)), [Panel("same", labels)])
    changed = (plain != drawn).any(axis=2)
    assert 0 < changed.sum() < 0.1 * changed.size
