"""Settings become forms and come back.

A settings class declares each field once, with its limits and tooltip; magicgui reads the same
annotations, so a new field appears in the window without a line here.
"""

import dataclasses
from types import NoneType, UnionType
from typing import Annotated, Any, Generic, TypeVar, Union, get_args, get_origin, get_type_hints

from magicgui.widgets import CheckBox, LineEdit, create_widget
from magicgui.widgets.bases import ValueWidget
from qtpy.QtWidgets import QFormLayout, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_unet.errors import SpecError

Settings = TypeVar("Settings")

FOLDED, OPENED = "▸ Advanced", "▾ Advanced"


class SettingsForm(QWidget, Generic[Settings]):
    """A form for one frozen settings class.

    Parameters
    ----------
    kind : type
        A dataclass whose fields are annotated for magicgui, each with a default.
    front : tuple of str
        Fields that are always seen; the others wait under "Advanced".
    hidden : tuple of str
        Fields that keep their default, because the window has another place for them.
    """

    def __init__(
        self, kind: type[Settings], front: tuple[str, ...] = (), hidden: tuple[str, ...] = ()
    ) -> None:
        super().__init__()
        self._kind = kind
        hints = get_type_hints(kind, include_extras=True)
        fields = [f for f in dataclasses.fields(kind) if f.name not in hidden]  # type: ignore[arg-type]
        rows = {f.name: _row(f.name, f.default, hints[f.name]) for f in fields}
        self._numbers = {f.name: t for f in fields if (t := _optional(hints[f.name])) is not None}
        self.fields = rows
        self.front = _rows([rows[name] for name in front])
        self.advanced = _rows([w for name, w in rows.items() if name not in front])
        self.fold = QPushButton(FOLDED)
        self._lay_out()

    def value(self) -> Settings:
        """Return the settings as the form stands.

        Raises
        ------
        SpecError
            When a field is no number, or the fields do not go together; the message says why.
        """
        values = {name: widget.value for name, widget in self.fields.items()}
        for name, kind in self._numbers.items():
            values[name] = _number(name, values[name], kind)
        return self._kind(**values)

    def _lay_out(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        front = QHBoxLayout()
        front.addWidget(self.front, 1)
        front.addWidget(self.fold)
        layout.addLayout(front)
        layout.addWidget(self.advanced)
        self.fold.setObjectName("unet-fold")
        self.fold.setCheckable(True)
        self.fold.toggled.connect(lambda on: self.fold.setText(OPENED if on else FOLDED))
        self.fold.toggled.connect(self.advanced.setVisible)
        self.advanced.hide()


def _rows(widgets: list[ValueWidget]) -> QWidget:
    """Lay fields out under each other, their labels in a column; a box to tick has its own."""
    made = QWidget()
    made.setObjectName("unet-rows")
    layout = QFormLayout(made)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setVerticalSpacing(4)
    for widget in widgets:
        layout.addRow("" if isinstance(widget, CheckBox) else widget.label, widget.native)
    return made


def _row(name: str, default: Any, hint: Any) -> ValueWidget:  # noqa: ANN401
    """Make one field; a number that may be left open is a line that may be left empty."""
    if _optional(hint) is None:
        made = create_widget(value=default, annotation=hint, name=name)
        made.label = made.label[:1].upper() + made.label[1:]
        if isinstance(made, CheckBox):
            made.text = made.label
        return made
    options = next((m for m in getattr(hint, "__metadata__", ()) if isinstance(m, dict)), {})
    label = name.replace("_", " ").capitalize()
    made = LineEdit(name=name, label=label, value="" if default is None else str(default))
    made.tooltip = options.get("tooltip")
    made.native.setPlaceholderText("auto")
    return made


def _optional(hint: Any) -> type[int] | type[float] | None:  # noqa: ANN401
    """Return the type of a number that may be None; None for any other field."""
    if get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    kinds = set(get_args(hint)) if get_origin(hint) in (Union, UnionType) else set()
    numbers = kinds & {int, float}
    return numbers.pop() if NoneType in kinds and numbers else None


def _number(name: str, text: str, kind: type[int] | type[float]) -> int | float | None:
    if not text.strip():
        return None
    try:
        return kind(text)
    except ValueError:
        raise SpecError(
            f"{name.replace('_', ' ').capitalize()} is a number or empty, not {text!r}."
        ) from None
