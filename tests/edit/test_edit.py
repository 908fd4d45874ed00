"""Every edit against labels written out by hand; distances in the unit of the spacing."""

import tracemalloc

import numpy as np
import pytest
from scipy import ndimage

from napari_unet import edit
from napari_unet.errors import AnnotationError, GridError

ONE = (1.0, 1.0)


def grid(text):
    """Return labels drawn as text: a digit a pixel, a dot for background."""
    rows = text.replace(".", "0").split()
    return np.array([[int(c) for c in row] for row in rows], np.uint8)


def ball(shape, centre, radius, spacing=(1.0, 1.0, 1.0)):
    at = np.indices(shape, float) - np.array(centre, float)[:, None, None, None]
    return ((at * np.array(spacing)[:, None, None, None]) ** 2).sum(0) <= radius**2


@pytest.mark.parametrize(
    ("size", "spacing", "expected"),
    [
        (2, ONE, "11.22 11... ..... ....."),
        (3, ONE, "11... 11... ..... ....."),
        (2, (2.0, 1.0), "11.22 11... ..... ..1.."),
        (4, (2.0, 1.0), "11.22 11... ..... ....."),
        (9, (2.0, 1.0), "..... ..... ..... ....."),
    ],
)
def test_islands_below_a_size_in_space_go(size, spacing, expected):
    found = edit.remove_islands(grid("11.22 11... ..... ..1.."), (1, 2), size, spacing)
    assert np.array_equal(found.after, grid(expected))


def test_islands_of_other_ids_stay():
    labels = grid("1.2 ... 1.2")
    done = edit.remove_islands(labels, (1,), 5, ONE).apply(labels)
    assert np.array_equal(done, grid("..2 ... ..2"))


@pytest.mark.parametrize(
    ("ids", "size", "expected"),
    [
        ((1, 2), 2, "1111. 1111. 1111. .222. .2.2. .2.2. .222."),
        ((1, 2), 9, "1111. 1111. 1111. .222. .222. .222. .222."),
        ((1,), 9, "1111. 1111. 1111. .222. .2.2. .2.2. .222."),
    ],
)
def test_holes_below_a_size_are_filled_by_what_encloses_them(ids, size, expected):
    labels = grid("1111. 1.11. 1111. .222. .2.2. .2.2. .222.")
    assert np.array_equal(edit.fill_holes(labels, ids, size, ONE).apply(labels), grid(expected))


def test_a_notch_is_no_hole():
    labels = grid("111 1.. 111")
    assert not edit.fill_holes(labels, (1,), 99, ONE).changed.any()


@pytest.mark.parametrize(
    ("distance", "spacing", "expected"),
    [
        (1, ONE, "..1.. .111. ..1.."),
        (1, (2.0, 1.0), "..... .111. ....."),
        (2, (2.0, 1.0), "..1.. 11111 ..1.."),
    ],
)
def test_growing_goes_by_distance(distance, spacing, expected):
    labels = grid("..... ..1.. .....")
    assert np.array_equal(edit.grow(labels, (1,), distance, spacing).apply(labels), grid(expected))


def test_growing_leaves_others_alone_and_shares_what_is_between():
    labels = grid("1...23")
    assert np.array_equal(edit.grow(labels, (1, 2), 1, ONE).apply(labels), grid("11.223"))
    assert np.array_equal(edit.grow(labels, (3,), 9, ONE).apply(labels), grid("133323"))


@pytest.mark.parametrize(
    ("distance", "spacing", "expected"),
    [
        (1, ONE, "....... ..111.. ......."),
        (1, (2.0, 1.0), "..111.. ..111.. ..111.."),
        (2, (2.0, 1.0), "....... ...1... ......."),
    ],
)
def test_shrinking_goes_by_distance(distance, spacing, expected):
    labels = grid(".11111. .11111. .11111.")
    labels = np.pad(labels, ((1, 1), (0, 0)))
    expected = np.pad(grid(expected), ((1, 1), (0, 0)))
    assert np.array_equal(edit.shrink(labels, (1,), distance, spacing).apply(labels), expected)


def test_touching_objects_shrink_from_each_other_and_not_from_the_edge():
    labels = np.repeat(np.array([[1, 1, 1, 2, 2, 2]], np.uint8), 3, axis=0)
    found = edit.shrink(labels, (1, 2), 1, ONE).apply(labels)
    assert found[0].tolist() == [1, 1, 0, 0, 2, 2]


@pytest.mark.parametrize("many", [False, True])
def test_many_ids_shrink_as_few_do(many):
    labels = np.kron(np.arange(1, 13).reshape(3, 4), np.ones((5, 5))).astype(np.uint16)
    ids = tuple(range(1, 13)) if many else (1, 2, 3)
    found = edit.shrink(labels, ids, 1, ONE).apply(labels)
    assert np.count_nonzero(found == 2) == 4 * 3  # from both sides and below


@pytest.mark.parametrize("change", [edit.shrink, edit.smooth])
def test_the_largest_id_costs_no_memory(change):
    labels = np.repeat(np.arange(12, dtype=np.uint32), 6)[None].repeat(6, 0)
    ids = tuple(range(1, 12))
    expected = change(labels, ids, 1, (1.0, 1.0)).apply(labels)
    large = np.where(labels == 11, 2**32 - 1, labels).astype(np.uint32)
    tracemalloc.start()
    found = change(large, (*ids[:-1], 2**32 - 1), 1, (1.0, 1.0)).apply(large)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.array_equal(found, np.where(expected == 11, 2**32 - 1, expected))
    assert most < 2**22


def test_smoothing_takes_spikes_and_keeps_neighbours_together():
    labels = np.zeros((21, 20), np.uint8)
    labels[5:15, :10], labels[5:15, 10:] = 1, 2
    labels[2:5, 5] = 1  # a spike
    labels[10, 10] = 1  # a pixel across the border
    found = edit.smooth(labels, (1, 2), 1.5, ONE).apply(labels)
    assert not found[2:4].any()
    assert (found[7:13, :10] == 1).all()
    assert (found[7:13, 10:] == 2).all()


def test_smoothing_one_class_moves_no_other():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, (12, 30, 30)).astype(np.uint8)
    found = edit.smooth(labels, (1,), 2.0, (3.0, 1.0, 1.0)).apply(labels)
    assert np.array_equal(found == 2, labels == 2)
    assert np.array_equal(found == 3, labels == 3)


def test_a_ball_between_two_of_its_slices_comes_back():
    spacing = (3.0, 1.0, 1.0)
    truth = ball((11, 40, 40), (5, 20, 20), 16, spacing).astype(np.uint8)
    slices = [1, 3, 5, 7, 9]
    labels = np.zeros_like(truth)
    labels[slices] = truth[slices]
    found = edit.fill_between(labels, (1,), slices, spacing).apply(labels)
    assert np.array_equal(found[slices], truth[slices])
    inner = slice(1, 10)
    dice = 2 * (found & truth)[inner].sum() / (found[inner].sum() + truth[inner].sum())
    assert dice > 0.97


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_bar_running_aslant_is_followed_along_any_axis(axis):
    labels = np.zeros((9, 30, 12), np.uint8)
    labels[0, 2:6, 4:8] = 1
    labels[8, 22:26, 4:8] = 1
    found = edit.fill_between(
        np.moveaxis(labels, 0, axis), (1,), [0, 8], (1.0,) * 3, axis=axis
    ).apply(np.moveaxis(labels, 0, axis))
    found = np.moveaxis(found, axis, 0)
    assert (found[4, 12:16, 4:8] == 1).all()
    assert all(8 <= np.count_nonzero(plane) <= 20 for plane in found)


def test_a_shape_that_ends_ends_halfway_where_the_other_slice_is_done():
    labels = np.zeros((7, 20, 20), np.uint8)
    labels[0, 5:15, 5:15] = 1
    found = edit.fill_between(labels, (1,), [0, 6], (1.0,) * 3, whole=[0, 6]).apply(labels)
    sizes = [int(np.count_nonzero(plane)) for plane in found]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[2] > 0
    assert sizes[3:] == [0, 0, 0, 0]
    half_known = edit.fill_between(labels, (1,), [0, 6], (1.0,) * 3, whole=[0])
    assert not half_known.changed.any()


def test_classes_share_the_room_between_slices_and_others_stay():
    labels = np.zeros((5, 10, 20), np.uint8)
    labels[[0, 4], 2:8, 2:10] = 1
    labels[[0, 4], 2:8, 10:18] = 2
    labels[2, 0:4, 0:5] = 3
    labels[1, 9, 19] = 1  # of an old prediction, far from both slices
    found = edit.fill_between(labels, (1, 2), [0, 4], (1.0,) * 3, whole=[0, 4]).apply(labels)
    assert np.array_equal(found == 3, labels == 3)
    assert np.array_equal(found[3], labels[0])
    assert found[1, 9, 19] == 0


def test_a_slice_painted_with_another_class_is_filled_around_it():
    labels = np.zeros((5, 10, 10), np.uint8)
    labels[[0, 4], 2:8, 2:8] = 1
    labels[2, 0:4, 0:4] = 2  # painted, but not done
    found = edit.fill_between(labels, (1, 2), [0, 2, 4], (1.0,) * 3, whole=[0, 4]).apply(labels)
    assert np.array_equal(found[2] == 2, labels[2] == 2)
    assert (found[2, 4:8, 2:8] == 1).all()


def test_each_of_many_ids_is_cleared_between_its_own_slices_only():
    labels = np.zeros((5, 8, 24), np.uint16)
    labels[[0, 4], 2:6, 1:5] = 1
    labels[[0, 2], 2:6, 9:13] = 300
    labels[[2, 4], 2:6, 17:21] = 7
    labels[[1, 3], 7, 0] = 1  # of an old prediction, between the slices that show it
    labels[[1, 3], 7, 8] = 300  # on slice 3 nobody has said where it is
    labels[[1, 3], 7, 16] = 7
    labels[[1, 3], 0, 23] = 2  # not asked for
    found = edit.fill_between(labels, (1, 7, 300), [0, 2, 4], (1.0,) * 3).apply(labels)
    assert found[:, 7, [0, 8, 16]].tolist() == [
        [0, 0, 0],
        [0, 0, 7],
        [0, 0, 0],
        [0, 300, 0],
        [0, 0, 0],
    ]
    assert found[:, 3, [3, 11, 19]].tolist() == [
        [1, 300, 0],
        [1, 300, 0],
        [1, 300, 7],
        [1, 0, 7],
        [1, 0, 7],
    ]
    assert np.array_equal(found == 2, labels == 2)


def vase(shape=(9, 48, 40)):
    """Return a tube that is twice as wide halfway as at its ends, and its image in two channels."""
    z, y, x = np.indices(shape, float)
    wide = 5 + 5 * np.sin(np.pi * z / (shape[0] - 1))
    truth = ((y - 24) ** 2 + (x - 20) ** 2 <= wide**2).astype(np.uint8)
    rng = np.random.default_rng(0)
    bright = 100 + 60 * truth + rng.normal(0, 15, shape)
    return truth, np.stack([rng.normal(0, 1, shape), bright])


def dice(found, truth):
    return 2 * np.count_nonzero((found > 0) & (truth > 0)) / (found.sum() + truth.sum())


IMAGES = {
    "two channels": lambda x: x,
    "bytes": lambda x: np.clip(x[1:], 0, 255).astype(np.uint8),
    "huge": lambda x: x[1:] * 1e6 - 1e8,
    "dark inside": lambda x: -x[1:],
    "nan outside": lambda x: np.where(np.arange(40) < 3, np.nan, x[1:]),
}


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("look", IMAGES)
def test_the_image_tells_where_shapes_are_wrong(look, axis):
    truth, image = vase()
    image = np.moveaxis(IMAGES[look](image), 1, axis + 1)
    labels = np.zeros_like(truth)
    labels[[0, 8]] = truth[[0, 8]]
    given = np.moveaxis(labels, 0, axis)
    shapes = edit.fill_between(given, (1,), [0, 8], (1.0,) * 3, axis=axis).apply(given)
    followed = edit.fill_between(given, (1,), [0, 8], (1.0,) * 3, axis=axis, image=image)
    found = np.moveaxis(followed.apply(given), axis, 0)
    assert np.array_equal(found[[0, 8]], truth[[0, 8]])
    assert dice(np.moveaxis(shapes, axis, 0), truth) < 0.7
    assert dice(found, truth) > 0.9


@pytest.mark.parametrize("value", [0, np.nan])
def test_an_image_that_says_nothing_leaves_the_shapes(value):
    truth = ball((11, 40, 40), (5, 20, 20), 16, (3.0, 1.0, 1.0)).astype(np.uint8)
    image = np.full((1, *truth.shape), value, np.float32)
    shapes = edit.fill_between(truth, (1,), [1, 5, 9], (3.0, 1.0, 1.0))
    followed = edit.fill_between(truth, (1,), [1, 5, 9], (3.0, 1.0, 1.0), image=image)
    assert np.array_equal(followed.apply(truth), shapes.apply(truth))


def test_an_outline_moves_no_farther_than_the_slices_are_apart():
    truth, image = vase()
    image[1, 4, 24, :] = 160  # a bright line through the whole slice
    labels = np.zeros_like(truth)
    labels[[0, 8]] = truth[[0, 8]]
    found = edit.fill_between(labels, (1,), [0, 8], (0.5, 1.0, 1.0), image=image).apply(labels)
    columns = np.flatnonzero(found[4].any(axis=0))
    assert 20 - 5 - 4 <= columns[0] < 20 - 5
    assert 20 + 5 < columns[-1] <= 20 + 5 + 4


def test_an_outline_that_moves_leaves_no_specks():
    truth, image = vase()
    image[1, 1:8, 25:29, 21:25] = 100  # dark within the shapes, and where they have grown
    image[1, 1:8, 22:27, 13:17] = 100
    image[1, 1:8, 22:27, 31:36] = 160  # bright beside them
    labels = np.zeros_like(truth)
    labels[[0, 8]] = truth[[0, 8]]
    found = edit.fill_between(labels, (1,), [0, 8], (1.0,) * 3, image=image).apply(labels)
    assert found[4, 24, 14] == found[4, 26, 23] == 1
    for plane in found:
        assert ndimage.label(plane)[1] == 1
        assert np.array_equal(ndimage.binary_fill_holes(plane), plane)


def test_a_hole_of_the_shapes_own_stays():
    truth, image = vase()
    labels = np.zeros_like(truth)
    labels[[0, 8]] = truth[[0, 8]]
    labels[[0, 8], 22:27, 18:23] = 0
    image[:, :, 22:27, 18:23] = 100
    found = edit.fill_between(labels, (1,), [0, 8], (1.0,) * 3, image=image).apply(labels)
    assert not found[:, 24, 20].any()


def test_following_the_image_leaves_other_ids_and_known_slices_alone():
    truth, image = vase()
    labels = np.zeros_like(truth)
    labels[[0, 8]] = truth[[0, 8]]
    labels[[0, 8]] *= np.where(np.arange(40) < 20, 1, 2).astype(np.uint8)
    labels[4, 20:28, 18:22] = 3
    labels.setflags(write=False)
    found = edit.fill_between(labels, (1, 2), [0, 8], (1.0,) * 3, whole=[0, 8], image=image).apply(
        labels
    )
    assert np.array_equal(found == 3, labels == 3)
    assert np.array_equal(found[[0, 8]], labels[[0, 8]])
    assert not (found[:, :, 24:] == 1).any()
    assert not (found[:, :, :16] == 2).any()


def test_no_more_of_an_image_is_read_than_what_is_filled():
    class Stored:
        """Remembers what was read."""

        def __init__(self, pixels):
            self.pixels, self.shape, self.dtype, self.read = pixels, pixels.shape, pixels.dtype, []

        def __getitem__(self, key):
            self.read.append(self.pixels[key].shape)
            return self.pixels[key]

    truth, image = vase((9, 120, 120))
    labels = np.zeros_like(truth)
    labels[[2, 4]] = truth[[2, 4]]
    stored = Stored(image)
    edit.fill_between(labels, (1,), [2, 4], (1.0,) * 3, image=stored)
    assert len(stored.read) == 1
    assert stored.read[0][:2] == (2, 3)
    assert max(stored.read[0]) < 30


def test_an_image_of_another_shape_is_refused():
    labels = np.zeros((5, 6, 7), np.uint8)
    with pytest.raises(GridError, match="labels must lie on it"):
        edit.fill_between(labels, (1,), [0, 4], (1.0,) * 3, image=np.zeros((1, 5, 6, 8)))


def test_two_touching_discs_are_split_at_their_neck_and_merged_again():
    at = np.indices((30, 50))
    discs = [np.hypot(at[0] - 15, at[1] - x) <= 10 for x in (15, 33)]
    labels = np.zeros((30, 50), np.uint8)
    labels[discs[0] | discs[1]] = 4
    found = edit.split(labels, (4,), 2.0, ONE).apply(labels)
    assert set(np.unique(found)) == {0, 4, 5}
    assert found[15, 12] != found[15, 36]
    again = edit.merge(found, (5,), 4).apply(found)
    assert np.array_equal(again, labels)
    assert not edit.split(labels, (4,), 9.0, ONE).changed.any()


def test_pieces_of_a_slice_get_ids_that_nothing_in_the_volume_has():
    volume = np.zeros((2, 9, 23), np.uint8)
    volume[0, 1:8, 1:22], volume[0, :3, 8:15], volume[0, 6:, 8:15] = 4, 0, 0  # a dumb-bell
    volume[1] = 7
    found = edit.split(volume[0], (4,), 1.0, ONE, within=volume).apply(volume[0])
    assert set(np.unique(found)) == {0, 4, 8}


def test_new_ids_that_do_not_fit_are_refused():
    labels = np.zeros((1, 9), np.uint8)
    with pytest.raises(AnnotationError, match=r"300 .* 255"):
        edit.merge(labels, (1,), 300)


def test_copying_takes_over_what_the_source_has_and_lacks():
    labels, source = grid("1123. 11..."), grid("2.113 2...1")
    assert np.array_equal(edit.copy_labels(labels, (1, 2, 3), source).apply(labels), source)
    only = edit.copy_labels(labels, (1,), source).apply(labels)
    assert np.array_equal(only, grid("..11. ....1"))
    with pytest.raises(GridError, match="same image"):
        edit.copy_labels(labels, (1,), source[:1])


EDITS = {
    "remove_islands": lambda x, ids, sp: edit.remove_islands(x, ids, 30, sp),
    "fill_holes": lambda x, ids, sp: edit.fill_holes(x, ids, 30, sp),
    "grow": lambda x, ids, sp: edit.grow(x, ids, 2, sp),
    "shrink": lambda x, ids, sp: edit.shrink(x, ids, 1, sp),
    "smooth": lambda x, ids, sp: edit.smooth(x, ids, 1, sp),
    "split": lambda x, ids, sp: edit.split(x, ids, 1, sp),
    "merge": lambda x, ids, _: edit.merge(x, ids, 2),
}


@pytest.mark.parametrize("name", EDITS)
@pytest.mark.parametrize("ids", [(1,), (1, 2), (9,)])
@pytest.mark.parametrize("shape", [(6, 20, 20), (20, 20)])
def test_an_edit_never_touches_its_input_nor_another_id(name, ids, shape):
    rng = np.random.default_rng(1)
    labels = (rng.random(shape) > 0.4) * rng.integers(1, 4, shape).astype(np.uint8)
    labels.setflags(write=False)
    delta = EDITS[name](labels, ids, (2.0, 1.0, 1.0)[-labels.ndim :])
    found = delta.apply(labels)
    assert found.dtype == labels.dtype
    others = ~np.isin(labels, (0, *ids))
    assert np.array_equal(found[others], labels[others])
    if ids == (9,):
        assert not delta.changed.any()


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_change_of_a_slice_finds_its_place_in_the_volume(axis):
    labels = np.zeros((5, 6, 7), np.uint8)
    at = tuple(slice(3, 4) if a == axis else slice(0, n) for a, n in enumerate(labels.shape))
    plane = labels[at].squeeze(axis)
    drawn = plane.copy()
    drawn[1:3, 2] = 1
    delta = edit.copy_labels(plane, (1,), drawn).placed(at)
    found = delta.apply(labels)
    assert np.array_equal(found[at].squeeze(axis), drawn)
    assert found.sum() == 2
