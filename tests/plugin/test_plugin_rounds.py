"""Learning without a click, in a real window with a real child."""

import os
import signal
import sys
import time

import numpy as np
import pytest
from qtpy.QtCore import Qt

from conftest import CHILD_MS, CLASSES
from napari_unet import io
from napari_unet.core.bundled import sample
from napari_unet.core.model_header import read_model_header
from napari_unet.plugin import layers
from napari_unet.plugin.feed import Feed
from napari_unet.plugin.outcome import standing


@pytest.fixture
def truth():
    return io.read_labels(sample("hippocampus").labels)[0]


def mend(dock, truth, index):
    """Mend a slice and mark it, as a person does; nothing else is clicked."""
    labels = dock.target.labels
    dock.slices.go(index)
    at = np.nonzero(np.asarray(labels.data)[index] != truth[index])
    labels.data_setitem((np.full(len(at[0]), index), *at), truth[index][at])
    dock.slices.toggle()


def published(dock):
    """Note every model that takes over, and whether it was the first of its run."""
    seen = []
    dock.rounds.better.connect(seen.append)
    return seen


def test_first_round_five_clicks_then_none(qtbot, dock, model, truth, capsys):
    clicks = []

    def press(widget):
        clicks.append(widget.text())
        qtbot.mouseClick(widget, Qt.MouseButton.LeftButton, pos=widget.rect().center())

    press(next(b for s, b in dock.start.samples if s.name == "hippocampus"))
    dock.model.choose(model)  # untrained: a model that leaves much to be learned
    press(dock.predict.go)
    qtbot.waitUntil(lambda: not dock.runner.busy, timeout=CHILD_MS)
    better = published(dock)
    clicks.append(dock.rounds.text())
    dock.rounds.click()  # which is a real press; where it is within the box differs by style
    assert not dock.runner.following  # nothing is known yet
    for index in (8, 14, 20, 26):
        mend(dock, truth, index)
    qtbot.waitUntil(lambda: bool(better), timeout=CHILD_MS)
    first_round = len(clicks)
    assert dock.model.path == better[0] != model
    assert "held-out slice" in dock.tune.status.text()
    labels = dock.target.labels
    held = layers.about(labels).held_out
    assert len(held) == 1
    assert dock.tune.curve.losses
    assert dock.tune.curve.dices

    # The slice in front was predicted again, and nothing that was marked has changed.
    qtbot.waitUntil(lambda: dock.rounds.glance.last is not None, timeout=CHILD_MS)
    for index in (8, 14, 20, 26):
        assert np.array_equal(labels.data[index], truth[index])

    # Another mark: no click, and it is heard of within a moment.
    heard = []
    hold_out = dock.rounds.on_held_out
    dock.rounds.on_held_out = lambda held: (heard.append(time.perf_counter()), hold_out(held))
    began = time.perf_counter()
    mend(dock, truth, 17)
    qtbot.waitUntil(lambda: bool(heard), timeout=CHILD_MS)
    assert layers.about(labels).held_out >= held
    assert len(clicks) == first_round <= 5
    with capsys.disabled():
        sys.stdout.write(
            f"\nclicks of the first round: {first_round} ({', '.join(clicks)}), of later ones: "
            f"{len(clicks) - first_round}; a mark entered the training after "
            f"{heard[0] - began:.2f} s\n"
        )

    dock.tune.halt.click()
    qtbot.waitUntil(lambda: not dock.runner.following, timeout=CHILD_MS)
    assert not dock.rounds.isChecked()
    assert dock.tune.go.isEnabled()
    mend(dock, truth, 11)
    qtbot.wait(300)
    assert not dock.runner.following


def test_a_killed_child_costs_no_stroke_and_the_next_start_goes_on(
    qtbot, dock, hippocampus, model, truth
):
    dock.model.choose(model)
    labels = dock.target.add_labels(lambda volume: layers.new_labels(volume, CLASSES))
    better = published(dock)
    for index in (8, 14, 20, 26):
        mend(dock, truth, index)
    dock.rounds.setChecked(True)
    qtbot.waitUntil(lambda: bool(better), timeout=CHILD_MS)
    os.kill(dock.runner.child.pid, getattr(signal, "SIGKILL", signal.SIGTERM))
    mend(dock, truth, 17)  # painting goes on
    qtbot.waitUntil(lambda: not dock.runner.following, timeout=CHILD_MS)
    assert dock.tune.status.property("tone") == "bad"
    assert not dock.rounds.isChecked()
    assert np.array_equal(labels.data[17], truth[17])
    last = dock.model.path
    assert last == better[-1]
    parent = read_model_header(last).sha256

    dock.rounds.setChecked(True)
    qtbot.waitUntil(lambda: dock.runner.following, timeout=CHILD_MS)
    qtbot.waitUntil(lambda: bool(dock.tune.curve.losses), timeout=CHILD_MS)
    assert read_model_header(last).sha256 == parent
    dock.rounds.setChecked(False)
    qtbot.waitUntil(lambda: not dock.runner.following, timeout=CHILD_MS)


def test_another_class_begins_anew(qtbot, dock, hippocampus, truth):
    dock.model.list.setCurrentIndex(dock.model.list.findData(None))  # a new model
    dock.target.add_labels(lambda volume: layers.new_labels(volume, CLASSES[:2]))
    dock.target.labels.data[...] = truth == 1
    dock.slices.mark(8, 8)
    dock.slices.mark(16, 16)
    better = published(dock)
    dock.rounds.setChecked(True)
    qtbot.waitUntil(lambda: bool(better), timeout=CHILD_MS)
    first = better[-1]
    assert [c.id for c in read_model_header(first).spec.classes] == [0, 1]
    layers.change_about(dock.target.labels, classes=CLASSES)
    dock.slices.mark(24, 24)
    qtbot.waitUntil(lambda: better[-1] != first, timeout=CHILD_MS)
    assert [c.id for c in read_model_header(better[-1]).spec.classes] == [0, 1, 2]
    assert read_model_header(better[-1]).parent
    dock.rounds.setChecked(False)
    qtbot.waitUntil(lambda: not dock.runner.following, timeout=CHILD_MS)


def test_labels_that_are_deleted_teach_no_longer(qtbot, dock, hippocampus, truth, viewer):
    dock.model.list.setCurrentIndex(dock.model.list.findData(None))
    for wanted in (truth == 2, truth == 1):
        dock.target.add_labels(lambda volume: layers.new_labels(volume, CLASSES[:2]))
        dock.target.labels.data[...] = wanted
        dock.slices.mark(8, 8)
    gone, stays = viewer.layers[-2:]
    dock.rounds.setChecked(True)
    qtbot.waitUntil(lambda: dock.runner.following, timeout=CHILD_MS)
    first = dock.rounds._lesson
    assert first.drawn == [gone, stays]
    viewer.layers.remove(gone)
    qtbot.waitUntil(lambda: dock.rounds._lesson is not first, timeout=CHILD_MS)
    dock.rounds.setChecked(False)
    qtbot.waitUntil(lambda: not dock.runner.following, timeout=CHILD_MS)


def test_the_feed_tells_of_what_changed_and_of_nothing_else(dock, hippocampus):
    labels = dock.target.add_labels(lambda volume: layers.new_labels(volume, CLASSES))
    dock.slices.go(5)
    dock.slices.toggle()
    feed = Feed([labels])
    assert feed.news() == []
    labels.data[9] = 1  # nobody vouches for it
    assert feed.news() == []
    labels.data[5, 3] = 2
    (part,) = feed.news()
    assert (part.case, part.start) == (0, (5, 0, 0))
    assert part.known.all()
    assert (part.labels[0, 3] == 2).all()
    labels.selected_label, labels.brush_size = 1, 1
    labels.paint((7, 10, 10), 1)
    (part,) = feed.news()
    assert part.start == (7, 0, 0)
    assert 0 < part.known.sum() < part.known.size
    assert part.labels[part.known].all()
    dock.slices.toggle()  # takes the mark away
    (part,) = feed.news()
    assert part.start == (5, 0, 0)
    assert not part.known.any()
    assert feed.news() == []


@pytest.mark.parametrize(
    ("slices", "enough", "words"),
    [
        (0, False, "Not measured: no slice is held out yet."),
        (1, False, "Better on 1 held-out slice (9 voxels): too few to tell how good."),
        (3, True, "Dice 0.80 (0.70–0.90) on 3 held-out slices (9 voxels)."),
    ],
)
def test_what_is_said_of_the_model_in_use_names_its_ground(slices, enough, words):
    marks = {
        "slices": slices,
        "enough": enough,
        "voxels": 9,
        "interval": (0.7, 0.9),
        "mean_dice": 0.8,
        "per_class": {1: 0.8},
    }
    assert standing({"validation": marks}) == words
