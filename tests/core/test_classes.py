import numpy as np
import pytest
from skimage.color import deltaE_ciede2000, rgb2lab

from napari_unet.core.classes import BACKGROUND, PALETTE, LabelClass, default_classes, united
from napari_unet.errors import AnnotationError

IMPOSSIBLE = [
    (-1, "nucleus"),
    (2**64, "nucleus"),
    (1, ""),
    (1, "  "),
    (1, "a", (0, float("nan"), 0)),
    (1, "a", (0, 0, float("inf"))),
]


@pytest.mark.parametrize("arguments", IMPOSSIBLE)
def test_nameless_classes_and_impossible_ids_and_colours_are_refused(arguments):
    with pytest.raises(AnnotationError):
        LabelClass(*arguments)


def test_colours_of_whole_numbers_are_those_of_floats():
    red = LabelClass(1, "a", (1, 0, 0))
    assert str(red) == str(LabelClass(1, "a", (1.0, 0.0, 0.0)))


@pytest.mark.parametrize(
    ("ids", "expected"),
    [((), [0]), ((0,), [0]), ((5, 2, 2, 0), [0, 2, 5]), (range(1, 4), [0, 1, 2, 3])],
)
def test_default_classes_are_sorted_and_begin_with_background(ids, expected):
    classes = default_classes(ids)
    assert [c.id for c in classes] == expected
    assert classes[0] == BACKGROUND


def test_default_classes_have_names_and_colours_of_their_own():
    classes = default_classes(range(1, 8))
    assert classes[3].name == "class 3"
    assert [c.color for c in classes[1:]] == list(PALETTE[:7])


def test_the_colours_of_sixty_four_classes_are_told_apart():
    colours = rgb2lab(np.array([c.color for c in default_classes(range(1, 65))[1:]]))
    far = deltaE_ciede2000(colours[:, None], colours[None])
    assert far[~np.eye(64, dtype=bool)].min() > 10
    light = colours[:, 0]  # seen on black and on white
    assert 35 < light.min() < light.max() < 95


def test_new_classes_have_colours_that_those_beside_them_lack():
    there = (BACKGROUND, LabelClass(5, "a", PALETTE[0]), LabelClass(9, "b", (0.34, 0.712, 0.91)))
    assert [c.color for c in default_classes([5, 2, 11], there)[1:]] == list(PALETTE[2:5])
    every = [LabelClass(i, str(i), color) for i, color in enumerate(PALETTE, 1)]
    assert default_classes([99], every)[1].color in PALETTE


def test_a_description_is_one_line():
    assert LabelClass(1, "a", description=" the\nfront \r part").description == "the front part"


def test_what_is_no_unicode_becomes_a_question_mark():
    odd = LabelClass(1, "a\udcff", description="\ud800b")
    assert (odd.name, odd.description) == ("a?", "?b")


A, B, C = LabelClass(1, "a"), LabelClass(2, "b", description="of b"), LabelClass(5, "c")


@pytest.mark.parametrize(
    ("lists", "expected"),
    [
        ([(C, A), (BACKGROUND, B)], (BACKGROUND, C, A, B)),
        ([(BACKGROUND, B, A), (BACKGROUND, A, B, C)], (BACKGROUND, B, A, C)),
        ([(LabelClass(2, "mine"),), (B,)], (LabelClass(2, "mine", description="of b"),)),
        ([], ()),
    ],
)
def test_united_keeps_the_order_the_first_names_and_any_description(lists, expected):
    assert united(*lists) == expected
