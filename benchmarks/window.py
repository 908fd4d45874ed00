"""Does the window ever wait? Stalls and the delay of the brush, with work in the child and without.

Needs a display; without one::

    xvfb-run -a -s "-screen 0 1600x1000x24" python benchmarks/window.py

A volume of 200 x 512 x 512 voxels lies in napari with the dock beside it. A mouse paints strokes, fifty moves
a second, for a while each: while the child does nothing, while it predicts the whole volume, and while it
learns from marked slices. Then four more slices are marked. Measured are

stall      how much later than due a timer of 10 ms came, in milliseconds
stroke     from a mouse move to the end of the frame that shows it, in milliseconds
mark       from marking a slice to the training's word that it has heard, in seconds
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

_HOME = tempfile.mkdtemp(prefix="napari-unet-window-")
os.environ["NAPARI_CONFIG"] = f"{_HOME}/napari.yaml"
os.environ["XDG_DATA_HOME"] = _HOME

import napari  # noqa: E402 - after its settings have a place of their own
import numpy as np  # noqa: E402
from contest import machine, table  # noqa: E402
from numpy.typing import NDArray  # noqa: E402
from qtpy.QtCore import QEventLoop, QPoint, Qt, QTimer  # noqa: E402
from qtpy.QtTest import QTest  # noqa: E402
from scipy.ndimage import gaussian_filter  # noqa: E402

from napari_unet import io  # noqa: E402
from napari_unet.core.grid import Grid  # noqa: E402
from napari_unet.engine.starters import resolve  # noqa: E402
from napari_unet.jobs import HeldOut  # noqa: E402
from napari_unet.plugin import layers  # noqa: E402

SHAPE = (200, 512, 512)
LEFT = Qt.MouseButton.LeftButton
MARKED = (40, 70, 100, 130)
"""Slices the training begins with."""
LIMIT = 300
"""Seconds after which something has gone wrong."""


class Person:
    """Paints with the mouse, without a pause."""

    def __init__(self, viewer: napari.Viewer) -> None:
        scene = viewer.window._qt_viewer.canvas
        self._canvas = scene.native
        self.stalls: list[float] = []
        self.strokes: list[float] = []
        self._moved: float | None = None
        self._place, self._due = 0, 0.0
        scene._scene_canvas.events.draw.connect(self._drawn, position="last")
        self._hand, self._beat = QTimer(interval=20), QTimer(interval=10)
        self._hand.timeout.connect(self._move)
        self._beat.timeout.connect(self._tick)

    def work(self, seconds: float) -> None:
        """Paint for so long."""
        self.stalls, self.strokes, self._moved = [], [], None
        self._due = time.perf_counter() + 0.01
        self._hand.start()
        self._beat.start()
        wait(lambda: False, seconds)
        self._hand.stop()
        self._beat.stop()
        QTest.mouseRelease(self._canvas, LEFT, pos=self._at())

    def _at(self) -> QPoint:
        """Lines from left to right, one below the other, in the middle of the canvas."""
        row, column = divmod(self._place, 25)
        middle = QPoint(self._canvas.width() // 2, self._canvas.height() // 2)
        return middle + QPoint(6 * column - 75, 12 * (row % 12) - 70)

    def _move(self) -> None:
        self._place += 1
        if self._moved is None:
            self._moved = time.perf_counter()
        QTest.mouseMove(self._canvas, self._at())
        if self._place % 25 == 0:
            QTest.mousePress(self._canvas, LEFT, pos=self._at())
        elif self._place % 25 == 24:
            QTest.mouseRelease(self._canvas, LEFT, pos=self._at())

    def _drawn(self, _event: object) -> None:
        if self._moved is not None:
            self.strokes.append(1000 * (time.perf_counter() - self._moved))
            self._moved = None

    def _tick(self) -> None:
        now = time.perf_counter()
        self.stalls.append(max(0.0, 1000 * (now - self._due)))
        self._due = now + 0.01


def wait(until: Callable[[], bool], seconds: float) -> bool:
    """Let the window live until something is true; return whether it was in time."""
    loop, end = QEventLoop(), time.perf_counter() + seconds
    timer = QTimer(interval=20)
    timer.timeout.connect(lambda: (until() or time.perf_counter() > end) and loop.quit())
    timer.start()
    loop.exec()
    timer.stop()
    return until()


def body(seed: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Make a noisy volume, and what is in it: two classes of smooth blobs."""
    rng = np.random.default_rng(seed)
    small = gaussian_filter(rng.standard_normal([n // 4 for n in SHAPE]), 6)
    smooth = np.kron(small / small.std(), np.ones((4, 4, 4))).astype(np.float32)
    labels = (smooth > 1).astype(np.uint8) + (smooth > 1.6)
    return np.asarray(smooth + rng.standard_normal(SHAPE, np.float32) / 2, np.float32), labels


def main() -> None:
    """Measure the three states and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=30, help="of painting in each state")
    parser.add_argument("--model", default="hippocampus-mr")
    chosen = parser.parse_args()
    viewer = napari.Viewer()
    viewer.window.resize(1280, 800)
    _, dock = viewer.window.add_plugin_dock_widget("napari-unet")
    image, truth = body(0)
    path = Path(_HOME) / "volume.nii"
    io.write_probabilities(path, image[None], Grid(SHAPE, (1.0, 1.0, 1.0), "mm"))
    dock.opening.paths([str(path)])
    dock.model.choose(Path(resolve(chosen.model)))
    labels = dock.target.add_labels(lambda v: layers.new_labels(v, dock.model.header.spec.classes))
    wait(lambda: dock.runner.child.pid is not None, 10)
    person, lines = Person(viewer), []

    def record(state: str) -> None:
        stalls, strokes = np.array(person.stalls), np.array(person.strokes)
        cells = [f"{v:.0f}" for v in (*np.percentile(stalls, (50, 99)), stalls.max())]
        cells += [f"{v:.0f}" for v in (*np.percentile(strokes, (50, 99)), strokes.max())]
        lines.append((state, *cells, len(strokes)))
        print("#", *lines[-1], flush=True)

    def mend(index: int) -> None:
        dock.slices.go(index)
        y, x = np.nonzero(labels.data[index] != truth[index])
        labels.data_setitem((np.full(len(y), index), y, x), truth[index][y, x])

    dock.slices.go(100)
    labels.mode, labels.brush_size = "paint", 10
    person.work(5)  # whatever is slow the first time
    if not labels.data[100].any():
        raise SystemExit("The mouse has painted nothing: is the window hidden?")
    person.work(chosen.seconds)
    record("nothing else")

    dock.predict.start()
    wait(lambda: dock.predict.bar.value() > 0, LIMIT)
    person.work(chosen.seconds)
    record("predicting")
    dock.runner.stop()
    wait(lambda: not dock.runner.busy, LIMIT)

    for index in MARKED:
        mend(index)
        dock.slices.toggle()
    heard: list[float] = []
    told = dock.rounds.on_held_out

    def hear(held: HeldOut) -> None:
        heard.append(time.perf_counter())
        told(held)

    dock.rounds.on_held_out = hear
    dock.rounds.setChecked(True)
    wait(lambda: bool(dock.tune.curve.losses), LIMIT)
    person.work(chosen.seconds)
    record("learning")
    delays = []
    for index in (55, 85, 115, 145):
        mend(index)
        wait(lambda: False, 5)  # a person looks; what was painted has been heard by then
        heard.clear()
        began = time.perf_counter()
        dock.slices.toggle()
        wait(lambda: bool(heard), LIMIT)
        delays.append(heard[0] - began)
    dock.rounds.setChecked(False)
    wait(lambda: not dock.runner.following, LIMIT)
    dock.release()
    viewer.close()
    print(machine("napari"), "\n")
    columns = ("the child", "stall: median", "p99", "longest", "stroke: median", "p99", "longest")
    print(table((*columns, "frames"), lines))
    print("\nmark to training (s): " + ", ".join(f"{d:.2f}" for d in delays))


if __name__ == "__main__":
    main()
