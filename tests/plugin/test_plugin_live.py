"""A prediction arrives box by box, gives way to a person, and is one step to undo."""

import gc

import numpy as np
import pytest

from napari_unet.core.classes import default_classes
from napari_unet.core.model_header import ModelHeader
from napari_unet.core.settings import PredictSettings
from napari_unet.core.spec import ModelSpec
from napari_unet.core.volume import Volume
from napari_unet.jobs import SharedArray
from napari_unet.plugin import layers
from napari_unet.plugin.live import LiveLabels, adopt_ids
from napari_unet.plugin.traces import Maker, traces


@pytest.fixture
def live():
    """Labels of 4 slices, the second one done and painted, with a prediction of class 2 everywhere."""
    volume = Volume.from_array(np.zeros((4, 5, 6)))
    labels = layers.new_labels(volume, default_classes([1, 2]))
    labels.data[1, 0] = 1
    layers.change_about(labels, done=frozenset({(0, 1)}))
    shared = SharedArray.create((4, 5, 6), np.uint8)
    shared.open(writable=True)[...] = 2
    return LiveLabels(labels, shared)


def test_boxes_appear_as_they_come(live):
    live.show([((0, 0, 0), (1, 5, 6))])
    assert (live.layer.data[0] == 2).all()
    assert not live.layer.data[2:].any()


def test_slices_done_and_fresh_strokes_win(live):
    live.show([((0, 0, 0), (3, 5, 6))])
    live.layer.data[0, 0, 0] = 1
    live.layer.data[3, 0, 0] = 1
    live.show([((3, 0, 0), (4, 5, 6))])
    live.finish()
    assert live.layer.data[0, 0, 0] == live.layer.data[3, 0, 0] == 1
    assert (live.layer.data[1, 0] == 1).all()
    assert not live.layer.data[1, 1:].any()
    assert (live.layer.data == 2).sum() == 3 * 30 - 2


def test_a_slice_marked_while_it_is_predicted_is_left_alone(live):
    live.show([((0, 0, 0), (1, 5, 6))])
    live.layer.data[2, 0] = 1
    layers.change_about(live.layer, done=frozenset({(0, 1), (0, 2)}))
    live.show([((1, 0, 0), (4, 5, 6))])
    live.finish()
    assert (live.layer.data[2, 0] == 1).all()
    assert not live.layer.data[2, 1:].any()
    assert (live.layer.data[[0, 3]] == 2).all()


def test_objects_of_a_slice_marked_after_its_preview_are_told_apart(live):
    live.show([((0, 0, 0), (4, 5, 6))])
    layers.change_about(live.layer, done=frozenset({(0, 1), (0, 3)}))
    live.layer.brush_size = 1
    live.layer.paint((3, 0, 0), 9)
    live.shared.open(writable=True)[3, :2], live.shared.open(writable=True)[3, 3:] = 5, 6
    live.finish(instances=True)
    assert live.layer.data[3, 0, 0] == 9
    assert len(np.unique(live.layer.data[3])) == 4  # what was painted, two objects and between


def test_one_undo_takes_the_whole_prediction_back(live):
    before = live.layer.data.copy()
    live.show([((0, 0, 0), (4, 5, 6))])
    assert live.finish() == 90
    live.layer.undo()
    assert np.array_equal(live.layer.data, before)
    live.layer.redo()
    assert (live.layer.data == 2).sum() == 90


def test_slices_count_as_predicted_for_as_long_as_the_prediction_stands(live):
    layer, known = live.layer, traces(live.layer)

    def predicted():
        known.recheck(layer)
        return known.predicted(0).tolist()

    before = predicted()
    live.show([((2, 0, 0), (4, 5, 6))])
    assert predicted() == [False, True, True, True]
    live.finish()
    layer.undo()
    assert predicted() == before == [False, True, False, False]
    layer.redo()
    assert predicted() == [False, True, True, True]

    shared = SharedArray.create((4, 5, 6), np.uint8)
    shared.open(writable=True)[0] = 1  # and background where the last one had class 2
    second = LiveLabels(layer, shared)
    second.show([((0, 0, 0), (4, 5, 6))])
    second.finish()
    assert predicted() == [True] * 4
    layer.undo()
    assert predicted() == [False, True, True, True]
    layer.undo()
    assert predicted() == before
    layer.paint((3, 2, 2), 1)  # what was undone can't come back
    assert predicted() == before


def test_a_prediction_that_changes_nothing_is_there_all_the_same(live):
    live.shared.open(writable=True)[...] = 0
    live.show([((2, 0, 0), (4, 5, 6))])
    live.finish()
    assert traces(live.layer).predicted(0).tolist() == [False, True, True, True]


def test_a_prediction_is_not_a_stroke(live):
    strokes = []
    live.layer.events.paint.connect(strokes.append)
    live.show([((0, 0, 0), (4, 5, 6))])
    live.finish()
    assert not strokes


def test_objects_told_apart_at_the_end_replace_the_preview(live):
    live.show([((0, 0, 0), (4, 5, 6))])
    live.shared.open(writable=True)[2:] = 5
    live.finish(instances=True)
    assert set(np.unique(live.layer.data[2:])) == {6}  # id 1 is drawn already
    assert (live.layer.data[1, 0] == 1).all()
    live.layer.undo()
    assert live.layer.data.sum() == 6


def test_the_prediction_is_kept_until_the_next_one(live):
    live.show([((0, 0, 0), (3, 5, 6))])
    live.finish()
    kept = traces(live.layer).prediction.open()
    assert (kept[:3] == 2).all()  # of the slice done, too
    assert not kept[3].any()  # where it never came
    del kept
    shared = SharedArray.create((4, 5, 6), np.uint8)
    LiveLabels(live.layer, shared).finish()
    assert not live.shared.path.exists()
    assert shared.path.exists()


def test_beside_a_prediction_that_of_the_model_before_is_kept():
    volume = Volume.from_array(np.zeros((4, 5, 6)))
    known = traces(layers.new_labels(volume, default_classes([1])))
    one, two, three = (
        Maker(ModelHeader(ModelSpec(), sha * 64), PredictSettings()) for sha in "abc"
    )
    made = [(SharedArray.create((4, 5, 6), np.uint8), m) for m in (one, two, two, None, one, three)]
    kept = []
    for shared, maker in made:
        known.keep_prediction(shared, maker)
        assert known.prediction == shared
        kept.append([k.maker for k in known.kept])
    assert kept == [[one], [one, two], [one, two], [two, None], [two, one], [one, three]]
    assert [shared.path.exists() for shared, _ in made] == [False, False, False, False, True, True]


def test_the_file_of_a_prediction_goes_with_its_layer():
    shared = SharedArray.create((4, 5, 6), np.uint8)
    layer = layers.new_labels(Volume.from_array(np.zeros((4, 5, 6))), default_classes([1]))
    LiveLabels(layer, shared).finish()
    del layer
    gc.collect()
    assert not shared.path.exists()


def test_objects_keep_the_ids_a_person_gave_them():
    drawn = np.array([[7, 7, 0, 9], [0, 0, 0, 0]])
    found = np.array([[1, 1, 2, 0], [1, 0, 2, 3]])
    kept = np.array([[True] * 4, [False] * 4])
    adopted = adopt_ids(found, drawn, kept)
    assert (adopted[:, 0] == 7).all()
    assert (adopted[:, 2] == 11).all()
    assert adopted[1, 3] == 12
