"""Real child processes doing real work. Each start costs seconds, so one test does much."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from napari_unet.core.settings import PredictSettings, TrainSettings
from napari_unet.errors import ChildError
from napari_unet.jobs import (
    Child,
    Failed,
    Finished,
    PredictRequest,
    ProbeRequest,
    SharedArray,
    SharedCase,
    SharedVolume,
    SharedWatch,
    SurveyRequest,
    TrainRequest,
)

QUICK = TrainSettings(steps=6, network="unet", dims=2, device="cpu", batch=2, holdout=0.1)
ENDLESS = TrainSettings(minutes=30, network="unet", dims=2, device="cpu", batch=2)
CPU = PredictSettings(device="cpu", backend="torch")


def learning(progress):
    return progress.stage == "train"


@pytest.fixture
def case(ball) -> SharedCase:
    volume, annotation = ball
    return SharedCase.of(SharedVolume.of(volume), annotation)


STRAY = """
import os, sys
print("Failed [{}] from a start-up file", flush=True)
sys.addaudithook(
    lambda event, args: event == "import" and args[0] == "torch" and os.write(1, b"stray words\\n")
)
"""


def test_trains_saves_predicts_and_keeps_going_after_errors(
    child, until, case, tmp_path, monkeypatch
):
    # What others print on standard output must never reach the protocol.
    (tmp_path / "sitecustomize.py").write_text(STRAY)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    model = tmp_path / "ball.safetensors"
    child.submit(TrainRequest((case,), model, QUICK))
    assert child.busy
    with pytest.raises(ChildError, match="still running"):
        child.submit(ProbeRequest())
    reports, (end,) = until(child)
    assert isinstance(end, Finished), end
    assert end.payload["model"] == model
    assert end.payload["steps"] == 6
    assert end.payload["validation"]["voxels"] == reports[-2].voxels > 0
    assert list(end.payload["validation"]["per_class"]) == [1]
    (held,) = end.payload["held_out"]
    assert sum(map(len, held.values())) == end.payload["validation"]["slices"] > 0
    assert not child.busy
    pid = child.pid

    missing = tmp_path / "none.safetensors"
    out = SharedArray.create((16, 40, 40), np.uint8)
    child.submit(PredictRequest(case.volume, missing, out, CPU))
    _, (end,) = until(child)
    assert end == Failed(end.message, crashed=False)
    assert "none.safetensors" in end.message

    seen = out.open()
    request = PredictRequest(case.volume, model, out, CPU, (8, 20, 20), True, SharedWatch(1))
    child.submit(request)
    reports, (end,) = until(child)
    assert isinstance(end, Finished), end
    assert end.payload["complete"]
    assert [c.id for c in end.payload["classes"]] == [0, 1]
    done = np.zeros(out.open().shape, bool)
    for report in reports:
        if report.box is not None:
            done[tuple(slice(a, b) for a, b in zip(*report.box, strict=True))] = True
    assert done.all()
    kept = end.payload["probabilities"].open()
    chosen = np.take_along_axis(kept, seen[None].astype(int), axis=0)[0]
    assert (chosen >= kept.max(axis=0) - 1e-3).all()  # half precision may tie
    assert end.payload["probabilities"].path.parent == out.path.parent

    survey = end.payload["survey"]
    assert (survey.axis, len(survey.causes), all(survey.computed)) == (1, 40, True)

    unsure = SharedArray.create((16, 40, 40), np.float16)
    watch = SharedWatch(1, before=out, uncertainty=unsure)
    child.submit(SurveyRequest(case.volume, model, watch, CPU, done=(0, 1)))
    _, (end,) = until(child)
    assert isinstance(end, Finished), end
    assert end.payload["complete"]
    assert end.payload["survey"].uncertainty == survey.uncertainty
    assert set(end.payload["survey"].change) == {0.0}
    assert (unsure.open() > 0).all()

    wrong = SharedArray.create((3, 3, 3), np.uint8)
    child.submit(PredictRequest(case.volume, model, wrong, CPU))
    _, (end,) = until(child)
    assert isinstance(end, Failed)
    assert not end.crashed
    assert "(3, 3, 3)" in end.message
    assert child.pid == pid
    assert "stray words" in child.log.read_text()


def test_stops_early_with_what_it_has_then_dies_and_starts_anew(child, until, case, tmp_path):
    child.stop()  # of nothing: nothing happens
    model = tmp_path / "stopped.safetensors"
    child.submit(TrainRequest((case,), model, ENDLESS))
    until(child, learning)
    child.stop()
    _, (end,) = until(child)
    assert isinstance(end, Finished), end
    assert model.is_file()

    # A stop of the job before must not stop this one, and Ctrl+C is the parent's affair.
    child.submit(TrainRequest((case,), tmp_path / "killed.safetensors", ENDLESS))
    until(child, learning)
    os.kill(child.pid, signal.SIGINT)
    until(child, learning)
    os.kill(child.pid, signal.SIGKILL)
    _, ends = until(child)
    time.sleep(0.1)
    (end,) = ends + child.poll()
    assert end.crashed
    assert "SIGKILL" in end.message
    assert str(child.log) in end.message
    assert not child.busy
    assert not list(tmp_path.glob("killed*"))

    child.submit(ProbeRequest())
    _, (end,) = until(child)
    assert end.payload["versions"]["torch"]
    assert end.payload["devices"]
    if os.name == "posix":
        assert psutil.Process(child.pid).nice() >= 10

    child.submit(TrainRequest((case,), tmp_path / "closed.safetensors", ENDLESS))
    until(child, learning)
    process = psutil.Process(child.pid)
    child.close()
    assert not process.is_running()
    assert child.poll() == []
    child.close()


def test_kill_ends_the_job_with_one_event(child, until):
    child.submit(ProbeRequest())
    child.kill()
    (end,) = child.poll()
    assert end.crashed
    assert "as asked" in end.message
    assert not child.busy
    assert child.pid is None
    child.kill()
    assert child.poll() == []


def test_a_child_that_cannot_start_says_why(child, until, tmp_path, monkeypatch):
    broken = tmp_path / "pydantic.py"
    broken.write_text("raise ImportError('no such luck')")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    child.submit(ProbeRequest())
    _, (end,) = until(child)
    assert end.crashed
    assert "no such luck" in end.message


PARENT = """
import sys, time
from pathlib import Path
import numpy as np
from napari_unet.core.annotation import Annotation
from napari_unet.core.settings import TrainSettings
from napari_unet.core.volume import Volume
from napari_unet.jobs import Child, SharedCase, SharedVolume, TrainRequest

image = np.random.default_rng(0).random((8, 32, 32), dtype=np.float32)
labels = (image > 0.5).astype(np.uint8)
case = SharedCase.of(SharedVolume.of(Volume.from_array(image)), Annotation.full(labels))
settings = TrainSettings(minutes=30, network="unet", dims=2, device="cpu", batch=2)
child = Child()
child.submit(TrainRequest((case,), Path(sys.argv[1]), settings))
while not any(getattr(e, "stage", "") == "train" for e in child.poll()):
    time.sleep(0.05)
print(child.pid, case.labels.path, flush=True)
time.sleep(600)
"""


def test_the_child_of_a_killed_parent_goes_and_its_arrays_are_swept(tmp_path):
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, tmp_path / "m.safetensors"],
        stdout=subprocess.PIPE,
        text=True,
    )
    pid, _, path = parent.stdout.readline().strip().partition(" ")
    orphan = psutil.Process(int(pid))
    parent.kill()
    parent.communicate()
    _, alive = psutil.wait_procs([orphan], timeout=20)
    assert not alive
    shared = Path(path)
    assert shared.is_file()
    with Child() as child:
        child.warm()
    assert not shared.parent.exists()
