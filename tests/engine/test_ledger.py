from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from napari_unet.core.volume import Volume
from napari_unet.engine.ledger import Ledger, Page, divided, fingerprint, joined
from napari_unet.errors import ModelFileError


def plane(z, depth=1):
    return (z, 0, 0), (z + depth, 8, 8)


def test_neighbouring_slices_are_written_as_one():
    boxes = [plane(3), plane(5), plane(4), plane(9)]
    assert joined(boxes) == (plane(3, 3), plane(9))
    assert joined([((0, 2, 0), (9, 3, 9)), ((0, 3, 0), (9, 4, 9))]) == (((0, 2, 0), (9, 4, 9)),)
    assert len(joined([((0, 2, 0), (9, 3, 9)), ((0, 3, 0), (9, 4, 8))])) == 2


def test_it_goes_through_a_models_history():
    pages = (Page("ab", (plane(3),), (plane(6),)), Page("cd", (), (plane(1),), freed=True))
    ledger = Ledger(pages)
    assert Ledger.of([{"steps": 1}, {"split": ledger.entry()}]) == ledger
    assert ledger.held("ab") == (plane(6),)
    assert ledger.taught("cd") == ()


@pytest.mark.parametrize("split", [3, [{"image": "ab", "held": [[1]]}], [{"held": []}]])
def test_a_history_that_makes_no_sense_is_refused(split):
    with pytest.raises(ModelFileError, match="which slices it learned from"):
        Ledger.of([{"split": split}])


def test_a_later_page_changes_nothing_about_an_earlier_one():
    first = Page("ab", (((0, 2, 0), (8, 3, 8)),), (plane(4),))
    later = Page("ab", (((0, 6, 0), (8, 7, 8)),), ())
    one, both = (divided(pages, np.ones((8, 8, 8), bool)) for pages in ([first], [first, later]))
    assert np.array_equal(one[1], both[1])
    assert one[1].sum() == 8 * (8 - 3)  # less the line that teaches and those beside it
    assert not one[0][3:6].any()
    assert one[0][[2, 6]].all()


def test_a_freed_slice_teaches_again():
    pages = [Page("a", (), (plane(4),)), Page("a", freed=True)]
    may_teach, measures = divided(pages, np.ones((8, 8, 8), bool))
    assert may_teach.all()
    assert not measures.any()


def test_what_measures_lies_apart_from_all_that_taught_by_then():
    rng = np.random.default_rng(0)
    known = rng.random((8, 8, 8)) < 0.9
    planes = [
        Page("a", (plane(int(t)),), (plane(int(h)), ((0, int(h), 0), (8, int(h) + 1, 8))))
        for t, h in rng.integers(0, 8, (6, 2))
    ]
    may_teach, measures = divided(planes, known)
    expected = np.zeros_like(known)
    near = np.zeros_like(known)  # to what has taught
    for page in planes:
        (t, _, _), _ = page.taught[0]
        near[max(t - 1, 0) : t + 2] = True
        for start, stop in page.held:
            box = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
            expected[box] |= known[box] & ~near[box]
    assert expected.any()
    assert np.array_equal(measures, expected)
    assert not (may_teach & ndimage.binary_dilation(measures, np.ones((3, 3, 3)))).any()
    assert not (may_teach & ~known).any()


def test_an_image_is_known_by_its_voxels_not_its_name():
    data = np.random.default_rng(0).integers(0, 99, (6, 40, 40), np.uint8)
    one = Volume.from_array(data)
    assert fingerprint(one) == fingerprint(replace(one, name="other"))
    changed = data.copy()
    changed[3, 20, 20] += 1
    assert fingerprint(one) != fingerprint(Volume.from_array(changed))
    assert fingerprint(one) != fingerprint(Volume.from_array(data[:5]))
    assert fingerprint(Volume.from_array(data[0])) == fingerprint(Volume.from_array(data[:1]))
