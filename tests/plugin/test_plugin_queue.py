"""A folder of images is worked through by keyboard, and the next ones are predicted ahead."""

import gc
import shutil
import weakref

import numpy as np
import pytest
from qtpy.QtCore import Qt

from conftest import CHILD_MS
from napari_unet import io
from napari_unet.core.bundled import sample
from napari_unet.errors import ReadError
from napari_unet.jobs import FileVolume, Finished, PredictRequest, SharedArray, read_session
from napari_unet.plugin import layers
from napari_unet.plugin.opening import QUEUE
from napari_unet.plugin.queue_section import NAME, STATE, thumbnail

IMAGES = ("a.nii.gz", "b.nii.gz", "c.nii.gz")


@pytest.fixture
def folder(tmp_path):
    """Make a folder of three images and things that are none."""
    path = tmp_path / "images"
    path.mkdir()
    for name in IMAGES:
        shutil.copyfile(sample("hippocampus").image, path / name)
    shutil.copyfile(sample("hippocampus").labels, path / "a_labels.nii.gz")
    (path / "notes.txt").touch()
    return path


def states(dock):
    table = dock.queue.table
    return [table.item(i, STATE).text() for i in range(table.rowCount())]


def test_the_next_images_are_predicted_ahead_and_open_with_labels(
    qtbot, dock, viewer, folder, model
):
    dock.model.choose(model)
    dock.opening.folder(folder)
    table = dock.queue.table
    assert [table.item(i, NAME).text() for i in range(3)] == list(IMAGES)
    assert dock.target.volume.source == str(folder / "a.nii.gz")
    qtbot.waitUntil(lambda: states(dock)[1:] == ["predicted", "predicted"], timeout=CHILD_MS)
    assert not dock.runner.busy
    qtbot.waitUntil(lambda: not dock.keeper.saving, timeout=30_000)
    assert [i.stage for i in read_session(folder / QUEUE).images] == [
        "new",
        "predicted",
        "predicted",
    ]

    table.setCurrentCell(1, NAME)
    table.setFocus()
    qtbot.keyClick(table, Qt.Key.Key_Down)
    assert table.currentRow() == 2
    dock.queue.open_button.click()
    labels = dock.target.labels
    assert dock.target.volume.source == str(folder / "c.nii.gz")
    assert labels.data.any()
    assert [c.name for c in layers.about(labels).classes] == ["background", "anterior", "posterior"]
    assert len(viewer.layers) == 2  # nothing is known in the first image, so it is let go

    dock.slices.go(12)
    labels.paint((12, 10, 10), 1)
    dock.slices.toggle()
    key = next(k for k in viewer.keymap if str(k) == "Ctrl+Right")
    viewer.keymap[key](viewer)
    assert dock.target.volume.source == str(folder / "a.nii.gz")
    assert not labels.visible
    assert labels in viewer.layers  # it teaches
    assert dock.tune.go.text() == "Fine-tune on 1 slice"
    done = dock.keeper.session.images[2]
    assert done.finished
    assert "as it predicted this image, against your labels on 1 slice done" in done.measured
    assert 0 <= done.dice <= 1

    dock.queue.done_next()
    dock.queue.done_next()
    assert dock.queue.message.text() == "All images are done."
    assert states(dock) == ["done"] * 3
    assert dock.queue.note.text() == "3 of 3 done"
    qtbot.waitUntil(lambda: not dock.keeper.saving, timeout=30_000)
    assert "c.nii.gz: done" in (folder / QUEUE / "log.txt").read_text(encoding="utf-8")


def test_only_what_was_predicted_ahead_and_left_alone_is_predicted_anew(
    qtbot, dock, folder, model, weights
):
    dock.model.choose(model)
    dock.opening.folder(folder)
    a, b, c = (str(folder / name) for name in IMAGES)
    qtbot.waitUntil(lambda: states(dock)[1:] == ["predicted", "predicted"], timeout=CHILD_MS)
    dock.opening.labels(folder / "a_labels.nii.gz")
    qtbot.waitUntil(lambda: dock.target.labels is not None, timeout=30_000)
    expert = np.array(dock.target.labels.data)
    dock.queue.open(c)
    edited, tools = dock.target.labels, dock.correct.tools
    tools.operation.setCurrentText("Shrink")  # no stroke, no mark
    tools.scope.setCurrentText("Whole volume")
    tools.about.setCurrentIndex(1)
    tools.number.setValue(1)
    tools.apply.click()
    qtbot.waitUntil(lambda: tools.status.text().endswith("."), timeout=30_000)
    mended = np.array(edited.data)
    dock.queue.open(a)
    qtbot.waitUntil(lambda: not dock.keeper.saving, timeout=30_000)

    other = model.with_name("other.safetensors")
    shutil.copyfile(weights["other"], other)
    dock.model.choose(other)

    def image(path):
        return dock.keeper.session.image(path)

    qtbot.waitUntil(lambda: image(b).labels[0].model == "other", timeout=CHILD_MS)
    qtbot.waitUntil(lambda: dock.runner.idle and not dock.keeper.saving, timeout=CHILD_MS)
    dock.queue.open(c)
    assert np.array_equal(dock.target.labels.data, mended)
    (known,) = image(a).labels
    assert np.array_equal(io.read_labels(folder / QUEUE / known.file)[0], expert)


def test_images_in_which_nothing_is_known_leave_the_memory(qtbot, dock, folder):
    dock.opening.folder(folder)
    dock.correct.new.click()
    held = [weakref.ref(dock.target.labels), weakref.ref(dock.target.volume)]
    dock.queue.open(str(folder / "b.nii.gz"))
    qtbot.waitUntil(lambda: not dock.keeper.saving, timeout=30_000)

    def gone():
        gc.collect()
        return [one() for one in held] == [None, None]

    qtbot.waitUntil(gone, timeout=30_000)
    dock.queue.open(str(folder / "a.nii.gz"))
    dock.correct.new.click()
    dock.keeper.save()
    files = [one.file for one in dock.keeper.session.images[0].labels]
    assert files == ["labels/a.nii.gz", "labels/a-2.nii.gz"]


class Person:
    """Asks for a prediction and waits for it."""

    def __init__(self):
        self.ended = []

    def on_progress(self, reports):
        pass

    def on_finished(self, finished):
        self.ended.append(finished)

    def on_failed(self, message):
        self.ended.append(message)


def test_a_job_aside_gives_way_to_one_that_somebody_waits_for(qtbot, dock, folder, model):
    aside, person = Person(), Person()
    shape = io.read(folder / "a.nii.gz").grid.shape
    shared = [SharedArray.create(shape, np.uint8) for _ in range(2)]

    def request(out):
        return lambda: PredictRequest(FileVolume(folder / "a.nii.gz"), model, out)

    heard = []
    dock.runner.busy_changed.connect(heard.append)
    dock.runner.start(request(shared[0]), aside, aside=True)
    assert not dock.runner.busy
    assert heard == []
    dock.runner.start(request(shared[1]), person)
    assert dock.runner.busy
    qtbot.waitUntil(lambda: bool(person.ended), timeout=CHILD_MS)
    assert isinstance(person.ended[0], Finished)
    assert person.ended[0].payload["complete"]
    assert len(aside.ended) == 1
    assert heard == [True, False]
    for one in shared:
        one.remove()


def test_what_cant_be_prepared_is_told(qtbot, dock):
    person = Person()

    def prepare():
        raise ReadError("The image is gone.")

    dock.runner.start(prepare, person)
    qtbot.waitUntil(lambda: person.ended == ["The image is gone."], timeout=30_000)
    assert dock.runner.idle


def test_a_folder_without_images_is_told(dock, tmp_path):
    dock.opening.folder(tmp_path)
    assert "holds no image" in dock.start.message.text()
    assert dock.keeper.folder is None


def test_five_hundred_files_are_listed_without_reading_them(qtbot, dock, tmp_path):
    folder = tmp_path / "many"
    folder.mkdir()
    np.save(folder / "000.npy", np.zeros((4, 5, 6), np.uint8))
    for number in range(1, 500):
        (folder / f"{number:03}.npy").write_bytes(b"no image at all")
    dock.opening.folder(folder)
    assert dock.queue.table.rowCount() == 500
    assert dock.target.volume.source == str(folder / "000.npy")
    dock.queue.open(str(folder / "001.npy"))
    assert "001.npy" in dock.queue.message.text()
    assert "001.npy" in dock.session.problem.text()
    dock.queue.open(str(folder / "000.npy"))
    assert dock.queue.message.text() == ""
    assert dock.target.volume.source == str(folder / "000.npy")


@pytest.mark.parametrize("bad", [(0,), (0, 1), (1,)])
def test_images_that_cant_be_read_are_passed_over(dock, folder, bad):
    for which in bad:
        (folder / IMAGES[which]).write_bytes(b"no image at all")
    good = [str(folder / IMAGES[i]) for i in range(3) if i not in bad]
    dock.opening.folder(folder)
    assert dock.target.volume.source == good[0]
    while not dock.queue.message.text().startswith("All"):
        shown = dock.target.volume.source
        dock.queue.done_next()
        if shown == good[-1]:
            break
        assert dock.target.volume.source == good[good.index(shown) + 1]
    assert dock.keeper.session.image(good[-1]).finished
    assert IMAGES[bad[0]] in dock.queue.message.text()
    assert [one.path for one in dock.keeper.missing] == [str(folder / IMAGES[i]) for i in bad]


def test_thumbnails_are_small_and_never_fail(tmp_path):
    made = thumbnail(sample("hippocampus").image)
    assert made.dtype == np.uint8
    assert max(made.shape) <= 32
    assert made.max() > 200
    (tmp_path / "x.nii").write_bytes(b"?")
    assert thumbnail(tmp_path / "x.nii") is None
    assert thumbnail(None) is None
