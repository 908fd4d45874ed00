"""A tour of one minute: bubbles that point at the real controls and go on when the user does the thing."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import platformdirs
from qtpy.QtCore import QObject, QPoint, QPointF, QRect, QRectF, Qt, QTimer
from qtpy.QtGui import QColor, QPainter, QPainterPath, QPaintEvent, QPolygonF
from qtpy.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

BLUE = "#1f6ab5"
WIDTH, TIP, EDGE = 250, 12, 8
"""Pixels of a bubble, of its tip, and between it and the window's edge."""

LOOK_MS = 200
"""Time between two looks at where the control is and whether the thing was done."""


@dataclass(frozen=True)
class Step:
    """One bubble.

    Parameters
    ----------
    text : str
        What to do, and why.
    control : callable
        Returns the widget that it points at.
    done : callable
        Tells whether the user has done it.
    """

    text: str
    control: Callable[[], QWidget]
    done: Callable[[], bool]


class Bubble(QFrame):
    """A box of text with a tip at its right; it takes no keys away from the window."""

    def __init__(self, window: QWidget) -> None:
        super().__init__(window)
        self.setFixedWidth(WIDTH)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._tip = 0
        self.text, self.count = QLabel(), QLabel()
        self.text.setWordWrap(True)
        self.skip = QPushButton("Skip the tour")
        self.skip.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.skip.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setObjectName("unet-bubble")
        self.setStyleSheet(
            "#unet-bubble { background: transparent; border: none; }"
            "QLabel { color: white; background: transparent; font-size: 12px; }"
            f"QPushButton {{ color: {BLUE}; background: white; border: none; border-radius: 3px;"
            " padding: 3px 8px; }"
        )
        foot = QHBoxLayout()
        foot.addWidget(self.count)
        foot.addStretch(1)
        foot.addWidget(self.skip)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(12, 10, 12 + TIP, 10)
        layout.addWidget(self.text)
        layout.addLayout(foot)

    def point_at(self, control: QRect, edge: int) -> None:
        """Stand beside a control, left of the dock's `edge`, in the window's coordinates."""
        self.resize(WIDTH, self.layout().totalHeightForWidth(WIDTH))  # lines wrap
        room = self.parentWidget().rect()
        height = self.height()
        top = control.center().y() - height // 2
        top = min(max(top, EDGE), max(room.height() - height - EDGE, EDGE))
        self._tip = min(max(control.center().y() - top, 16), height - 16)
        place = QPoint(max(edge - self.width(), EDGE), top)
        if place != self.pos():
            self.move(place)
            self.update()

    def paintEvent(self, _: QPaintEvent) -> None:  # noqa: N802
        """Draw the box and its tip."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        right = self.width() - TIP
        path = QPainterPath()
        path.addRoundedRect(QRectF(0, 0, right, self.height()), 7, 7)
        tip = QPainterPath()
        y = self._tip
        tip.addPolygon(
            QPolygonF(
                [QPointF(right - 1, y - 9), QPointF(self.width(), y), QPointF(right - 1, y + 9)]
            )
        )
        painter.fillPath(path.united(tip), QColor(BLUE))


class Tour(QObject):
    """Shows one step after the other; `start` begins anew.

    Parameters
    ----------
    dock : QWidget
        In whose window it is shown.
    steps : list of Step
        In order. The last one stays until it is closed.
    """

    def __init__(self, dock: QWidget, steps: list[Step]) -> None:
        super().__init__(dock)
        self._dock, self._steps = dock, steps
        self.at = -1
        self.bubble: Bubble | None = None
        self._frame: QFrame | None = None
        self._timer = QTimer(self, interval=LOOK_MS)
        self._timer.timeout.connect(self._look)

    def start(self) -> None:
        """Begin with the first step that is not done yet."""
        self.end()
        window = self._dock.window()
        self.bubble = Bubble(window)
        self.bubble.skip.clicked.connect(self.end)
        self._frame = QFrame(window)
        self._frame.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self._frame.setStyleSheet(
            f"border: 2px solid {BLUE}; border-radius: 5px; background: transparent;"
        )
        self.at = -1
        self._advance()
        self._timer.start()

    def end(self) -> None:
        """Close it; it is not shown by itself again."""
        self._timer.stop()
        for widget in (self.bubble, self._frame):
            if widget is not None:
                widget.hide()
                widget.deleteLater()
        if self.bubble is not None:
            mark_seen()
        self.bubble = self._frame = None
        self.at = -1

    def _look(self) -> None:
        if self.bubble is None:
            return
        if self._steps[self.at].done() and self.at < len(self._steps) - 1:
            self._advance()
        else:
            self._place()

    def _advance(self) -> None:
        """Go to the next step that is not done."""
        assert self.bubble is not None  # noqa: S101
        last = len(self._steps) - 1
        self.at += 1
        while self.at < last and self._steps[self.at].done():
            self.at += 1
        self.bubble.text.setText(self._steps[self.at].text)
        self.bubble.count.setText(f"{self.at + 1} of {last + 1}")
        self.bubble.skip.setText("Close" if self.at == last else "Skip the tour")
        _reveal(self._steps[self.at].control())
        self._place()

    def _place(self) -> None:
        """Follow the control, which may have moved, and hide while it can't be seen."""
        if self.bubble is None or self._frame is None:
            return
        control = self._steps[self.at].control()
        seen = control.isVisible() and not control.visibleRegion().isEmpty()
        self.bubble.setVisible(control.isVisible())
        self._frame.setVisible(seen)
        window, corner = self._dock.window(), QPoint(0, 0)
        rect = QRect(control.mapTo(window, corner), control.size())
        self.bubble.point_at(rect, self._dock.mapTo(window, corner).x())
        self._frame.setGeometry(rect.adjusted(-3, -3, 3, 3))
        self._frame.raise_()
        self.bubble.raise_()


def seen() -> bool:
    """Whether the tour was shown once on this computer."""
    return _mark().exists()


def mark_seen() -> None:
    """Remember that the tour was shown; where that can't be written, it is shown again."""
    with suppress(OSError):
        _mark().parent.mkdir(parents=True, exist_ok=True)
        _mark().touch()


def _mark() -> Path:
    return platformdirs.user_data_path("napari-unet", appauthor=False) / "tour-seen"


def _reveal(control: QWidget) -> None:
    """Scroll the dock to a control."""
    parent = control.parentWidget()
    while parent is not None and not isinstance(parent, QScrollArea):
        parent = parent.parentWidget()
    if parent is not None:
        parent.ensureWidgetVisible(control, 0, 60)
