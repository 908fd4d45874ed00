"""A training in the child process, driven a step at a time."""

import numpy as np

from napari_unet.core.settings import TrainSettings
from napari_unet.jobs import (
    Change,
    ChangeRequest,
    Followed,
    HeldOut,
    SharedArray,
    SharedCase,
    SharedVolume,
    TrainRequest,
)
from napari_unet.jobs.course import Course

TINY = TrainSettings(network="unet", dims=2, device="cpu", batch=2)


def change(labels, index, known=True):
    part = labels[index : index + 1]
    known = SharedArray.from_array(np.full(part.shape, known))
    return Change(0, (index, 0, 0), SharedArray.from_array(part), known)


def first(course, kind):
    """Advance up to an event of a kind."""
    while not isinstance(event := course.advance(), kind):
        pass
    return event


def test_a_mark_is_heeded_before_another_step_is_taken(ball, tmp_path):
    volume, annotation = ball
    case = SharedCase.of(SharedVolume.of(volume), annotation)
    request = TrainRequest((case,), tmp_path / "ball.safetensors", TINY)
    course = Course(request, None, called=lambda: False)
    while first(course, Followed).progress.stage != "train":
        pass
    course.hear(ChangeRequest((change(annotation.labels, 3),)))
    assert isinstance(course.advance(), HeldOut)
    course.close()


def test_what_is_heard_before_the_first_step_is_not_lost(ball, tmp_path):
    volume, annotation = ball
    case = SharedCase.of(SharedVolume.of(volume), annotation)
    course = Course(TrainRequest((case,), tmp_path / "b.safetensors", TINY), None, lambda: False)
    gone = tuple(change(annotation.labels, index, known=False) for index in range(0, 16, 2))
    course.hear(ChangeRequest(gone))
    assert first(course, HeldOut).slices == ({},)
    course.close()
