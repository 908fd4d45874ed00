"""The tools of the dock: preview, apply, one undo step, and what they must leave alone."""

import threading

import dask.array
import numpy as np
import pytest
from napari.layers import Layer

from napari_unet.core.volume import Volume
from napari_unet.edit import Delta
from napari_unet.jobs import SharedArray
from napari_unet.plugin import layers
from napari_unet.plugin.annotation import annotation_of
from napari_unet.plugin.edit_operations import OPERATIONS
from napari_unet.plugin.edit_proposal import Proposal
from napari_unet.plugin.edit_tools import ALL, HERE, VOLUME
from napari_unet.plugin.traces import traces

BUSY_MS = 10_000


@pytest.fixture
def labels(dock, hippocampus):
    """Two boxes of class 1, on slices 5 and 11, and the slices between them empty."""
    dock.correct.new.click()
    layer = dock.target.labels
    for z in (5, 11):
        layer.data[z, 10:20, 10:20] = 1
    dock.slices.go(5)
    dock.slices.mark(5, 5)
    dock.slices.mark(11, 11)
    dock.correct.fold.click()
    return layer


def choose(dock, title, scope=VOLUME, number=None, everything=False):
    tools = dock.correct.tools
    tools.operation.setCurrentText(title)
    tools.scope.setCurrentText(scope)
    tools.about.setCurrentIndex(int(everything))
    if number is not None:
        tools.number.setValue(number)
    return tools


def apply(qtbot, dock):
    tools = dock.correct.tools
    tools.apply.click()
    qtbot.waitUntil(lambda: tools.status.text().endswith("."), timeout=BUSY_MS)
    return tools.status.text()


def test_a_preview_shows_and_changes_nothing_and_apply_is_one_step(qtbot, dock, labels, viewer):
    before = labels.data.copy()
    tools = choose(dock, "Fill between slices")
    tools.preview.click()
    qtbot.waitUntil(lambda: "preview: fill between slices" in viewer.layers, timeout=BUSY_MS)
    shown = viewer.layers["preview: fill between slices"]
    assert np.array_equal(labels.data, before)
    assert np.allclose(shown.data_to_world((0, 0, 0)), labels.data_to_world([6, 10, 10]), atol=1e-6)
    assert dock.target.labels is labels
    assert viewer.layers.selection.active is labels
    assert tools.status.text() == "Would label 500 voxels."

    assert apply(qtbot, dock) == "Labelled 500 voxels."
    assert (labels.data[5:12, 10:20, 10:20] == 1).all()
    assert not shown.visible
    assert not tools.preview.isChecked()
    labels.undo()
    assert np.array_equal(labels.data, before)
    labels.redo()
    assert labels.data.sum() == 700
    tools.preview.click()
    qtbot.waitUntil(lambda: tools.status.text() == "Nothing to change.", timeout=BUSY_MS)
    assert shown in viewer.layers
    assert not shown.visible
    dock.correct.fold.click()
    assert len(viewer.layers) == 2


def of_class(dock, labels):
    labels.selected_label = 2


def on_slice(dock, labels):
    dock.slices.go(11)


def painted_more(dock, labels):
    labels.paint((5, 30, 30), 1)


def locked(dock, labels):
    dock.correct.table.locked.emit(frozenset({1}))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (of_class, "Would clear 1 voxel."),
        (on_slice, "Would clear 102 voxels."),
        (painted_more, "Would clear 101 voxels."),
        (locked, "Nothing to change."),
    ],
)
def test_what_is_applied_is_what_the_preview_shows(qtbot, dock, labels, change, words):
    labels.data[5, 40, 10] = 2
    labels.data[11, 40, 10:12] = 1
    labels.brush_size = 1
    tools = choose(dock, "Remove islands", HERE, 1000)
    tools.preview.click()
    qtbot.waitUntil(lambda: tools.status.text() == "Would clear 100 voxels.", timeout=BUSY_MS)
    change(dock, labels)
    assert tools._shown._layer.visible is False
    before = labels.data.copy()
    tools.apply.click()  # nothing is shown yet
    assert np.array_equal(labels.data, before)
    qtbot.waitUntil(lambda: tools.status.text() == words, timeout=BUSY_MS)
    assert apply(qtbot, dock) == words.replace("Would clear", "Cleared")


def test_slices_filled_are_unchecked_and_unknown(qtbot, dock, labels):
    choose(dock, "Fill between slices")
    apply(qtbot, dock)
    assert dock.slices.states()[4:13].tolist() == [0, 3, 1, 1, 1, 1, 1, 3, 0]
    known = annotation_of(labels).known
    assert known.any(axis=(1, 2)).nonzero()[0].tolist() == [5, 11]


def test_slices_filled_are_unchecked_until_that_is_undone(qtbot, dock, labels):
    choose(dock, "Fill between slices")
    apply(qtbot, dock)
    labels.undo()
    qtbot.waitUntil(lambda: not (dock.correct.ruler._states == 1).any(), timeout=5000)
    labels.redo()
    qtbot.waitUntil(lambda: (dock.correct.ruler._states == 1).sum() == 5, timeout=5000)


def test_what_was_undone_is_no_longer_told_as_done(qtbot, dock, labels):
    status = choose(dock, "Fill between slices").status
    apply(qtbot, dock)
    labels.undo()
    assert status.text() == "Undone: labelled 500 voxels."
    labels.redo()
    assert status.text() == "Labelled 500 voxels."
    labels.paint((5, 30, 30), 1)
    labels.undo()
    assert status.text() == "Labelled 500 voxels."  # it was another step
    labels.undo()
    assert apply(qtbot, dock) == "Labelled 500 voxels."
    dock.correct.tools.preview.click()
    qtbot.waitUntil(lambda: status.text() == "Nothing to change.", timeout=BUSY_MS)
    labels.undo()
    assert not status.text().startswith("Undone")


def bulging(wide):
    """Return a bright square tube of 13 slices, far wider on the middle one than on the ends."""
    z, y, x = np.indices((13, 40, 40))
    side = wide + (wide - 2) * np.sin(np.pi * z / 12)
    inside = np.maximum(abs(y - 20), abs(x - 20)) <= side
    return (50 + 150 * inside + np.random.default_rng(0).integers(0, 20, z.shape)).astype(np.uint8)


def watched(pixels, readers):
    """Return pixels as a lazy array that notes which thread reads them."""

    def read(block):
        readers.append(threading.current_thread())
        return block

    lazy = dask.array.from_array(pixels, chunks=(1, 1, 40, 40))
    return lazy.map_blocks(read, dtype=pixels.dtype, meta=pixels[:0])


@pytest.mark.parametrize("lazy", [False, True], ids=["in memory", "lazy"])
@pytest.mark.parametrize("channels", [1, 2])
def test_filling_can_follow_the_image(qtbot, dock, viewer, channels, lazy):
    noise = np.random.default_rng(1).integers(0, 255, (1, 13, 40, 40), np.uint8)
    tube, readers = bulging(6), []
    pixels = np.concatenate([noise, tube[None]])[-channels:]
    volume = Volume.from_array(watched(pixels, readers) if lazy else pixels, channel_axis=0)
    shown = [viewer.add_layer(Layer.create(*one)) for one in layers.volume_layers(volume)]
    dock.target.choose_image(shown[0])  # the noise, where there are two
    dock.correct.new.click()
    labels, truth = dock.target.labels, tube > 120
    for z in (0, 12):
        labels.data[z][truth[z]] = 1
    dock.slices.go(0)
    dock.slices.mark(0, 0)
    dock.slices.mark(12, 12)
    dock.correct.fold.click()
    before = labels.data.copy()
    readers.clear()
    tools = choose(dock, "Fill between slices, following the image")
    tools.preview.click()
    preview = "preview: fill between slices, following the image"
    qtbot.waitUntil(lambda: preview in viewer.layers, timeout=BUSY_MS)
    assert np.array_equal(labels.data, before)
    assert bool(readers) == lazy
    assert threading.main_thread() not in readers
    assert apply(qtbot, dock).startswith("Labelled")
    assert np.count_nonzero((labels.data == 1) ^ truth) < 0.05 * np.count_nonzero(truth)
    labels.undo()
    assert np.array_equal(labels.data, before)


@pytest.mark.parametrize("title", [o.title for o in OPERATIONS if not o.slice])
def test_filling_between_slices_needs_two_of_them(qtbot, dock, labels, title):
    dock.slices.mark(11, 11, done=False)
    choose(dock, title)
    assert apply(qtbot, dock).startswith("Paint or mark done two slices or more")


def test_filling_between_slices_is_not_offered_on_one(dock, viewer):
    dock.target.choose_image(viewer.add_image(np.zeros((20, 20), np.uint8), name="flat"))
    dock.correct.new.click()
    tools = dock.correct.tools
    titles = [tools.operation.itemText(i) for i in range(tools.operation.count())]
    assert titles[0] == "Remove islands"
    assert not [t for t in titles if "between" in t]


@pytest.mark.parametrize(
    ("scope", "left"), [(HERE, [0, 100]), (VOLUME, [100, 100]), (ALL, [0, 0])], ids=str
)
def test_slices_done_stay_unless_asked(qtbot, dock, labels, scope, left):
    choose(dock, "Remove islands", scope, number=500)
    apply(qtbot, dock)
    assert [int(labels.data[z].sum()) for z in (5, 11)] == left


def test_what_is_painted_while_an_edit_computes_stays(qtbot, dock, labels):
    tools = choose(dock, "Fill between slices")
    tools.apply.click()
    labels.data[8, 10:20, 10:20] = 2  # before the worker's answer is heard
    qtbot.waitUntil(lambda: tools.status.text().endswith("."), timeout=BUSY_MS)
    assert (labels.data[8, 10:20, 10:20] == 2).all()
    assert (labels.data[7, 10:20, 10:20] == 1).all()


def test_painted_voxels_stay_when_slices_are_filled(qtbot, dock, labels):
    labels.brush_size = 1
    labels.paint((8, 15, 15), 0)
    choose(dock, "Fill between slices")
    apply(qtbot, dock)
    assert labels.data[8, 15, 15] == 0
    assert labels.data[8, 15, 14] == 1


def test_a_locked_class_is_changed_by_no_tool_and_no_brush(qtbot, dock, labels):
    dock.correct.add_class.click()
    table = dock.correct.table
    table.item(1, 3).setCheckState(table.item(1, 3).checkState().Checked)
    assert layers.about(labels).locked == {1}
    choose(dock, "Grow", ALL, number=2, everything=True)
    assert apply(qtbot, dock) == "Nothing to change."
    labels.selected_label = 2
    labels.paint((5, 15, 15), 2)
    assert (labels.data[5, 10:20, 10:20] == 1).all()
    before = labels.data.copy()
    labels.paint((20, 15, 15), 1)
    assert np.array_equal(labels.data, before)
    assert "locked" in dock.correct.hint.text()


def test_slices_done_can_be_protected_from_the_brush(dock, labels):
    labels.paint((5, 5, 5), 1)
    assert labels.data[5, 5, 5] == 1
    dock.correct.rules.protect.setChecked(True)
    labels.paint((5, 30, 30), 1)
    assert labels.data[5, 30, 30] == 0
    assert "protected" in dock.correct.hint.text()
    labels.paint((6, 30, 30), 1)
    assert labels.data[6, 30, 30] == 1


def test_the_threshold_brush_paints_only_its_range(dock, labels):
    image = np.asarray(dock.target.image.data)
    rules = dock.correct.rules
    rules.within.setChecked(True)
    rules.like.click()
    low, high = rules.low.value(), rules.high.value()
    assert low < high
    labels.brush_size = 21
    labels.paint((8, 20, 20), 1)
    painted = labels.data[8] == 1
    assert painted.any()
    assert (image[8][painted] >= low).all()
    assert (image[8][painted] <= high).all()
    labels.paint((8, 20, 20), 0)
    assert not labels.data[8].any()


def test_the_threshold_brush_knows_small_intensities(dock, hippocampus, viewer):
    dock.correct.rules.within.setChecked(True)  # of an image with whole numbers
    other = np.asarray(dock.target.image.data) * np.float32(1e-6)  # as diffusion maps have them
    image = viewer.add_image(other)
    dock.target.choose_image(image)
    dock.correct.new.click()
    labels, rules = dock.target.labels, dock.correct.rules
    dock.slices.go(8)
    labels.data[8, 20:24, 20:24] = 1
    inside = other[8, 20:24, 20:24]
    rules.like.click()
    low, high = rules.low.value(), rules.high.value()
    assert np.allclose((low, high), np.percentile(inside, (5, 95)), rtol=0.02)
    rules.within.setChecked(False)
    for box in (rules.low, rules.high):
        box.setValue(0)
    rules.within.setChecked(True)
    assert np.allclose(rules.high.value(), image.contrast_limits[1], rtol=0.02)


def test_a_prediction_is_copied_slice_by_slice(qtbot, dock, labels):
    choose(dock, "Copy from", HERE, everything=True)
    assert "Predict first" in apply(qtbot, dock)
    shared = SharedArray.create(labels.data.shape, np.uint8)
    shared.open(writable=True)[:, 30:, :] = 1
    traces(labels).keep_prediction(shared)
    assert apply(qtbot, dock).startswith("Labelled")
    assert (labels.data[5, 30:] == 1).all()
    assert not labels.data[5, :30].any()
    assert labels.data[11].sum() == 100


def test_other_labels_of_the_image_are_a_source(qtbot, dock, labels, hippocampus):
    dock.opening.labels(hippocampus.labels)
    loaded = dock.target.labels
    dock.target.choose_labels(labels)
    dock.correct.fold.setChecked(True)
    tools = choose(dock, "Copy from", VOLUME, everything=True)
    tools.source.setCurrentText(loaded.name)
    apply(qtbot, dock)
    truth, got = np.asarray(loaded.data), np.asarray(labels.data)
    assert np.array_equal(got[12:], truth[12:])
    assert got[5].sum() == got[5, 10:20, 10:20].sum() == 100  # done


@pytest.mark.parametrize("title", [o.title for o in OPERATIONS if not o.objects])
def test_each_operation_says_what_it_needs(dock, labels, title):
    tools = choose(dock, title)
    chosen = tools.chosen
    assert tools.number.isHidden() == (not chosen.number)
    assert tools.source.isHidden() == (not chosen.source)
    assert tools.operation.toolTip() == chosen.help
    if chosen.number == "size":
        assert tools.number.suffix() == " mm³"
        tools.scope.setCurrentText(HERE)
        assert tools.number.suffix() == " mm²"


def test_splitting_is_offered_for_objects_only(dock, labels):
    titles = [dock.correct.tools.operation.itemText(i) for i in range(8)]
    assert "Split" not in titles
    layers.change_about(labels, instances=True)
    dock.correct.tools.refresh()
    assert dock.correct.tools.operation.findText("Split") > 0


def test_pieces_of_one_slice_get_ids_of_their_own(qtbot, dock, hippocampus):
    layer = dock.target.add_labels(lambda v: layers.new_labels(v, [], instances=True))
    for x in (10, 18):
        layer.data[5, 5:13, x : x + 8] = 1
    layer.data[5, 8:10, 17:19], layer.data[5, 5:8, 17:19], layer.data[5, 10:13, 17:19] = 1, 0, 0
    layer.data[11, 5:13, 5:13] = 2  # another object, on another slice
    layer.selected_label = 1
    dock.slices.go(5)
    dock.correct.fold.click()
    choose(dock, "Split", HERE, 1.0)
    assert apply(qtbot, dock).startswith("Relabelled")
    assert set(np.unique(layer.data[5])) == {0, 1, 3}


def test_objects_with_large_ids_are_previewed(qtbot, dock, hippocampus, viewer):
    layer = dock.target.add_labels(lambda v: layers.new_labels(v, [], instances=True))
    layer.data[5, 5:9, 5:9], layer.data[5, 15:19, 5:9] = 720_575, 864_691
    layer.selected_label = 720_575
    dock.slices.go(5)
    dock.correct.fold.click()
    for title, colour in (("Grow", layer.get_color(720_575)), ("Shrink", (1, 1, 1, 0.9))):
        choose(dock, title, HERE, 1.0).preview.click()
        name = f"preview: {title.lower()}"
        qtbot.waitUntil(
            lambda n=name: n in viewer.layers and viewer.layers[n].visible, timeout=5000
        )
        shown = viewer.layers[name]
        at = tuple(int(i[0]) for i in np.nonzero(np.asarray(shown.data)))
        assert np.allclose(shown.get_color(int(shown.data[at])), colour, atol=0.01)
        dock.correct.tools.preview.click()


def test_the_background_can_not_be_edited(qtbot, dock, labels):
    labels.selected_label = 0
    choose(dock, "Grow")
    assert "not the background" in apply(qtbot, dock)


def test_labels_that_can_only_be_read_are_not_edited(qtbot, dock, labels):
    labels.data.flags.writeable = False
    choose(dock, "Grow")
    assert apply(qtbot, dock) == layers.read_only(labels) != ""


@pytest.mark.parametrize(
    ("before", "after", "past", "words"),
    [
        ([0, 0, 1], [1, 1, 0], False, "Would label 2, clear 1 voxels."),
        ([1, 1, 0], [2, 1, 0], True, "Relabelled 1 voxel."),
        ([1], [1], True, "Nothing to change."),
    ],
)
def test_a_change_is_told_in_words(before, after, past, words):
    delta = Delta((slice(0, len(before)),), np.array(before), np.array(after))
    assert Proposal.of(delta).words(past=past) == words
