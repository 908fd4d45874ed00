"""Every action of the dock is in napari's command palette, and can be reached without a mouse."""

from functools import partial
from pathlib import Path

from napari._app_model import get_app_model
from napari.layers import Image, Labels
from napari.utils.notifications import notification_manager
from napari.viewer import Viewer
from npe2 import PluginManifest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtGui import QAction, QContextMenuEvent
from qtpy.QtWidgets import QAbstractButton, QApplication, QLineEdit

from napari_unet.plugin import commands, layers
from napari_unet.plugin.class_keys import KEYS
from napari_unet.plugin.class_table import LOCK, NAME
from napari_unet.plugin.edit_operations import OPERATIONS

ROOT = Path(__file__).parents[2]
ENTRIES = {name: entry for name, entry in vars(commands).items() if isinstance(entry, partial)}


def buttons(dock):
    """Return every control of the dock that does something when it is pressed."""
    found = [b for b in dock.findChildren(QAbstractButton) if type(b) is not QAbstractButton]
    return found + [a for a in dock.session.menu.actions() if not a.isSeparator()]


def without_entry(dock):
    """Return the buttons that need no entry, by why."""
    forms = [dock.predict.form, dock.tune.form]
    return {
        "napari's own entries open the samples": [b for _, b in dock.start.samples],
        "a setting, or what shows the settings": [
            b for form in forms for b in [form.fold, *form.findChildren(QAbstractButton)]
        ],
        "its menu's actions have entries": [dock.session.more],
    }


def run(name):
    """Choose an entry of the palette."""
    notification_manager.records.clear()
    get_app_model().commands.execute_command(f"napari-unet.{name}").result()
    return " ".join(record.message for record in notification_manager.records)


def in_palette():
    app = get_app_model()
    rules = app.menus.get_menu(app.menus.COMMAND_PALETTE_ID)
    return {rule.command.id: rule.command.title for rule in rules}


def test_every_button_has_an_entry(dock, hippocampus):
    dock.correct.new.click()
    pressed = [
        one
        for entry in ENTRIES.values()
        if entry.func is commands.press
        for one in entry.keywords["controls"](dock)
    ]
    spared = [one for every in without_entry(dock).values() for one in every]
    missing = [b.text() for b in buttons(dock) if b not in pressed and b not in spared]
    assert missing == []


def test_every_tool_has_an_entry():
    titles = [e.keywords["title"] for e in ENTRIES.values() if e.func is commands.choose_tool]
    assert titles == [operation.title for operation in OPERATIONS]


def test_every_entry_is_in_the_palette_under_a_title_of_its_own(dock):
    manifest = PluginManifest.from_file(ROOT / "napari.yaml")
    ours = {
        command.id: command.title
        for command in manifest.contributions.commands
        if command.python_name.startswith("napari_unet.plugin.commands:")
    }
    assert set(ours) == {f"napari-unet.{name}" for name in ENTRIES}
    assert len(set(ours.values())) == len(ours)
    shown = in_palette()
    assert {name: shown[name].removesuffix(" (U-Net)") for name in ours} == ours


EMPTY = {
    "predict": "Open an image first.",
    "fine_tune": "Open an image first.",
    "mark_done": "no labels yet",
    "next_slice": "no labels yet",
    "smooth": "no labels yet",
    "apply_edit": "Choose a tool first",
    "compare": "no two models",
    "see_changed": "No two models are compared",
    "most_changed": "No two models are compared",
    "done_next": "open a folder of images",
    "restore_labels": "No unsaved labels",
    "find_image": "No image of a session is missing.",
    "save_session": "Open an image first.",
    "export": "Open an image first.",
    "stop": "Nothing is running",
}


def test_what_cant_be_done_yet_says_what_comes_first(dock):
    told = {name: run(name) for name in EMPTY}
    assert [name for name, words in EMPTY.items() if words not in told[name]] == []


def test_a_control_that_is_shown_and_cant_be_pressed_says_why_itself(dock, hippocampus, viewer):
    assert run("export") == "Predict first, or paint from nothing."
    assert run("fine_tune") == "Paint or mark a slice first."
    dock.correct.new.click()
    viewer.dims.ndisplay = 3
    for name in ("mark_done", "next_slice"):
        assert run(name) == "Show the volume in 2D (Ctrl+Y) to mark slices."


def test_entries_do_what_the_buttons_do(dock, hippocampus, viewer):
    assert run("paint") == ""
    labels = dock.target.labels
    dock.slices.go(7)
    assert run("mark_done") == ""
    assert layers.about(labels).done == {(0, 7)}
    assert run("smooth") == ""
    assert dock.correct.fold.isChecked()
    assert dock.correct.tools.chosen.title == "Smooth"
    assert run("protect_done") == ""
    assert dock.correct.rules.protect.isChecked()
    assert "for objects" in run("split")
    assert "paint only a range" in run("like_class")


def test_the_dock_is_opened_when_it_is_not_there(viewer):
    assert "Open an image first." in run("predict")
    (dock,) = viewer.window.dock_widgets.values()
    dock.release()


def test_all_can_be_reached_by_tab(dock, hippocampus):
    dock.correct.new.click()
    reach = [b for b in buttons(dock) if not isinstance(b, QAction)]
    assert [b.text() for b in reach if not b.focusPolicy() & Qt.FocusPolicy.TabFocus] == []
    assert not dock.correct.table.tabKeyNavigation()  # Tab would never leave the table
    assert not dock.queue.table.tabKeyNavigation()
    assert all("&" in action.text() for action in dock.session.menu.actions() if action.text())


def test_our_keys_are_not_napari_s(dock, hippocampus, viewer):
    theirs = {str(k) for kind in (Viewer, Labels, Image) for k in kind.class_keymap}
    ours = {str(key) for key in viewer.keymap}
    assert {"D", "N", "Ctrl+Right", *(k.replace("-", "+") for k in KEYS)} <= ours
    assert "M" in theirs
    assert not ours & theirs


def test_a_class_is_handled_by_keys(qtbot, dock, hippocampus):
    dock.correct.new.click()
    table, labels = dock.correct.table, dock.target.labels
    dock.window().show()
    qtbot.waitUntil(table.isVisible, timeout=5000)
    dock.correct.add_class.click()
    qtbot.keyClick(table.findChild(QLineEdit), Qt.Key.Key_Escape)
    table.setFocus()
    table.setCurrentCell(1, NAME)
    qtbot.keyClick(table, Qt.Key.Key_Return)
    assert labels.selected_label == 1
    table.setCurrentCell(2, LOCK)
    qtbot.keyClick(table, Qt.Key.Key_Space)
    assert layers.about(labels).locked == {2}
    table.setCurrentCell(2, NAME)
    middle = QPoint(table.width() // 2, table.height() // 2)
    event = QContextMenuEvent(QContextMenuEvent.Reason.Keyboard, middle, QPoint(0, 0))
    QApplication.sendEvent(table, event)
    menu = QApplication.activePopupWidget()
    assert [a.text() for a in menu.actions()][:2] == ["Describe class 2…", "Colour of class 2…"]
    menu.close()
