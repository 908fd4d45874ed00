"""A session comes back whole: after closing, elsewhere, and after a kill."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from napari.layers import Labels

from conftest import CHILD_MS, crash
from napari_unet import io
from napari_unet.core.bundled import sample
from napari_unet.core.correction import Correction
from napari_unet.jobs import Finished, read_session, recent_sessions, unfinished
from napari_unet.plugin import layers
from napari_unet.plugin.annotation import annotation_of
from napari_unet.plugin.dock import Dock
from napari_unet.plugin.safety import STROKE_MS
from napari_unet.plugin.slice_states import State
from napari_unet.plugin.traces import traces


@pytest.fixture
def dock(viewer):
    """Open the dock; a test may close it and open another one."""
    _, widget = viewer.window.add_plugin_dock_widget("napari-unet")
    yield widget
    for one in list(viewer.window.dock_widgets.values()):
        if isinstance(one, Dock):
            one.release()


@pytest.fixture
def image(tmp_path):
    """Copy the sample to where a user would have it."""
    path = tmp_path / "data" / "t1.nii.gz"
    path.parent.mkdir()
    shutil.copyfile(sample("hippocampus").image, path)
    return path


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "session"


def saved(qtbot, dock):
    """Wait until the folder is up to date."""
    qtbot.waitUntil(lambda: not dock.keeper.saving, timeout=30_000)
    assert dock.keeper.problem == ""


def work(dock, image):
    """Open an image, paint, mark, lock, name."""
    dock.opening.paths([str(image)])
    dock.correct.new.click()
    labels: Labels = dock.target.labels
    labels.brush_size = 3
    dock.slices.go(7)
    labels.paint((7, 10, 10), 1)
    dock.slices.toggle()
    dock.slices.go(9)
    labels.paint((9, 20, 20), 0)
    dock.correct.table.locked.emit(frozenset({1}))
    dock.slices.hold_out(labels, [(0, 7)])
    return labels


def reopened(viewer, folder):
    """Open the session in a dock of its own, as after a restart."""
    viewer.layers.clear()
    _, dock = viewer.window.add_plugin_dock_widget("napari-unet")
    assert isinstance(dock, Dock)
    dock.session.open_session(folder)
    return dock


def leave(viewer):
    """Close the dock, as closing napari does."""
    viewer.window.remove_dock_widget("all")


def killed(dock, folder):
    """Leave journals and session as a killed process leaves them; return a copy of the folder."""
    crash(dock)
    copy = folder.with_name("killed")
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("lock"))
    return copy


def test_everything_comes_back_after_closing(qtbot, dock, viewer, image, folder, model):
    labels = work(dock, image)
    dock.model.choose(model)
    dock.tune.curve.restore([(1, 0.9), (2, 0.5)], [(2, 0.7)])
    dock.slices.suggest({(0, 12): "unsure", (0, 3): "far"})
    painted, known = np.array(labels.data), annotation_of(labels).known
    layers.change_about(labels, corrections=(Correction(0, 7, "mine", "ab", {1: 0.75}, 900, 12),))
    about = layers.about(labels)
    dock.session.save_to(folder)
    saved(qtbot, dock)
    leave(viewer)

    again = reopened(viewer, folder)
    back = again.target.labels
    assert np.array_equal(back.data, painted)
    assert layers.about(back) == about
    assert np.array_equal(annotation_of(back).known, known)
    assert again.model.path == model
    assert again.tune.curve.losses == [(1, 0.9), (2, 0.5)]
    assert again.slices.here == (0, 9)
    assert again.slices.suggested() == {(0, 12): "unsure", (0, 3): "far"}
    assert set(again.correct.ruler._suggested) == {12, 3}
    assert "0.75 on 1 slice (mine)" in again.corrections.text.text()
    assert not again.corrections.isHidden()
    assert again.slices.states()[[7, 9]].tolist() == [State.HELD_OUT, State.PAINTED]
    assert again.session.problem.text() == ""
    assert again.safety.isHidden()
    assert recent_sessions() == [folder]


def test_the_choice_of_two_models_comes_back(
    qtbot, dock, viewer, image, folder, model, weights, tmp_path
):
    new = model.with_name("tiny+t1.safetensors")
    new.write_bytes(weights["other"].read_bytes())
    work(dock, image)
    dock.model.choose(model)
    dock.session.save_to(folder)
    measured = {
        "mean_dice": 0.5,
        "per_class": {1: 0.5},
        "interval": (0.45, 0.55),
        "slices": 3,
        "voxels": 9,
        "enough": True,
    }
    result = {"model": new, "steps": 5, "promoted": False, "verdict": "not better"}
    result |= {"validation": measured | {"mean_dice": 0.54}, "base": measured}
    result |= {"difference": (-0.01, 0.03), "held_out": (), "old_task": None}
    dock.tune._base = model
    dock.tune.on_finished(Finished(result))
    verdict, dices = dock.tune.status.text(), [d.text() for d in dock.tune.contest.dices]
    assert verdict.startswith("Not better beyond noise")
    saved(qtbot, dock)
    leave(viewer)
    new.rename(tmp_path / "away.safetensors")  # the folder has a copy

    again = reopened(viewer, folder)
    contest = again.tune.contest
    assert again.session.problem.text() == ""
    assert not contest.isHidden()
    assert again.tune.status.text() == verdict
    assert [d.text() for d in contest.dices] == dices
    assert [u.text() for u in contest.uses] == ["In use", "Use"]
    assert contest.names[0].toolTip() == str(model)
    contest.uses[1].click()
    assert again.model.path.parent == folder / "models"
    assert again.model.path.read_bytes() == weights["other"].read_bytes()
    assert [u.text() for u in contest.uses] == ["Use", "In use"]
    saved(qtbot, again)
    leave(viewer)

    copy = again.model.path
    third = reopened(viewer, folder)
    assert third.model.path == copy
    assert [u.text() for u in third.tune.contest.uses] == ["Use", "In use"]
    leave(viewer)

    copy.unlink()
    last = reopened(viewer, folder)
    assert last.tune.contest.isHidden()
    assert last.tune.status.text() == verdict
    assert "one of the two to choose from, is not there" in last.session.problem.text()


def test_slices_that_a_model_suggested_come_back_with_it(
    qtbot, dock, viewer, image, folder, model, weights
):
    other = model.with_name("other.safetensors")
    other.write_bytes(weights["other"].read_bytes())
    work(dock, image)
    dock.model.choose(model)
    dock.next.go()
    qtbot.waitUntil(lambda: not dock.runner.busy, timeout=CHILD_MS)
    first, *others = dock.slices.suggested()
    assert dock.slices.here == first
    assert others
    dock.session.save_to(folder)
    saved(qtbot, dock)
    leave(viewer)

    again = reopened(viewer, folder)
    assert list(again.slices.suggested()) == [first, *others]
    for which in others:
        again.next.go()
        assert not again.runner.busy
        assert again.slices.here == which
        assert again.correct.advice.text().startswith("Suggested: ")
    again.model.choose(other)
    again.next.go()
    assert again.runner.busy
    again.runner.stop()
    qtbot.waitUntil(lambda: not again.runner.busy, timeout=CHILD_MS)


@pytest.mark.parametrize("name", ["t1.nii.gz", "t1.tif"])
def test_a_voxel_size_set_by_hand_comes_back(qtbot, dock, viewer, image, folder, name):
    path = image.with_name(name)
    if name.endswith(".tif"):
        tifffile.imwrite(path, io.read(image).array()[0])
    labels = work(dock, path)
    dock.session.save_to(folder)
    saved(qtbot, dock)
    dock.target.image.scale, dock.target.image.units = (2.0, 0.5, 0.5), ("um",) * 3
    dock.slices.go(12)
    dock.slices.toggle()
    saved(qtbot, dock)
    grid, painted = dock.target.volume.grid, np.array(labels.data)
    assert (grid.spacing, grid.unit) == ((2.0, 0.5, 0.5), "um")
    leave(viewer)

    again = reopened(viewer, folder)
    assert again.session.problem.text() == again.message.text() == ""
    back = again.target.labels
    assert again.target.volume.grid == layers.about(back).grid == grid
    assert np.array_equal(back.data, painted)
    assert layers.about(back).done == {(0, 7), (0, 12)}
    assert np.allclose(back.data_to_world((1, 2, 3)), again.target.image.data_to_world((1, 2, 3)))
    out = folder.with_name("out.nii.gz")
    again.export.export(out)
    qtbot.waitUntil(lambda: again.export.status.text().startswith("Saved"), timeout=20_000)
    _, written, _ = io.read_labels(out)
    assert np.allclose(written.spacing_in("um"), grid.spacing)


def test_marks_and_jobs_are_saved_by_themselves(qtbot, dock, image, folder):
    labels = work(dock, image)
    dock.session.save_to(folder)
    saved(qtbot, dock)
    dock.slices.go(12)
    labels.paint((12, 10, 10), 1)
    dock.slices.toggle()
    saved(qtbot, dock)
    (entry,) = read_session(folder).images
    assert entry.labels[0].done == {0: (7, 12)}
    found, _, _ = io.read_labels(folder / entry.labels[0].file)
    assert np.array_equal(found, labels.data)
    log = (folder / "log.txt").read_text(encoding="utf-8")
    assert "t1.nii.gz: slice z 12 marked done" in log
    assert not unfinished()  # the session has it all
    result = {"model": "m.safetensors", "steps": 5, "promoted": False}
    result["validation"] = {"mean_dice": 0.5, "slices": 3, "voxels": 9}
    dock.tune.verdict = "Too few to tell."
    dock.tune.ended.emit(result)
    saved(qtbot, dock)
    assert read_session(folder).rounds[0].dice == 0.5
    assert (
        read_session(folder).verdict == read_session(folder).rounds[0].words == "Too few to tell."
    )


def test_strokes_after_the_last_save_are_back_after_a_crash(qtbot, dock, viewer, image, folder):
    labels = work(dock, image)
    dock.session.save_to(folder)
    saved(qtbot, dock)
    labels.paint((20, 10, 10), 2)  # class 1 is locked
    qtbot.wait(2 * STROKE_MS)
    painted, known = np.array(labels.data), annotation_of(labels).known
    copy = killed(dock, folder)
    (entry,) = read_session(copy).images
    found, _, _ = io.read_labels(copy / entry.labels[0].file)
    assert not np.array_equal(found, painted)
    leave(viewer)

    again = reopened(viewer, copy)
    assert np.array_equal(again.target.labels.data, painted)
    assert np.array_equal(annotation_of(again.target.labels).known, known)
    assert again.safety.isHidden()
    assert not unfinished()
    found, _, _ = io.read_labels(copy / entry.labels[0].file)
    assert np.array_equal(found, painted)


def test_what_a_save_had_is_back_after_a_crash_with_the_strokes_since(
    qtbot, dock, viewer, image, folder
):
    dock.safety._sweep.setInterval(600_000)  # never, on a slow machine too
    labels = work(dock, image)
    dock.session.save_to(folder)
    saved(qtbot, dock)
    dock.slices.go(20)
    labels.paint((20, 10, 10), 2)
    far = (np.array([30]), np.array([5]), np.array([5]))
    labels.data_setitem(far, 1)  # in a slice that only a sweep finds
    qtbot.wait(2 * STROKE_MS)
    dock.keeper.save()
    saved(qtbot, dock)
    labels.paint((20, 15, 15), 2)
    qtbot.wait(2 * STROKE_MS)
    painted = np.array(labels.data)
    copy = killed(dock, folder)
    leave(viewer)
    assert np.array_equal(reopened(viewer, copy).target.labels.data, painted)


def test_a_missing_image_is_told_and_pointed_to(qtbot, dock, viewer, image, folder, tmp_path):
    labels = work(dock, image)
    painted = np.array(labels.data)
    dock.session.save_to(folder)
    saved(qtbot, dock)
    leave(viewer)
    moved = tmp_path / "elsewhere.nii.gz"
    image.rename(moved)
    other = tmp_path / "other.nii.gz"
    shutil.copyfile(sample("hippocampus").labels, other)

    again = reopened(viewer, folder)
    assert again.pages.currentIndex() == 1
    assert again.session.problem.text().startswith("t1.nii.gz is not where the session says")
    assert not again.session.find.isHidden()
    again.keeper.save()
    assert again.keeper.session.images[0].labels  # nothing is forgotten meanwhile
    asked = []
    again.session.ask = lambda text: bool(asked.append(text))
    again.session.point_to(other)
    assert "is another file" in asked[0]
    assert again.keeper.missing
    again.session.ask = lambda text: asked.append(text) or True
    plane, table = tmp_path / "plane.tif", tmp_path / "table.csv"
    tifffile.imwrite(plane, np.zeros((40, 50), np.uint8))
    table.write_text("a,b\n1,2\n")
    for wrong, why in ((plane, "have shape"), (table, "table.csv")):  # agreed to by mistake
        again.session.point_to(wrong)
        assert why in again.session.problem.text()
        assert [one.path for one in again.keeper.missing] == [str(image)]
        assert not again.session.find.isHidden()
        again.keeper.save()
        saved(qtbot, again)
        assert read_session(folder).images[0].path == str(image)
    again.session.point_to(moved)
    assert len(asked) == 3
    assert np.array_equal(again.target.labels.data, painted)
    assert again.session.find.isHidden()
    saved(qtbot, again)
    assert read_session(folder).images[0].path == str(moved)


def test_labels_that_cant_be_read_stay_in_the_session(qtbot, dock, viewer, image, folder):
    work(dock, image)
    dock.session.save_to(folder)
    saved(qtbot, dock)
    leave(viewer)
    (file,) = [i for i in (folder / "labels").iterdir() if "painted" not in i.name]
    file.write_bytes(b"torn")
    again = reopened(viewer, folder)
    assert file.name in again.session.problem.text()
    again.correct.new.click()
    again.keeper.save()
    saved(qtbot, again)
    names = [one.file for one in read_session(folder).images[0].labels]
    assert names == [f"labels/{file.name}", "labels/t1-2.nii.gz"]
    assert file.read_bytes() == b"torn"


@pytest.mark.parametrize("levels", [1, 2])
def test_labels_that_cant_be_worked_on_keep_no_others_from_the_session(
    qtbot, dock, viewer, image, folder, levels
):
    labels = work(dock, image)
    foreign = np.full(labels.data.shape, -1)
    viewer.add_labels(foreign if levels == 1 else [foreign, foreign[::2, ::2, ::2]])
    dock.session.save_to(folder)
    saved(qtbot, dock)
    (told,) = read_session(folder).images[0].labels
    assert told.done == {0: (7,)}
    assert told.name == labels.name


def test_another_session_is_never_overwritten(qtbot, dock, image, folder, tmp_path):
    folder.mkdir()
    (folder / "session.json").write_text("{}")
    work(dock, image)
    dock.session.save_to(folder)
    assert "holds another session" in dock.session.problem.text()
    assert (folder / "session.json").read_text() == "{}"
    assert dock.keeper.folder is None


def test_a_hostile_session_leaves_the_window_as_it_was(dock, hippocampus, folder):
    folder.mkdir()
    (folder / "session.json").write_text(json.dumps({"images": [{"path": 3}]}))
    dock.session.open_session(folder)
    assert "damaged or no session" in dock.session.problem.text()
    assert dock.target.image is not None
    assert dock.keeper.folder is None


def test_a_session_is_copied_under_another_name(qtbot, dock, image, folder, tmp_path):
    work(dock, image)
    dock.session.save_to(folder)
    saved(qtbot, dock)
    dock.session.save_to(tmp_path / "copy")
    saved(qtbot, dock)
    assert dock.keeper.folder == tmp_path / "copy"
    assert read_session(tmp_path / "copy").images == read_session(folder).images
    file = read_session(folder).images[0].labels[0].file
    assert (tmp_path / "copy" / file).exists()


def test_open_labels_of_no_session_are_not_cleared_unasked(qtbot, dock, image, folder):
    work(dock, image)
    dock.session.save_to(folder)
    saved(qtbot, dock)
    dock.keeper.release()
    dock.session.ask = lambda _: False
    dock.session.open_session(folder)
    assert dock.keeper.folder is None


def test_nothing_that_a_session_leaves_out_is_cleared_unasked(qtbot, dock, image, folder, tmp_path):
    asked = []
    dock.session.ask = lambda text: bool(asked.append(text))
    dock.opening.paths([str(image)])
    assert dock.session.may_clear()  # the file is still there
    work(dock, image)
    for name in ("other", "session"):
        dock.session.save_to(tmp_path / name)
        saved(qtbot, dock)
    assert dock.session.may_clear()
    mine = dock.viewer.add_image(np.zeros((6, 7, 8), np.float32), name="processed")
    dock.target.choose_image(mine)
    dock.correct.new.click()
    assert not asked
    dock.session.open_session(tmp_path / "other")
    assert "no session has these: processed, processed labels." in asked[0]
    assert dock.keeper.folder == folder
    assert mine in dock.viewer.layers


def test_images_that_a_session_leaves_out_are_named(qtbot, dock, folder):
    voxels = np.zeros((6, 7, 8), np.float32)
    mine = dock.viewer.add_image(voxels, name="processed")
    dock.correct.new.click()
    assert dock.session.problem.text() == ""
    dock.session.save_to(folder)
    saved(qtbot, dock)
    assert dock.session.problem.text().startswith("processed was not opened here from a file")
    other = dock.viewer.add_image(voxels, name="other")
    assert dock.session.problem.text().startswith("processed, other were not opened here")
    for layer in (mine, other):
        dock.viewer.layers.remove(layer)
    assert dock.session.problem.text() == ""


def test_an_image_that_napari_opened_itself_is_taken_in(qtbot, dock, viewer, folder, tmp_path):
    path = tmp_path / "stack.tif"
    stack = np.random.default_rng(0).integers(0, 999, (6, 40, 50)).astype(np.uint16)
    tifffile.imwrite(path, stack, imagej=True, metadata={"axes": "ZYX", "spacing": 2, "unit": "um"})
    viewer.open(path, plugin="napari")
    dock.correct.new.click()
    dock.target.labels.paint((3, 20, 20), 1)
    painted = np.array(dock.target.labels.data)
    dock.session.save_to(folder)
    saved(qtbot, dock)
    assert dock.session.problem.text() == ""
    leave(viewer)
    again = reopened(viewer, folder)
    assert again.target.volume.source == str(path)
    assert np.array_equal(again.target.labels.data, painted)


def test_what_came_from_a_file_counts_as_unchecked(qtbot, dock, viewer, image, folder):
    labels = work(dock, image)
    labels.data[3] = 1
    dock.session.save_to(folder)
    saved(qtbot, dock)
    leave(viewer)
    again = reopened(viewer, folder)
    assert traces(again.target.labels).predicted(0)[3]
    assert again.slices.states()[3] == State.PREDICTED


@pytest.mark.skipif(os.name == "nt", reason="kill -9 is for the others")
def test_a_killed_napari_costs_no_more_than_the_stroke_in_progress(
    qtbot, viewer, image, folder, tmp_path
):
    script = Path(__file__).with_name("painter.py")
    napari = subprocess.Popen(
        [sys.executable, str(script), str(image), str(folder)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert napari.stdout.readline() == "painting\n"
    finally:
        napari.send_signal(signal.SIGKILL)
        napari.wait()
    painted = np.load(tmp_path / "painted.npy")
    rows = [np.unique(np.nonzero(painted[index])[0]).size for index in (12, 14, 20)]
    assert rows == [5, 5, 1]  # ten strokes and one

    again = reopened(viewer, folder)
    labels = again.target.labels
    more = np.asarray(labels.data) != painted  # as much of the last stroke as the journal had
    assert not np.delete(more, 20, axis=0).any()
    assert not more[painted > 0].any()
    assert layers.about(labels).done == {(0, 12), (0, 14)}
    assert annotation_of(labels).known.any(axis=(1, 2)).nonzero()[0].tolist() == [
        12,
        14,
        20,
    ]
    assert again.session.problem.text() == ""
    assert again.safety.isHidden()
    log = (folder / "log.txt").read_text(encoding="utf-8")
    marks = re.findall(r"t1.nii.gz: slices? z ([\d, ]+) marked done", log)
    assert ", ".join(marks) == "12, 14"  # one line of both, or two where it was saved in between
