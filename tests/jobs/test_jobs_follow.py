"""A training that goes on in a real child process, between its other jobs."""

import os
import signal
import time
from collections import deque

import numpy as np
import psutil
import pytest

from napari_unet.core.annotation import Annotation
from napari_unet.core.model_header import read_model_header
from napari_unet.core.settings import PredictSettings, TrainSettings
from napari_unet.errors import ChildError
from napari_unet.jobs import (
    Change,
    ChangeRequest,
    Finished,
    Followed,
    FollowRequest,
    GlanceRequest,
    HeldOut,
    Left,
    PredictRequest,
    Published,
    SharedArray,
    SharedCase,
    SharedVolume,
    TrainRequest,
)

TINY = TrainSettings(network="unet", dims=2, device="cpu", batch=2)
CPU = PredictSettings(device="cpu")


@pytest.fixture
def shared(ball):
    volume, annotation = ball
    three = Annotation.from_slices(annotation.labels, 0, [2, 6, 10])
    return SharedCase.of(SharedVolume.of(volume), three)


@pytest.fixture
def news(child):
    """Return a function that polls until an event of the training is `seen`; it returns all up to it."""
    waiting = deque()

    def until_seen(seen):
        found = []
        while True:
            waiting.extend(child.poll_follow())
            while waiting:
                found.append(waiting.popleft())
                if seen(found[-1]):
                    return found
                assert not isinstance(found[-1], Left), found[-1]
            time.sleep(0.01)

    return until_seen


def of(kind):
    return lambda event: isinstance(event, kind)


def resting(event):
    return isinstance(event, Followed) and event.progress.stage == "rest"


def mark(labels, index, known=True):
    """Say that a slice is known now, or no longer, as the window does."""
    part = labels[index : index + 1]
    return Change(
        0,
        (index, 0, 0),
        SharedArray.from_array(part),
        SharedArray.from_array(np.full(part.shape, known)),
    )


def test_publishes_hears_of_marks_and_lets_other_jobs_through(
    child, until, news, ball, shared, tmp_path, capsys
):
    labels = ball[1].labels
    out = tmp_path / "ball.safetensors"
    child.follow(FollowRequest(TrainRequest((shared,), out, TINY)))
    assert child.following
    assert not child.busy
    with pytest.raises(ChildError, match="goes on already"):
        child.follow(FollowRequest(TrainRequest((shared,), out, TINY)))
    seen = news(of(Published))
    shared.remove()  # it has its own
    first = next(event for event in seen if isinstance(event, HeldOut))
    (held,) = first.slices[0][0]
    assert seen[-1].result["held_out"] == ({0: (held,)},)
    assert seen[-1].result["model"] == out
    assert read_model_header(out).history[-1]["continuous"]

    whole = SharedArray.create(labels.shape, np.uint8)
    child.submit(PredictRequest(shared.volume, out, whole, CPU))
    _, (end,) = until(child)
    assert isinstance(end, Finished), end
    assert child.following

    part = SharedArray.create((3, 40, 40), np.uint8)
    child.submit(GlanceRequest(shared.volume, out, ((5, 0, 0), (8, 40, 40)), part, CPU))
    _, (end,) = until(child)
    assert isinstance(end, Finished), end
    glanced = end.payload["glanced_with"]
    if glanced == read_model_header(out).sha256:  # else a better one has come in between
        child.submit(PredictRequest(shared.volume, out, whole, CPU))
        _, (end,) = until(child)
        if end.payload["model"] == glanced:
            assert np.array_equal(part.open(), whole.open()[5:8])

    changes = tuple(mark(labels, index) for index in (0, 4, 8, 12, 14))
    began = time.perf_counter()
    child.change(ChangeRequest(changes))
    (*_, last) = news(of(HeldOut))
    entered = time.perf_counter() - began
    assert held in last.slices[0][0]
    assert len(last.slices[0][0]) == 2
    assert not any(change.labels.path.exists() for change in changes)
    news(lambda e: isinstance(e, Followed) and e.progress.loss is not None)
    child.leave()
    assert news(of(Left))[-1] == Left("")
    assert not child.following
    with capsys.disabled():
        print(f"\nfive marks entered the training after {entered:.2f} s")  # noqa: T201


def test_rests_without_work_and_wakes(child, news, ball, shared, tmp_path):
    out = tmp_path / "ball.safetensors"
    child.follow(FollowRequest(TrainRequest((shared,), out, TINY)))
    news(of(Published))
    gone = tuple(mark(ball[1].labels, index, known=False) for index in (2, 6, 10))
    child.change(ChangeRequest(gone))
    news(resting)
    process = psutil.Process(child.pid)
    before = process.cpu_times().user
    time.sleep(1.0)
    assert process.cpu_times().user - before < 0.2
    child.change(ChangeRequest((mark(ball[1].labels, 12),)))
    news(lambda e: isinstance(e, Followed) and e.progress.loss is not None)


def test_after_a_kill_the_last_published_model_is_there_to_begin_with(
    child, news, ball, shared, tmp_path
):
    out = tmp_path / "ball.safetensors"
    child.follow(FollowRequest(TrainRequest((shared,), out, TINY)))
    (*_, published) = news(of(Published))
    os.kill(child.pid, getattr(signal, "SIGKILL", signal.SIGTERM))
    (*rest, end) = news(of(Left))
    assert end.crashed
    assert not child.following
    child.change(ChangeRequest((mark(ball[1].labels, 12),)))  # into the void: nothing happens
    last = [e for e in rest if isinstance(e, Published)] or [published]
    header = read_model_header(last[-1].result["model"])

    again = FollowRequest(TrainRequest((shared,), tmp_path / "next.safetensors", TINY, base=out))
    child.follow(again)
    (*_, held) = news(of(HeldOut))
    assert held.slices == last[-1].result["held_out"]
    news(lambda e: isinstance(e, Followed) and e.progress.loss is not None)
    child.leave()
    news(of(Left))
    assert read_model_header(out).sha256 == header.sha256  # another run, another file


def test_what_can_not_be_learned_ends_it_with_the_reason(child, news, shared, tmp_path):
    odd = TrainSettings(network="residual", dims=2, device="cpu", batch=2)
    out = tmp_path / "ball.safetensors"
    child.follow(FollowRequest(TrainRequest((shared,), out, odd, base=tmp_path / "no.safetensors")))
    (*_, end) = news(of(Left))
    assert "no.safetensors" in end.message
    assert not end.crashed
