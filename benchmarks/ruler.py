"""Does the ruler keep up? The time from an act to the redrawn dock, for 10, 100 and 2000 slices.

Needs a display; without one::

    xvfb-run -a -s "-screen 0 1600x1000x24" python benchmarks/ruler.py

Slices are 512 x 512. An act counts until the event loop has nothing left to do, so the drawing of napari's
own canvas is in it; rows named "dock" are the part of this project alone. The first number is what the
window's thread worked, the second what the clock said, which grows with other work on the machine.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable

_HOME = tempfile.mkdtemp(prefix="napari-unet-ruler-")
os.environ["NAPARI_CONFIG"] = f"{_HOME}/napari.yaml"
os.environ["XDG_DATA_HOME"] = _HOME

import napari  # noqa: E402 - after its settings have a place of their own
import numpy as np  # noqa: E402
from qtpy.QtWidgets import QApplication  # noqa: E402

SIDE = 512


def milliseconds(act: Callable[[], object]) -> tuple[float, float]:
    """Time an act and all that the window does about it: work of this thread, and by the clock."""
    begun = time.thread_time(), time.perf_counter()
    act()
    QApplication.processEvents()
    return 1000 * (time.thread_time() - begun[0]), 1000 * (time.perf_counter() - begun[1])


def measure(count: int, repeats: int, seed: int) -> None:
    """Open a volume of so many slices, and time what a person does on the ruler."""
    rng = np.random.default_rng(seed)
    viewer = napari.Viewer()
    viewer.window.resize(1280, 800)
    _, dock = viewer.window.add_plugin_dock_widget("napari-unet")
    dock._warm.stop()  # no child process: it would share the cores
    viewer.add_image(np.zeros((count, SIDE, SIDE), np.uint8), name="volume")
    labels = np.zeros((count, SIDE, SIDE), np.uint8)
    labels[:, 100:200, 100:200] = 1
    first = milliseconds(lambda: viewer.add_labels(labels, name="labels"))
    layer, slices, correct = dock.target.labels, dock.slices, dock.correct
    layer.brush_size = 20
    QApplication.processEvents()

    def paint() -> None:
        z = slices.here[1]
        layer.paint((z, *rng.integers(50, SIDE - 50, 2)), 1)

    def napari_alone() -> None:
        slices.blockSignals(True)
        viewer.dims.events.point.disconnect(slices.refresh)
        slices.go(int(rng.integers(count)))
        viewer.dims.events.point.connect(slices.refresh)
        slices.blockSignals(False)

    def settle() -> None:
        """End the pause after a stroke now, and count to the end."""
        correct._recount.stop()
        correct._look_again()

    def idle() -> None:
        while correct.counts.pending:
            QApplication.processEvents()

    half = count // 2
    acts = {
        "napari alone: another slice": napari_alone,
        "go to another slice": lambda: slices.go(int(rng.integers(count))),
        "mark the slice": slices.toggle,
        "one dab of the brush": paint,
        "ruler and counts after it": settle,
        "next": dock.next.go,
        "mark half the volume": lambda: slices.mark(0, half, bool(rng.integers(2))),
        "dock: count done slices again": lambda: (
            correct.counts.forget(),
            correct.counts.refresh(),
        ),
        "dock: states and ruler": lambda: (correct.show_slices(), correct.ruler.repaint()),
    }
    print(f"\n{count} slices; labels of a file put on: {first[0]:.0f} ms of work")
    for name, act in acts.items():
        times = []
        for _ in range(repeats):
            times.append(milliseconds(act))
            idle()
        work, clock = zip(*times, strict=True)
        print(
            f"  {name:32s} work: median {statistics.median(work):5.1f}, longest {max(work):5.1f} ms;"
            f"  clock: {statistics.median(clock):5.1f}, {max(clock):5.1f} ms"
        )
    viewer.close()


def main() -> None:
    """Measure each size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--counts", type=int, nargs="+", default=[10, 100, 2000])
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    for count in args.counts:
        measure(count, args.repeats, args.seed)


if __name__ == "__main__":
    main()
