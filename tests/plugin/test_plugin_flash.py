"""What has changed lights up on the canvas for a moment, and nothing else of the window moves."""

import numpy as np
import pytest

from napari_unet.core.classes import default_classes
from napari_unet.plugin import flash as lights
from napari_unet.plugin import layers
from napari_unet.plugin.flash import COLOUR, Flash

SLOWLY_MS = 5000
"""A busy machine may need more than the second of a user's to take a picture."""


@pytest.fixture
def viewer(make_napari_viewer):
    """A viewer that is drawn."""
    return make_napari_viewer(show=True)


@pytest.fixture
def labels(dock, hippocampus):
    """Labels on the sample, nothing painted."""
    return dock.target.add_labels(lambda volume: layers.new_labels(volume, default_classes([1])))


def yellow(viewer):
    """How many pixels of the canvas have the colour of the light."""
    picture = viewer.screenshot(canvas_only=True, flash=False)[..., :3].astype(int)
    wanted = np.array([round(255 * c) for c in COLOUR[:3]])
    return int((np.abs(picture - wanted).max(axis=-1) < 60).sum())


@pytest.mark.parametrize("how_many", ["once", "twice"])
def test_what_changed_is_seen_lit_for_a_moment(qtbot, viewer, labels, how_many, monkeypatch):
    monkeypatch.setattr(lights, "SHOWN_MS", SLOWLY_MS)
    viewer.dims.set_current_step(0, 12)
    viewer.layers.selection.active = labels
    flash = Flash(viewer)
    before = yellow(viewer)
    changed = np.zeros((3, 12, 10), np.bool_)
    changed[1, 2:10, 2:8] = True
    flash.light(labels, (11, 8, 6), changed)
    if how_many == "twice":  # before the first has gone out: its place is taken
        flash.light(labels, (11, 20, 6), changed)
    lit = yellow(viewer)
    assert lit > before + 100
    assert flash.lit
    assert viewer.layers.selection.active is labels
    viewer.dims.set_current_step(0, 20)  # not in other slices
    assert yellow(viewer) < before + 100
    viewer.dims.set_current_step(0, 12)
    qtbot.waitUntil(lambda: not flash.lit, timeout=10 * SLOWLY_MS)
    assert abs(yellow(viewer) - before) < 100
    flash.remove()


def test_nothing_that_changed_lights_nothing(viewer, labels):
    flash = Flash(viewer)
    before = list(viewer.layers)
    flash.light(labels, (0, 0, 0), np.zeros((2, 4, 4), np.bool_))
    assert not flash.lit
    assert list(viewer.layers) == before
