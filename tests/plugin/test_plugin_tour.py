"""The tour points at real controls, goes on when the user does the thing, and is shown once."""

import pytest

from napari_unet.plugin.dock import WELCOME_MS
from napari_unet.plugin.tour import LOOK_MS, seen


def test_the_tour_follows_the_user_through_a_round(qtbot, dock, viewer, model):
    window = viewer.window._qt_window
    window.resize(1280, 720)
    window.show()
    qtbot.waitExposed(window)
    assert not seen()
    qtbot.waitUntil(lambda: dock.tour.bubble is not None, timeout=20 * WELCOME_MS)  # by itself
    tour = dock.tour

    def step(number, control):
        qtbot.waitUntil(lambda: tour.at == number, timeout=100 * LOOK_MS)
        qtbot.wait(2 * LOOK_MS)
        assert tour.bubble.count.text() == f"{number + 1} of 6"
        text = tour.bubble.text
        assert text.height() >= text.heightForWidth(text.width())  # nothing is cut off
        bubble = tour.bubble.geometry()
        assert window.rect().contains(bubble)
        pointed = control.mapTo(window, control.rect().center())
        assert bubble.right() <= control.mapTo(window, control.rect().topLeft()).x()
        assert bubble.top() <= pointed.y() <= bubble.bottom()

    opener = next(b for s, b in dock.start.samples if s.name == "hippocampus")
    step(0, opener)
    opener.click()
    dock.model.choose(model)
    step(1, dock.predict.go)
    dock.correct.new.click()
    step(2, dock.correct.done)
    dock.slices.toggle()
    step(3, dock.correct.next)
    for index in (3, 30):
        dock.slices.go(index)
        dock.slices.toggle()
    step(4, dock.tune.go)
    dock.tune.curve.restore([(1, 0.5)], [])
    step(5, dock.export.go)
    assert tour.bubble.skip.text() == "Close"
    tour.bubble.skip.click()
    assert tour.bubble is None
    assert seen()


@pytest.mark.parametrize("again", ["session", "start"])
def test_a_skipped_tour_comes_again_only_when_asked(qtbot, dock, again):
    dock.tour.start()
    dock.tour.bubble.skip.click()
    assert seen()
    dock._first_time()
    assert dock.tour.bubble is None
    if again == "session":
        dock.session.help.trigger()
    else:
        dock.start.tour.click()
    assert dock.tour.bubble.count.text() == "1 of 6"
    dock.tour.end()
