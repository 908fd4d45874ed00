"""A page about a model: complete, escaped, self-contained, and honest about its ground."""

import base64
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from napari_unet.core.classes import BACKGROUND, LabelClass
from napari_unet.core.correction import Correction
from napari_unet.core.grid import Grid
from napari_unet.core.model_header import ModelHeader
from napari_unet.core.spec import ModelSpec
from napari_unet.core.volume import Volume
from napari_unet.engine.ledger import Ledger, Page, fingerprint
from napari_unet.report import Example, write_report
from napari_unet.report.examples import Ground, agreement, planes
from napari_unet.report.past import runs

EVIL = '<script>alert("x")</script><img src=http://a.b/c>&\'"'
CLASSES = (
    BACKGROUND,
    LabelClass(1, EVIL, (0.9, 0.6, 0.0), EVIL),
    LabelClass(2, "rim", (0, 0.4, 0.7)),
)
GRID = Grid((12, 20, 30), (2.0, 1.0, 1.0), "mm")
HELD = {
    "mean_dice": 0.81,
    "interval": [0.7, 0.9],
    "per_class": {"1": 0.8, "2": 0.82},
    "classes": {"1": {"dice": 0.8, "interval": [0.6, 0.9], "slices": 4, "voxels": 1234}},
    "slices": 4,
    "voxels": 4800,
    "enough": True,
    "base_dice": 0.7,
    "verdict": "better",
    "difference": [0.02, 0.2],
}
RUN = {
    "date": "2026-11-24T01:28:51+00:00",
    "cases": 1,
    "known_voxels": 24000,
    "steps": 300,
    "seconds": 61.2,
    "device": "cpu",
    "settings": {"minutes": 3.0},
    "held_out": HELD,
    "curve": {"loss": [[10, 0.9], [300, 0.2]], "dice": [[100, 0.6], [300, 0.81]]},
}


class Reader(HTMLParser):
    """Collects tags, pictures and text, and checks that tags nest."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.sources, self.open, self.words = [], [], [], []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.sources += [value for name, value in attrs if name in ("src", "href")]
        assert not [name for name, _ in attrs if name.startswith("on")]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_startendtag(self, tag, _attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return re.sub(r"\s+", " ", " ".join(self.words))


@pytest.fixture
def volume():
    data = np.random.default_rng(0).normal(size=(1, *GRID.shape)).astype("f4")
    return Volume(data, GRID, name=EVIL)


@pytest.fixture
def example(volume):
    labels = np.zeros(GRID.shape, np.uint8)
    labels[3:9, 5:15, 5:15] = 1
    labels[3:9, 5:15, 15:20] = 2
    prediction = np.roll(labels, 1, axis=1)
    return Example(volume, CLASSES, labels, prediction)


def header(*history, **more):
    spec = ModelSpec(classes=CLASSES, channels=(EVIL,), spacing=(2.0, 1.0, 1.0), unit="mm")
    return ModelHeader(spec, "ab" * 32, EVIL, None, tuple(history), {"data": EVIL}, 1234, **more)


def ledger_of(volume, taught, held):
    def plane(index):
        return ((index, 0, 0), (index + 1, *GRID.shape[1:]))

    page = Page(fingerprint(volume), tuple(map(plane, taught)), tuple(map(plane, held)))
    return Ledger((page,))


def written(tmp_path, *args, **more):
    path = tmp_path / "report.html"
    write_report(path, *args, **more)
    return Reader(path.read_text(encoding="utf-8"))


def test_a_page_is_whole_and_nothing_in_it_runs_or_is_fetched(tmp_path, example):
    corrections = [Correction(0, 3, EVIL, "cd" * 32, {1: 0.5}, 600, 12)]
    evil = tmp_path / "a<b>&.txt"
    evil.write_text("x")
    page = written(tmp_path, header(RUN), example=example, corrections=corrections, files=[evil])
    assert not {"script", "iframe", "link", "object", "form"} & set(page.tags)
    assert page.sources
    assert all(source.startswith("data:image/png;base64,") for source in page.sources)
    assert page.text.count('alert("x")') >= 6  # shown as the text it is
    pictures = [Image.open(io.BytesIO(base64.b64decode(s.split(",")[1]))) for s in page.sources]
    assert len(pictures) == 12  # six slices, labels and prediction
    assert {picture.size for picture in pictures} == {(280, 187)}
    for words in ("0.810", "(0.700 to 0.900)", "4,800 voxels", "1,234", "24,000 known voxels",
                  "1.0 min on cpu", "held out", "0.700 there", "napari-unet", "abab",
                  "2d711642b726b044", "a<b>&.txt"):  # fmt: skip
        assert words in page.text, words
    assert page.tags.count("svg") == 3


@pytest.mark.parametrize(
    ("history", "words"),
    [
        ((), "Nothing was held out"),
        (({**RUN, "held_out": {**HELD, "slices": 2}},), "Not known: 2 slices held out, and 3 are"),
        (({**RUN, "held_out": {**HELD, "slices": 1}},), "Not known: 1 slice held out"),
        (
            ({**RUN, "held_out": {"mean_dice": 0.5, "slices": 9, "voxels": 7, "base_dice": None}},),
            "0.500",
        ),
        (
            (RUN, {"date": "2026", "classes": "0 background, 1 cell", "merged": {}}),
            "classes: 0 background",
        ),
        (({"steps": "many", "text": EVIL},), "many"),
        (({"curve": {"loss": [[1, "high"]]}},), "?"),
        (({},), "Nothing was held out"),
    ],
)
def test_any_history_makes_a_page(tmp_path, history, words):
    history = json.loads(json.dumps(history))
    page = written(tmp_path, header(*history))
    assert words in page.text
    assert "script" not in page.tags


def test_a_history_is_read_as_far_as_it_is_understood():
    good, bad = runs([json.loads(json.dumps(RUN)), {"steps": [1]}])
    assert bad is None
    assert good.held_out.classes[1].voxels == 1234
    assert good.curve.loss == ((10, 0.9), (300, 0.2))


def test_slices_held_out_come_first_and_say_so(example, volume):
    ledger = ledger_of(volume, taught=(3, 4), held=(8,))
    shown = planes(example, ledger, most=3)
    assert [(p.index, p.ground) for p in shown] == [
        (4, Ground.TAUGHT),
        (6, Ground.NEITHER),
        (8, Ground.HELD_OUT),
    ]
    found = agreement(example, ledger)
    assert {ground: numbers[1:] for ground, numbers in found.items()} == {
        Ground.HELD_OUT: (1, 600),
        Ground.TAUGHT: (2, 1200),
        Ground.NEITHER: (9, 5400),
    }
    assert found[Ground.HELD_OUT][0] == pytest.approx({1: 0.9, 2: 0.9})


def test_the_channel_that_the_model_reads_is_shown(tmp_path, example):
    phase = np.ones((1, *GRID.shape), example.volume.data.dtype)
    both = np.concatenate([phase, example.volume.data])
    stained = replace(example, volume=Volume(both, GRID, ("phase", "DAPI")))
    known = header(RUN)
    known = replace(known, spec=replace(known.spec, channels=("DAPI",)))
    shown = write_report(tmp_path / "page.html", known, example=stained)
    assert shown
    assert all(np.array_equal(p.grey, example.volume.data[0, p.index]) for p in shown)


@pytest.mark.parametrize(
    ("changes", "count"),
    [
        ({"done": ((0, 4), (1, 8), (2, 11))}, 3),
        ({"labels": None}, 6),
        ({"prediction": None}, 6),
        ({"labels": None, "prediction": None}, 6),
        ({"instances": True}, 6),
        ({"labels": np.zeros(GRID.shape, np.uint8), "prediction": None}, 6),
    ],
)
def test_slices_of_any_axis_and_whatever_there_is_are_shown(tmp_path, example, changes, count):
    example = replace(example, **changes)
    assert len(planes(example, Ledger())) == count
    assert written(tmp_path, header(RUN), example=example).sources


@pytest.mark.parametrize(
    ("shape", "size"), [((20, 30), (280, 187)), ((900, 300), (93, 280)), ((1, 1), (280, 280))]
)
def test_a_plane_is_one_slice_of_square_pixels(tmp_path, shape, size):
    volume = Volume(np.ones((1, *shape), "u2"), Grid(shape, (1.0, 1.0), "um"))
    labels = np.ones(shape, np.uint8)
    page = written(tmp_path, header(RUN), example=Example(volume, CLASSES, labels))
    (source,) = page.sources
    assert Image.open(io.BytesIO(base64.b64decode(source.split(",")[1]))).size == size
