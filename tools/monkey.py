"""Let a monkey loose in the window: it clicks, types, paints and deletes at random, and must break nothing.

Needs a display; without one::

    xvfb-run -a -s "-screen 0 1600x1000x24" python tools/monkey.py --seconds 300 --seeds 0 1 2

Each seed gets a napari of its own, so that a crash of the process is seen, too. An exception is printed with
what the monkey did before it; so is every wait of the window above three seconds (with software rendering
a volume in 3D takes that long). In the end everything is stopped, and the steps must be idle. The exit
status is 1 if anything went wrong. What it does depends on how fast the machine is, so the same seed need
not find the same fault twice.

Nothing of the user's is touched: settings, models and files lie in a temporary folder meanwhile.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections import deque
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

SAMPLES = {"hippocampus": "hippocampus-mr", "nuclei-2d": "nuclei-2d", "nuclei-3d": "nuclei-3d"}
"""Samples, and the starters that suit them."""
SLOW = 3.0
"""Seconds from which a wait of the window is told."""
MOST_LAYERS = 6
PATIENCE = 120.0
"""Seconds that the steps get to become idle in the end."""


def main() -> int:
    """Run one seed here, or several in processes of their own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--sample", choices=list(SAMPLES), help="by turns when not given")
    chosen = parser.parse_args()
    failed = 0
    for seed in chosen.seeds:
        sample = chosen.sample or list(SAMPLES)[seed % len(SAMPLES)]
        with tempfile.TemporaryDirectory(prefix="napari-unet-monkey-") as home:
            command = [sys.executable, "-X", "faulthandler", __file__, "--one", home]
            arguments = [str(seed), sample, str(chosen.seconds)]
            code = subprocess.run([*command, *arguments], check=False).returncode
        print(f"seed {seed}, {sample}: {'fine' if code == 0 else f'failed ({code})'}", flush=True)
        failed += code != 0
    return int(failed > 0)


def one(home: Path, seed: int, sample: str, seconds: float) -> int:
    """Let one monkey loose; return how many exceptions there were."""
    os.environ["NAPARI_CONFIG"] = str(home / "napari.yaml")
    os.environ["XDG_DATA_HOME"] = os.environ["WIN_PD_OVERRIDE_LOCAL_APPDATA"] = str(home)
    monkey = Monkey(home, random.Random(seed), sample)  # noqa: S311 - no secret
    monkey.play(seconds)
    monkey.leave()
    return monkey.faults


class Monkey:
    """A viewer with the dock, and somebody who should not be let near it.

    Parameters
    ----------
    home : Path
        A folder that nobody needs.
    chance : random.Random
        Decides.
    sample : str
        A key of `SAMPLES`.
    """

    def __init__(self, home: Path, chance: random.Random, sample: str) -> None:
        import napari
        from napari.utils.notifications import notification_manager

        from napari_unet.core import bundled

        self.home, self.chance, self.faults = home, chance, 0
        self.past: deque[str] = deque(maxlen=12)
        source = bundled.sample(sample).image
        self.image = home / "images" / source.name
        self.image.parent.mkdir()
        for name in (source.name, f"other-{source.name}"):
            shutil.copyfile(source, self.image.with_name(name))
        self._answer_dialogs()
        sys.excepthook = self.blame
        notification_manager.receive_error = self.blame
        self.viewer = napari.Viewer()
        self.viewer.window.resize(1280, 900)
        _, self.dock = self.viewer.window.add_plugin_dock_widget("napari-unet")
        self.canvas = self.viewer.window._qt_viewer.canvas.native
        self.settle(2)
        self.dock.tour.end()
        self.dock.opening.paths([str(self.image)])
        self.dock.model.choose(bundled.folder() / f"{SAMPLES[sample]}.safetensors")
        self.settle(1)

    def play(self, seconds: float) -> None:
        """Do one thing after another."""
        often = {self.click: 8, self.press: 4, self.stroke: 4, self.paint: 4, self.meddle: 3}
        seldom = {self.look: 2, self.drag: 2, self.fill_in: 2, self.undo: 2, self.choose: 1}
        actions: dict[Callable[[], None], int] = often | seldom
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            (action,) = self.chance.choices(list(actions), list(actions.values()))
            try:
                action()
            except Exception:  # whatever it is, it is to be told
                self.blame(*sys.exc_info())
            self.settle(self.chance.choice((0.0, 0.0, 0.02, 0.1, 0.3, 1.2)))

    def leave(self) -> None:
        """Stop everything, and see whether it stops."""
        self.past.append("stop")
        self.dock.rounds.setChecked(False)
        self.dock.runner.stop()
        end = time.monotonic() + PATIENCE
        while (self.dock.runner.busy or self.dock.runner.following) and time.monotonic() < end:
            self.settle(0.1)
        if self.dock.runner.busy or self.dock.runner.following or self.dock.predict.running:
            self.faults += 1
            print("not idle after", list(self.past), flush=True)
        self.dock.release()
        self.viewer.close()
        self.settle(0.5)

    def blame(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        """Print an exception and what came before it."""
        self.faults += 1
        print("after", list(self.past), flush=True)
        traceback.print_exception(kind, error, where)

    def settle(self, seconds: float) -> None:
        """Let the window live."""
        from qtpy.QtWidgets import QApplication

        end = time.monotonic() + seconds
        while True:
            began = time.monotonic()
            QApplication.processEvents()
            waited = time.monotonic() - began
            if waited > SLOW:
                print(f"waited {waited:.0f} s after", list(self.past)[-3:], flush=True)
            if time.monotonic() >= end:
                return
            time.sleep(0.003)

    def click(self) -> None:
        """Click on a button of the dock."""
        from qtpy.QtWidgets import QAbstractButton

        shown = [b for b in self.dock.findChildren(QAbstractButton) if b.isVisible()]
        if active := [b for b in shown if b.isEnabled()]:
            button = self.chance.choice(active)
            self.past.append(f"click {button.text() or type(button).__name__}")
            button.click()

    def choose(self) -> None:
        """Choose from a menu of the dock."""
        from qtpy.QtWidgets import QMenu

        actions = [a for menu in self.dock.findChildren(QMenu) for a in menu.actions()]
        if active := [a for a in actions if a.isEnabled() and not a.isSeparator()]:
            action = self.chance.choice(active)
            self.past.append(f"menu {action.text()}")
            action.trigger()

    def press(self) -> None:
        """Press a key over the canvas."""
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest

        plain, none = "DNUVBPEXM[]", Qt.KeyboardModifier.NoModifier
        keys = [(key, none) for key in plain]
        keys += [(key, Qt.KeyboardModifier.AltModifier) for key in "0123"]
        keys += [("Z", Qt.KeyboardModifier.ControlModifier)]
        key, modifier = self.chance.choice(keys)
        self.past.append(f"key {key}")
        self.canvas.setFocus()
        QTest.keyClick(self.canvas, key, modifier)

    def stroke(self) -> None:
        """Draw with the mouse, with whatever tool."""
        from qtpy.QtCore import QPoint, Qt
        from qtpy.QtTest import QTest
        from qtpy.QtWidgets import QApplication

        labels, left = self.dock.target.labels, Qt.MouseButton.LeftButton
        self.past.append("stroke")
        if labels is not None and labels.visible and labels.editable:
            self.viewer.layers.selection.active = labels
            labels.mode = self.chance.choice(("paint", "erase", "fill", "pick", "pan_zoom"))
        at = QPoint(
            *(self.chance.randint(40, n - 40) for n in (self.canvas.width(), self.canvas.height()))
        )
        QTest.mouseMove(self.canvas, at)
        QTest.mousePress(self.canvas, left, pos=at)
        for _ in range(6):
            at += QPoint(5, 3)
            QTest.mouseMove(self.canvas, at)
            QApplication.processEvents()
        QTest.mouseRelease(self.canvas, left, pos=at)

    def paint(self) -> None:
        """Paint somewhere in the volume."""
        labels = self.dock.target.labels
        if labels is not None:
            self.past.append("paint")
            labels.brush_size = self.chance.randint(1, 9)
            labels.paint(
                tuple(self.chance.randrange(n) for n in labels.data.shape),
                self.chance.randint(0, 3),
            )

    def undo(self) -> None:
        """Take a step back or forth."""
        labels = self.dock.target.labels
        if labels is not None:
            self.past.append("undo or redo")
            self.chance.choice((labels.undo, labels.redo))()

    def drag(self) -> None:
        """Drag along the slice ruler."""
        from qtpy.QtCore import QPoint, Qt
        from qtpy.QtTest import QTest

        ruler, left = self.dock.correct.ruler, Qt.MouseButton.LeftButton
        if ruler.isVisible():
            self.past.append("ruler")
            first, last = (QPoint(self.chance.randrange(ruler.width()), 20) for _ in range(2))
            held = Qt.KeyboardModifier
            held = self.chance.choice((held.NoModifier, held.ShiftModifier, held.ControlModifier))
            QTest.mousePress(ruler, left, held, first)
            QTest.mouseMove(ruler, last)
            QTest.mouseRelease(ruler, left, held, last)

    def fill_in(self) -> None:
        """Change a field of the dock."""
        from qtpy.QtWidgets import QAbstractSpinBox, QComboBox, QDoubleSpinBox, QLineEdit, QSpinBox

        kinds = (QSpinBox, QDoubleSpinBox, QComboBox, QLineEdit)
        shown = [w for kind in kinds for w in self.dock.findChildren(kind) if w.isVisible()]
        active = [
            w for w in shown if w.isEnabled() and not isinstance(w.parent(), QAbstractSpinBox)
        ]
        if not active:
            return
        field = self.chance.choice(active)
        self.past.append(f"field {type(field).__name__}")
        if isinstance(field, QComboBox):
            field.setCurrentIndex(self.chance.randrange(max(1, field.count())))
        elif isinstance(field, QLineEdit):
            field.setText(self.chance.choice(("", "a", "3", "z:3")))
            field.editingFinished.emit()
        else:
            field.setValue(self.chance.choice((field.minimum(), field.value() + 1)))

    def look(self) -> None:
        """Look at it in another way."""
        dims, window = self.viewer.dims, self.viewer.window
        views: dict[str, Callable[[], object]] = {
            "slice": lambda: dims.set_current_step(dims.order[0], self.chance.randrange(50)),
            "roll": dims.roll,
            "transpose": dims.transpose,
            "2D": lambda: setattr(dims, "ndisplay", 2),
            "3D": lambda: setattr(dims, "ndisplay", 3),
            "theme": lambda: setattr(self.viewer, "theme", self.chance.choice(("dark", "light"))),
            "size": lambda: window.resize(
                self.chance.randint(1000, 1500), self.chance.randint(700, 950)
            ),
        }
        name = self.chance.choice(list(views))
        self.past.append(f"look {name}")
        views[name]()

    def meddle(self) -> None:
        """Do something to a layer, in napari's own list."""
        import numpy as np

        layers = self.viewer.layers
        if not layers:
            self.past.append("open")
            self.dock.opening.paths([str(self.image)])
            return
        layer = self.chance.choice(list(layers))
        shape = layer.data.shape[:3]
        changes: dict[str, Callable[[], object]] = {
            "delete": lambda: layers.remove(layer),
            "hide or show": lambda: setattr(layer, "visible", not layer.visible),
            "rename": lambda: setattr(layer, "name", self.chance.choice(("a", "ü x"))),
            "select": lambda: setattr(layers, "selection", {layer}),
            "move": lambda: layers.move(layers.index(layer), self.chance.randint(0, len(layers))),
            "fade": lambda: setattr(layer, "opacity", self.chance.random()),
        }
        if len(layers) < MOST_LAYERS:
            changes |= {
                "copy": lambda: layers.append(type(layer).create(*layer.as_layer_data_tuple())),
                "add labels": lambda: self.viewer.add_labels(np.zeros(shape, int)),
                "add an image": lambda: self.viewer.add_image(np.zeros((30, 40, 3), np.uint8)),
            }
        name = self.chance.choice(list(changes))
        self.past.append(f"{name}: {layer.name}")
        changes[name]()

    def _answer_dialogs(self) -> None:
        """Answer for whoever would sit before the dialogs."""
        from qtpy.QtWidgets import QFileDialog, QInputDialog, QMessageBox

        saved = [str(self.home / name) for name in ("a.tif", "b.nii.gz", "c.html", "session")]
        opened = [str(self.image), str(self.home / "nowhere.tif"), saved[0]]
        folders = [str(self.image.parent), str(self.home / "session"), ""]
        yes_or_no = (QMessageBox.StandardButton.Yes, QMessageBox.StandardButton.No)
        pick = self.chance.choice
        QFileDialog.getSaveFileName = staticmethod(lambda *_, **__: (pick([*saved, ""]), ""))
        QFileDialog.getOpenFileName = staticmethod(lambda *_, **__: (pick([*opened, ""]), ""))
        QFileDialog.getOpenFileNames = staticmethod(lambda *_, **__: ([pick(opened)], ""))
        QFileDialog.getExistingDirectory = staticmethod(lambda *_, **__: pick(folders))
        QMessageBox.question = staticmethod(lambda *_, **__: pick(yes_or_no))
        QInputDialog.getText = staticmethod(lambda *_, **__: (pick(("mine", "", "x" * 60)), True))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        folder, number, name, limit = sys.argv[2:]
        sys.exit(min(1, one(Path(folder), int(number), name, float(limit))))
    sys.exit(main())
