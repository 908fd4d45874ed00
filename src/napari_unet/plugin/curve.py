"""The live curve of a training run."""

from collections.abc import Iterable

import pyqtgraph
from qtpy.QtWidgets import QWidget

from napari_unet.core.classes import LabelClass
from napari_unet.core.progress import Progress
from napari_unet.plugin.plot import CLEAR, tint

LOSS_COLOURS = {"dark": "#e0b45c", "light": "#8a4b00"}
DICE_COLOURS = {"dark": "#6cc58a", "light": "#1f7a3f"}
"""For napari's two types of theme."""

HEIGHT = 86


class Curve(pyqtgraph.GraphicsLayoutWidget):
    """Loss on what is learned, and Dice on what is held out, side by side over the steps.

    The Dice of each class is a thin line in its own colour, their mean a thick one.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setBackground(None)
        self.setStyleSheet(CLEAR)
        self.setFixedHeight(HEIGHT)
        self.ci.setContentsMargins(0, 0, 0, 0)
        self._loss_plot = self._plot("Loss", 0)
        self._dice_plot = self._plot("Held-out Dice", 1)
        self._dice_plot.setYRange(0, 1, padding=0.02)
        self._dice_plot.getAxis("left").setTicks([[(0, "0"), (0.5, "0.5"), (1, "1")]])
        self._loss = self._loss_plot.plot()
        self._dice = self._dice_plot.plot(symbol="o", symbolSize=5, symbolPen=None)
        self._lines: dict[int, pyqtgraph.PlotDataItem] = {}
        self.clear_curves()

    def restyle(self, kind: str, words: str) -> None:
        """Take the colours of a type of theme, and `words` for axes."""
        loss, dice = LOSS_COLOURS[kind], DICE_COLOURS[kind]
        self._loss.setPen(pyqtgraph.mkPen(loss, width=2))
        self._dice.setPen(pyqtgraph.mkPen(dice, width=2))
        self._dice.setSymbolBrush(dice)
        tint(self._loss_plot, words, loss)
        tint(self._dice_plot, words, dice)

    def clear_curves(self, classes: Iterable[LabelClass] = ()) -> None:
        """Begin a new run, in which these classes have a line of their own if there are several."""
        self.losses: list[tuple[int, float]] = []
        self.dices: list[tuple[int, float]] = []
        self.each: dict[int, list[tuple[int, float]]] = {}
        for line in self._lines.values():
            self._dice_plot.removeItem(line)
        several = [c for c in classes if c.id]
        self._lines = {c.id: self._line(c) for c in several} if len(several) > 1 else {}
        self._draw()

    def restore(self, losses: list[tuple[int, float]], dices: list[tuple[int, float]]) -> None:
        """Draw a run of before: steps with their loss, and with their Dice."""
        self.clear_curves()
        self.losses, self.dices = list(losses), list(dices)
        self._draw()

    def add(self, reports: list[Progress]) -> None:
        """Draw what has been reported; a class that is nowhere in the held-out slices is left out."""
        for report in reports:
            if report.loss is not None:
                self.losses.append((report.done, report.loss))
            found = {i: d for i, d in (report.dice or {}).items() if d == d}
            if found:
                self.dices.append((report.done, sum(found.values()) / len(found)))
            for i, dice in found.items():
                self.each.setdefault(i, []).append((report.done, dice))
        self._draw()

    def _draw(self) -> None:
        lines = [(line, self.each.get(i, [])) for i, line in self._lines.items()]
        for curve, points in ((self._loss, self.losses), (self._dice, self.dices), *lines):
            curve.setData([x for x, _ in points], [y for _, y in points])
        last = max((x for x, _ in self.losses + self.dices), default=1)
        for plot in (self._loss_plot, self._dice_plot):
            plot.setXRange(0, last, padding=0.03)

    def _line(self, entry: LabelClass) -> pyqtgraph.PlotDataItem:
        colour = [round(255 * part) for part in entry.color]
        line = self._dice_plot.plot(pen=pyqtgraph.mkPen(colour, width=1))
        line.setZValue(-1)  # behind the mean
        return line

    def _plot(self, title: str, column: int) -> pyqtgraph.PlotItem:
        plot = self.addPlot(row=0, col=column)
        plot.setTitle(title, size="9pt")
        plot.hideButtons()
        plot.setMenuEnabled(False)
        plot.setMouseEnabled(False, False)
        plot.showGrid(y=True, alpha=0.15)
        plot.getAxis("bottom").setStyle(tickLength=-3, maxTickLevel=0)
        plot.getAxis("left").setStyle(tickLength=-3, maxTickLevel=0)
        plot.getAxis("left").setWidth(30)
        return plot
