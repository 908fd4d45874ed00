"""Two models compared in one click, on a real volume, by a real child process."""

from dataclasses import replace

import numpy as np
import pytest
from qtpy.QtCore import Qt

from conftest import CHILD_MS
from napari_unet.core.bundled import user_models_folder
from napari_unet.core.difference import Change
from napari_unet.plugin.comparison import FLIP_KEY
from napari_unet.plugin.comparison_layer import View
from napari_unet.plugin.traces import traces


@pytest.fixture
def other(model):
    """Put a second model among the user's own, whose weights are the first one's with noise."""
    from napari_unet.engine.model import load_model, save_model

    one, rng = load_model(model), np.random.default_rng(0)
    weights = {k: v + rng.normal(0, 0.3, v.shape).astype(v.dtype) for k, v in one.weights.items()}
    changed = replace(one, weights=weights, name="<b>other</b>", parent=one.sha256)
    return save_model(changed, user_models_folder() / "other.safetensors")


@pytest.fixture
def compared(qtbot, dock, hippocampus, model, other):
    """Predict with one model, and compare it with the other."""
    dock.model.choose(model)
    dock.predict.start()
    qtbot.waitUntil(lambda: not dock.runner.busy, timeout=CHILD_MS)
    dock.tune.contest.asked.emit(model, other)
    qtbot.waitUntil(lambda: dock.comparison.view is not None, timeout=CHILD_MS)
    return dock.comparison


def test_two_models_are_compared_in_one_click(qtbot, dock, viewer, compared):
    labels = dock.target.labels
    layer = viewer.layers["comparison: changed"]
    assert len(compared._own) == 1  # the first model had predicted already
    assert not labels.visible
    assert viewer.layers.selection.active is labels
    assert dock.target.candidates() == [labels]

    before = np.asarray(traces(labels).prediction.open())
    after = np.asarray(compared._own[0].open())
    found = np.asarray(layer.data)
    assert np.array_equal(found == Change.NEW, (before == 0) & (after != 0))
    assert np.array_equal(found == Change.GONE, (before != 0) & (after == 0))
    assert np.array_equal(found == Change.OTHER, (before != after) & (before != 0) & (after != 0))
    assert f"{np.count_nonzero(found):,} voxels differ" in compared.status.text()
    assert " → " in compared.status.text()

    counts = np.count_nonzero(found, axis=(1, 2))
    assert f"Go to slice {counts.argmax()}: {counts.max():,} changed" == compared.most.text()
    compared.most.click()
    assert dock.slices.here == (0, counts.argmax())

    window = viewer.window._qt_window
    window.show()
    qtbot.waitExposed(window)
    canvas = viewer.window._qt_viewer.canvas.native
    for view, voxels in ((View.AFTER, after), (View.BEFORE, before), (View.AFTER, after)):
        qtbot.keyClick(canvas, getattr(Qt.Key, f"Key_{FLIP_KEY}"))
        assert compared.view is view
        assert compared.views[view].isChecked()
        assert np.array_equal(layer.data, voxels)
        assert layer.name == f"comparison: {view.lower()}"

    compared.close_it.click()
    assert layer not in viewer.layers
    assert labels.visible
    assert compared.isHidden()
    assert not compared._own


@pytest.mark.parametrize("way", ["layer", "labels", "predict"])
def test_it_ends_when_something_of_it_goes(qtbot, dock, viewer, compared, way):
    labels = dock.target.labels
    if way == "predict":
        dock.predict.go.click()
    else:
        viewer.layers.remove("comparison: changed" if way == "layer" else labels)
    assert compared.view is None
    assert not [layer for layer in viewer.layers if "comparison" in layer.name]
    assert way == "labels" or labels.visible
    qtbot.waitUntil(lambda: not dock.runner.busy, timeout=CHILD_MS)


def test_what_stands_in_the_way_is_told(dock, hippocampus, model, tmp_path):
    comparison = dock.comparison
    comparison.start(model, model)
    assert comparison.status.text() == "Predict first: there are no labels."
    dock.correct.new.click()
    assert comparison.isHidden()
    rubbish = tmp_path / "<i>.safetensors"
    rubbish.write_bytes(b"no model")
    comparison.start(model, rubbish)
    assert "&lt;i&gt;.safetensors is not a model file" in comparison.status.text()
