"""A small plot in the dock."""

import pyqtgraph
from qtpy.QtWidgets import QSizePolicy

HEIGHT = 96
CLEAR = "background: transparent;"
"""Else a plot keeps the colour of the theme in which it was first shown."""


def small_plot(title: str) -> pyqtgraph.PlotWidget:
    """Make a plot without menus that the mouse can't move."""
    plot = pyqtgraph.PlotWidget(background=None)
    plot.setStyleSheet(CLEAR)
    plot.setFixedHeight(HEIGHT)
    plot.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    item = plot.getPlotItem()
    item.setTitle(title, size="9pt")
    item.hideButtons()
    item.setMenuEnabled(False)
    item.setMouseEnabled(False, False)
    item.showGrid(y=True, alpha=0.15)
    for side in ("bottom", "left"):
        item.getAxis(side).setStyle(tickLength=-3, maxTickLevel=0)
    item.getAxis("left").setWidth(36)
    return plot


def tint(item: pyqtgraph.PlotItem, words: str, title: str = "") -> None:
    """Give a plot's axes and title the colours of a theme; the title's own one if there is any."""
    for side in ("bottom", "left"):
        item.getAxis(side).setPen(words)
        item.getAxis(side).setTextPen(words)
    item.setTitle(item.titleLabel.text, size="9pt", color=title or words)
