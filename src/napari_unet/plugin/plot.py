"""A small plot in the dock."""

import pyqtgraph
from qtpy.QtWidgets import QSizePolicy

HEIGHT = 96


def small_plot(title: str) -> pyqtgraph.PlotWidget:
    """Make a plot without menus that the mouse can't move."""
    plot = pyqtgraph.PlotWidget(background=None)
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
