"""Many images, one after the other: what is new, predicted, in work and done."""

from pathlib import Path

import numpy as np
from napari.layers import Labels
from napari.viewer import Viewer
from numpy.typing import NDArray
from qtpy.QtCore import QSize, Qt, QTimer, Signal
from qtpy.QtGui import QIcon, QImage, QKeySequence, QPixmap, QShowEvent
from qtpy.QtWidgets import (
    QAbstractItemView,
    QFrame,
    QHeaderView,
    QLabel,
    QShortcut,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
)

from napari_unet import io
from napari_unet.core.scores import dice
from napari_unet.errors import UNetError
from napari_unet.jobs import SessionImage, find_image
from napari_unet.plugin import layers
from napari_unet.plugin.ahead import Ahead
from napari_unet.plugin.background import in_thread
from napari_unet.plugin.model_section import ModelSection
from napari_unet.plugin.runner import Runner
from napari_unet.plugin.section import button, row, say, sentence
from napari_unet.plugin.session_keeper import SessionKeeper
from napari_unet.plugin.target import Target
from napari_unet.plugin.traces import painted

NEXT_KEY = "Control-Right"
DONE_NEXT = "This image is finished: keep it, and open the next one"
NAME, STATE, DICE = range(3)
SIDE, ROW, ROWS = 32, 36, 5
"""Pixels of a thumbnail and of a row; rows seen at once."""

LARGE = 1 << 28
"""Bytes of a file above which no thumbnail is made: it would have to be read whole."""


class Queue(QFrame):
    """The images of the session in a table; Enter opens one, Ctrl+Right is "done, next".

    Images in which something is known stay loaded, hidden, for they teach; the others are let go.

    Signals
    -------
    shown()
        Another image is in front.
    """

    shown = Signal()

    def __init__(
        self,
        viewer: Viewer,
        target: Target,
        keeper: SessionKeeper,
        model: ModelSection,
        runner: Runner,
    ) -> None:
        super().__init__()
        self.setObjectName("unet-section")
        self._viewer, self._target, self._keeper = viewer, target, keeper
        self.ahead = Ahead(keeper, model, runner, self.coming)
        self._first: dict[str, tuple[NDArray[np.integer], str]] = {}
        self._icons: dict[str, QIcon | None] = {}
        self._drawing = False
        self.heading = QLabel("Images")
        self.heading.setObjectName("unet-heading")
        self.note = QLabel()
        self.note.setObjectName("unet-note")
        self.table = QTableWidget(0, 3)
        self.open_button = button("Open  (Enter)", "Open the image chosen in the table")
        self.next = button("Done, next  (Ctrl+→)", DONE_NEXT)
        self.message = sentence()
        self._thumbs = QTimer(self, singleShot=True, interval=200)
        self._build()
        self._connect()
        self.refresh()

    def coming(self) -> list[SessionImage]:
        """Return the images after the one in front that are not done, then those before it."""
        images = self._keeper.session.images
        at = next((i for i, one in enumerate(images) if one.path == self._front()), -1)
        return [one for one in (*images[at + 1 :], *images[: max(at, 0)]) if not one.finished]

    def open(self, path: str) -> bool:
        """Show an image of the session, with its labels, and put the others away, if it can be read."""
        image = self._keeper.session.image(path)
        if image is None:
            return False
        self._keeper.save()
        shown = self._keeper.open_paths().get(path)
        if shown is None and not self._keeper.is_there(image):  # the bar above says so
            self._keeper.touch()
            return False
        self._put_away(path)
        problem = "" if shown is not None else self._keeper.show_image(image)
        say(self.message, problem, "bad")
        shown = self._keeper.open_paths().get(path)
        if shown is None:
            self._keeper.touch()
            return False
        for layer in (*shown.shown, *shown.labels):
            layer.visible = True
        self._target.choose_image(shown.shown[0])
        if shown.labels:
            self._target.choose_labels(shown.labels[-1])
            self._viewer.layers.selection.active = shown.labels[-1]
            self._remember(path, image, shown.labels[-1])
        self.table.setCurrentCell([i.path for i in self._keeper.session.images].index(path), NAME)
        self._keeper.touch()
        self.shown.emit()
        return True

    def done_next(self) -> None:
        """Keep the image in front as done, and open the next one that is not."""
        image = self._keeper.session.image(self._front())
        if image is None or len(self._keeper.session.images) < 2:
            return
        coming = self.coming()
        score, ground = self._measure(image.path)
        changes = {"dice": score, "measured": ground} if ground else {}
        self._keeper.change(image, finished=True, **changes)
        if coming:
            self._open_first(coming)
        else:
            self._keeper.save()
            say(self.message, "All images are done.", "good")

    def refresh(self) -> None:
        """Show the states as they are now."""
        images = self._keeper.session.images
        self.setVisible(self._keeper.folder is not None and len(images) > 1)
        done = sum(one.finished for one in images)
        self.note.setText(f"{done} of {len(images)} done")
        ours = self._keeper.session.image(self._front()) is not None
        self.next.setEnabled(ours)
        self.next.setToolTip(DONE_NEXT if ours else "Open an image of the table first.")
        self._drawing = True
        if self.table.rowCount() != len(images):
            self.table.setRowCount(len(images))
        front = self._front()
        for index, image in enumerate(images):
            self._show_row(index, image, image.path == front)
        self._drawing = False
        self._thumbs.start()

    def release(self) -> None:
        """Give the key back."""
        self.ahead.release()
        self._viewer.bind_key(NEXT_KEY, None)

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802
        """Fetch the thumbnails of the rows that are seen."""
        super().showEvent(event)
        self._thumbs.start()

    def _build(self) -> None:
        self.table.setHorizontalHeaderLabels(["Image", "State", "Dice"])
        self.table.verticalHeader().hide()
        self.table.verticalHeader().setDefaultSectionSize(ROW)
        self.table.horizontalHeader().setSectionResizeMode(NAME, QHeaderView.ResizeMode.Stretch)
        self.table.setColumnWidth(STATE, 74)
        self.table.setColumnWidth(DICE, 46)
        self.table.setIconSize(QSize(SIDE, SIDE))
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setTabKeyNavigation(False)
        self.table.setFixedHeight(ROW * ROWS)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(10, 6, 10, 8)
        layout.addLayout(row(self.heading, None, self.note))
        layout.addWidget(self.table)
        buttons = row(self.open_button, self.next)
        buttons.setStretch(1, 1)
        layout.addLayout(buttons)
        layout.addWidget(self.message)

    def _connect(self) -> None:
        self._viewer.bind_key(NEXT_KEY, lambda _: self.done_next(), overwrite=True)
        for keys, action in (
            ("Ctrl+Right", self.done_next),
            ("Return", self._open_chosen),
            ("Enter", self._open_chosen),
        ):
            shortcut = QShortcut(QKeySequence(keys), self.table)
            shortcut.setContext(Qt.ShortcutContext.WidgetShortcut)
            shortcut.activated.connect(action)
        self.table.cellDoubleClicked.connect(lambda *_: self._open_chosen())
        self.table.verticalScrollBar().valueChanged.connect(lambda _: self._thumbs.start())
        self.open_button.clicked.connect(self._open_chosen)
        self.next.clicked.connect(self.done_next)
        self._keeper.changed.connect(self.refresh)
        self._keeper.opened.connect(self._opened)
        self._target.changed.connect(self.refresh)
        self._thumbs.timeout.connect(self._fetch_thumbnail)

    def _front(self) -> str:
        """Return the path of the image in front, as the session calls it."""
        volume = self._target.volume
        if volume is None:
            return ""
        shown = self._keeper.open_paths().items()
        return next((path for path, one in shown if one.volume.source == volume.source), "")

    def _opened(self) -> None:
        """Hear that a session was opened: go to the first image that is not done, if none is shown."""
        self._first.clear()
        self._icons.clear()
        images = self._keeper.session.images
        if len(images) > 1 and not self._front():
            self._open_first([one for one in images if not one.finished] or list(images))
        self.refresh()

    def _open_first(self, images: list[SessionImage]) -> None:
        """Show the first of these images that can be read, and say why those before it can't."""
        left_out, own = [], ""
        for image in images:
            if self.open(image.path):
                own = self.message.text()
                break
            left_out.append(image)
        if left_out:
            count = len(left_out) - 1
            more = f" ({count} more can't be opened.)" if count else ""
            why = f"Left out: {self._keeper.reason(left_out[0])}{more} {own}"
            say(self.message, why.strip(), "bad")

    def _open_chosen(self) -> None:
        index = self.table.currentRow()
        if 0 <= index < len(self._keeper.session.images):
            self.open(self._keeper.session.images[index].path)

    def _put_away(self, path: str) -> None:
        """Take images out of the viewer in which nothing is known, and hide the others."""
        for other, shown in self._keeper.open_paths().items():
            if other == path:
                continue
            known = any(layers.about(x).done or painted(x) for x in shown.labels)
            for layer in (*shown.labels, *shown.shown):
                if known:
                    layer.visible = False
                else:
                    self._viewer.layers.remove(layer)
            if not known:
                self._first.pop(other, None)  # its file says the same when it opens again

    def _remember(self, path: str, image: SessionImage, labels: Labels) -> None:
        """Keep a prediction as it was when its image was opened, to measure it later."""
        if image.stage == "predicted" and path not in self._first:
            self._first[path] = np.array(labels.data), layers.about(labels).model

    def _measure(self, path: str) -> tuple[float | None, str]:
        """Return the Dice of the prediction that an image opened with, and what it was measured on."""
        first, labels = self._first.get(path), self._target.labels
        if first is None or labels is None or first[0].shape != labels.data.shape:
            return None, ""
        about, known = layers.about(labels), np.zeros(labels.data.shape, bool)
        for which in about.done:
            known[layers.slice_key(labels.ndim, which)] = True
        if about.instances or not about.done:
            return None, ""
        ids = [c.id for c in about.classes if c.id]
        found = dice(first[0], np.asarray(labels.data), ids, known)
        if not found:
            return None, ""
        number = len(about.done)
        slices = "the image" if labels.ndim == 2 else f"{number} slice{'s' * (number != 1)} done"
        return (
            float(np.mean(list(found.values()))),
            f"Mean Dice of {first[1]}, as it predicted this image, against your labels on {slices}",
        )

    def _show_row(self, index: int, image: SessionImage, front: bool) -> None:
        failed = self.ahead.failed.get(image.path, "")
        told = "" if image.dice is None else f"{image.dice:.2f}"
        texts = (image.name, "in front" if front and image.stage == "new" else image.stage, told)
        tips = (image.path, failed, image.measured)
        for column, (text, tip) in enumerate(zip(texts, tips, strict=True)):
            item = self.table.item(index, column)
            if item is None:
                item = QTableWidgetItem()
                self.table.setItem(index, column, item)
            if item.text() != text:
                item.setText(text)
            item.setToolTip(tip)
            font = item.font()
            if font.bold() != front:
                font.setBold(front)
                item.setFont(font)
        icon = self._icons.get(image.path)
        if icon is not None and self.table.item(index, NAME).icon().isNull():
            self.table.item(index, NAME).setIcon(icon)
        if front and self.table.currentRow() < 0:
            self.table.setCurrentCell(index, NAME)

    def _fetch_thumbnail(self) -> None:
        """Make the thumbnail of one row that is seen, in a thread; the next one follows."""
        folder = self._keeper.folder
        if folder is None or not self.isVisible():
            return
        top = max(self.table.rowAt(0), 0)
        seen = self._keeper.session.images[top : top + ROWS + 1]
        image = next((one for one in seen if one.path not in self._icons), None)
        if image is None:
            return
        path, file = image.path, find_image(folder, image)
        self._icons[path] = None
        in_thread(
            lambda: thumbnail(file),
            lambda made: self._got(path, made),
            lambda _: self._got(path, None),
        )

    def _got(self, path: str, made: NDArray[np.uint8] | None) -> None:
        if made is not None:
            height, width = made.shape
            picture = QImage(made.tobytes(), width, height, width, QImage.Format.Format_Grayscale8)
            self._icons[path] = QIcon(QPixmap.fromImage(picture.copy()))
        self.refresh()


def thumbnail(path: Path | None) -> NDArray[np.uint8] | None:
    """Return the middle slice of an image's first channel, shape (y, x), no side above `SIDE`.

    None where the file can't be read, or is so large that reading it would hold others up.
    """
    try:
        if path is None or (path.is_file() and path.stat().st_size > LARGE):
            return None
        data = io.read(path).data[0]
        plane = data[data.shape[0] // 2] if data.ndim == 3 else data
        step = max(1, -(-max(plane.shape) // SIDE))
        small = np.asarray(plane[::step, ::step], dtype=np.float32)
    except (UNetError, OSError):
        return None
    low, high = np.percentile(small[np.isfinite(small)], (1, 99.5)) if small.size else (0, 1)
    scaled = np.nan_to_num((small - low) / max(high - low, 1e-9)).clip(0, 1)
    return np.ascontiguousarray(scaled * 255).astype(np.uint8)
