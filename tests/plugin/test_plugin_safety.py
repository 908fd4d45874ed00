"""Labels are journaled from the first stroke and offered back after a crash."""

import numpy as np
import pytest
from napari.layers import Labels

from conftest import CLASSES
from napari_unet.core.bundled import sample
from napari_unet.core.classes import LabelClass
from napari_unet.jobs import Journal, unfinished
from napari_unet.plugin import layers
from napari_unet.plugin.about import About
from napari_unet.plugin.safety import STROKE_MS
from napari_unet.plugin.slice_states import State


def crash(dock):
    """Leave the journals as a killed process leaves them: written, open, never marked saved."""
    for _, journal in dock.safety._journals:
        journal.flush()
        journal.close(clean=False)
    dock.safety._journals.clear()


def test_lost_labels_are_offered_and_come_back_whole(qtbot, dock, hippocampus, viewer):
    assert dock.safety.isHidden()
    dock.correct.new.click()
    labels: Labels = dock.target.labels
    dock.slices.go(7)
    labels.paint((7, 10, 10), 1)
    dock.slices.toggle()
    qtbot.wait(2 * STROKE_MS)
    painted = np.array(labels.data)
    crash(dock)
    viewer.layers.clear()

    dock.open_sample(sample("hippocampus"))
    assert not dock.safety.isHidden()
    assert dock.safety.text.text().startswith("Unsaved labels of ")
    dock.safety.restore.click()
    restored = dock.target.labels
    assert np.array_equal(restored.data, painted)
    assert layers.about(restored).done == {(0, 7)}
    assert np.allclose(restored.data_to_world((7, 1, 1)), labels.data_to_world((7, 1, 1)))
    assert dock.safety.isHidden()


def test_painted_voxels_and_locks_come_back_with_the_labels(qtbot, dock, hippocampus, viewer):
    dock.correct.new.click()
    labels: Labels = dock.target.labels
    dock.slices.go(7)
    labels.paint((7, 10, 10), 1)
    dock.slices.go(9)
    labels.paint((9, 20, 20), 0)  # background on background: nothing to see in the labels
    dock.correct.table.locked.emit(frozenset({1}))
    qtbot.wait(2 * STROKE_MS)
    known = layers.annotation_of(labels).known
    assert known[9].any()
    crash(dock)
    viewer.layers.clear()

    dock.open_sample(sample("hippocampus"))
    dock.safety.restore.click()
    restored = dock.target.labels
    assert np.array_equal(layers.annotation_of(restored).known, known)
    assert layers.about(restored).locked == {1}
    assert dock.slices.states()[[7, 9]].tolist() == [State.PAINTED, State.PAINTED]
    dock.slices.go(7)
    restored.data[7, 10, 10] = 0
    assert layers.annotation_of(restored).known.sum() == known.sum() - 1
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

    dock.open_sample(sample("hippocampus"))
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


def test_what_is_discarded_is_not_offered_again(qtbot, dock, hippocampus):
    journal = Journal.open(str(hippocampus.image), dock.target.volume.grid)
    journal.write_slices(np.ones(dock.target.volume.grid.shape, np.uint8))
    journal.close(clean=False)
    dock.safety.refresh()
    assert not dock.safety.isHidden()
    dock.safety.discard.click()
    assert dock.safety.isHidden()
    assert not unfinished()


def test_saved_labels_are_not_offered(qtbot, dock, hippocampus, tmp_path):
    dock.correct.new.click()
    dock.target.labels.paint((7, 10, 10), 1)
    qtbot.wait(2 * STROKE_MS)
    dock.export.export(tmp_path / "saved.nii.gz")
    qtbot.waitUntil(lambda: dock.export.status.text().startswith("Saved"), timeout=20_000)
    crash(dock)
    assert not unfinished()


def test_looking_without_painting_leaves_no_journal(dock, hippocampus):
    dock.correct.new.click()
    dock.release()
    assert not unfinished()
