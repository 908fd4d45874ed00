import pytest

from napari_unet.engine.backends.batch import best_batch

GIB = 1 << 30


@pytest.mark.parametrize(
    ("seconds", "budget", "most", "expected", "tried"),
    [
        pytest.param([1, 1, 1, 1], 8 * GIB, 8, 8, [1, 2, 4, 8], id="free of charge"),
        pytest.param([1, 2, 4, 8], 8 * GIB, 8, 1, [1, 2], id="no gain"),
        pytest.param([1, 1.2, 2.3, 4.6], 9 * GIB, 8, 2, [1, 2, 4], id="gain ends"),
        pytest.param([1, 1, 1, 1], 3 * GIB, 8, 2, [1, 2], id="memory is not tried out"),
        pytest.param([1, 1, 1, 1], GIB // 2, 8, 1, [1], id="hardly any memory"),
        pytest.param([1, 1, 1, 1], 8 * GIB, 3, 2, [1, 2], id="few tiles"),
        pytest.param([1, 1], 8 * GIB, 1, 1, [1], id="one tile"),
    ],
)
def test_tiles_at_once_grow_while_it_pays_and_fits(seconds, budget, most, expected, tried):
    asked = []

    def measure(count):
        asked.append(count)
        return seconds[count.bit_length() - 1], count * GIB

    assert best_batch(measure, budget, most) == expected
    assert asked == tried
