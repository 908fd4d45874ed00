"""Labels say themselves whether their ids are classes or objects, and a person may say otherwise."""

import numpy as np
import pytest

from conftest import crash
from napari_unet.io import write_labels
from napari_unet.jobs import unfinished
from napari_unet.plugin import layers


@pytest.fixture
def nuclei(dock, hippocampus, qtbot):
    """Labels of fifteen ids without a name, as a file of objects has them."""
    ids = np.zeros(dock.target.volume.grid.shape, np.uint8)
    for i in range(15):
        ids[2:6, 2 * i : 2 * i + 2, 3:9] = i + 1
    about = layers.about_found(ids, dock.target.volume)
    return dock.target.add_labels(lambda _: layers.labels_layer(ids, about, "nuclei"))


def test_ids_without_a_name_are_asked_about(dock, nuclei):
    assert not dock.correct.meaning.isChecked()
    assert "15 classes have no name" in dock.correct.hint.text()


def test_objects_are_said_to_be_objects_and_taught_as_such(dock, nuclei):
    before = np.asarray(nuclei.data).copy()
    dock.slices.go(3)
    dock.slices.toggle()
    dock.correct.meaning.click()
    about = layers.about(nuclei)
    assert about.instances and len(about.classes) == 2 and about.done
    assert np.array_equal(nuclei.data, before) and nuclei.data.dtype == np.uint32
    assert not dock.correct.table.isVisibleTo(dock) and "15 classes" not in dock.correct.hint.text()
    assert "Split" in [
        dock.correct.tools.operation.itemText(i)
        for i in range(dock.correct.tools.operation.count())
    ]
    lesson = dock.tune.lesson()
    request = lesson.request()
    assert request.settings.instances and request.classes == ()
    for case in lesson.cases:
        case.remove()


def test_whoever_ticks_it_by_mistake_has_the_classes_back(dock, nuclei):
    named = tuple(
        c if c.id != 2 else type(c)(2, "my cell", c.color) for c in layers.about(nuclei).classes
    )
    layers.change_about(nuclei, classes=named)
    dock.correct.refresh()
    for _ in range(2):
        dock.correct.meaning.click()
    about = layers.about(nuclei)
    assert not about.instances and about.classes == named


def test_a_step_before_can_still_be_undone(dock, nuclei):
    before = np.asarray(nuclei.data).copy()
    layers.write(nuclei, (np.array([0]), np.array([0]), np.array([0])), np.array([7]))
    dock.correct.meaning.click()
    nuclei.undo()
    assert np.array_equal(nuclei.data, before)


def test_empty_labels_become_those_of_objects(dock, hippocampus):
    dock.correct.new.click()
    dock.correct.meaning.click()
    labels = dock.target.labels
    layers.write(labels, (np.array([4]), np.array([5]), np.array([6])), np.array([70_000]))
    assert labels.data[4, 5, 6] == 70_000
    assert layers.about(labels).instances


def test_labels_that_can_only_be_read_stay_as_they_are(dock, nuclei):
    nuclei.data.flags.writeable = False
    dock.correct.meaning.click()
    assert not layers.about(nuclei).instances and not dock.correct.meaning.isChecked()
    assert "only be read" in dock.correct.hint.text()


def test_a_crash_after_it_brings_objects_back(dock, nuclei):
    dock.correct.meaning.click()
    layers.write(nuclei, (np.array([0]), np.array([0]), np.array([0])), np.array([300]))
    dock.safety.remember()
    crash(dock)
    (entry,) = unfinished()
    assert entry.state.instances and np.array_equal(entry.read(), nuclei.data)


def test_a_model_of_objects_says_what_new_labels_are(dock, hippocampus, weights, tmp_path):
    dock.model.choose(weights["objects"])
    dock.correct.new.click()
    assert layers.about(dock.target.labels).instances and dock.correct.meaning.isChecked()
    ids = np.zeros(dock.target.volume.grid.shape, np.uint8)
    ids[3, 4:8, 4:8], ids[3, 10:14, 4:8] = 1, 2
    path = write_labels(tmp_path / "two.nii.gz", ids, dock.target.volume.grid)
    dock.opening.labels(path)
    assert dock.target.labels.name == "two.nii.gz" and layers.about(dock.target.labels).instances
    mask = write_labels(tmp_path / "mask.nii.gz", np.minimum(ids, 1), dock.target.volume.grid)
    dock.opening.labels(mask)
    assert not layers.about(dock.target.labels).instances


def test_objects_from_a_file_have_room_for_more_and_for_predictions(dock, hippocampus, tmp_path):
    grid = dock.target.volume.grid
    ids = np.zeros(grid.shape, np.uint8)
    ids.reshape(-1)[:100] = np.arange(100)
    path = write_labels(tmp_path / "cells.nii.gz", ids, grid)
    dock.opening.labels(path)
    labels = dock.target.labels
    assert np.array_equal(labels.data, ids) and layers.about(labels).instances
    assert layers.can_hold(labels, (), instances=True)
    dock.safety.remember()
    crash(dock)
    dock.safety.refresh()
    dock.safety.restore.click()
    assert dock.target.labels is not labels and np.array_equal(dock.target.labels.data, ids)
    assert layers.can_hold(dock.target.labels, (), instances=True)
