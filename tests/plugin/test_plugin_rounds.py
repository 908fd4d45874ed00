"""Rounds without a click, in a real window with a real child."""

import numpy as np
import pytest

from conftest import CHILD_MS, CLASSES
from napari_unet import io
from napari_unet.core.bundled import sample
from napari_unet.plugin import layers
from napari_unet.plugin.rounds import takes_over


def idle(qtbot, dock):
    qtbot.waitUntil(lambda: not dock.runner.busy, timeout=CHILD_MS)


def mend(dock, truth, index):
    """Mend a slice and mark it, as a person does; nothing else is clicked."""
    labels = dock.target.labels
    dock.slices.go(index)
    at = np.nonzero(np.asarray(labels.data)[index] != truth[index])
    labels.data_setitem((np.full(len(at[0]), index), *at), truth[index][at])
    dock.slices.toggle()


def rounds_of(dock):
    """Note the end of each training and prediction."""
    seen = []
    dock.tune.ended.connect(lambda result: seen.append(("learned", result["model"])))
    dock.predict.predicted.connect(lambda _: seen.append(("predicted", dock.model.path)))
    return seen


def test_marks_are_learned_and_a_better_model_predicts_again(qtbot, dock, hippocampus):
    truth, _, _ = io.read_labels(sample("hippocampus").labels)
    dock.model.list.setCurrentIndex(dock.model.list.findData(None))  # a new model
    dock.target.add_labels(lambda volume: layers.new_labels(volume, CLASSES))
    dock.tune.form.fields["steps"].value = "2"
    mend(dock, truth, 8)
    mend(dock, truth, 16)
    seen = rounds_of(dock)
    assert not dock.runner.busy  # nothing begins before it is asked for
    dock.rounds.setChecked(True)
    qtbot.waitUntil(lambda: len(seen) == 2 and not dock.runner.busy, timeout=CHILD_MS)
    (_, first), (what, used) = seen
    assert (what, used, dock.model.path) == ("predicted", first, first)
    assert np.array_equal(dock.target.labels.data[16], truth[16])

    qtbot.wait(300)
    assert not dock.runner.busy  # the same marks are not learned twice
    mend(dock, truth, 24)
    qtbot.waitUntil(lambda: len(seen) >= 3 and not dock.runner.busy, timeout=CHILD_MS)
    assert seen[2][0] == "learned"
    assert seen[2][1] != first


def test_stop_ends_the_rounds(qtbot, dock, hippocampus, model):
    truth, _, _ = io.read_labels(sample("hippocampus").labels)
    dock.model.choose(model)
    dock.predict.go.click()
    idle(qtbot, dock)
    dock.tune.form.fields["minutes"].value = 5
    dock.rounds.setChecked(True)
    mend(dock, truth, 12)
    qtbot.waitUntil(lambda: bool(dock.tune.curve.losses), timeout=CHILD_MS)
    dock.tune.halt.click()
    idle(qtbot, dock)
    assert not dock.rounds.isChecked()
    mend(dock, truth, 20)
    qtbot.wait(300)
    assert not dock.runner.busy


def result(promoted, before, after):
    marks = {"slices": 1, "enough": False, "voxels": 9, "interval": None}
    base = None if before == "no base" else {**marks, "mean_dice": before}
    return {"promoted": promoted, "base": base, "validation": {**marks, "mean_dice": after}}


@pytest.mark.parametrize(
    ("promoted", "before", "after", "expected"),
    [
        (True, 0.5, 0.9, True),
        (False, 0.5, 0.6, True),
        (False, 0.6, 0.6, False),
        (False, 0.7, 0.6, False),
        (False, None, None, False),
        (True, "no base", None, True),
        (False, "no base", 0.9, False),
    ],
)
def test_a_model_takes_over_where_it_measured_better(promoted, before, after, expected):
    assert takes_over(result(promoted, before, after)) is expected
