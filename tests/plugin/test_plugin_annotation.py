"""What is known of labels is what a person marked or painted, slice by slice as in whole."""

import numpy as np
import pytest
from napari.layers import Labels

from napari_unet.core.classes import default_classes
from napari_unet.core.grid import Grid
from napari_unet.core.volume import Volume
from napari_unet.errors import AnnotationError
from napari_unet.plugin import layers
from napari_unet.plugin.annotation import annotation_of, known_slice

SHAPE = (4, 5, 6)


def test_only_what_is_done_is_known():
    volume = Volume(np.zeros((1, *SHAPE), np.float32), Grid(SHAPE, (1.0,) * 3))
    labels = layers.new_labels(volume, default_classes([1]))
    with pytest.raises(AnnotationError, match="press D"):
        annotation_of(labels)
    layers.change_about(labels, done=frozenset({(0, 1), (2, 5)}))
    known = annotation_of(labels).known
    assert known[1].all()
    assert known[:, :, 5].all()
    assert known.sum() == 5 * 6 + 4 * 5 - 5


def test_a_plane_is_one_slice():
    plane = Labels(np.ones((5, 6), np.uint8))
    layers.change_about(plane, done=frozenset({(0, 0)}))
    assert annotation_of(plane).known.all()


def test_a_slice_is_known_as_it_is_in_the_whole():
    labels = Labels(np.arange(4 * 5 * 6).reshape(SHAPE).astype(np.uint8))
    layers.change_about(labels, done=frozenset({(0, 1), (2, 5)}))
    whole = annotation_of(labels).known
    for which in ((0, 1), (0, 2), (1, 3), (2, 5)):
        at, found, known = known_slice(labels, which)
        assert at == tuple(which[1] if axis == which[0] else 0 for axis in range(3))
        assert np.array_equal(found, labels.data.take([which[1]], which[0]))
        assert np.array_equal(known, whole.take([which[1]], which[0]))
