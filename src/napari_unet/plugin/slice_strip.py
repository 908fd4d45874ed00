"""A slim strip of all slices: which are done, and where the user is."""

from qtpy.QtCore import QRectF, Qt, Signal
from qtpy.QtGui import QColor, QMouseEvent, QPainter, QPaintEvent
from qtpy.QtWidgets import QWidget

from napari_unet.plugin.slices import DONE_COLOUR


class SliceStrip(QWidget):
    """Draws one cell a slice; a click goes there.

    Signals
    -------
    clicked(int)
        Index of the slice clicked.
    """

    clicked = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self._count, self._here, self._done = 0, 0, frozenset[int]()
        self.setFixedHeight(16)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setToolTip("Slices marked done are green; click to go to a slice")

    def show_slices(self, count: int, here: int, done: frozenset[int]) -> None:
        """Draw `count` slices, those in `done` filled, and a mark at `here`."""
        self._count, self._here, self._done = count, here, done
        self.setVisible(count > 1)
        self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:  # noqa: N802
        """Draw the strip."""
        if not self._count:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        text = self.palette().windowText().color()
        cell = self.width() / self._count
        gap = 1.0 if cell > 4 else 0.0
        for index in range(self._count):
            colour = QColor(DONE_COLOUR) if index in self._done else QColor(127, 127, 127, 90)
            painter.fillRect(QRectF(index * cell, 4, max(cell - gap, 1.0), 8), colour)
        width = max(cell, 3.0)
        painter.setPen(text)
        painter.drawRect(QRectF(self._here * cell - 0.5, 0.5, width, 15))

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Go to the slice under the pointer."""
        if self._count:
            index = int(event.pos().x() / self.width() * self._count)
            self.clicked.emit(min(max(index, 0), self._count - 1))
