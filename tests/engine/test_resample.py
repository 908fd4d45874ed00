import numpy as np
import pytest

from napari_unet.engine.resample import along, interpolation, positions


@pytest.mark.parametrize(
    ("n_from", "n_to", "expected"),
    [
        (4, 4, [0, 1, 2, 3]),
        (4, 2, [0.5, 2.5]),
        (2, 4, [-0.25, 0.25, 0.75, 1.25]),
        (3, 1, [1.0]),
    ],
)
def test_positions_share_the_outer_edges(n_from, n_to, expected):
    assert positions(0, n_to, n_from, n_to).tolist() == expected


@pytest.mark.parametrize(("n_from", "n_to"), [(7, 7), (7, 12), (12, 7), (50, 3), (1, 5)])
def test_a_constant_stays_constant_and_a_ramp_a_ramp(n_from, n_to):
    at = positions(0, n_to, n_from, n_to)
    low, high, weights = interpolation(at, n_from, n_from / n_to)
    assert np.allclose(weights.sum(axis=1), 1)
    ramp = weights @ np.arange(low, high)
    inner = slice(1, -1) if n_to > 2 else slice(None)
    assert np.allclose(ramp[inner], at.clip(0, n_from - 1)[inner], atol=0.26 * n_from / n_to)


def test_shrinking_averages_instead_of_skipping():
    stripes = np.tile([0.0, 1.0], 10).astype(np.float32)
    _, _, weights = interpolation(positions(0, 5, 20, 5), 20, 4.0)
    assert np.allclose(weights @ stripes, 0.5, atol=0.15)


def test_along_applies_to_the_named_axis():
    cube = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    swap = np.array([[0, 0, 1], [0, 1, 0], [1, 0, 0]], np.float32)
    assert np.array_equal(along(cube, 1, swap), cube[:, ::-1])
