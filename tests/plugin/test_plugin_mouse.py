"""A person's own mouse and keys on the canvas: strokes are painted, marked done, and safe on disk."""

import numpy as np
from qtpy.QtCore import QPoint, Qt

from napari_unet.jobs import unfinished
from napari_unet.plugin import layers
from napari_unet.plugin.safety import STROKE_MS

SLICE = 12
LEFT = Qt.MouseButton.LeftButton


def stroke(qtbot, canvas, length):
    """Draw a line from the middle of the canvas to the right with the left button down."""
    middle = QPoint(canvas.width() // 2, canvas.height() // 2)
    qtbot.mouseMove(canvas, middle)
    qtbot.mousePress(canvas, LEFT, pos=middle)
    for step in range(5, length + 1, 5):
        qtbot.mouseMove(canvas, middle + QPoint(step, 0))
        qtbot.wait(10)
    qtbot.mouseRelease(canvas, LEFT, pos=middle + QPoint(length, 0))


def test_a_stroke_and_a_mark_by_key_reach_the_journal(qtbot, dock, hippocampus, viewer):
    window = viewer.window._qt_window
    window.show()
    qtbot.waitExposed(window)
    canvas = viewer.window._qt_viewer.canvas.native
    dock.correct.new.click()
    labels = dock.target.labels
    labels.brush_size = 1
    assert labels.mode == "paint"
    dock.slices.go(SLICE)
    qtbot.wait(50)

    stroke(qtbot, canvas, 120)
    painted = np.array(labels.data)
    assert np.unique(np.nonzero(painted)[0]).tolist() == [SLICE]
    assert np.count_nonzero(painted) >= 5  # a line, not the dot of a click
    canvas.setFocus()
    qtbot.keyClick(canvas, Qt.Key.Key_D)
    assert layers.about(labels).done == {(0, SLICE)}

    qtbot.wait(2 * STROKE_MS)
    ((_, journal),) = dock.safety._journals
    assert journal.flush() == ""
    journal.close(clean=False)  # as a killed process leaves it
    dock.safety._journals.clear()
    (entry,) = unfinished()
    assert np.array_equal(entry.read(), painted)
    assert entry.state.done == {0: (SLICE,)}
