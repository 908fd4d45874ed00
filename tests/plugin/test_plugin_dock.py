"""The dock's parts, without a child process at work."""

import numpy as np
import pytest
from napari.utils.theme import get_theme
from qtpy.QtCore import QMimeData, QPointF, Qt, QTimer
from qtpy.QtGui import QDropEvent
from qtpy.QtWidgets import QApplication, QPushButton

from napari_unet import io
from napari_unet.core.bundled import sample, samples, user_models_folder
from napari_unet.core.classes import BACKGROUND, LabelClass, default_classes
from napari_unet.core.progress import Progress
from napari_unet.jobs import Finished
from napari_unet.plugin import layers
from napari_unet.plugin.about import joined
from napari_unet.plugin.annotation import annotation_of
from napari_unet.plugin.class_table import LOCK
from napari_unet.plugin.curve import LOSS_COLOURS
from napari_unet.plugin.dock import WIDTH
from napari_unet.plugin.outcome import of_each, outcome, recalled
from napari_unet.plugin.predict_section import time_left
from napari_unet.plugin.section import SOFT


def test_an_empty_viewer_is_told_what_to_do_first(dock):
    assert dock.pages.currentIndex() == 0
    assert [s.name for s, _ in dock.start.samples] == [s.name for s in samples()]
    assert not dock.predict.go.isEnabled()
    assert dock.predict.go.toolTip() == "Open an image first."


def test_the_start_page_fits_a_small_laptop(dock, viewer, qtbot):
    viewer.window.resize(1280, 720)
    viewer.window.show()
    scroll = dock.pages.currentWidget()
    qtbot.waitUntil(lambda: scroll.viewport().height() < 720)
    qtbot.waitUntil(lambda: scroll.verticalScrollBar().maximum() == 0)
    assert dock.start.tour.geometry().bottom() < scroll.viewport().height()


def test_a_sample_opens_in_its_place_and_upright(dock, hippocampus, viewer):
    assert dock.pages.currentIndex() == 1
    assert dock.target.volume.source == str(hippocampus.image)
    assert [str(o) for o in viewer.scene.camera.orientation2d] == ["up", "right"]


def test_each_step_says_what_it_waits_for(dock, hippocampus, model):
    assert dock.tune.note.text() == "Paint or mark a slice first."
    dock.model.choose(model)
    assert dock.predict.go.isEnabled()
    assert dock.model.about.text() == "3D U-Net · anterior, posterior · 1 × 1 × 1 mm"


def test_strokes_alone_can_be_learned_from(qtbot, dock, hippocampus, model):
    dock.model.choose(model)
    dock.correct.new.click()
    labels, tune = dock.target.labels, dock.tune
    assert not tune.go.isEnabled()
    labels.brush_size = 3
    dock.slices.go(7)
    labels.paint((7, 10, 10), 1)
    qtbot.waitUntil(tune.go.isEnabled, timeout=5000)
    assert tune.go.text() == "Fine-tune on 9 painted voxels"
    labels.paint((8, 30, 10), 0)
    for index in (3, 4, 7):
        dock.slices.go(index)
        dock.slices.toggle()
    assert tune.go.text() == "Fine-tune on 3 slices and 9 voxels"
    assert "3 slices and 9 painted voxels" in tune.go.toolTip()
    dock.slices.hold_out(labels, [(0, 4), (0, 8)])
    assert tune.go.text() == "Fine-tune on 2 slices"
    for index in (3, 7):
        dock.slices.go(index)
        dock.slices.toggle()
    assert tune.go.text() == "Fine-tune on 9 painted voxels"
    dock.slices.go(7)
    labels.undo()
    labels.undo()
    qtbot.waitUntil(lambda: not tune.go.isEnabled(), timeout=5000)


def test_strokes_along_another_axis_are_counted(dock, hippocampus, viewer):
    dock.correct.new.click()
    dock.target.labels.brush_size = 1
    dock.target.labels.paint((7, 10, 10), 1)
    dock.target.labels.paint((7, 12, 10), 1)
    dock.slices.hold_out(dock.target.labels, [(1, 12)])
    assert "1 painted voxel," in dock.tune.go.toolTip()


def test_the_dock_fits_its_width_with_slices_done_along_another_axis(
    qtbot, dock, hippocampus, viewer
):
    viewer.window._qt_window.resize(1100, 700)
    viewer.window._qt_window.show()
    dock.correct.new.click()
    for i in (3, 10, 20, 30):
        dock.slices.go(i)
        dock.slices.toggle()
    viewer.dims.order = (2, 0, 1)
    qtbot.waitUntil(lambda: dock.work.verticalScrollBar().isVisible(), timeout=5000)
    assert dock.correct.note.text().endswith("slices done, 4 crossing")
    assert dock.correct.note.toolTip() == "Slices done along other axes: 4"
    room = dock.work.viewport().width() - (dock.width() - 350)
    assert dock.work.widget().minimumSizeHint().width() <= room


def test_the_dock_fits_its_width_whatever_is_unfolded(qtbot, dock, hippocampus, viewer):
    viewer.window._qt_window.resize(1100, 700)
    viewer.window._qt_window.show()
    dock.correct.new.click()
    dock.correct.fold.click()
    dock.correct.rules.within.setChecked(True)
    dock.predict.form.fold.click()
    dock.tune.form.fold.click()
    dock.tune.go.setText("Fine-tune on 123 slices and 1,234,567 voxels")
    qtbot.waitUntil(lambda: dock.work.verticalScrollBar().isVisible(), timeout=5000)
    tools = dock.correct.tools.operation
    for index in range(tools.count()):
        tools.setCurrentIndex(index)
        qtbot.wait(1)
        room = dock.work.viewport().width() - (dock.width() - 350)
        assert dock.work.widget().minimumSizeHint().width() <= room, tools.currentText()


def test_a_key_marks_the_slice_in_front(dock, hippocampus, viewer):
    dock.correct.new.click()
    labels = dock.target.labels
    viewer.dims.set_current_step(0, 3)
    viewer.keymap[next(k for k in viewer.keymap if str(k) == "D")](viewer)
    assert layers.about(labels).done == {(0, 3)}
    assert viewer.canvas.overlays.text.text == "Slice 3 done"
    dock.slices.go(4)
    assert "press D" in viewer.canvas.overlays.text.text
    assert dock.correct.note.text() == "1 of 34 slices done"
    dock.slices.go(3)
    dock.slices.toggle()
    assert not layers.about(labels).done


def test_slices_follow_the_axis_in_front(dock, hippocampus, viewer):
    dock.correct.new.click()
    viewer.dims.order = (1, 0, 2)
    dock.slices.go(5)
    assert dock.slices.here == (1, 5)
    viewer.dims.ndisplay = 3
    assert dock.slices.here is None
    assert "2D" in dock.correct.hint.text()


def test_where_labels_end_no_slice_of_theirs_is_marked(dock, viewer):
    viewer.add_image(np.zeros((4, 32, 32), np.float32))
    dock.correct.new.click()
    viewer.add_image(np.zeros((9, 32, 32), np.float32), name="longer")
    viewer.dims.set_current_step(0, 6)
    assert dock.slices.here is None
    dock.slices.toggle()
    assert not layers.about(dock.target.labels).done
    assert not dock.correct.done.isEnabled()
    assert "end before this slice" in dock.correct.hint.text()
    assert (dock.slices.count, len(dock.slices.states())) == (4, 4)
    dock.correct.ruler.went.emit(3)  # the ruler stays, and leads back
    assert dock.slices.here == (0, 3)


def test_a_class_is_added_for_voxels_that_have_none(dock, hippocampus):
    dock.correct.new.click()
    labels = dock.target.labels
    labels.data[3, 4:6] = 7
    labels.data[3, 8] = 5
    for expected in (5, 7, 8):
        dock.correct.add_class.click()
        assert layers.about(labels).classes[-1].id == expected


@pytest.mark.parametrize("writable", [True, False])
def test_a_class_is_added_to_a_mask_of_the_highest_id(dock, hippocampus, writable):
    mask = np.zeros(dock.target.volume.grid.shape, np.uint8)
    mask[3, 4] = 255
    about = layers.about_found(mask, dock.target.volume)
    labels = dock.target.add_labels(lambda _: layers.labels_layer(mask.copy(), about, "mask"))
    layers.write(labels, (np.array([3]), np.array([5]), np.array([6])), np.array([255]))
    labels.data.flags.writeable = writable
    dock.correct.add_class.click()
    assert [c.id for c in layers.about(labels).classes] == [0, 255, 256]
    if writable:
        assert (labels.selected_label, labels.mode) == (256, "paint")
        labels.paint((7, 8, 9), 256)
        assert labels.data[7, 8, 9] == 256
        labels.undo()
        labels.undo()
        assert np.array_equal(labels.data, mask)
    else:
        assert "only be read" in dock.correct.hint.text()


def test_without_an_image_nothing_is_offered_that_needs_one(dock, tmp_path):
    for name in ("a.tif", "b.tif"):
        (tmp_path / name).write_bytes(b"II*\0nonsense")
    dock.opening.folder(tmp_path)
    assert dock.pages.currentIndex() == 1
    assert dock.target.image is None
    for needy in (dock.correct.new, dock.target.load, dock.predict.go, dock.tune.go):
        assert not needy.isEnabled()
        assert needy.toolTip() == "Open an image first."
    dock.opening.paths([str(sample("hippocampus").image)])
    assert dock.correct.new.isEnabled()
    assert dock.target.load.isEnabled()


def test_what_is_painted_on_a_plane_teaches_when_the_hand_rests(dock):
    dock.opening.sample(sample("nuclei-2d"))
    dock.correct.new.click()
    labels = dock.target.labels
    labels.brush_size = 1
    labels.paint((90, 80), 1)
    dock.correct._look_again()
    assert "1 painted voxel" in dock.tune.go.toolTip()
    assert dock.tune.go.isEnabled()


def test_painting_counts_what_is_known(qtbot, dock, hippocampus):
    dock.correct.new.click()
    labels = dock.target.labels
    dock.slices.go(4)
    dock.slices.toggle()
    labels.data_setitem((np.array([4, 4, 9]), np.array([0, 1, 0]), np.array([0, 0, 0])), 1)
    qtbot.waitUntil(lambda: dock.correct.table.item(1, 2).text() == "2", timeout=5000)


def test_classes_are_added_named_and_painted_with(qtbot, dock, hippocampus):
    dock.correct.new.click()
    labels = dock.target.labels
    qtbot.mouseClick(dock.correct.add_class, Qt.MouseButton.LeftButton)
    assert labels.selected_label == 2
    assert labels.mode == "paint"
    dock.correct.table.item(2, 1).setText("vessel")
    assert layers.about(labels).classes[2].name == "vessel"
    assert "vessel" in list(labels.features["class"])


def test_alt_and_a_digit_choose_the_class(qtbot, dock, hippocampus, viewer):
    dock.correct.new.click()
    dock.correct.add_class.click()
    labels = dock.target.labels
    window = viewer.window._qt_window
    window.show()
    qtbot.waitExposed(window)
    canvas = viewer.window._qt_viewer.canvas.native
    canvas.setFocus()
    for key, label, mode in (
        (Qt.Key.Key_1, 1, "paint"),
        (Qt.Key.Key_0, 0, "erase"),
        (Qt.Key.Key_2, 2, "paint"),
        (Qt.Key.Key_9, 2, "paint"),  # there is no such class
    ):
        qtbot.keyClick(canvas, key, Qt.KeyboardModifier.AltModifier)
        assert (labels.selected_label, labels.mode) == (label, mode)
    qtbot.keyClick(canvas, Qt.Key.Key_4)  # napari's own keys stay
    assert labels.mode == "fill"


def test_class_names_go_out_beside_the_labels_and_come_back(qtbot, dock, hippocampus, tmp_path):
    dock.correct.new.click()
    dock.correct.table.item(1, 1).setText("left side")
    dock.export.tables.setChecked(True)
    target = tmp_path / "seg.nii.gz"
    dock.export.export(target)
    qtbot.waitUntil(lambda: dock.export.status.text() == f"Saved {target}", timeout=20_000)
    for name in ("seg.ctbl", "seg.label.txt"):
        assert [c.name for c in io.read_class_table(tmp_path / name)] == ["background", "left side"]


def test_labels_of_another_image_are_not_offered(dock, hippocampus, viewer):
    viewer.add_labels(np.zeros((2, 3, 4), int))
    assert dock.target.labels is None


def test_words_of_one_image_are_not_shown_beside_another(dock, viewer):
    viewer.add_image(np.zeros((4, 32, 32), np.float32))
    dock.predict.on_failed("The model needs two channels.")
    dock.correct.new.click()
    assert dock.predict.status.text() == "The model needs two channels."
    viewer.add_image(np.zeros((4, 32, 32), np.float32), name="second")
    dock.target.choose_image(viewer.layers["second"])
    assert dock.predict.status.text() == ""


def test_lists_have_the_names_of_now(dock, viewer):
    image = viewer.add_image(np.zeros((4, 32, 32), np.float32))
    dock.correct.new.click()
    image.name, dock.target.labels.name = "liver", "vessels"
    assert dock.target._images.currentText() == "liver"
    assert dock.target._labels.currentText() == "vessels"


def test_in_3d_one_slice_is_one_slice(dock, hippocampus, viewer):
    dock.correct.new.click()
    dock.slices.toggle()
    viewer.dims.ndisplay = 3
    assert dock.correct.note.text() == "1 slice done"


@pytest.mark.parametrize("instances", [False, True])
def test_what_is_hidden_leaves_no_gap(qtbot, dock, hippocampus, viewer, instances):
    viewer.window.show()
    dock.target.add_labels(
        lambda v: layers.new_labels(v, default_classes([1, 2]), instances=instances)
    )

    def fits():
        assert dock.correct.height() == dock.correct.heightForWidth(dock.correct.width())

    qtbot.waitUntil(dock.correct.ruler.isVisible)
    qtbot.waitUntil(fits)
    tall = dock.correct.height()
    viewer.dims.ndisplay = 3
    qtbot.waitUntil(fits)
    assert dock.correct.height() < tall


def test_an_image_with_time_is_not_listed_and_said_why(dock, viewer):
    movie = viewer.add_image(np.zeros((3, 4, 32, 32), np.float32), name="movie")
    viewer.add_labels(np.zeros((3, 4, 32, 32), np.uint8))
    assert dock.target.image is None
    assert dock.pages.currentIndex() == 0
    assert "movie has 4 axes" in dock.start.message.text()
    assert "time point you want as a file of its own" in dock.start.message.text()
    viewer.add_image(np.zeros((4, 32, 32), np.float32), name="one")
    assert dock.target.image.name == "one"
    assert dock.start.message.text() == dock.message.text() == ""
    assert [v.name for v in dock.target.volumes()] == ["one"]
    dock.correct.new.click()
    dock.target.labels.paint((2, 10, 10), 1)
    assert [i.name for i, _ in dock.target.labelled()] == ["one"]
    viewer.layers.remove("one")
    assert "movie has 4 axes" in dock.start.message.text()
    viewer.layers.remove(movie)
    assert dock.start.message.text() == ""


def test_a_layer_with_time_can_be_split(dock, viewer):
    from napari.layers._layer_actions import _split_stack

    viewer.layers.selection.active = viewer.add_image(np.zeros((3, 4, 32, 32), np.float32))
    _split_stack(viewer.layers)
    assert dock.target.volume.grid.shape == (4, 32, 32)
    assert dock.start.message.text() == ""


def test_one_part_that_fails_does_not_keep_the_others(viewer, qtbot):
    _, dock = viewer.window.add_plugin_dock_widget("napari-unet")
    dock.opening.sample(sample("hippocampus"))
    child = dock.runner.child
    qtbot.waitUntil(lambda: child.pid is not None)
    dock.queue.release = lambda: 1 / 0
    with pytest.raises(ZeroDivisionError):
        dock.release()
    assert child.pid is None
    assert "D" not in {str(key) for key in viewer.keymap}
    assert not viewer.canvas.overlays.text.visible
    del dock.queue.release
    dock.queue.release()


def test_the_dock_lets_go_when_it_is_closed(viewer, qtbot):
    _, dock = viewer.window.add_plugin_dock_widget("napari-unet")
    dock.opening.sample(sample("hippocampus"))
    child = dock.runner.child
    qtbot.waitUntil(lambda: child.pid is not None)
    viewer.window.remove_dock_widget(dock)
    assert child.pid is None
    assert not viewer.canvas.overlays.text.visible
    viewer.dims.set_current_step(0, 1)


def marks(slices, dice=0.75):
    return {
        "mean_dice": dice,
        "per_class": {1: dice},
        "interval": (dice - 0.05, dice + 0.05) if slices >= 3 else None,
        "slices": slices,
        "voxels": 900,
        "enough": slices >= 3,
    }


def trained(verdict, slices, gain=None):
    alone = verdict in ("no base", "other classes")
    return {
        "model": "m.safetensors",
        "steps": 12,
        "validation": marks(slices),
        "base": None if alone else marks(slices, 0.5),
        "verdict": verdict,
        "promoted": verdict == "better" or alone,
        "difference": gain,
        "held_out": (),
        "old_task": None,
    }


def test_the_old_task_is_told_of_with_its_ground():
    result = trained("better", 4, (0.1, 0.3))
    assert recalled(result) == ""
    result["old_task"] = {"before": 0.812, "after": None, "patches": 5, "rehearsed": 11}
    assert recalled(result) == ""
    result["old_task"]["after"] = 0.796
    assert recalled(result) == (
        "Old task: Dice 0.81 before, 0.80 after, on 5 of the patches that the old model carries."
    )


CLASSES = (
    BACKGROUND,
    LabelClass(1, "ax<on", (0.0, 0.5, 1.0)),
    LabelClass(2, "myelin", (1.0, 1.0, 0.0)),
)
AXON, MYELIN = (f'<span style="color:{c}">■</span>' for c in ("#0080ff", "#ffff00"))


@pytest.mark.parametrize(
    ("dice", "slices", "words"),
    [
        (
            {1: 0.875, 2: 0.5},
            4,
            f"Dice {AXON} ax&lt;on 0.88, {MYELIN} myelin 0.50 on 4 held-out slices.",
        ),
        ({2: 0.5}, 3, f"Dice {MYELIN} myelin 0.50 on 3 held-out slices."),
        ({1: 0.875, 2: 0.5}, 2, ""),  # too few to tell
        ({}, 4, ""),
    ],
)
def test_each_class_has_its_dice(dice, slices, words):
    assert of_each(dice, CLASSES, slices) == words


def test_the_dice_of_many_classes_is_cut_short():
    many = [LabelClass(i, f"c{i}") for i in range(20)]
    said = of_each(dict.fromkeys(range(1, 20), 0.5), many, 4, "image")
    assert said.count("■") == 12
    assert said.endswith(" and 7 more on 4 held-out images.")


def test_each_class_has_its_own_line_beside_the_mean(dock):
    curve, tune = dock.tune.curve, dock.tune
    tune._classes = CLASSES
    curve.clear_curves(CLASSES)
    tune.draw(
        [Progress("train", 5, loss=0.4), Progress("train", 9, dice={1: 0.8, 2: 0.4}, slices=3)]
    )
    tune.draw([Progress("train", 12, dice={1: 0.9, 2: float("nan")}, slices=3)])
    assert curve.losses == [(5, 0.4)]
    assert curve.dices == [(9, pytest.approx(0.6)), (12, 0.9)]
    assert curve._lines[1].getData()[1].tolist() == [0.8, 0.9]
    assert curve._lines[1].opts["pen"].color().name() == "#0080ff"
    assert curve._lines[2].getData()[0].tolist() == [9]
    assert "ax&lt;on 0.90" in tune.marks.text()
    lines = list(curve._lines.values())
    curve.clear_curves(CLASSES[:2])  # one class is its own mean
    assert not curve._lines
    assert not any(line in curve._dice_plot.listDataItems() for line in lines)


ON_4 = "on 4 held-out slices (900 voxels)."
NEEDED = "1 slice held out, and 3 are needed."


@pytest.mark.parametrize(
    ("result", "flat", "words"),
    [
        (
            trained("better", 4, (0.1, 0.3)),
            False,
            f"Better beyond noise: Dice +0.10 to +0.30 {ON_4} In use now.",
        ),
        (
            trained("not better", 4, (-0.1, 0.3)),
            False,
            f"Not better beyond noise: Dice −0.10 to +0.30 {ON_4} The old model stays in use.",
        ),
        (
            trained("other classes", 4),
            False,
            f"Dice 0.75 (0.70–0.80) {ON_4} The new model is in use now: the one before knows other "
            "classes.",
        ),
        (
            trained("no base", 4),
            True,
            f"Dice 0.75 (0.70–0.80) {ON_4.replace('slice', 'image')} The new model is in use now.",
        ),
        (
            trained("too few", 1),
            False,
            f"Too few to tell which is better: {NEEDED} Both are kept: choose, and mark more slices.",
        ),
        (
            trained("no base", 1),
            False,
            f"Learned, but too few to tell how well: {NEEDED} The new model is in use now.",
        ),
        (
            trained("no base", 0),
            True,
            "Learned, but too few to tell how well: no images held out, and 3 are needed. "
            "The new model is in use now.",
        ),
    ],
)
def test_no_dice_without_its_ground(result, flat, words):
    assert outcome(result, flat=flat) == words


def test_the_user_can_overrule_with_one_click(qtbot, dock, model, weights):
    new = user_models_folder() / "tiny+image.safetensors"
    new.write_bytes(weights["classes"].read_bytes())
    dock.model.choose(model)
    tune = dock.tune
    tune._base = model
    tune.on_finished(Finished(trained("not better", 4, (-0.1, 0.3)) | {"model": new}))
    assert dock.model.path == model
    assert [name.toolTip() for name in tune.contest.names] == [str(model), str(new)]
    assert [dice.text() for dice in tune.contest.dices] == [
        "Dice 0.50 (0.45–0.55)",
        "Dice 0.75 (0.70–0.80)",
    ]
    assert [use.text() for use in tune.contest.uses] == ["In use", "Use"]
    for row, path in ((1, new), (0, model)):
        qtbot.mouseClick(tune.contest.uses[row], Qt.MouseButton.LeftButton)
        assert dock.model.path == path
        assert tune.contest.uses[row].text() == "In use"
        assert tune.contest.uses[1 - row].text() == "Use"


def test_a_better_model_is_in_use_and_the_old_one_a_click_away(qtbot, dock, model, weights):
    new = user_models_folder() / "tiny+image.safetensors"
    new.write_bytes(weights["classes"].read_bytes())
    dock.model.choose(model)
    dock.tune._base = model
    dock.tune.on_finished(Finished(trained("better", 4, (0.1, 0.3)) | {"model": new}))
    assert dock.model.path == new
    assert dock.tune.again.objectName() == "unet-primary"
    assert dock.tune.go.objectName() == "unet-button"
    qtbot.mouseClick(dock.tune.contest.uses[0], Qt.MouseButton.LeftButton)
    assert dock.model.path == model


def test_too_few_slices_show_no_dice(dock, model):
    dock.tune._base = model
    dock.tune.on_finished(Finished(trained("too few", 1) | {"model": model}))
    assert [dice.text() for dice in dock.tune.contest.dices] == ["", ""]


def test_a_locked_class_is_neither_merged_nor_removed_and_takes_its_lock_along(dock, hippocampus):
    dock.correct.new.click()
    dock.correct.add_class.click()
    labels, table = dock.target.labels, dock.correct.table
    table.item(2, LOCK).setCheckState(Qt.CheckState.Checked)
    merge, remove = table.menu(2).actions()[-2:]
    assert not merge.isEnabled()
    assert not remove.isEnabled()
    assert "locked" in remove.text()
    merge, remove = table.menu(1).actions()[-2:]
    (into,) = merge.menu().actions()
    assert not into.isEnabled()
    assert remove.isEnabled()
    layers.change_about(labels, locked=frozenset({1, 2}))  # whoever locked it
    table.dropped.emit(2, 0)
    assert layers.about(labels).locked == {1}


def test_a_class_is_merged_or_removed_by_its_menu(dock, hippocampus, model):
    dock.model.choose(model)
    labels = dock.target.add_labels(
        lambda volume: layers.new_labels(volume, dock.model.header.spec.classes)
    )
    dock.correct.add_class.click()
    for label in (1, 2, 3):
        labels.data[10, label] = label
    table = dock.correct.table
    assert [a.text() for a in table.menu(0).actions()] == ["Describe background…"]
    merge, _ = table.menu(2).actions()[-2:]
    assert [a.text() for a in merge.menu().actions()] == ["anterior", "class 3"]
    merge.menu().actions()[0].trigger()
    assert (labels.data[10, 2] == 1).all()
    assert [c.id for c in layers.about(labels).classes] == [0, 1, 3]
    assert dock.tune._merged(layers.about(labels)) == {2: 1}
    table.menu(2).actions()[-1].trigger()
    assert not labels.data[10, 3].any()
    assert [c.id for c in layers.about(labels).classes] == [0, 1]
    assert dock.tune._merged(layers.about(labels)) == {2: 1}
    labels.undo()
    labels.undo()
    assert (labels.data[10, 2] == 2).all()


def test_a_new_class_is_not_taken_for_one_that_was_merged_or_removed(dock, hippocampus, model):
    dock.model.choose(model)
    labels = dock.target.add_labels(
        lambda volume: layers.new_labels(volume, dock.model.header.spec.classes)
    )
    dock.correct.table.dropped.emit(2, 1)
    dock.correct.add_class.click()
    assert ids(labels) == [0, 1, 3]  # the model knows 2 as something else
    assert dock.tune._merged(layers.about(labels)) == {2: 1}
    dock.correct.table.dropped.emit(3, 0)
    dock.correct.add_class.click()
    assert ids(labels) == [0, 1, 4]
    dock.correct.table.dropped.emit(1, 0)
    assert dock.tune._merged(layers.about(labels)) == {}


def test_what_was_painted_of_a_merged_class_still_teaches(qtbot, dock, hippocampus, model):
    dock.model.choose(model)
    labels = dock.target.add_labels(
        lambda volume: layers.new_labels(volume, dock.model.header.spec.classes)
    )
    for label in (1, 2):
        labels.paint((10, 10 * label, 10), label)
    known = annotation_of(labels).known
    labels.data[20, 5, 5] = 2
    dock.slices.mark(20, 20)
    dock.correct.counts.refresh()
    dock.correct.table.menu(2).actions()[-2].menu().actions()[0].trigger()
    assert np.array_equal(annotation_of(labels).known[10], known[10])
    qtbot.waitUntil(lambda: not dock.correct.counts.pending)
    assert dock.correct.table._known[1] == known.sum() + 1
    labels.undo()
    assert np.array_equal(annotation_of(labels).known[10], known[10])


def ids(labels):
    return [c.id for c in layers.about(labels).classes]


def test_the_order_of_the_table_is_that_of_keys_and_lists(qtbot, dock, hippocampus, model):
    dock.model.choose(model)
    labels = dock.target.add_labels(
        lambda volume: layers.new_labels(volume, dock.model.header.spec.classes)
    )
    table = dock.correct.table
    dock.correct.add_class.click()
    table.move(3, -1)
    assert ids(labels) == [0, 1, 3, 2]
    assert labels.features["class"].tolist() == ["background", "anterior", "class 3", "posterior"]
    dock.correct._pick_place(2)
    assert labels.selected_label == 3
    assert table.item(2, 1).toolTip().startswith("class 3\nLabel 3, key Alt+2\n")
    for row, by in ((0, 1), (1, -1), (1, -5), (3, 9)):  # background stays on top, and ends are ends
        table.move(row, by)
    assert ids(labels) == [0, 1, 3, 2]
    table.setCurrentCell(1, 1)
    qtbot.keyClick(table, Qt.Key.Key_Down, Qt.KeyboardModifier.AltModifier)
    assert ids(labels) == [0, 3, 1, 2]
    assert table.currentRow() == 2
    below = table.visualItemRect(table.item(3, 1)).center()
    drop = QDropEvent(
        QPointF(below), Qt.DropAction.MoveAction, QMimeData(), Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
    )  # fmt: skip
    table.dropEvent(drop)
    assert drop.dropAction() == Qt.DropAction.IgnoreAction
    assert ids(labels) == [0, 3, 2, 1]
    assert table.rowCount() == 4
    # A prediction brings the model's names and keeps the order.
    dock.predict._layer(dock.model.header.spec.classes, False)
    assert ids(labels) == [0, 3, 2, 1]


def test_a_class_is_described(qtbot, dock, hippocampus):
    dock.correct.new.click()
    labels = dock.target.labels

    def answer():
        dialog = QApplication.activeModalWidget()
        dialog.setTextValue("head, with the uncus")
        dialog.accept()

    QTimer.singleShot(300, answer)
    dock.correct.table.menu(1).actions()[0].trigger()
    assert layers.about(labels).classes[1].description == "head, with the uncus"
    assert labels.features["description"].tolist() == ["", "head, with the uncus"]
    assert "head, with the uncus" in dock.correct.table.item(1, 1).toolTip()


def test_merges_follow_one_another():
    assert joined(joined((), 2, 1), 1, 5) == ((2, 5), (1, 5))
    assert joined(joined((), 2, 1), 1, 0) == ((2, 0), (1, 0))  # removed, and their ids are used up


@pytest.mark.parametrize(("seconds", "words"), [(0.2, "0 s"), (59.4, "59 s"), (130, "2 min 10 s")])
def test_durations_are_said_as_people_say_them(seconds, words):
    assert time_left(seconds) == words


def luminance(colour):
    """Relative luminance of a colour (WCAG 2.1)."""
    red, green, blue = (
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour[:3]
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("done", [False, True])
def test_words_on_the_canvas_are_legible_in_each_theme(dock, hippocampus, viewer, done):
    dock.correct.new.click()
    if done:
        dock.slices.toggle()
    for theme in ("light", "dark", "light"):
        viewer.theme = theme
        canvas = get_theme(theme).canvas.as_rgb_tuple(alpha=False)
        words = viewer.canvas.overlays.text.color
        lit = sorted((luminance(words.tolist()), luminance([c / 255 for c in canvas])))
        assert (lit[1] + 0.05) / (lit[0] + 0.05) >= 4.5, (theme, words)


def test_plots_take_the_colours_of_the_theme(dock, viewer):
    for theme in ("light", "dark"):
        viewer.theme = theme
        curve = dock.tune.curve
        assert curve._loss.opts["pen"].color().name() == LOSS_COLOURS[theme]
        items = [curve._loss_plot, dock.corrections.plot.getPlotItem()]
        assert {i.getAxis("left").textPen().color().name() for i in items} == {SOFT[theme]}
    assert items[1].titleLabel.text == "Dice of predictions with your corrections"


def test_the_words_of_every_start_button_fit(dock):
    for button in dock.start.findChildren(QPushButton):
        width = button.fontMetrics().horizontalAdvance(button.text())
        assert width < WIDTH - 70, button.text()  # margins, padding and a scroll bar
