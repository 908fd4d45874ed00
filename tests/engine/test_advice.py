import numpy as np
import pytest

from napari_unet.core.annotation import Annotation
from napari_unet.core.grid import Grid
from napari_unet.core.volume import Volume
from napari_unet.engine.advice import advice


def case(shape, done, axis=0):
    """A structure in slices 3 to 8 of an axis, known on some slices or, with None, in full."""
    labels = np.zeros(shape, np.uint8)
    np.moveaxis(labels, axis, 0)[3:9] = 1
    volume = Volume(np.zeros((1, *shape), np.float32), Grid(shape, (1.0,) * len(shape)))
    if done is None:
        return volume, Annotation.full(labels)
    return volume, Annotation.from_slices(labels, axis, done)


def box(spacing):
    """A structure along all of a box that is known, with surroundings along y and x alone."""
    labels, known = np.zeros((20, 20, 20), np.uint8), np.zeros((20, 20, 20), bool)
    labels[:, 6:12, 6:12] = 1
    known[2:18, 2:18, 2:18] = True
    volume = Volume(np.zeros((1, 20, 20, 20), np.float32), Grid((20, 20, 20), spacing))
    return volume, Annotation(labels, known)


CUBE = (12, 12, 12)
CASES = {
    # name: (cases, whether something is missing)
    "inside only": ([case(CUBE, [4, 6])], True),
    "inside only, along x": ([case(CUBE, [4, 6], axis=2)], True),
    "one beyond an end": ([case(CUBE, [4, 6, 10])], False),
    "one beyond an end, in another volume": ([case(CUBE, [4, 6]), case(CUBE, [0, 5])], False),
    "everything is known": ([case(CUBE, None)], False),
    "a part of a stack of one slice": ([case((12, 12, 1), [4, 6])], False),
    "a box, which goes on beyond its ends": ([box((3.0, 1.0, 1.0))], True),
    "a box, of an image sliced along y": ([box((1.0, 3.0, 1.0))], False),
    "a plane": ([case((12, 12), None)], False),
}


@pytest.mark.parametrize(("cases", "missing"), CASES.values(), ids=CASES)
def test_slices_beyond_the_ends_are_asked_for(cases, missing):
    assert bool(advice(cases)) == missing
