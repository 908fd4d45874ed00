"""The ruler: how far each slice is, and what a person does on it."""

from types import SimpleNamespace

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt

from napari_unet.plugin import layers
from napari_unet.plugin.annotation import annotation_of
from napari_unet.plugin.slice_ruler import COLOURS, SliceRuler, summary
from napari_unet.plugin.slice_states import State, columns, states
from napari_unet.plugin.traces import traces

U, P, B, D, H = State
"""Untouched, predicted, painted by brush, done, held out."""
NO_KEY, SHIFT, CTRL = (
    Qt.KeyboardModifier.NoModifier,
    Qt.KeyboardModifier.ShiftModifier,
    Qt.KeyboardModifier.ControlModifier,
)
LEFT = Qt.MouseButton.LeftButton


def test_a_higher_state_has_the_say():
    predicted, painted = np.array([0, 1, 1, 1, 1], bool), np.array([0, 0, 1, 1, 1], bool)
    assert states(predicted, painted, done=[3, 4], held_out=[4]).tolist() == [U, P, B, D, H]


@pytest.mark.parametrize(
    ("slices", "room", "every", "some"),
    [
        ([U, D, P], 10, [U, D, P], [U, D, P]),
        ([U, D, D, D], 2, [U, D], [D, D]),
        ([U, U, P, P, B, D, D], 3, [U, P, B], [U, P, D]),
        ([D] * 2000, 100, [D] * 100, [D] * 100),
    ],
)
def test_columns_keep_the_lowest_and_the_highest_of_their_slices(slices, room, every, some):
    found = columns(np.array(slices, np.uint8), room)
    assert found.all.tolist() == every
    assert found.any.tolist() == some
    assert found.starts[-1] == len(slices)


def test_the_summary_counts_done_slices():
    assert summary(np.array([U, D, H, B], np.uint8)) == "2 of 4 slices done"


def heights(ruler, theme="dark"):
    """Return, for each column of pixels, how many are not background."""
    ruler.resize(200, ruler.height())
    image = ruler.grab().toImage()
    blank = image.pixel(image.width() - 1, 30)
    return [
        sum(image.pixel(x, y) != blank for y in range(9, 28)) for x in range(0, image.width(), 4)
    ]


@pytest.mark.parametrize("theme", COLOURS)
def test_each_state_has_a_height_of_its_own(qtbot, theme):
    ruler = SliceRuler()
    qtbot.addWidget(ruler)
    ruler.set_dark(theme == "dark")
    ruler.show_slices(np.array([U, P, B, D, H, U, U, U, U, U], np.uint8), here=9)
    assert heights(ruler)[2:25:5] == [2, 6, 11, 19, 12]


def drag(qtbot, ruler, begin, end, keys):
    """Press at one slice, move to another, let go there."""
    width = ruler.width() / len(ruler._states)
    first, last = (QPoint(int((i + 0.5) * width), 20) for i in (begin, end))
    qtbot.mousePress(ruler, LEFT, keys, first)
    if end != begin:
        where = SimpleNamespace(
            pos=lambda: last,
            buttons=lambda: LEFT,
            globalPosition=lambda: ruler.mapToGlobal(last).toPointF(),
        )
        ruler.mouseMoveEvent(where)
    qtbot.mouseRelease(ruler, LEFT, keys, last)


def test_a_click_goes_there_and_a_drag_with_a_key_marks(qtbot, dock, hippocampus):
    dock.correct.new.click()
    ruler, labels = dock.correct.ruler, dock.target.labels
    ruler.resize(340, ruler.height())
    drag(qtbot, ruler, 7, 7, NO_KEY)
    assert dock.slices.here == (0, 7)
    drag(qtbot, ruler, 7, 12, NO_KEY)
    assert dock.slices.here == (0, 12)
    assert not layers.about(labels).done
    drag(qtbot, ruler, 9, 5, SHIFT)
    assert layers.about(labels).done == {(0, i) for i in range(5, 10)}
    assert dock.slices.here == (0, 12)
    drag(qtbot, ruler, 8, 20, CTRL)
    assert layers.about(labels).done == {(0, 5), (0, 6), (0, 7)}
    assert dock.correct.note.text() == f"3 of {len(labels.data)} slices done"


def test_held_out_slices_keep_their_marks_and_are_sent_like_others(dock, hippocampus):
    dock.correct.new.click()
    labels = dock.target.labels
    dock.slices.mark(3, 6)
    dock.slices.hold_out(labels, [(0, 5)])
    assert dock.correct.ruler._states[5] == H
    dock.slices.go(5)
    dock.slices.toggle()
    assert "held out" in dock.correct.hint.text()
    dock.slices.mark(0, 6, done=False)
    assert layers.about(labels).done == {(0, 5)}
    assert dock.slices.states()[3:7].tolist() == [U, U, H, U]
    dock.slices.mark(4, 6)
    known = annotation_of(labels).known
    assert known.any(axis=(1, 2)).nonzero()[0].tolist() == [4, 5, 6]


def test_strokes_and_predictions_show_until_they_are_undone(qtbot, dock, hippocampus):
    dock.correct.new.click()
    labels = dock.target.labels
    traces(labels).predict([((2, 0, 0), (4, 9, 9))])
    dock.slices.go(3)
    labels.paint((3, 10, 10), 1)
    dock.slices.go(6)
    labels.paint((6, 10, 10), 0)  # background, explicitly
    qtbot.waitUntil(lambda: dock.correct.ruler._states[6] == B, timeout=5000)
    assert dock.slices.states()[:7].tolist() == [U, U, P, B, U, U, B]
    dock.slices.go(3)
    labels.undo()
    qtbot.waitUntil(lambda: dock.slices.states()[3] == P, timeout=5000)


def test_a_suggested_slice_says_why_until_it_is_done(dock, hippocampus):
    dock.correct.new.click()
    dock.slices.suggest({(0, 20): "unsure about it", (0, 8): "far away", (1, 3): "elsewhere"})
    ruler = dock.correct.ruler
    assert ruler.words(20) == "Slice 20: nothing yet\nSuggested next: unsure about it"
    assert ruler.words(3) == "Slice 3: nothing yet"
    dock.slices.go(20)
    assert dock.correct.advice.text() == "Suggested: unsure about it."
    dock.slices.toggle()
    assert ruler.words(20) == "Slice 20: done"
    assert dock.correct.advice.text() == ""


def test_labels_from_a_file_count_as_unchecked(dock, hippocampus):
    dock.opening.labels(hippocampus.labels)
    data = np.asarray(dock.target.labels.data)
    expected = np.where(data.any(axis=(1, 2)), P, U)
    assert dock.slices.states().tolist() == expected.tolist()
