import pytest

from napari_unet.engine.draw import Draw, Unit


class Counted(list):
    """Counts how often something in it is looked at."""

    looks = 0

    def __getitem__(self, place):
        self.looks += 1
        return super().__getitem__(place)


def slices(images, each):
    """List the slices of some images, which all cost those beside them, and show one class."""
    units = [
        Unit(str(image), ((z, 0, 0), (z + 1, 4, 4)), frozenset({1}), 1)
        for image in range(images)
        for z in range(each)
    ]
    near = Counted(
        {i + by for by in (-1, 1) if 0 <= i % each + by < each} for i in range(images * each)
    )
    return units, near


def drawn(draw, count):
    for _ in range(count):
        draw.keep(draw.next())
    return draw.held


def test_those_that_cost_least_come_first_and_what_is_spent_costs_nothing():
    units, near = slices(2, 5)
    draw = Draw(units, near, [*range(10)], set(), {0})
    assert draw.next() == 4  # an end; the other one is barred
    draw.keep(4)
    assert draw.spent == {3, 4}
    assert draw.taken(3) == {2}
    assert drawn(draw, 3) == {1, 2, 3, 4}
    assert drawn(draw, 1) == {1, 2, 3, 4, 5}
    assert [draw.next() for _ in range(5)] == [6, 7, 9, 8, None]
    assert Draw(units, near, [*range(10)], {4}, set()).spent == {3, 4}


def test_images_take_turns():
    units, _ = slices(2, 3)
    assert drawn(Draw(units, [set()] * 6, [0, 1, 2, 5, 4, 3], set(), set()), 3) == {0, 5, 1}


def test_a_class_that_nothing_shows_comes_first():
    units, near = slices(3, 1)
    units[2] = Unit("2", units[2].box, frozenset({1, 2}), 1)
    assert Draw(units, near, [0, 1, 2], set(), set()).next() == 2
    assert Draw(units, near, [0, 1, 2], {2}, set()).next() == 0


@pytest.mark.parametrize(("images", "each"), [(3000, 1), (1, 3000)])
def test_not_everything_is_looked_at_for_each_one_drawn(images, each):
    units, near = slices(images, each)
    draw = Draw(units, near, [*range(3000)], set(), set())
    drawn(draw, 500)
    assert near.looks < 30 * 3000
