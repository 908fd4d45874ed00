"""The dock's parts, without a child process at work."""

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_unet.core.bundled import sample, samples
from napari_unet.plugin import layers
from napari_unet.plugin.finetune_section import outcome
from napari_unet.plugin.predict_section import time_left


def test_an_empty_viewer_is_told_what_to_do_first(dock):
    assert dock.pages.currentIndex() == 0
    assert [s.name for s, _ in dock.start.samples] == [s.name for s in samples()]
    assert not dock.predict.go.isEnabled()
    assert dock.predict.go.toolTip() == "Open an image first."


def test_a_sample_opens_in_its_place_and_upright(dock, hippocampus, viewer):
    assert dock.pages.currentIndex() == 1
    assert dock.target.volume.source == str(hippocampus.image)
    assert [str(o) for o in viewer.scene.camera.orientation2d] == ["up", "right"]


def test_each_step_says_what_it_waits_for(dock, hippocampus, model):
    assert dock.tune.note.text() == "Mark a slice done first."
    dock.model.choose(model)
    assert dock.predict.go.isEnabled()
    assert dock.model.about.text() == "3D U-Net · anterior, posterior · 1 × 1 × 1 mm"


def test_keys_mark_slices_and_find_the_next(qtbot, dock, hippocampus, viewer):
    dock.correct.new.click()
    labels = dock.target.labels
    viewer.dims.set_current_step(0, 3)
    viewer.keymap[next(k for k in viewer.keymap if str(k) == "D")](viewer)
    assert layers.about(labels).done == {(0, 3)}
    assert viewer.canvas.overlays.text.text == "Slice 3 done"
    dock.slices.go(2)
    dock.slices.next()
    assert dock.slices.here == (0, 4)
    assert "press D" in viewer.canvas.overlays.text.text
    assert dock.correct.note.text() == "1 slice done"
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


def test_labels_of_another_image_are_not_offered(dock, hippocampus, viewer):
    viewer.add_labels(np.zeros((2, 3, 4), int))
    assert dock.target.labels is None


def test_the_dock_lets_go_when_it_is_closed(viewer, qtbot):
    _, dock = viewer.window.add_plugin_dock_widget("napari-unet")
    dock.open_sample(sample("hippocampus"))
    child = dock.runner.child
    qtbot.waitUntil(lambda: child.pid is not None)
    viewer.window.remove_dock_widget(dock)
    assert child.pid is None
    assert not viewer.canvas.overlays.text.visible
    viewer.dims.set_current_step(0, 1)


ON_2, ON_1 = "on 2 held-out slices (900 voxels).", "on 1 held-out slice (900 voxels)."
TOO_FEW = "Learned, but too few to tell how well: mark 3 or more slices done."


@pytest.mark.parametrize(
    ("promoted", "base", "slices", "tuned", "flat", "words"),
    [
        (True, 0.5, 2, True, False, f"Dice 0.50 → 0.75 {ON_2} In use now."),
        (
            False,
            0.8,
            1,
            True,
            False,
            f"No better: Dice 0.80 → 0.75 {ON_1} The old model stays in use; m is kept too. "
            "Mark more slices done and try again.",
        ),
        (
            True,
            None,
            2,
            True,
            False,
            f"Dice 0.75 {ON_2} The new model is in use now: the one before knows other classes.",
        ),
        (True, None, 2, False, False, f"Dice 0.75 {ON_2} The new model is in use now."),
        (
            True,
            None,
            2,
            False,
            True,
            "Dice 0.75 on 2 held-out images (900 voxels). The new model is in use now.",
        ),
        (
            True,
            None,
            0,
            True,
            False,
            f"{TOO_FEW} The new model is in use now because it could not be compared.",
        ),
        (True, None, 0, False, False, f"{TOO_FEW} The new model is in use now."),
        (
            True,
            None,
            0,
            False,
            True,
            "Learned, but too few to tell how well: mark 3 or more images done. The new model is in use now.",
        ),
    ],
)
def test_no_dice_without_its_ground(promoted, base, slices, tuned, flat, words):
    score = {"mean_dice": 0.75, "per_class": {1: 0.75}, "slices": slices, "voxels": 900}
    result = {
        "model": "m.safetensors",
        "validation": score,
        "promoted": promoted,
        "base_dice": base,
    }
    assert outcome(result, tuned=tuned, flat=flat) == words


@pytest.mark.parametrize(("seconds", "words"), [(0.2, "0 s"), (59.4, "59 s"), (130, "2 min 10 s")])
def test_durations_are_said_as_people_say_them(seconds, words):
    assert time_left(seconds) == words


def test_a_file_opened_by_drop_needs_no_question(dock):
    from napari.settings import get_settings

    assert get_settings().plugins.extension2reader["*.nii.gz"] == "napari-unet"
