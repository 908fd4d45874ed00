"""A person in a napari of their own who deletes labels and makes new ones, twice.

Run as ``python deleter.py IMAGE``; says on standard output when all of it was drawn.
"""

import sys
import time

import napari
from qtpy.QtWidgets import QApplication


def settle(seconds):
    """Let the window live."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.005)


def main(image):
    """Make labels, delete them, make others."""
    viewer = napari.Viewer()
    _, dock = viewer.window.add_plugin_dock_widget("napari-unet")
    dock.opening.paths([image])
    for _ in range(2):
        dock.correct.new.click()
        settle(1)
        viewer.layers.remove(dock.target.labels)
        settle(1)
    dock.correct.new.click()
    settle(1)
    dock.release()
    viewer.close()
    print("drawn", flush=True)  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
