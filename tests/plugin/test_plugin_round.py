"""The main job in a real window: open, predict, paint, mark done, fine-tune, predict, export, reopen."""

import os
import signal
import sys
import time

import numpy as np
from qtpy.QtCore import Qt

from conftest import CHILD_MS
from napari_unet import io
from napari_unet.core.bundled import sample, user_models_folder
from napari_unet.core.model_header import read_model_header
from napari_unet.plugin import layers

DONE = (6, 14, 22, 28)


def press(qtbot, button, clicks):
    """Click a button as a person does, and count it."""
    assert button.isEnabled(), button.toolTip()
    clicks.append(button.text())
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def idle(qtbot, dock):
    """Wait for the running job's end."""
    qtbot.waitUntil(lambda: not dock.runner.busy, timeout=CHILD_MS)


def copy_truth(dock, truth):
    """Let the reference annotation play the person who mends a slice."""
    labels = dock.target.labels
    for index in DONE:
        dock.slices.go(index)
        at = np.nonzero(np.asarray(labels.data)[index] != truth[index])
        labels.data_setitem((np.full(len(at[0]), index), *at), truth[index][at])
        dock.slices.toggle()


def test_from_an_open_volume_to_a_better_model(qtbot, dock, model, heartbeat, tmp_path, capsys):
    clicks, reports = [], []
    opener = next(b for s, b in dock.start.samples if s.name == "hippocampus")
    press(qtbot, opener, clicks)
    dock.model.choose(model)
    truth, grid, _ = io.read_labels(sample("hippocampus").labels)

    with heartbeat() as beat:
        press(qtbot, dock.predict.go, clicks)
        idle(qtbot, dock)
    reports.append(beat.report("predict"))
    labels = dock.target.labels
    assert labels.data.any()
    assert " s on " in dock.predict.status.text()

    copy_truth(dock, truth)
    assert dock.tune.go.text() == "Fine-tune on 4 slices"
    dock.tune.form.fields["steps"].value = "12"
    with heartbeat() as beat:
        press(qtbot, dock.tune.go, clicks)
        idle(qtbot, dock)
    reports.append(beat.report("fine-tune"))
    assert dock.tune.curve.losses
    assert dock.tune.curve.dices
    assert "Too few to tell which is better: 1 slice held out" in dock.tune.status.text()
    (held,) = layers.about(labels).held_out
    assert held in layers.about(labels).done
    assert dock.correct.ruler.words(held[1]) == f"Slice {held[1]}: held out to measure the model"
    path = user_models_folder() / "tiny+hippocampus.safetensors"
    assert dock.model.path == model
    press(qtbot, dock.tune.contest.uses[1], clicks)
    assert dock.model.path == path
    assert read_model_header(path).parent == read_model_header(model).sha256

    before = np.array(labels.data)
    press(qtbot, dock.predict.go, clicks)
    idle(qtbot, dock)
    assert dock.target.labels is labels
    for index in DONE:
        assert np.array_equal(labels.data[index], truth[index])
    labels.undo()
    assert np.array_equal(labels.data, before)
    labels.redo()

    target = tmp_path / "export.nii.gz"
    dock.export.export(target)
    qtbot.waitUntil(lambda: dock.export.status.text() == f"Saved {target}", timeout=20_000)
    found, written, classes = io.read_labels(target, grid)
    assert np.array_equal(found, labels.data)
    assert np.array_equal(written.matrix, grid.matrix)
    assert [c.name for c in classes] == ["background", "anterior", "posterior"]
    assert len(clicks) <= 5, clicks

    reports.append(f"clicks: {len(clicks)} ({', '.join(clicks)})")
    with capsys.disabled():
        sys.stdout.write("\n" + "\n".join(reports) + "\n")


def seconds_to_labels(qtbot, dock):
    """Press Predict where there are no labels yet; return the seconds until some are in their layer."""
    assert dock.target.labels is None
    began = time.perf_counter()
    press(qtbot, dock.predict.go, [])
    qtbot.waitUntil(lambda: dock.target.labels.data.any(), timeout=CHILD_MS)
    dock.target.labels.refresh()
    qtbot.wait(1)  # one turn of the event loop draws them
    seconds = time.perf_counter() - began
    idle(qtbot, dock)
    return seconds


def test_labels_appear_in_a_new_child_and_again_in_the_same(qtbot, dock, viewer, capsys):
    dock.opening.sample(sample("hippocampus"))
    assert dock.model.path.stem == "hippocampus-mr"
    cold = seconds_to_labels(qtbot, dock)
    child, first = dock.runner.child.pid, np.array(dock.target.labels.data)
    viewer.layers.remove(dock.target.labels)
    warm = seconds_to_labels(qtbot, dock)
    assert dock.runner.child.pid == child
    assert np.array_equal(dock.target.labels.data, first)
    with capsys.disabled():
        sys.stdout.write(f"\nfirst labels {cold:.1f} s after the click, {warm:.2f} s when warm\n")


def test_a_killed_child_costs_a_message_and_no_label(qtbot, dock, hippocampus, model):
    dock.model.choose(model)
    labels = dock.target.add_labels(
        lambda volume: layers.new_labels(volume, dock.model.header.spec.classes)
    )
    labels.paint((10, 10, 10), 1)
    dock.slices.go(10)
    dock.slices.toggle()
    painted = np.array(labels.data)
    dock.tune.form.fields["minutes"].value = 5
    dock.tune.go.click()
    qtbot.waitUntil(lambda: bool(dock.tune.curve.losses), timeout=CHILD_MS)
    os.kill(dock.runner.child.pid, getattr(signal, "SIGKILL", signal.SIGTERM))
    idle(qtbot, dock)
    assert dock.tune.status.text()
    assert dock.tune.status.property("tone") == "bad"
    assert np.array_equal(labels.data, painted)

    dock.predict.go.click()
    idle(qtbot, dock)
    assert " s on " in dock.predict.status.text()


def test_objects_get_ids_and_stop_keeps_what_is_there(qtbot, dock, weights):
    dock.opening.sample(sample("nuclei-2d"))
    dock.model.choose(weights["objects"])
    dock.predict.go.click()
    idle(qtbot, dock)
    labels = dock.target.labels
    assert layers.about(labels).instances
    assert labels.data.dtype == np.uint32

    dock.slices.toggle()
    dock.tune.form.fields["minutes"].value = 5
    dock.tune.go.click()
    learning = lambda: bool(dock.tune.curve.losses) or not dock.tune.running  # noqa: E731
    qtbot.waitUntil(learning, timeout=CHILD_MS)
    assert dock.tune.running, dock.tune.status.text()
    dock.tune.halt.click()
    idle(qtbot, dock)
    assert dock.model.path.stem == "objects"
    assert "Too few to tell which is better: no images held out" in dock.tune.status.text()


def test_what_is_deleted_while_it_is_drawn_is_no_result(qtbot, dock, hippocampus, viewer, model):
    dock.model.choose(model)
    surveys = []
    dock.predict.surveyed.connect(lambda *_: surveys.append(1))
    for button, what in [
        (dock.predict.go, "labels were"),
        (dock.predict.unsure, "uncertainty was"),
    ]:
        button.click()
        viewer.layers.remove(viewer.layers[-1])
        idle(qtbot, dock)
        assert dock.predict.status.text() == f"The {what} deleted, so nothing is shown."
        assert not dock.predict.running
    assert [x.name for x in viewer.layers] == [dock.target.image.name]
    dock.predict.go.click()
    viewer.layers.clear()
    idle(qtbot, dock)
    assert dock.predict.status.text() == "The labels were deleted, so nothing is shown."
    assert surveys == []
