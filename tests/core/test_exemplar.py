import numpy as np
import pytest

from napari_unet.core.annotation import Annotation
from napari_unet.core.exemplar import MOST, Exemplar, ExemplarNote, check_table, packed, unpacked
from napari_unet.core.grid import Grid
from napari_unet.errors import ModelFileError

GRID = Grid((4, 5, 6), (2.0, 1.0, 0.5), "um")


def exemplar(ids=(0, 3, 300), classes=(0, 3, 300), seed=0):
    rng = np.random.default_rng(seed)
    image = rng.normal(0, 1, (2, *GRID.shape)).astype(np.float32)
    known = rng.random(GRID.shape) > 0.3
    return image, Annotation(rng.choice(ids, GRID.shape), known), classes


def test_it_comes_back_as_it_was_to_a_256th_of_its_range():
    image, annotation, classes = exemplar()
    one = Exemplar.of(image, annotation, GRID, classes)
    volume, again = one.case()
    reach = np.ptp(image.reshape(2, -1), axis=1).max() / 255
    assert np.abs(volume.array() - image).max() <= reach / 2 + 1e-6
    assert (volume.grid.spacing, volume.grid.unit) == (GRID.spacing, GRID.unit)
    assert np.array_equal(again.known, annotation.known)
    assert np.array_equal(again.labels[again.known], annotation.labels[annotation.known])
    assert one.nbytes == image.size + 2 * annotation.known.size  # 300 needs two bytes


@pytest.mark.parametrize("first", [70_000, 2**60])
def test_objects_are_numbered_anew_and_take_one_byte(first):
    ids = np.array((0, first, first + 1), np.uint64)
    image, annotation, _ = exemplar(ids)
    one = Exemplar.of(image, annotation, GRID)
    known = annotation.known
    assert one.labels.dtype == np.uint8
    expected = np.searchsorted(ids, annotation.labels[known]) + 1
    assert np.array_equal(one.labels[known], expected)
    assert (one.labels[~known] == 0).all()


@pytest.mark.parametrize("large", [2**32 - 1, 2**40, 2**63 + 8, 2**64 - 2])
def test_class_ids_come_back_however_large(large):
    image, annotation, classes = exemplar(np.array((0, 3, large), np.uint64), (0, 3, large))
    one = Exemplar.of(image, annotation, GRID, classes)
    table = {
        name: {"dtype": f"U{8 * array.itemsize}", "shape": array.shape}
        for name, array in packed([one]).items()
    }
    check_table([one.note], table)
    assert one.case()[1].counts() == annotation.counts()


def test_a_class_without_room_for_its_id_is_unknown():
    image, annotation, classes = exemplar(np.array((0, 2**64 - 1), np.uint64), (0, 2**64 - 1))
    known = Exemplar.of(image, annotation, GRID, classes).case()[1]
    assert known.counts() == {0: annotation.counts()[0]}


def test_a_constant_image_survives():
    _, annotation, classes = exemplar()
    flat = np.full((1, *GRID.shape), 0.7, np.float32)
    assert Exemplar.of(flat, annotation, GRID, classes).case()[0].array() == pytest.approx(flat)


@pytest.mark.parametrize(
    "wrong",
    [
        {"spacing": (1.0,)},
        {"spacing": (1.0, -1.0)},
        {"spacing": (1.0, float("nan"))},
        {"unit": "inch"},
        {"low": (), "high": ()},
        {"high": (1.0, 2.0)},
        {"high": (float("inf"),)},
    ],
    ids=str,
)
def test_an_impossible_note_is_refused(wrong):
    right = {"spacing": (1.0, 1.0), "unit": "pixel", "low": (0.0,), "high": (1.0,)}
    ExemplarNote(**right)
    with pytest.raises(ModelFileError, match="impossible"):
        ExemplarNote(**{**right, **wrong})


def table(**changes):
    """Make the table of a file with one exemplar, some of it otherwise."""
    made = {
        "exemplar.0.image": {"dtype": "U8", "shape": [1, 4, 4]},
        "exemplar.0.labels": {"dtype": "U16", "shape": [4, 4]},
    }
    for what, change in changes.items():
        made[f"exemplar.0.{what}"] |= change
    return made


NOTE = ExemplarNote((1.0, 1.0), "pixel", (0.0,), (1.0,))


def test_a_table_that_fits_passes():
    check_table([NOTE], table())


@pytest.mark.parametrize(
    ("notes", "changed", "words"),
    [
        ([], table(), "promises 0"),
        ([NOTE] * 2, table(), "promises 2"),
        ([NOTE] * (MOST + 1), table(), "64 at most"),
        ([NOTE], {"exemplar.1.image": {}, "exemplar.1.labels": {}}, "promises 1"),
        ([NOTE], table(image={"dtype": "F32"}), "do not fit"),
        ([NOTE], table(labels={"dtype": "I64"}), "do not fit"),
        ([NOTE], table(image={"shape": [2, 4, 4]}), "do not fit"),
        ([NOTE], table(image={"shape": [1, 4, 5]}), "do not fit"),
        ([NOTE], table(image={"shape": [1, 1, 4, 4]}, labels={"shape": [1, 4, 4]}), "do not fit"),
        (
            [NOTE],
            table(image={"shape": [1, 1 << 40, 1 << 40]}, labels={"shape": [1 << 40, 1 << 40]}),
            "are allowed",
        ),
    ],
)
def test_a_table_that_does_not_is_refused_before_anything_is_read(notes, changed, words):
    with pytest.raises(ModelFileError, match=words):
        check_table(notes, changed)


def test_a_changed_voxel_is_found_out():
    image, annotation, classes = exemplar()
    one = Exemplar.of(image, annotation, GRID, classes)
    tensors = packed([one, one])
    assert [e.note for e in unpacked([one.note] * 2, tensors)] == [one.note] * 2
    tensors["exemplar.1.image"] = one.image ^ 1
    with pytest.raises(ModelFileError, match="damaged"):
        unpacked([one.note] * 2, tensors)
