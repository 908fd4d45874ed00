"""Make the pictures of the documentation: a real window, real data, real results.

Needs a display; without one::

    xvfb-run -a -s "-screen 0 1600x1000x24" python tools/make_pictures.py

Each is taken twice, in napari's dark theme and, with ``-light`` in its name, in the light one. The page of
the report is drawn by Chromium; where there is none, that picture is left as it is.

Nothing of the user's is touched: settings, models and journals lie in a temporary folder meanwhile.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

_HOME = Path(tempfile.mkdtemp(prefix="napari-unet-pictures-"))
os.environ["NAPARI_CONFIG"] = str(_HOME / "napari.yaml")
os.environ["XDG_DATA_HOME"] = os.environ["WIN_PD_OVERRIDE_LOCAL_APPDATA"] = str(_HOME)

import napari  # noqa: E402 - after its settings have a place of their own
from napari.layers import Labels  # noqa: E402
from qtpy.QtWidgets import QApplication, QWidget  # noqa: E402

from napari_unet import io  # noqa: E402
from napari_unet.core.bundled import sample  # noqa: E402
from napari_unet.plugin.dock import Dock  # noqa: E402
from napari_unet.plugin.queue_section import STATE  # noqa: E402
from napari_unet.plugin.tour import mark_seen  # noqa: E402

SIZE = (1280, 720)
"""Of the window: a small laptop, on which everything has to fit."""
PAGE = (1000, 1250)
"""Of the report, as far as it is shown."""
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
MENDED = 16
"""Slices of the sample that the reference annotation mends, in the place of a person: enough for a
verdict, which takes three that are held out."""
DABS = 3
"""Slices beside them on which only a stroke is painted."""


class Studio:
    """A viewer with the dock, and a camera."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.viewer = napari.Viewer()
        self.viewer.window.resize(*SIZE)
        _, dock = self.viewer.window.add_plugin_dock_widget("napari-unet")
        self.dock: Dock = dock

    @property
    def labels(self) -> Labels:
        """The labels in front."""
        labels = self.dock.target.labels
        assert labels is not None  # noqa: S101 - each picture is of an image with some
        return labels

    def settle(self, seconds: float = 0.5) -> None:
        """Let the window draw itself."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            QApplication.processEvents()
            time.sleep(0.01)

    def wait(self, until: Callable[[], bool], minutes: float = 10) -> None:
        """Let the window live until something has happened."""
        end = time.monotonic() + 60 * minutes
        while not until():
            if time.monotonic() > end:
                raise TimeoutError("the window did not come to its end")
            self.settle(0.05)

    def picture(self, name: str) -> None:
        """Take a picture of the whole window in both themes."""
        for theme, ending in (("light", "-light"), ("dark", "")):
            self.viewer.theme = theme
            self.settle()
            path = self.folder / f"{name}{ending}.png"
            self.viewer.screenshot(str(path), canvas_only=False, flash=False)
            print(path)

    def show(self, widget: QWidget) -> None:
        """Scroll the dock to a widget."""
        self.settle()
        self.dock.work.ensureWidgetVisible(widget, 0, 20)

    def top(self) -> None:
        """Show the dock from its first step on."""
        self.settle()
        self.dock.work.verticalScrollBar().setValue(0)

    def idle(self) -> None:
        """Wait for the end of the running job."""
        self.wait(lambda: not self.dock.runner.busy)

    def tour(self) -> None:
        """Show the first bubble of the tour."""
        self.dock.tour.start()
        self.picture("tour")
        self.dock.tour.end()

    def report(self) -> None:
        """Write a report and show how its page begins."""
        browser = next(filter(None, map(shutil.which, BROWSERS)), None)
        if browser is None:
            print("no picture of the report: install Chromium")
            return
        page, path = _HOME / "report.html", self.folder / "report.png"
        self.dock.report.write(page)
        self.wait(lambda: self.dock.report.status.text().startswith("Saved"))
        size = ",".join(map(str, PAGE))
        looks = ["--headless", "--hide-scrollbars", f"--window-size={size}"]
        # Its sandbox doesn't start as root, and the page is our own.
        command = [browser, *looks, "--no-sandbox", f"--screenshot={path}", page.as_uri()]
        subprocess.run(command, check=True, capture_output=True)
        print(path)

    def queue(self, image: Path) -> None:
        """Open a folder of images, let two be predicted ahead, and call one done."""
        folder = _HOME / "images"
        folder.mkdir()
        for number in range(1, 7):
            shutil.copyfile(image, folder / f"patient-{number:02}{io.suffix_of(image)}")
        self.dock.opening.folder(folder)
        queue = self.dock.queue
        self._ahead(1)
        queue.open(queue.coming()[0].path)
        labels = self.labels
        self.dock.slices.go(len(labels.data) // 2)
        labels.brush_size = 4
        labels.paint(tuple(n // 2 for n in labels.data.shape), 1)
        self.dock.slices.toggle()
        queue.done_next()
        self._ahead(2)
        self.top()
        self.picture("queue")

    def _ahead(self, row: int) -> None:
        """Wait until the image of a row of the queue and the next one are predicted."""
        table = self.dock.queue.table
        rows = (row, row + 1)
        self.wait(lambda: all(table.item(i, STATE).text() == "predicted" for i in rows))
        self.settle(2)

    def mend(self, truth: np.ndarray) -> None:
        """Copy the reference into some slices, spread over all that show something, and mark them."""
        labels = self.labels
        shown = np.flatnonzero(truth.any(axis=(1, 2)))
        done = np.linspace(shown[0], shown[-1], MENDED).round().astype(int).tolist()
        for index in done:
            self.dock.slices.go(index)
            at = np.nonzero(np.asarray(labels.data)[index] != truth[index])
            labels.data_setitem((np.full(len(at[0]), index), *at), truth[index][at])
            self.dock.slices.toggle()
        for index in np.setdiff1d(shown, done)[:DABS].tolist():
            self.dock.slices.go(index)
            y, x = np.argwhere(truth[index])[0]
            labels.paint((index, y, x), int(truth[index, y, x]))
        self.dock.next.go()


def main() -> None:
    """Go through the loop and take a picture of each step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=Path("docs/images"))
    parser.add_argument("--sample", default="hippocampus")
    parser.add_argument("--model", type=Path, help="a model file instead of the sample's starter")
    parser.add_argument("--minutes", type=float, default=1, help="time to fine-tune")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)

    studio = Studio(args.output)
    dock, chosen = studio.dock, sample(args.sample)
    mark_seen()
    studio.picture("start")
    studio.tour()

    dock.opening.sample(chosen)
    if args.model is not None:
        dock.model.choose(args.model)
    truth, _, _ = io.read_labels(chosen.labels)
    dock.slices.go(len(truth) // 2)
    dock.predict.start()
    studio.idle()
    studio.picture("predict")
    dock.predict.look()
    studio.idle()
    studio.picture("uncertainty")
    studio.viewer.layers.pop()

    studio.mend(truth)
    dock.correct.fold.click()
    dock.correct.tools.operation.setCurrentText("Smooth")
    dock.correct.tools.scope.setCurrentText("Whole volume")
    studio.picture("correct")
    dock.correct.fold.click()

    dock.tune.form.fields["minutes"].value = args.minutes
    dock.tune.start()
    curve = dock.tune.curve
    seen = 0.6 * 60 * args.minutes + time.monotonic()
    studio.wait(lambda: bool(curve.losses) or not dock.tune.running)
    studio.wait(lambda: time.monotonic() > seen or not dock.tune.running)
    studio.show(dock.tune.status)
    studio.picture("fine-tune")
    studio.idle()
    dock.tune.contest.compare.click()
    studio.wait(lambda: dock.comparison.view is not None)
    studio.show(dock.comparison)
    studio.picture("comparison")
    dock.comparison.end()
    studio.report()

    dock.slices.go(len(truth) // 2 - 1)
    dock.predict.start()
    studio.idle()
    studio.top()
    studio.picture("window")
    studio.viewer.layers.clear()
    studio.queue(chosen.image)
    studio.viewer.close()


if __name__ == "__main__":
    main()
