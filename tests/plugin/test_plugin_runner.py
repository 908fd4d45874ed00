"""One door to the child: jobs that are stopped early, and images in the form the child can open."""

import threading
import time
from dataclasses import replace

import dask.array
import numpy as np
import pytest
import zarr

from conftest import CHILD_MS
from napari_unet import io
from napari_unet.core.grid import Grid
from napari_unet.core.volume import Volume
from napari_unet.jobs import FileVolume, PredictRequest, SharedArray
from napari_unet.plugin.runner import Runner


class Ear:
    """A listener that keeps what it hears."""

    def __init__(self):
        self.finished, self.failures = [], []

    def on_progress(self, reports):
        pass

    def on_finished(self, finished):
        self.finished.append(finished.payload)

    def on_failed(self, message):
        self.failures.append(message)


@pytest.fixture
def runner(qapp):
    """Make a runner with a child of its own."""
    made = Runner()
    yield made
    made.close()


@pytest.fixture
def stained(tmp_path):
    """Save a series of two time points with two channels."""
    path = tmp_path / "stained.ome.zarr"
    voxels = np.random.default_rng(0).random((2, 2, 4, 8, 8), dtype=np.float32)
    io.write_probabilities(path, voxels[0], Grid((4, 8, 8), (1.0, 1.0, 1.0)))
    group = zarr.open_group(path, mode="r+")
    attributes = group.attrs.asdict()
    scale = attributes["ome"]["multiscales"][0]
    scale["axes"].insert(0, {"name": "t", "type": "time"})
    for level in scale["datasets"]:
        level["coordinateTransformations"][0]["scale"].insert(0, 1.0)
    group.attrs.update(attributes)
    group.create_array("0", data=voxels, overwrite=True)
    return path, voxels


def test_a_stop_while_the_job_is_prepared_is_not_lost(qtbot, runner, weights):
    volume = Volume.from_array(np.zeros((64, 128, 128), np.float32), (1.0, 1.0, 1.0), "mm")
    out, ready, ear = SharedArray.create((64, 128, 128), np.uint8), threading.Event(), Ear()

    def prepare():
        ready.wait()
        return PredictRequest(runner.share(volume), weights["classes"], out)

    runner.start(prepare, ear)
    runner.stop()
    ready.set()
    qtbot.waitUntil(lambda: not runner.busy, timeout=CHILD_MS)
    assert not ear.failures
    assert not ear.finished[0]["complete"]

    runner.start(prepare, ear)  # the wish was for the first job only
    qtbot.waitUntil(lambda: not runner.busy, timeout=CHILD_MS)
    assert ear.finished[1]["complete"]
    out.remove()


def test_a_job_that_ends_while_its_progress_is_shown_is_heard_of(qtbot, runner, weights):
    """Drawing a report takes time, and the end may arrive just then."""
    volume = Volume.from_array(np.zeros((16, 32, 32), np.float32), (1.0, 1.0, 1.0), "mm")
    out, ear = SharedArray.create((16, 32, 32), np.uint8), Ear()

    def draw(_reports):
        while runner.child.busy:
            time.sleep(0.01)

    ear.on_progress = draw
    runner.start(lambda: PredictRequest(runner.share(volume), weights["classes"], out), ear)
    qtbot.waitUntil(lambda: not runner.busy, timeout=CHILD_MS)
    assert ear.finished[0]["complete"]
    out.remove()


def test_a_listener_that_fails_still_hears_of_the_end(qtbot, runner, weights):
    volume = Volume.from_array(np.zeros((16, 32, 32), np.float32), (1.0, 1.0, 1.0), "mm")
    out, ear = SharedArray.create((16, 32, 32), np.uint8), Ear()

    def fail(_reports):
        while runner.child.busy:  # so that progress and end are told in one look
            time.sleep(0.01)
        raise ValueError("assignment destination is read-only")

    ear.on_progress = fail
    with qtbot.captureExceptions() as raised:
        runner.start(lambda: PredictRequest(runner.share(volume), weights["classes"], out), ear)
        qtbot.waitUntil(lambda: not runner.busy, timeout=CHILD_MS)
    assert raised
    assert ear.finished[0]["complete"]
    out.remove()


def test_an_unforeseen_error_in_preparing_ends_the_job(qtbot, runner):
    ear = Ear()

    def prepare():
        raise RuntimeError("wrapped object has been deleted")

    runner.start(prepare, ear)
    qtbot.waitUntil(lambda: not runner.busy, timeout=10_000)
    (message,) = ear.failures
    assert "wrapped object has been deleted" in message
    assert "please report it" in message


def test_a_lazy_image_is_read_by_the_child_itself(runner, tmp_path):
    path = tmp_path / "plain.ome.zarr"
    io.write_probabilities(path, np.ones((2, 4, 8, 8)), Grid((4, 8, 8), (1.0, 1.0, 1.0)))
    volume = io.read(path)
    assert runner.share(volume) == FileVolume(path)
    other = replace(volume, grid=volume.grid.respaced((2.0, 0.5, 0.5), "um"))
    shared = runner.share(other)
    assert isinstance(shared, FileVolume)
    assert shared.open().grid == other.grid


@pytest.mark.parametrize("frame", [0, 1])
def test_a_lazy_image_chosen_from_a_series_stays_the_chosen_one(runner, stained, frame):
    path, voxels = stained
    volume = io.read(path, time=frame)
    assert isinstance(volume.data, dask.array.Array)
    assert np.array_equal(runner.share(volume).open().array(), voxels[frame])


def test_pixels_are_copied_once(runner):
    volume = Volume.from_array(np.zeros((4, 5, 6)))
    assert runner.share(volume) is runner.share(volume)
