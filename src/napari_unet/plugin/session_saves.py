"""Saves of a session that are under way."""

from collections.abc import Callable
from concurrent.futures import Future, wait

from qtpy.QtCore import QObject, QTimer, Signal

POLL_MS = 100
"""Time between two looks at whether a save has ended."""


class Saves(QObject):
    """What threads are writing, each with what is to be done once it stands in the folder.

    Signals
    -------
    ended()
        One or more have ended, well or not.
    """

    ended = Signal()

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._running: list[tuple[Future[bool], Callable[[], None]]] = []
        self._poll = QTimer(self, interval=POLL_MS)
        self._poll.timeout.connect(self.look)

    def __bool__(self) -> bool:
        return bool(self._running)

    def add(self, save: Future[bool], done: Callable[[], None]) -> None:
        """Follow a save; `done` is called where it answers that all is written."""
        self._running.append((save, done))
        self._poll.start()

    def wait(self, seconds: float) -> None:
        """Wait for all of them, but no longer than this."""
        wait([save for save, _ in self._running], timeout=seconds)
        self.look()

    def look(self) -> None:
        """Hear which have ended."""
        ended = [one for one in self._running if one[0].done()]
        for one in ended:
            self._running.remove(one)
            save, done = one
            if save.result():
                done()
        if not self._running:
            self._poll.stop()
        if ended:
            self.ended.emit()
