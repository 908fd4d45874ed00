"""A ruler along the volume: how far each slice is, where the user is, and where to go next."""

from collections.abc import Mapping

import numpy as np
from qtpy.QtCore import QEvent, QPointF, QRectF, Qt, Signal
from qtpy.QtGui import QColor, QHelpEvent, QMouseEvent, QPainter, QPaintEvent, QPolygonF
from qtpy.QtWidgets import QToolTip, QWidget

from napari_unet.plugin.slice_states import State, States, columns

HEIGHT, TOP, FOOT = 42, 9, 28
"""Of the ruler; its bars stand between the other two, numbers below, suggestions above."""

HEIGHTS = {
    State.UNTOUCHED: 2,
    State.PREDICTED: 6,
    State.PAINTED: 11,
    State.DONE: 19,
    State.HELD_OUT: 19,
}
"""The height of a bar tells its state without its colour; held-out ones are split, too."""

PITCH, NARROW = 3, 1
"""Least pixels from column to column, and the width of what only some slices of a column are."""

COLOURS = {
    "dark": {
        State.PREDICTED: "#56b4e9",
        State.PAINTED: "#e69f00",
        State.DONE: "#2fc18f",
        State.HELD_OUT: "#d99bc0",
        "suggested": "#f0e442",
    },
    "light": {
        State.PREDICTED: "#0072b2",
        State.PAINTED: "#b36b00",
        State.DONE: "#00785a",
        State.HELD_OUT: "#9c4880",
        "suggested": "#b33c00",
    },
}
"""Okabe and Ito's hues, lighter or darker where a theme needs it."""

GESTURES = (
    "Click or drag: go there. Shift+drag: mark slices done. Ctrl+drag: take marks away.\n"
    "Tall: done · half: partly painted · low: labels nobody has checked · split: held out · "
    "▾ suggested next\nA thin bar stands for some of the slices that share its place."
)


class SliceRuler(QWidget):
    """Draws one bar a slice, or one for several where there are more slices than pixels.

    Signals
    -------
    went(int)
        Index of the slice to go to.
    ranged(int, int, bool)
        First and last slice of a range to mark done, or to take the marks of.
    """

    went = Signal(int)
    ranged = Signal(int, int, bool)

    def __init__(self) -> None:
        super().__init__()
        self._states: States = np.zeros(0, np.uint8)
        self._here: int | None = None
        self._suggested: dict[int, str] = {}
        self._theme = "dark"
        self._drag: tuple[int, int, bool] | None = None
        self.setFixedHeight(HEIGHT)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setAccessibleName("Slices")

    def show_slices(
        self, states: States, here: int | None, suggested: Mapping[int, str] | None = None
    ) -> None:
        """Draw one bar for each of `states`, a frame at `here` if any, and a mark over those suggested."""
        self._states, self._here = states, here
        self._suggested = {i: why for i, why in (suggested or {}).items() if 0 <= i < len(states)}
        self.setVisible(len(states) > 1)
        front = "no slice" if here is None else f"slice {here}"
        self.setAccessibleDescription(f"{summary(states)}, {front} in front")
        self.update()

    def set_dark(self, dark: bool) -> None:
        """Take the colours for a dark or a light background."""
        self._theme = "dark" if dark else "light"
        self.update()

    def words(self, index: int) -> str:
        """Say what is known of a slice."""
        why = self._suggested.get(index)
        suggested = "" if why is None else f"\nSuggested next: {why}"
        return f"Slice {index}: {State(int(self._states[index])).words}{suggested}"

    def event(self, event: QEvent) -> bool:
        """Show one tooltip: the slice under the pointer, and what can be done."""
        if isinstance(event, QHelpEvent) and len(self._states):
            painted = int(np.count_nonzero(self._states == State.PAINTED))
            text = (
                f"{self.words(self._index(event.pos().x()))}\n"
                f"{summary(self._states)}, {painted} partly painted\n{GESTURES}"
            )
            QToolTip.showText(event.globalPos(), text, self)
            return True
        return super().event(event)

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Go to the slice under the pointer, or begin a range there."""
        if event.button() != Qt.MouseButton.LeftButton or not len(self._states):
            return
        index, keys = self._index(event.pos().x()), event.modifiers()
        marks = bool(keys & Qt.KeyboardModifier.ShiftModifier)
        clears = bool(keys & Qt.KeyboardModifier.ControlModifier)
        self._drag = (index, index, marks) if marks or clears else None
        if self._drag is None:
            self.went.emit(index)
        self.update()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Follow the pointer, with the slice in front or with the end of the range."""
        if not event.buttons() & Qt.MouseButton.LeftButton or not len(self._states):
            return
        index = self._index(event.pos().x())
        if self._drag is None:
            if index != self._here:
                self.went.emit(index)
            return
        self._drag = (self._drag[0], index, self._drag[2])
        first, last, marks = self._range()
        verb = "Mark done" if marks else "Take marks away"
        many = f"{last - first + 1} slices, {first} to {last}" if last > first else f"slice {first}"
        QToolTip.showText(event.globalPosition().toPoint(), f"{verb}: {many}", self)
        self.update()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Mark the range."""
        if event.button() == Qt.MouseButton.LeftButton and self._drag is not None:
            first, last, marks = self._range()
            self._drag = None
            QToolTip.hideText()
            self.ranged.emit(first, last, marks)
            self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:  # noqa: N802
        """Draw the ruler."""
        if not len(self._states):
            return
        painter = QPainter(self)
        self._draw_bars(painter)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        self._draw_suggestions(painter)
        self._draw_numbers(painter)
        self._draw_frames(painter)

    def _draw_bars(self, painter: QPainter) -> None:
        found = columns(self._states, self.width() // PITCH)
        count = len(found.all)
        edges = np.arange(count + 1) * self.width() // count
        gap = 1 if self.width() > PITCH * count else 0
        for place, (every, some) in enumerate(zip(found.all, found.any, strict=True)):
            left, right = int(edges[place]), int(edges[place + 1])
            if some > every:
                self._draw_bar(painter, State(int(some)), (left + right - NARROW) // 2, NARROW)
            self._draw_bar(painter, State(int(every)), left, right - left - gap)

    def _draw_bar(self, painter: QPainter, state: State, left: int, width: int) -> None:
        colour, height = self._colour(state), HEIGHTS[state]
        if state is State.HELD_OUT:
            third = height // 3
            painter.fillRect(left, FOOT - height, width, third, colour)
            painter.fillRect(left, FOOT - third, width, third, colour)
        else:
            painter.fillRect(left, FOOT - height, width, height, colour)

    def _draw_suggestions(self, painter: QPainter) -> None:
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(COLOURS[self._theme]["suggested"]))
        for index in self._suggested:
            x = min(max(self._middle(index), 4.0), self.width() - 4.0)
            corners = [QPointF(x - 4, 0), QPointF(x + 4, 0), QPointF(x, TOP - 2)]
            painter.drawPolygon(QPolygonF(corners))

    def _draw_numbers(self, painter: QPainter) -> None:
        """Write the first, the last and the present slice, each where it lies."""
        font = painter.font()
        font.setPixelSize(10)
        painter.setFont(font)
        last, taken = len(self._states) - 1, QRectF()
        ends = (0, last)
        for index in ends if self._here is None else (self._here, *ends):
            text = str(index)
            width = painter.fontMetrics().horizontalAdvance(text) + 2.0
            left = min(max(self._middle(index) - width / 2, 0.0), self.width() - width)
            room = QRectF(left, FOOT + 1, width, HEIGHT - FOOT - 1)
            if index == self._here:
                taken = room.adjusted(-4, 0, 4, 0)
            elif room.intersects(taken):
                continue
            painter.setPen(self._text() if index == self._here else self._faint(150))
            painter.drawText(room, Qt.AlignmentFlag.AlignCenter, text)

    def _draw_frames(self, painter: QPainter) -> None:
        """Draw a frame around the slice in front, and a bracket over the range being dragged."""
        if self._here is not None:
            left, right = self._sides(self._here, self._here)
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(self._text())
            painter.drawRect(QRectF(left - 0.5, TOP - 2.5, right - left, FOOT - TOP + 4))
        if self._drag is not None:
            first, last, marks = self._range()
            left, right = self._sides(first, last)
            shade = QColor(COLOURS[self._theme][State.DONE]) if marks else self._text()
            shade.setAlpha(110)
            painter.fillRect(QRectF(left, TOP - 2, right - left, FOOT - TOP + 3), shade)

    def _range(self) -> tuple[int, int, bool]:
        assert self._drag is not None  # noqa: S101
        begun, ended, marks = self._drag
        return min(begun, ended), max(begun, ended), marks

    def _index(self, x: int) -> int:
        count = len(self._states)
        return min(max(int(x / max(self.width(), 1) * count), 0), count - 1)

    def _middle(self, index: int) -> float:
        return (index + 0.5) * self.width() / len(self._states)

    def _sides(self, first: int, last: int) -> tuple[float, float]:
        """Return where a range begins and ends, at least as wide as a column."""
        cell = self.width() / len(self._states)
        left, right = first * cell, (last + 1) * cell
        more = max(0.0, (PITCH + 1 - (right - left)) / 2)
        return left - more, right + more

    def _colour(self, state: State) -> QColor:
        return QColor(COLOURS[self._theme][state]) if state else self._faint(110)

    def _text(self) -> QColor:
        return QColor("#f0f1f2" if self._theme == "dark" else "#1b1e22")

    def _faint(self, alpha: int) -> QColor:
        colour = self._text()
        colour.setAlpha(alpha)
        return colour


def summary(states: States) -> str:
    """Say how far a volume is: ``"4 of 35 slices done"``."""
    done = int(np.count_nonzero(states >= State.DONE))
    return f"{done} of {len(states)} slice{'s' * (len(states) != 1)} done"
