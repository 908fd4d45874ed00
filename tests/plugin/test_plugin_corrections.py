"""A person's own learning curve: what models had said before they learned from a slice."""

from dataclasses import replace

import numpy as np
import pytest

from napari_unet.core.correction import Correction, Round
from napari_unet.core.model_header import read_model_header
from napari_unet.core.settings import PredictSettings
from napari_unet.engine.ledger import Page, fingerprint
from napari_unet.jobs import SharedArray
from napari_unet.plugin import layers
from napari_unet.plugin.corrections import words
from napari_unet.plugin.traces import Maker, traces


class Stage:
    """Labels with predictions as a model would have left them."""

    def __init__(self, dock, header):
        self.dock, self.header = dock, header
        dock.correct.new.click()
        self.labels = dock.target.labels
        self.dock.slices.go(5)

    def predict(self, name, rows, taught=()):
        """Predict so many rows of class 1 in every slice, by a model that learned from some slices."""
        shape = self.labels.data.shape
        boxes = tuple(((z, 0, 0), (z + 1, *shape[1:])) for z in taught)
        page = Page(fingerprint(self.dock.target.volume), boxes)
        entry = {"split": [{"image": page.image, "taught": boxes, "held": ()}]}
        header = replace(self.header, name=name, sha256=name * 8, history=(entry,))
        shared = SharedArray.create(shape, np.uint8)
        shared.open(writable=True)[:, :rows] = 1
        traces(self.labels).keep_prediction(shared, Maker(header, PredictSettings()))
        self.dock.corrections.predicted(self.labels)

    def leave(self, index, rows):
        """Leave so many rows of class 1 in a slice."""
        self.labels.data[index] = 0
        self.labels.data[index, :rows] = 1

    def mark(self, index):
        self.dock.slices.mark(index, index)

    @property
    def made(self):
        return layers.about(self.labels).corrections


@pytest.fixture
def stage(dock, hippocampus, model):
    return Stage(dock, read_model_header(model))


def test_a_slice_is_scored_when_it_is_marked(qtbot, stage, dock):
    stage.predict("a", 10)
    stage.leave(5, 30)
    assert dock.corrections.isHidden()
    stage.mark(5)
    qtbot.waitUntil(lambda: len(stage.made) == 1)
    width = stage.labels.data.shape[2]
    assert stage.made == (
        Correction(0, 5, "a", "a" * 8, {1: 0.5}, stage.labels.data[5].size, 20 * width),
    )
    assert dock.corrections.text.text() == (
        "Dice with your corrections, before learning from them: 0.50 on 1 slice (a)."
    )
    dock.safety.flush()
    ((_, journal),) = dock.safety._journals
    journal.flush()
    assert journal._state.corrections == stage.made


def test_what_counts_is_the_prediction_before_the_first_stroke(qtbot, stage):
    stage.predict("a", 10)
    stage.labels.paint((5, 20, 20), 1)
    stage.predict("b", 40, taught=(5,))
    stage.leave(5, 10)
    stage.mark(5)
    qtbot.waitUntil(lambda: len(stage.made) == 1)
    assert (stage.made[0].model, stage.made[0].dice) == ("a", {1: 1.0})


def test_slices_that_the_model_had_learned_from_have_no_say(qtbot, stage, dock):
    stage.predict("a", 10, taught=(4, 5))
    for index in (4, 5, 6):
        stage.leave(index, 10)
    dock.slices.mark(4, 6)
    qtbot.waitUntil(lambda: len(stage.made) == 1)
    qtbot.wait(50)
    assert [c.index for c in stage.made] == [6]


def test_a_new_prediction_has_the_say_where_nobody_has_worked(qtbot, stage):
    stage.predict("a", 10)
    stage.labels.paint((5, 20, 20), 1)
    stage.labels.undo()
    traces(stage.labels).strokes.recheck(stage.labels.data, 0, 5)
    stage.predict("b", 40)
    stage.leave(5, 40)
    stage.mark(5)
    qtbot.waitUntil(lambda: len(stage.made) == 1)
    assert (stage.made[0].model, stage.made[0].dice) == ("b", {1: 1.0})


def test_a_mark_set_again_scores_the_slice_again_in_its_place(qtbot, stage, dock):
    stage.predict("a", 10)
    for index in (5, 6):
        stage.leave(index, 30)
        stage.mark(index)
    qtbot.waitUntil(lambda: len(stage.made) == 2)
    dock.slices.mark(5, 5, done=False)
    stage.predict("b", 30, taught=(5, 6))
    stage.leave(5, 10)
    stage.mark(5)
    qtbot.waitUntil(lambda: stage.made[0].dice == {1: 1.0})
    assert [(c.index, c.model) for c in stage.made] == [(5, "a"), (6, "a")]


def test_labels_without_a_prediction_are_not_scored(qtbot, stage):
    stage.leave(5, 10)
    stage.mark(5)
    qtbot.wait(100)
    assert stage.made == ()


@pytest.mark.parametrize(
    ("rounds", "expected"),
    [
        ((), ""),
        ((Round("a", 0, None),), ""),
        ((Round("a", 1, 0.5), Round("b", 2, 0.25), Round("c", 3, 0.8)),
         "Dice with your corrections, before learning from them: "
         "0.25 on 2 slices (b), then 0.80 on 3 slices (c)."),
    ],
)  # fmt: skip
def test_a_dice_is_told_with_its_ground(rounds, expected):
    assert words(rounds) == expected


def test_a_report_is_written_from_the_window(qtbot, stage, dock, model, tmp_path):
    dock.model.choose(model)
    assert dock.report.go.isEnabled()
    stage.predict("a", 10)
    stage.leave(5, 30)
    stage.mark(5)
    qtbot.waitUntil(lambda: len(stage.made) == 1)
    page = tmp_path / "report.html"
    dock.report.write(page)
    qtbot.waitUntil(lambda: dock.report.status.text() == f"Saved {page}", timeout=20_000)
    text = page.read_text(encoding="utf-8")
    assert "Predictions and their corrections" in text
    assert text.count("<img") == 1  # the slice that is done; this model has predicted nothing
    dock.report.write(tmp_path / "nowhere" / "report.html")
    qtbot.waitUntil(lambda: "nowhere" in dock.report.status.text(), timeout=20_000)
