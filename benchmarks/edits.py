"""Do edits of a big volume leave the window alone? Work, and the longest stall, on 512 x 512 x 200.

Needs a display; without one::

    xvfb-run -a -s "-screen 0 1600x1000x24" python benchmarks/edits.py

Two large classes with 400 islands; each edit is previewed, then applied, through the dock. A 10 ms timer
tells how long the event loop was kept waiting.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable

_HOME = tempfile.mkdtemp(prefix="napari-unet-edits-")
os.environ["NAPARI_CONFIG"] = f"{_HOME}/napari.yaml"
os.environ["XDG_DATA_HOME"] = _HOME

import napari  # noqa: E402 - after its settings have a place of their own
import numpy as np  # noqa: E402
from qtpy.QtCore import QTimer  # noqa: E402
from qtpy.QtWidgets import QApplication  # noqa: E402

SHAPE, SPACING = (200, 512, 512), (2.5, 1.0, 1.0)


class Stalls:
    """The longest wait of a 10 ms timer, by the clock and by the work of this thread."""

    def __init__(self) -> None:
        self._timer = QTimer(interval=10)
        self._timer.timeout.connect(self._beat)
        self._timer.start()
        self.reset()

    def reset(self) -> None:
        """Begin anew."""
        self._last = time.perf_counter(), time.thread_time()
        self.clock = self.work = 0.0

    def _beat(self) -> None:
        now = time.perf_counter(), time.thread_time()
        self.clock = max(self.clock, now[0] - self._last[0] - 0.01)
        self.work = max(self.work, now[1] - self._last[1])
        self._last = now


def volume(seed: int) -> np.ndarray:
    """Return two ellipsoids that touch, and islands."""
    z, y, x = np.indices(SHAPE, dtype=np.float32, sparse=True)
    labels = np.zeros(SHAPE, np.uint8)
    labels[((z - 100) * 2.5) ** 2 + (y - 256) ** 2 + (x - 200) ** 2 < 150**2] = 1
    second = ((z - 100) * 2.5) ** 2 + (y - 256) ** 2 + (x - 350) ** 2 < 100**2
    labels[second & (labels == 0)] = 2
    for a, b, c in np.random.default_rng(seed).integers(5, 190, (400, 3)):
        labels[a : a + 2, b * 2 : b * 2 + 3, c * 2 : c * 2 + 3] = 1
    return labels


def main() -> None:
    """Preview and apply each edit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    viewer = napari.Viewer()
    viewer.window.resize(1280, 800)
    _, dock = viewer.window.add_plugin_dock_widget("napari-unet")
    dock._warm.stop()
    placed = {"scale": SPACING, "units": ("um",) * 3}
    viewer.add_image(np.zeros(SHAPE, np.uint8), name="volume", **placed)
    layer = viewer.add_labels(volume(args.seed), name="labels", **placed)
    dock.slices.go(60)
    for z in range(40, 161, 10):
        dock.slices.mark(z, z)
    dock.correct.fold.click()
    tools, stalls = dock.correct.tools, Stalls()

    def wait(until: Callable[[], bool]) -> None:
        while not until():
            QApplication.processEvents()
            time.sleep(0.001)

    def timed(act: Callable[[], object], until: Callable[[], bool]) -> str:
        wait(lambda: not dock.correct.counts.pending)
        end = time.monotonic() + 0.5
        wait(lambda: time.monotonic() > end)
        stalls.reset()
        begun = time.perf_counter()
        act()
        wait(until)
        seconds = time.perf_counter() - begun
        end = time.monotonic() + 0.5
        wait(lambda: time.monotonic() > end)
        clock, work = 1000 * stalls.clock, 1000 * stalls.work
        return f"{seconds:5.1f} s, longest stall {clock:4.0f} ms ({work:3.0f} of work)"

    def said() -> bool:
        return str(tools.status.text()).endswith(".")

    layer.selected_label = 1
    for title in [tools.operation.itemText(i) for i in range(tools.operation.count())]:
        if title in ("Copy from", "Merge into"):
            continue
        tools.operation.setCurrentText(title)
        tools.scope.setCurrentText("Whole volume")
        tools.about.setCurrentIndex(1)
        tools.number.setValue({"µm": 3.0, "µm³": 200.0}.get(tools.number.suffix().strip(), 0))
        shown = timed(tools.preview.click, said)
        words = tools.status.text()
        written = timed(tools.apply.click, lambda: said() and not tools.preview.isChecked())
        print(f"{title:20s} preview {shown}; apply {written}; {words}", flush=True)
        undone = timed(layer.undo, lambda: True)
        print(f"{'':20s} undo {undone}", flush=True)
    viewer.close()


if __name__ == "__main__":
    main()
