import math
import os
import pickle
from pathlib import Path

import pytest

from napari_unet.core.classes import default_classes
from napari_unet.core.grid import Grid
from napari_unet.core.progress import Progress
from napari_unet.core.settings import PredictSettings, TrainSettings
from napari_unet.core.suggestion import Survey
from napari_unet.errors import ChildError
from napari_unet.jobs import (
    Change,
    ChangeRequest,
    Failed,
    FileVolume,
    Finished,
    Followed,
    FollowRequest,
    GlanceRequest,
    HeldOut,
    Left,
    PredictRequest,
    ProbeRequest,
    Published,
    SharedArray,
    SharedCase,
    SharedVolume,
    SharedWatch,
    SurveyRequest,
    TrainRequest,
)
from napari_unet.jobs.lessons import LeaveRequest
from napari_unet.jobs.requests import StopRequest
from napari_unet.jobs.wire import decode, encode

GRID = Grid((3, 4, 5), (2.5, 1.0, 1.0), "mm", ((1.0,) * 4,) * 4, bytes(range(256)))
VOLUME = SharedVolume(SharedArray(Path("a.npy")), GRID, ("DAPI", "µ\n"), "name", "source")
CASE = SharedCase(VOLUME, SharedArray(Path("b")), SharedArray(Path("c")))
TRAINED = {
    "model": Path("m.safetensors"),
    "steps": 3,
    "seconds": 1.5,
    "device": "cpu",
    "validation": {
        "mean_dice": 0.5,
        "interval": (0.25, 0.75),
        "per_class": {1: 0.5},
        "classes": {1: {"dice": 0.5, "interval": None, "slices": 1, "voxels": 4}},
        "slices": 2,
        "voxels": 9,
        "enough": False,
    },
    "base": None,
    "promoted": True,
    "verdict": "no base",
    "difference": (-0.5, 0.25),
    "held_out": ({0: (3, 9), 2: (1,)}, {}),
    "old_task": {"before": 0.75, "after": None, "patches": 2, "rehearsed": 3},
}
SURVEY = Survey(1, 2.5, "mm", (True, False), (0.5, 0.0), ("unsure about a", ""), None)


@pytest.mark.parametrize(
    "message",
    [
        PredictRequest(
            VOLUME, Path("m"), SharedArray(Path("o")), PredictSettings("cpu"), (1, 2, 3)
        ),
        PredictRequest(FileVolume(Path("x.nii"), None, 2), Path("m"), SharedArray(Path("o"))),
        PredictRequest(FileVolume(Path("x.zarr"), grid=GRID), Path("m"), SharedArray(Path("o"))),
        SurveyRequest(
            VOLUME, Path("m"), SharedWatch(2, SharedArray(Path("b"))), done=(3, 4), near=(1, 2, 3)
        ),
        TrainRequest(
            (CASE,), Path("m"), TrainSettings(dims=2), None, default_classes([7]), (CASE,)
        ),
        GlanceRequest(VOLUME, Path("m"), ((0, 1, 2), (3, 4, 5)), SharedArray(Path("o"))),
        ProbeRequest(),
        StopRequest(),
        FollowRequest(TrainRequest((CASE,), Path("m"))),
        ChangeRequest(
            (Change(1, (4, 0, 0), SharedArray(Path("a")), SharedArray(Path("b"))),), (CASE,)
        ),
        LeaveRequest(),
        Progress("train", 1, 2, 0.5, None, "line\nfeed", ((0, 0), (4, 5)), 0.1, {3: 0.5}, 7),
        Finished(TRAINED),
        Finished({"survey": SURVEY, "complete": False, "seconds": 0.5}),
        Finished({"versions": {"torch": "2"}, "devices": ["cpu"]}),
        Finished({"glanced_with": "sha", "part": ((0, 1, 2), (3, 4, 5))}),
        Failed("why", crashed=True),
        Followed(Progress("rest", 7, loss=0.5)),
        HeldOut(({0: (3,)}, {})),
        Published(TRAINED),
        Left("why", crashed=True),
    ],
    ids=lambda m: type(m).__name__,
)
def test_a_message_arrives_as_it_left(message):
    line = encode(message)
    assert line.count(b"\n") == 1
    assert decode(line) == message


def test_what_is_no_number_arrives_too():
    found = decode(encode(Progress("train", loss=math.inf, dice={1: math.nan})))
    assert found.loss == math.inf
    assert math.isnan(found.dice[1])


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"\xff\xff [{}]",
        b"Popen [{}]",
        b"Progress",
        b"Progress [{}]",
        b"Progress []",
        b'Progress [{"stage": 3}]',
        b'Failed [{"message": "x"',
        b"Progress " + pickle.dumps(Progress("x")),
    ],
)
def test_nonsense_is_refused(line):
    with pytest.raises(ChildError, match="do not understand"):
        decode(line)


@pytest.mark.skipif(os.name == "nt", reason="names are always text there")
def test_a_name_that_is_no_text_is_refused_before_it_is_sent():
    with pytest.raises(ChildError, match="rename"):
        encode(TrainRequest((), Path(os.fsdecode(b"\xff.nii"))))
