"""One numbered step of the dock, and the few looks that all steps share."""

from napari.utils.theme import get_theme
from qtpy.QtCore import QEvent, Qt
from qtpy.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

SOFT = {"dark": "#a7adb5", "light": "#59616b"}
"""Of words that stand back, for napari's two types of theme."""

SPACE = 6
"""Pixels between two things of one section."""


class Section(QFrame):
    """A titled frame that its subclass fills through `body`.

    Parameters
    ----------
    number : int
        Place in the order of the work.
    title : str
        One or two words.

    Attributes
    ----------
    head, body : QLayout
        The line of the title, with room at its end, and all lines under each other.
    """

    def __init__(self, number: int, title: str) -> None:
        super().__init__()
        self.setObjectName("unet-section")
        self.note = QLabel()
        self.note.setObjectName("unet-note")
        self.note.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        badge = QLabel(str(number))
        badge.setObjectName("unet-badge")
        badge.setFixedSize(20, 20)
        badge.setAlignment(Qt.AlignmentFlag.AlignCenter)
        heading = QLabel(title)
        heading.setObjectName("unet-heading")
        self.body = QVBoxLayout(self)
        self.body.setContentsMargins(10, 6, 10, 8)
        self.body.setSpacing(SPACE)
        self.head = row(badge, heading, None, self.note)
        self.body.addLayout(self.head)

    def event(self, event: QEvent) -> bool:
        """Give the room of what was hidden back at once; Qt leaves what is around as it was."""
        handled = super().event(event)
        if event.type() == QEvent.Type.LayoutRequest:
            around = self.parentWidget()
            layout = None if around is None else around.layout()
            if layout is not None:
                layout.invalidate()
                layout.activate()
        return handled


def row(*items: QWidget | None) -> QHBoxLayout:
    """Lay widgets in a row; None stands for free room."""
    layout = QHBoxLayout()
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(SPACE)
    for item in items:
        if item is None:
            layout.addStretch(1)
        else:
            layout.addWidget(item)
    return layout


def button(text: str, tooltip: str, *, primary: bool = False) -> QPushButton:
    """Make a button; the primary one is what most people want next."""
    made = QPushButton(text)
    made.setToolTip(tooltip)
    made.setObjectName("unet-primary" if primary else "unet-button")
    made.setCursor(Qt.CursorShape.PointingHandCursor)
    return made


def emphasise(made: QPushButton, on: bool) -> None:
    """Make a button the primary one, or an ordinary one."""
    name = "unet-primary" if on else "unet-button"
    if made.objectName() != name:
        made.setObjectName(name)
        made.style().unpolish(made)
        made.style().polish(made)


def sentence(text: str = "", name: str = "unet-sentence") -> QLabel:
    """Make a label for a sentence: it wraps, can be copied, and takes no room while empty."""
    label = QLabel()
    label.setObjectName(name)
    label.setWordWrap(True)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
    say(label, text)
    return label


def say(label: QLabel, text: str, tone: str = "plain") -> None:
    """Show a sentence in a tone: ``"plain"``, ``"good"`` or ``"bad"``."""
    label.setText(text)
    label.setVisible(bool(text))
    label.setProperty("tone", tone)
    label.style().unpolish(label)
    label.style().polish(label)


def style_sheet(theme: str) -> str:
    """Return the dock's looks in the colours of a napari theme."""
    colours = get_theme(theme)
    dark = colours.type == "dark"
    good, bad = ("#6cc58a", "#ff8f7a") if dark else ("#1f7a3f", "#b3261e")
    soft = SOFT[colours.type]
    raised = "rgba(255, 255, 255, 10)" if dark else "rgba(0, 0, 0, 10)"
    return f"""
    #unet-section {{ background: {raised}; border: none; border-radius: 6px; }}
    #unet-section QLabel, #unet-rows {{ background: transparent; }}
    #unet-section #unet-badge {{ background: {soft}; color: {colours.background.as_hex()};
                   border-radius: 10px;                   font-weight: bold; font-size: 11px; }}
    #unet-heading {{ font-weight: bold; font-size: 13px; }}
    #unet-note, #unet-hint {{ color: {soft}; font-size: 11px; }}
    #unet-title {{ font-weight: bold; font-size: 17px; }}
    QLabel[tone="good"] {{ color: {good}; }}
    QLabel[tone="bad"], #unet-hint[tone="bad"] {{ color: {bad}; }}
    QPushButton#unet-primary, QPushButton#unet-button {{ padding: 5px 10px; min-height: 16px; }}
    QPushButton#unet-button:checked {{ background: #2a7fd4; color: white; }}
    QPushButton#unet-primary {{ background: #2a7fd4; color: white; font-weight: bold; }}
    QPushButton#unet-primary:hover {{ background: #3b90e6; }}
    QPushButton#unet-primary:pressed {{ background: #1f6ab5; }}
    QPushButton#unet-primary:disabled {{ background: {raised}; color: {soft}; }}
    QPushButton#unet-fold {{ background: transparent; border: none; color: {soft}; font-size: 11px;
                             text-align: left; padding: 2px 0px; }}
    QTableWidget::indicator {{ width: 12px; height: 12px; border: 1px solid {soft}; border-radius: 2px; }}
    QTableWidget::indicator:checked {{ image: url("theme_{theme}:/check.svg"); }}
    QDoubleSpinBox#unet-narrow {{ min-width: 40px; }}
    #unet-recovery {{ background: #6b5416; border-radius: 6px; }}
    #unet-recovery QLabel {{ color: white; }}
    QProgressBar {{ min-height: 14px; max-height: 14px; border-radius: 3px; text-align: center; }}
    """
