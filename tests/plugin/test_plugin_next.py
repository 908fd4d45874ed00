"""Where to go next, with a real child process that looks."""

import numpy as np
import pytest
from napari.layers import Image, Labels
from qtpy.QtCore import Qt

from conftest import CHILD_MS
from napari_unet.core.bundled import sample
from napari_unet.plugin import commands, layers


@pytest.fixture
def labels(dock, hippocampus, model):
    """Empty labels of two classes on the sample, and a tiny model of them."""
    dock.model.choose(model)
    return dock.target.add_labels(
        lambda volume: layers.new_labels(volume, dock.model.header.spec.classes)
    )


def idle(qtbot, dock):
    qtbot.waitUntil(lambda: not dock.runner.busy, timeout=CHILD_MS)


def suggested(dock):
    return [index for _, index in dock.slices.suggested()]


def press_n(viewer):
    viewer.keymap[next(k for k in viewer.keymap if str(k) == "N")](viewer)


def test_a_prediction_suggests_and_marks_rank_anew(qtbot, dock, viewer, labels):
    assert not suggested(dock)
    dock.predict.start()
    idle(qtbot, dock)
    first = suggested(dock)
    assert len(first) == 3
    assert set(dock.correct.ruler._suggested) == set(first)

    for index in first:  # no further job
        press_n(viewer)
        assert not dock.runner.busy
        assert dock.slices.here == (0, index)
        assert dock.correct.advice.text().startswith("Suggested: unsure about ")
    press_n(viewer)
    assert dock.slices.here[1] not in first
    assert suggested(dock)[0] == dock.slices.here[1]

    middle = len(labels.data) // 2
    labels.data[middle, 10:20, 10:20] = 1
    dock.slices.go(middle)
    dock.slices.toggle()
    assert middle not in suggested(dock)
    assert all("nearest annotated slice" in why for why in dock.slices.suggested().values())


def test_without_a_prediction_the_network_looks_first(qtbot, dock, labels):
    dock.slices.mark(3, 5)
    qtbot.mouseClick(dock.correct.next, Qt.MouseButton.LeftButton)
    assert dock.runner.busy
    assert dock.correct.next.text() == "Stop  (N)"
    assert dock.correct.advice.text().startswith("Looking where the model is unsure")
    dock.slices.go(20)  # nothing is blocked meanwhile
    idle(qtbot, dock)
    assert dock.correct.next.text() == "Next  (N)"
    here = dock.slices.here[1]
    assert here in suggested(dock)
    assert here not in (3, 4, 5)
    assert not labels.data.any()
    dock.next.go()
    assert not dock.runner.busy


def test_the_search_can_be_stopped(qtbot, dock, labels):
    dock.next.go()
    dock.next.go()  # stops it
    idle(qtbot, dock)
    assert "Looking" not in dock.correct.advice.text()
    assert dock.correct.next.text() == "Next  (N)"


def test_without_a_model_slices_are_spread(dock, hippocampus):
    dock.model.list.setCurrentIndex(dock.model.list.count() - 1)
    dock.correct.new.click()
    dock.slices.go(5)
    visited = []
    for _ in range(3):
        dock.next.go()
        visited.append(dock.slices.here[1])
    assert visited == [16, 33, 0]
    assert dock.correct.advice.text().startswith(
        "Suggested: spread evenly, as no model was asked; no slice"
    )


def test_while_the_network_is_busy_distance_decides_and_it_says_so(qtbot, dock, labels):
    dock.predict.start()
    dock.next.go()
    assert dock.correct.advice.text().startswith(
        "The network is busy, so this goes by distance alone. Suggested: spread evenly"
    )
    idle(qtbot, dock)
    assert "unsure about" in next(iter(dock.slices.suggested().values()))


def test_what_the_last_model_said_otherwise_counts(qtbot, dock, labels, model, weights):
    dock.predict.start()
    idle(qtbot, dock)
    assert dock.next._known.survey.change is None
    other = model.with_name("other.safetensors")
    other.write_bytes(weights["other"].read_bytes())
    dock.model.choose(other)
    dock.next.go()
    idle(qtbot, dock)
    assert max(dock.next._known.survey.change) > 0
    dock.predict.start()
    idle(qtbot, dock)
    assert max(dock.next._known.survey.change) > 0


def test_another_axis_is_looked_at_anew(qtbot, dock, viewer, labels):
    dock.predict.start()
    idle(qtbot, dock)
    viewer.dims.order = (1, 0, 2)
    dock.next.go()
    idle(qtbot, dock)
    assert dock.slices.here[0] == 1
    assert {axis for axis, _ in dock.slices.suggested()} == {1}


def test_when_all_is_done_it_says_so(dock, labels):
    dock.slices.mark(0, len(labels.data) - 1)
    dock.model.list.setCurrentIndex(dock.model.list.count() - 1)
    dock.next.go()
    assert dock.correct.advice.text() == "Every slice is done."


def test_a_plane_has_no_next_slice(qtbot, dock, model, weights):
    dock.opening.sample(sample("nuclei-2d"))
    objects = model.with_name("objects.safetensors")
    objects.write_bytes(weights["objects"].read_bytes())
    dock.model.choose(objects)
    dock.predict.start()
    idle(qtbot, dock)
    assert not dock.correct.next.isEnabled()
    dock.next.go()
    assert not dock.runner.busy
    assert not dock.slices.suggested()
    assert not dock.correct.advice.text()


def unsure(viewer):
    """Return the layers of uncertainty."""
    return [x for x in viewer.layers if isinstance(x, Image) and x.name.endswith("uncertainty")]


def test_uncertainty_is_a_layer_where_the_image_lies(qtbot, dock, viewer, labels):
    viewer.layers.selection.active = labels
    qtbot.mouseClick(dock.predict.unsure, Qt.MouseButton.LeftButton)
    assert dock.predict.halt.isVisibleTo(dock)
    idle(qtbot, dock)
    (layer,) = unsure(viewer)
    image = dock.target.image
    assert layer is not image
    assert layer.data.shape == labels.data.shape
    assert layer.data.dtype == np.float16
    assert (np.asarray(layer.data) > 0).all()
    assert (np.asarray(layer.data) <= 1).all()
    assert np.array_equal(layer.affine.affine_matrix, image.affine.affine_matrix)
    assert np.array_equal(layer.scale, image.scale)
    assert viewer.layers.selection.active is labels
    assert not labels.data.any()
    assert "Yellow: all classes are as likely (1)" in dock.predict.status.text()
    assert suggested(dock)  # what was learned about the slices is not lost

    before = np.array(layer.data)
    dock.predict.start()  # the next prediction brings the layer up to date
    assert not np.asarray(layer.data).any()
    idle(qtbot, dock)
    assert unsure(viewer) == [layer]
    assert np.array_equal(layer.data, before)
    viewer.layers.remove(layer)
    dock.predict.start()
    idle(qtbot, dock)
    assert not unsure(viewer)


def test_uncertainty_of_a_plane_that_is_stopped(qtbot, dock, viewer, model, weights):
    dock.opening.sample(sample("nuclei-2d"))
    objects = model.with_name("objects.safetensors")
    objects.write_bytes(weights["objects"].read_bytes())
    dock.model.choose(objects)
    dock.predict.look()
    dock.runner.stop()
    idle(qtbot, dock)
    (layer,) = unsure(viewer)
    assert layer.data.ndim == 2
    assert dock.target.labels is None
    assert dock.predict.status.text().startswith("Stopped early")


def test_doubts_about_one_image_are_not_those_about_another(qtbot, dock, viewer, labels, model):
    heard = []
    dock.predict.surveyed.connect(lambda *told: heard.append(told[0]))
    dock.predict.look()
    other = viewer.add_image(np.zeros((10, 40, 40), np.float32))
    dock.target.choose_image(other)
    dock.correct.new.click()
    idle(qtbot, dock)
    assert heard == [labels]


def test_nothing_is_predicted_without_an_image(dock, model):
    dock.model.choose(model)
    dock.predict.start()
    assert dock.predict.status.text() == "Open an image first."


def test_what_fails_leaves_no_layer(qtbot, dock, viewer, labels):
    dock.model.path.unlink()
    dock.predict.look()
    idle(qtbot, dock)
    assert not unsure(viewer)
    assert "tiny" in dock.predict.status.text()
    assert dock.predict.go.isEnabled()


@pytest.mark.parametrize("there", [False, True])
def test_a_prediction_that_fails_leaves_no_labels_of_its_own(
    qtbot, dock, viewer, hippocampus, model, there
):
    dock.model.choose(model)
    if there:
        dock.correct.new.click()
    before = list(viewer.layers)
    dock.model.path.unlink()
    dock.predict.start()
    idle(qtbot, dock)
    assert "tiny" in dock.predict.status.text()
    assert list(viewer.layers) == before


def test_a_prediction_ends_in_labels_that_somebody_has_hidden(
    qtbot, dock, viewer, hippocampus, model
):
    dock.model.choose(model)
    dock.predict.start()
    (labels,) = (layer for layer in viewer.layers if isinstance(layer, Labels))
    labels.visible = False
    dock.slices.go(3)
    idle(qtbot, dock)
    assert not dock.predict.running
    assert " s on the CPU" in dock.predict.status.text()
    assert labels.data.any()
    assert not labels.visible


def test_labels_that_a_person_painted_meanwhile_stay(qtbot, dock, viewer, hippocampus, model):
    dock.model.choose(model)
    dock.model.path.unlink()
    dock.predict.start()
    (painted,) = (layer for layer in viewer.layers if isinstance(layer, Labels))
    painted.paint((3, 5, 5), 1)
    idle(qtbot, dock)
    assert "tiny" in dock.predict.status.text()
    assert painted in viewer.layers
    assert painted.data.any()


def test_commands_find_the_dock_or_open_it(viewer):
    commands.next_slice(viewer)
    (dock,) = viewer.window.dock_widgets.values()
    commands.uncertainty(viewer)
    assert list(viewer.window.dock_widgets.values()) == [dock]
    dock.opening.sample(sample("hippocampus"))
    dock.model.list.setCurrentIndex(dock.model.list.count() - 1)
    dock.correct.new.click()
    dock.slices.go(5)
    commands.next_slice(viewer)
    assert dock.slices.here == (0, 16)
    dock.release()
