"""A person in a napari of their own: opens an image, keeps a session, paints with the mouse until killed.

Run as ``python painter.py IMAGE SESSION``; says on standard output what has been painted and marked.
"""

import sys
import time
from pathlib import Path

import napari
import numpy as np
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

LEFT = Qt.MouseButton.LeftButton
STROKES, MARKED = 10, (12, 14)


def settle(seconds):
    """Let the window live."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.005)


def drag(canvas, start, length):
    """Press the left button and draw to the right; the button stays down."""
    QTest.mouseMove(canvas, start)
    QTest.mousePress(canvas, LEFT, pos=start)
    for step in range(5, length + 1, 5):
        QTest.mouseMove(canvas, start + QPoint(step, 0))
        settle(0.01)


def main(image, folder):
    """Paint ten strokes on two slices, mark both, and begin one more."""
    viewer = napari.Viewer()
    _, dock = viewer.window.add_plugin_dock_widget("napari-unet")
    dock.opening.paths([image])
    dock.correct.new.click()
    dock.session.save_to(Path(folder))
    labels, canvas = dock.target.labels, viewer.window._qt_viewer.canvas.native
    labels.brush_size = 1
    settle(1)
    middle = QPoint(canvas.width() // 2, canvas.height() // 2)
    for number in range(STROKES):
        dock.slices.go(MARKED[number % 2])
        settle(0.05)
        start = middle + QPoint(0, 10 * (number - STROKES // 2))
        drag(canvas, start, 80)
        QTest.mouseRelease(canvas, LEFT, pos=start + QPoint(80, 0))
        settle(0.05)
    for index in MARKED:
        dock.slices.go(index)
        canvas.setFocus()
        QTest.keyClick(canvas, Qt.Key.Key_D)
        settle(0.05)
    dock.slices.go(20)
    drag(canvas, middle, 60)
    QTest.mouseRelease(canvas, LEFT, pos=middle + QPoint(60, 0))
    settle(
        2
    )  # a stroke after the last mark: the session's folder does not have it, the journal has
    np.save(Path(folder).with_name("painted.npy"), labels.data)
    drag(canvas, middle + QPoint(0, 40), 60)
    print("painting", flush=True)  # noqa: T201
    settle(60)


if __name__ == "__main__":
    main(*sys.argv[1:])
