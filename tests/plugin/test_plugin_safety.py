"""Labels are journaled from the first stroke and offered back after a crash."""

import numpy as np
import pytest
import zarr
from napari.layers import Labels

from conftest import CLASSES, crash
from napari_unet.core.bundled import sample
from napari_unet.core.classes import LabelClass
from napari_unet.jobs import Journal, unfinished
from napari_unet.jobs.recovery import read_entry
from napari_unet.plugin import layers
from napari_unet.plugin.about import About
from napari_unet.plugin.annotation import annotation_of
from napari_unet.plugin.safety import STROKE_MS
from napari_unet.plugin.slice_states import State


def begun(qtbot, dock):
    """Add labels with a stroke on slice 7, which is in the journal by then."""
    dock.correct.new.click()
    labels: Labels = dock.target.labels
    dock.slices.go(7)
    labels.paint((7, 10, 10), 1)
    qtbot.wait(2 * STROKE_MS)
    return labels


def test_lost_labels_are_offered_and_come_back_whole(qtbot, dock, hippocampus, viewer):
    assert dock.safety.isHidden()
    labels = begun(qtbot, dock)
    dock.slices.toggle()
    painted = np.array(labels.data)
    crash(dock)
    viewer.layers.clear()

    dock.opening.sample(sample("hippocampus"))
    assert not dock.safety.isHidden()
    assert dock.safety.text.text().startswith("Unsaved labels of ")
    dock.safety.restore.click()
    restored = dock.target.labels
    assert np.array_equal(restored.data, painted)
    assert layers.about(restored).done == {(0, 7)}
    assert np.allclose(restored.data_to_world((7, 1, 1)), labels.data_to_world((7, 1, 1)))
    assert dock.safety.isHidden()


def test_painted_voxels_and_locks_come_back_with_the_labels(qtbot, dock, hippocampus, viewer):
    labels = begun(qtbot, dock)
    dock.slices.go(9)
    labels.paint((9, 20, 20), 0)  # background on background: nothing to see in the labels
    dock.correct.table.locked.emit(frozenset({1}))
    qtbot.wait(2 * STROKE_MS)
    known = annotation_of(labels).known
    assert known[9].any()
    crash(dock)
    viewer.layers.clear()

    dock.opening.sample(sample("hippocampus"))
    dock.safety.restore.click()
    restored = dock.target.labels
    assert np.array_equal(annotation_of(restored).known, known)
    assert layers.about(restored).locked == {1}
    assert dock.slices.states()[[7, 9]].tolist() == [State.PAINTED, State.PAINTED]
    dock.slices.go(7)
    restored.data[7, 10, 10] = 0
    assert annotation_of(restored).known.sum() == known.sum() - 1
    crash(dock)
    (entry,) = unfinished()
    assert np.array_equal(entry.read_painted(), known)


@pytest.mark.parametrize("instances", [False, True])
def test_merges_and_what_ids_mean_come_back_with_the_labels(qtbot, dock, hippocampus, instances):
    classes = (*CLASSES, LabelClass(300, "far", (0.1, 0.2, 0.3)))

    def wide(volume):
        about = About(volume.grid, classes, instances=instances)
        return layers.labels_layer(np.zeros(volume.grid.shape, np.uint16), about, "wide")

    made = dock.target.add_labels(wide)
    layers.change_about(made, merged=((3, 1),))
    made.paint((7, 10, 10), 300)
    qtbot.wait(2 * STROKE_MS)
    crash(dock)
    dock.viewer.layers.clear()

    dock.opening.sample(sample("hippocampus"))
    dock.safety.restore.click()
    about = layers.about(dock.target.labels)
    assert (about.instances, about.merged) == (instances, ((3, 1),))
    assert dock.target.labels.data[7, 10, 10] == 300


def test_a_stroke_of_background_alone_is_journaled(qtbot, dock, hippocampus):
    dock.correct.new.click()
    dock.target.labels.paint((0, 10, 10), 0)
    qtbot.wait(2 * STROKE_MS)
    crash(dock)
    (entry,) = unfinished()
    assert entry.read_painted().any()


def set_item(labels):
    labels.data_setitem((np.array([20]), np.array([5]), np.array([5])), 1)


def set_data(labels):
    changed = np.array(labels.data)
    changed[20, 5, 5] = 1
    labels.data = changed


@pytest.mark.parametrize("write", [set_item, set_data])
def test_what_a_script_writes_begins_a_journal(qtbot, dock, hippocampus, write):
    dock.safety._sweep.setInterval(2 * STROKE_MS)
    dock.correct.new.click()
    labels: Labels = dock.target.labels
    write(labels)
    qtbot.waitUntil(lambda: bool(dock.safety._journals), timeout=20_000)
    qtbot.waitUntil(lambda: np.array_equal(kept(dock, labels)[0], labels.data), timeout=20_000)


def test_labels_that_no_longer_lie_on_the_image_begin_no_journal(qtbot, dock, hippocampus):
    dock.correct.new.click()
    dock.target.labels.data = np.ones((5, 6, 7), np.uint8)
    qtbot.wait(2 * STROKE_MS)
    assert not dock.safety._journals


def kept(dock, labels):
    """Return what the journal of these labels has at present: their voxels, and which are painted."""
    (journal,) = (journal for known, journal in dock.safety._journals if known is labels)
    journal.flush()
    entry = read_entry(journal.folder)
    return entry.read(), entry.read_painted()


def test_an_undo_reaches_the_journal(qtbot, dock, hippocampus):
    dock.safety._sweep.setInterval(2 * STROKE_MS)
    dock.correct.new.click()
    labels: Labels = dock.target.labels
    for index in (7, 9):
        dock.slices.go(index)
        labels.paint((index, 10, 10), 1)
        qtbot.wait(2 * STROKE_MS)
    qtbot.waitUntil(lambda: not dock.safety._sweep.isActive(), timeout=20_000)
    assert kept(dock, labels)[1].any(axis=(1, 2)).nonzero()[0].tolist() == [7, 9]
    labels.undo()  # in the slice in front
    qtbot.waitUntil(lambda: not kept(dock, labels)[1][9].any(), timeout=20_000)
    labels.undo()  # in another one, which the sweep finds
    qtbot.waitUntil(lambda: not kept(dock, labels)[1].any(), timeout=20_000)
    assert not kept(dock, labels)[0].any()


def test_an_undo_begins_no_journal(qtbot, dock, hippocampus):
    dock.correct.new.click()
    dock.target.labels.refresh()
    with qtbot.waitSignal(dock.correct.rested):
        pass
    qtbot.wait(2 * STROKE_MS)
    assert not dock.safety._journals


def test_all_is_in_the_journal_before_other_labels_are_followed(qtbot, dock, hippocampus):
    labels = begun(qtbot, dock)
    far = (np.array([20]), np.array([5]), np.array([5]))
    labels.data_setitem(far, 1)  # by an edit: only a sweep finds it
    dock.opening.sample(sample("nuclei-3d"))
    assert dock.target.labels is not labels
    found, _ = kept(dock, labels)
    assert np.array_equal(found, labels.data)
    assert not dock.safety._sweep.isActive()


@pytest.mark.parametrize("edit", ["tool", "class"])
def test_an_edit_of_the_whole_volume_is_in_the_journal_at_once(qtbot, dock, hippocampus, edit):
    dock.correct.new.click()
    labels: Labels = dock.target.labels
    labels.data[5, 10:20, 10:20] = labels.data[11, 10:20, 10:20] = 1
    if edit == "tool":
        tools = dock.correct.tools
        tools.operation.setCurrentText("Grow")
        tools.scope.setCurrentText("Whole volume")
        tools.about.setCurrentIndex(1)
        tools.number.setValue(1.0)
        with qtbot.waitSignal(tools.applied, timeout=20_000):
            tools.apply.click()
    else:
        dock.correct.table.dropped.emit(1, 2)
    found, _ = kept(dock, labels)
    assert found.any()
    assert np.array_equal(found, labels.data)
    (journal,) = (journal for _, journal in dock.safety._journals)
    assert read_entry(journal.folder).state.classes == layers.about(labels).classes


def test_a_first_stroke_is_in_the_journal_of_its_own_image(qtbot, dock, hippocampus):
    dock.correct.new.click()
    labels: Labels = dock.target.labels
    labels.paint((7, 10, 10), 1)
    dock.opening.sample(sample("nuclei-3d"))  # before the stroke has had its turn
    found, painted = kept(dock, labels)
    assert np.array_equal(found, labels.data)
    assert painted.any()
    crash(dock)
    (entry,) = unfinished()
    assert entry.state.source == str(hippocampus.image)


def test_a_stroke_on_labels_in_a_store_is_journaled(qtbot, dock, hippocampus, viewer, tmp_path):
    image = dock.target.image
    store = zarr.create_array(tmp_path / "l.zarr", shape=image.data.shape, dtype="int64")
    labels = viewer.add_labels(store)
    assert dock.target.labels is labels
    dock.slices.go(7)
    labels.paint((7, 10, 10), 1)
    qtbot.wait(2 * STROKE_MS)
    (_, journal), *_ = dock.safety._journals
    assert journal.flush() == ""
    entry = read_entry(journal.folder)
    assert np.array_equal(entry.read(), np.asarray(store))
    assert np.array_equal(entry.read_painted(), annotation_of(labels).known)


def test_a_journal_that_fails_is_told_until_it_is_over(qtbot, dock, hippocampus):
    begun(qtbot, dock)
    (_, journal), *_ = dock.safety._journals
    journal.flush()
    away = journal.folder.rename(journal.folder.with_name("away"))
    dock.slices.toggle()
    qtbot.waitUntil(lambda: "not in the journal" in dock.safety.text.text(), timeout=30_000)
    assert not dock.safety.isHidden()
    assert dock.safety.restore.isHidden()
    away.rename(journal.folder)
    dock.slices.toggle()
    qtbot.waitUntil(dock.safety.isHidden, timeout=30_000)
    assert not dock.safety.restore.isHidden()


def test_what_is_discarded_is_not_offered_again(qtbot, dock, hippocampus):
    for _ in range(2):
        journal = Journal.open(str(hippocampus.image), dock.target.volume.grid)
        journal.write_slices(np.ones(dock.target.volume.grid.shape, np.uint8))
        journal.close(clean=False)
    dock.safety.refresh()
    assert dock.safety.text.text().endswith(" found, and 1 older.")
    dock.safety.discard.click()
    assert dock.safety.text.text().endswith(" found.")
    dock.safety.discard.click()
    assert dock.safety.isHidden()
    assert not unfinished()


def test_saved_labels_are_not_offered(qtbot, dock, hippocampus, tmp_path):
    begun(qtbot, dock)
    dock.export.export(tmp_path / "saved.nii.gz")
    qtbot.waitUntil(lambda: dock.export.status.text().startswith("Saved"), timeout=20_000)
    crash(dock)
    assert not unfinished()


def test_what_is_painted_while_a_file_is_written_is_offered(qtbot, dock, hippocampus, tmp_path):
    dock.correct.new.click()
    labels: Labels = dock.target.labels
    labels.paint((7, 10, 10), 1)
    dock.export.export(tmp_path / "saved.nii.gz")
    labels.paint(
        (8, 20, 20), 1
    )  # what came of the writing is heard of when events are next looked at
    qtbot.waitUntil(lambda: dock.export.status.text().startswith("Saved"), timeout=20_000)
    assert "when writing began" in dock.export.status.text()
    qtbot.wait(2 * STROKE_MS)
    crash(dock)
    (entry,) = unfinished()
    assert np.array_equal(entry.read(), labels.data)


def test_looking_without_painting_leaves_no_journal(dock, hippocampus):
    dock.correct.new.click()
    dock.release()
    assert not unfinished()
