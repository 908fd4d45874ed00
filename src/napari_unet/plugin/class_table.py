"""The classes of the labels: colour, name, order, and how much of each is known."""

from dataclasses import replace

from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtGui import QColor, QContextMenuEvent, QDropEvent, QIcon, QKeyEvent, QPixmap
from qtpy.QtWidgets import (
    QAbstractItemView,
    QColorDialog,
    QHeaderView,
    QInputDialog,
    QMenu,
    QTableWidget,
    QTableWidgetItem,
)

from napari_unet.core.classes import LabelClass, default_classes

COLOUR, NAME, KNOWN, LOCK = range(4)
ROW_HEIGHT = 22
KEYS = 9
"""Classes that have a key of their own, from the top of the table."""

UP_KEY, DOWN_KEY = "Alt+Up", "Alt+Down"

LOCKED = "  (locked: take the lock off first)"

HELP = f"""\
Click a class to paint with it, or press Enter, or Alt+1 to Alt+9; Alt+0 erases.
Double-click its name or colour to change it; right-click (or the menu key) to describe, merge or remove it.
Drag it up or down ({UP_KEY}, {DOWN_KEY}) for another key.
A locked class is finished: neither brush nor tools change it"""


class ClassTable(QTableWidget):
    """Classes as rows; names and colours change on a double click, the order by dragging.

    Background comes first and stays there. The order is that of the keys, of the model trained next
    and of exported lists; ids stay what they are.

    Signals
    -------
    edited(tuple of LabelClass)
        The classes after a change by the user.
    picked(int)
        Id of the class the user clicked, to paint with.
    dropped(int, int)
        Id of a class that is to go, and of the one that takes its voxels; 0 is background.
    locked(frozenset of int)
        Ids of the classes that neither brush nor edits may change.
    """

    edited = Signal(object)
    picked = Signal(int)
    dropped = Signal(int, int)
    locked = Signal(object)

    def __init__(self) -> None:
        super().__init__(0, 4)
        self._classes: tuple[LabelClass, ...] = ()
        self._known: dict[int, int] = {}
        self.setHorizontalHeaderLabels(["", "Class", "Known", "Lock"])
        self.horizontalHeaderItem(KNOWN).setToolTip(
            "Voxels of slices marked done, and painted ones"
        )
        header = self.horizontalHeader()
        header.setSectionResizeMode(COLOUR, QHeaderView.ResizeMode.Fixed)
        header.setSectionResizeMode(NAME, QHeaderView.ResizeMode.Stretch)
        header.setSectionResizeMode(KNOWN, QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(LOCK, QHeaderView.ResizeMode.ResizeToContents)
        header.resizeSection(COLOUR, 30)
        header.setFixedHeight(22)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(ROW_HEIGHT)
        self.setShowGrid(False)
        self.setWordWrap(False)  # a long name would lose whole words
        self.setIconSize(QSize(14, 14))
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setToolTip(HELP)
        self.setTabKeyNavigation(False)  # Tab goes on to the next control; arrows stay in here
        self.setDragDropMode(QAbstractItemView.DragDropMode.InternalMove)
        self.itemChanged.connect(self._renamed)
        self.cellClicked.connect(self._clicked)
        self.cellDoubleClicked.connect(self._recolour)

    def show_classes(self, classes: tuple[LabelClass, ...]) -> None:
        """Fill the table, if these are not the classes in it."""
        if classes == self._classes:
            return
        self.blockSignals(True)
        self._classes = classes
        self.setRowCount(len(classes))
        for row, one in enumerate(classes):
            place = sum(c.id > 0 for c in classes[: row + 1])
            for column, item in enumerate(_items(one)):
                item.setToolTip(_hint(one, place))
                self.setItem(row, column, item)
        shown = min(max(len(classes), 2), 6)
        self.setFixedHeight(self.horizontalHeader().height() + shown * ROW_HEIGHT + 4)
        self.blockSignals(False)
        self.show_known(self._known)

    def show_locked(self, locked: frozenset[int]) -> None:
        """Tick the classes that are locked."""
        self.blockSignals(True)
        for row, one in enumerate(self._classes):
            on = one.id in locked
            state = Qt.CheckState.Checked if on else Qt.CheckState.Unchecked
            self.item(row, LOCK).setCheckState(state)
        self.blockSignals(False)

    def show_known(self, known: dict[int, int]) -> None:
        """Show how many voxels of each id are known."""
        self._known = known
        self.blockSignals(True)
        for row, one in enumerate(self._classes):
            number = known.get(one.id, 0)
            self.item(row, KNOWN).setText(f"{number:,}" if number else "–")
        self.blockSignals(False)

    def mark(self, label: int) -> None:
        """Highlight the class that is painted with."""
        self.blockSignals(True)
        self.clearSelection()
        for row, one in enumerate(self._classes):
            if one.id == label:
                self.selectRow(row)
        self.blockSignals(False)

    def add(self, number: int) -> None:
        """Add a class with this id and a colour of its own, and begin editing its name."""
        _, new = default_classes([number], self._classes)
        self.edited.emit((*self._classes, new))
        self.picked.emit(number)
        self.editItem(self.item(self.rowCount() - 1, NAME))

    def move(self, row: int, by: int) -> None:
        """Move a class up (-1) or down (1) by so many rows, as far as the table goes."""
        if not 0 <= row < len(self._classes) or self._classes[row].id == 0:
            return
        others = [*self._classes[:row], *self._classes[row + 1 :]]
        lowest = int(others[0].id == 0)
        others.insert(max(row + by, lowest), self._classes[row])
        if tuple(others) != self._classes:
            chosen = self._classes[row].id
            self.edited.emit(tuple(others))
            self.setCurrentCell([c.id for c in self._classes].index(chosen), NAME)

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802
        """Move the class in hand by Alt and an arrow; paint with it by Enter."""
        row, key = self.currentRow(), event.key()
        by = {Qt.Key.Key_Up: -1, Qt.Key.Key_Down: 1}.get(key, 0)
        if by and event.modifiers() & Qt.KeyboardModifier.AltModifier:
            self.move(row, by)
        elif key in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and row >= 0 and not self._named():
            self.picked.emit(self._classes[row].id)
        else:
            super().keyPressEvent(event)

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:  # noqa: N802
        """Offer what can be done with the class under the pointer, or with that in hand by the menu key."""
        by_key = event.reason() == QContextMenuEvent.Reason.Keyboard
        row = self.currentRow() if by_key else self.rowAt(event.pos().y())
        if row >= 0:
            corner = self.visualItemRect(self.item(row, NAME)).bottomLeft()
            at = self.viewport().mapToGlobal(corner) if by_key else event.globalPos()
            self.menu(row).popup(at)

    def dropEvent(self, event: QDropEvent) -> None:  # noqa: N802
        """Move the class that was dragged to where it was dropped."""
        onto = self.rowAt(event.position().toPoint().y())
        row = self.currentRow()
        event.setDropAction(Qt.DropAction.IgnoreAction)  # else Qt deletes the row dragged
        event.accept()
        self.move(row, (onto if onto >= 0 else self.rowCount()) - row)

    def describe(self, row: int) -> None:
        """Ask what counts as the class of a row."""
        one = self._classes[row]
        text, said = QInputDialog.getText(
            self, f"Describe {one.name}", "What counts as this class:", text=one.description
        )
        if said:
            self._change(row, replace(one, description=text))

    def menu(self, row: int) -> QMenu:
        """Return what can be done with the class of a row; background keeps its place."""
        one, menu = self._classes[row], QMenu(self)
        menu.addAction(f"Describe {one.name}…", lambda: self.describe(row))
        if one.id:
            menu.addAction(f"Colour of {one.name}…", lambda: self._recolour(row, COLOUR))
        others = [c for c in self._classes if c.id not in (0, one.id)]
        if one.id and others:
            menu.addAction(f"Move up  ({UP_KEY})", lambda: self.move(row, -1))
            menu.addAction(f"Move down  ({DOWN_KEY})", lambda: self.move(row, 1))
            menu.addSeparator()
        if one.id and others:
            self._add_ends(menu, one, others)
        return menu

    def _add_ends(self, menu: QMenu, one: LabelClass, others: list[LabelClass]) -> None:
        """Offer what ends a class; a locked one neither ends nor takes what others leave."""
        locked = self._locked()
        why = LOCKED if one.id in locked else ""
        into = menu.addMenu(f"Merge {one.name} into{why}")
        into.setDisabled(bool(why))
        for other in others:
            taken = into.addAction(
                f"{other.name}{LOCKED if other.id in locked else ''}",
                lambda _=False, i=other.id: self.dropped.emit(one.id, i),
            )
            taken.setDisabled(other.id in locked)
        gone = menu.addAction(
            f"Remove {one.name}: its voxels become background{why}",
            lambda: self.dropped.emit(one.id, 0),
        )
        gone.setDisabled(bool(why))

    def _locked(self) -> frozenset[int]:
        ticked, rows = Qt.CheckState.Checked, enumerate(self._classes)
        return frozenset(c.id for row, c in rows if self.item(row, LOCK).checkState() == ticked)

    def _named(self) -> bool:
        """Whether a class is being named at present; Enter ends that then."""
        return bool(self.state() == QAbstractItemView.State.EditingState)

    def _clicked(self, row: int, column: int) -> None:
        if column != LOCK:
            self.picked.emit(self._classes[row].id)

    def _renamed(self, item: QTableWidgetItem) -> None:
        if item.column() == LOCK:
            self.locked.emit(self._locked())
            return
        name = item.text().strip()
        if item.column() == NAME:
            old = self._classes[item.row()]
            self._change(item.row(), replace(old, name=name or old.name))

    def _recolour(self, row: int, column: int) -> None:
        if column != COLOUR or self._classes[row].id == 0:
            return
        chosen = QColorDialog.getColor(QColor.fromRgbF(*self._classes[row].color), self)
        if chosen.isValid():
            colour = (chosen.redF(), chosen.greenF(), chosen.blueF())
            self._change(row, replace(self._classes[row], color=colour))

    def _change(self, row: int, new: LabelClass) -> None:
        self.edited.emit((*self._classes[:row], new, *self._classes[row + 1 :]))


def _hint(one: LabelClass, place: int) -> str:
    """Say what a class is, its label's value and the key of its place, and what can be done."""
    keys = f", key Alt+{place if one.id else 0}" if place <= KEYS else ""
    about = f"{one.name}: {one.description}" if one.description else one.name
    return f"{about}\nLabel {one.id}{keys}\n\n{HELP}"


def _items(one: LabelClass) -> tuple[QTableWidgetItem, ...]:
    swatch = QPixmap(14, 14)
    swatch.fill(QColor.fromRgbF(*one.color))
    colour, name, count = QTableWidgetItem(), QTableWidgetItem(one.name), QTableWidgetItem()
    lock = QTableWidgetItem()
    flags = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsUserCheckable
    lock.setFlags(flags)
    lock.setCheckState(Qt.CheckState.Unchecked)
    icon = QIcon(swatch)
    icon.addPixmap(swatch, QIcon.Mode.Selected)  # else Qt tints the colour of the chosen class
    colour.setIcon(icon)
    colour.setFlags(Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable)
    count.setTextAlignment(int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter))
    count.setFlags(Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable)
    return colour, name, count, lock
