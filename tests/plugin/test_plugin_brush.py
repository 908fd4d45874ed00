"""What a person paints is known, background too; what nobody painted stays unknown."""

import numpy as np
import pytest
from napari.layers import Labels

from napari_unet.core.classes import default_classes
from napari_unet.core.volume import Volume
from napari_unet.jobs import SharedArray
from napari_unet.plugin import layers
from napari_unet.plugin.annotation import annotation_of
from napari_unet.plugin.brush import Brush
from napari_unet.plugin.live import LiveLabels
from napari_unet.plugin.traces import traces

SHAPE = (4, 20, 20)


@pytest.fixture
def labels():
    """Empty labels whose brush is followed."""
    layer = layers.new_labels(Volume.from_array(np.zeros(SHAPE)), default_classes([1, 2]))
    layer.brush_size = 3
    Brush(layer, lambda _at, found, _label: np.ones(found.shape, bool), traces(layer).strokes.add)
    return layer


def known(layer):
    return traces(layer).strokes.known(np.asarray(layer.data))


def paint(layer):
    layer.paint((1, 5, 5), 1)


def erase(layer):
    layer.paint((1, 5, 5), 0)


def fill(layer):
    layer.fill((1, 5, 5), 2)


def polygon(layer):
    layer.paint_polygon([(1, 2, 2), (1, 2, 9), (1, 9, 9)], 1)


@pytest.mark.parametrize(
    ("act", "number"), [(paint, 9), (erase, 9), (fill, 400), (polygon, 36)], ids=lambda x: str(x)
)
def test_every_tool_of_a_person_makes_known_what_it_touches(labels, act, number):
    act(labels)
    found = known(labels)
    assert found.sum() == number
    assert found[1].sum() == number


def test_painting_what_is_there_already_vouches_for_it(labels):
    labels.data[1, :10] = 1
    paint(labels)
    assert known(labels).sum() == 9


def test_an_undo_takes_knowledge_back_and_a_redo_gives_it_again(labels):
    paint(labels)
    labels.undo()
    assert not known(labels).any()
    labels.redo()
    assert known(labels).sum() == 9


def test_what_a_program_writes_is_not_known(labels):
    labels.data_setitem((np.array([0]), np.array([0]), np.array([0])), 1)
    assert not known(labels).any()


def test_preserved_labels_are_not_known(labels):
    labels.data[1, 5, 4] = 2
    labels.preserve_labels = True
    paint(labels)
    assert known(labels).sum() == 8
    assert not known(labels)[1, 5, 4]


def test_strokes_teach_beside_slices_done_and_nothing_else_does(labels):
    erase(labels)
    labels.paint((2, 9, 9), 2)
    layers.change_about(labels, done=frozenset({(0, 0)}))
    annotation = annotation_of(labels)
    assert annotation.known[0].all()
    assert annotation.known[1:].sum() == 18
    assert annotation.counts() == {0: 400 + 9, 2: 9}


def test_rules_forbid_in_every_tool_and_one_undo_takes_a_stroke_back(labels):
    fixed = Labels(np.zeros(SHAPE, np.uint8))
    fixed.data[:, :, 10:] = 2
    told = []
    brush = Brush(fixed, lambda _at, found, _label: found != 2, lambda *what: told.append(what))
    fixed.fill((1, 5, 5), 1)
    fixed.fill((1, 5, 15), 1)
    fixed.paint_polygon([(1, 2, 2), (1, 2, 18), (1, 18, 18), (1, 18, 2)], 3)
    assert (fixed.data[:, :, 10:] == 2).all()
    assert len(told) == 2
    fixed.undo()
    fixed.redo()
    assert (fixed.data[:, :, 10:] == 2).all()
    brush.release()
    fixed.fill((1, 5, 15), 1)
    assert (fixed.data[1, :, 10:] == 1).all()


def test_a_prediction_leaves_painted_voxels_alone(labels):
    erase(labels)
    shared = SharedArray.create(SHAPE, np.uint8)
    shared.open(writable=True)[...] = 2
    live = LiveLabels(labels, shared)
    live.show([((0, 0, 0), SHAPE)])
    live.finish()
    assert (labels.data == 2).sum() == labels.data.size - 9
    assert known(labels).sum() == 9
    assert traces(labels).predicted(0).all()
