"""The dock: five steps in the order of the work, and nothing else that a user has to look for."""

from contextlib import ExitStack

import napari
from napari.layers import Labels
from napari.utils.theme import get_theme
from qtpy.QtCore import QEvent, Qt, QTimer
from qtpy.QtGui import QDragEnterEvent, QDropEvent, QHideEvent, QShowEvent
from qtpy.QtWidgets import (
    QScrollArea,
    QSizePolicy,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from napari_unet.plugin.canvas import CanvasContext
from napari_unet.plugin.comparison import Comparison
from napari_unet.plugin.correct_section import CorrectSection
from napari_unet.plugin.corrections import Corrections
from napari_unet.plugin.export_section import ExportSection
from napari_unet.plugin.finetune_section import FineTuneSection
from napari_unet.plugin.model_export import ModelExport
from napari_unet.plugin.model_section import ModelSection
from napari_unet.plugin.next_slice import NextSlice
from napari_unet.plugin.opening import Opening, prefer_our_reader
from napari_unet.plugin.plot import tint
from napari_unet.plugin.predict_section import PredictSection
from napari_unet.plugin.queue_section import Queue
from napari_unet.plugin.report import Report
from napari_unet.plugin.rounds import Rounds
from napari_unet.plugin.runner import Runner
from napari_unet.plugin.safety import Safety
from napari_unet.plugin.section import SOFT, emphasise, say, sentence, style_sheet
from napari_unet.plugin.session_bar import SessionBar
from napari_unet.plugin.session_keeper import SessionKeeper
from napari_unet.plugin.slices import Slices
from napari_unet.plugin.start_page import StartPage
from napari_unet.plugin.target import Target
from napari_unet.plugin.tour import Tour, seen
from napari_unet.plugin.tour_steps import steps

WIDTH = 350
WARM_MS = 1000
"""The child starts this long after the dock, so that the window comes first. It loads for seconds."""
WELCOME_MS = 1500
"""The tour begins this long after the dock is shown for the first time, when all of it is drawn."""


class Dock(QWidget):
    """Model, Predict, Correct, Fine-tune, Export.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        The viewer; napari hands it over by this name.
    """

    def __init__(self, napari_viewer: "napari.viewer.Viewer") -> None:
        super().__init__()
        # napari may hand over a proxy that wraps every layer anew at each look; layers need identity.
        self.viewer = getattr(napari_viewer, "__wrapped__", napari_viewer)
        self._build()
        self._lay_out()
        self._connect()
        self._restyle()
        self._retarget()
        self._tell(self.target.refusal)

    def look(self, widget: QWidget) -> None:
        """Scroll to something new, once it has found its place."""
        self._new = widget
        self._scroll.start()

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:  # noqa: N802
        """Accept files."""
        if event.mimeData().hasUrls():
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:  # noqa: N802
        """Open the files dropped on the dock."""
        paths = [url.toLocalFile() for url in event.mimeData().urls() if url.isLocalFile()]
        self.opening.paths(paths)

    def event(self, event: QEvent) -> bool:
        """Let go of everything when napari takes the dock out of its window."""
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            try:
                self.release()
            finally:
                self.deleteLater()  # in Qt's order; Python's garbage collector has none
        return super().event(event)

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802
        """Offer the tour to whoever opens the dock for the first time."""
        super().showEvent(event)
        self._welcome.start()

    def hideEvent(self, event: QHideEvent) -> None:  # noqa: N802
        """Write down the last strokes, for the window may be closing."""
        self.safety.flush()
        self.keeper.flush()
        super().hideEvent(event)

    def release(self) -> None:
        """Finish session and journals, end the child, give the keys back.

        Where one of them fails the others go on, and the failure is raised in the end.
        """
        with ExitStack() as parts:  # which lets go of the last first
            parts.callback(self.runner.close)
            parts.callback(self.tour.end)
            parts.callback(self._welcome.stop)
            parts.callback(self._warm.stop)
            parts.callback(self.viewer.events.theme.disconnect, self._restyle)
            parts.callback(self.viewer.layers.events.removed.disconnect, self._tidy)
            for part in (
                self.target,
                self.slices,
                self.next,
                self.correct,
                self.tune,
                self.rounds,
                self.comparison,
                self.safety,
                self.queue,
                self.session,
                self.keeper,
                self.canvas,
            ):
                parts.callback(part.release)

    def _build(self) -> None:
        self.canvas = CanvasContext(self.viewer, self)
        self.runner = Runner(self)
        self.target = Target(self.viewer)
        self.slices = Slices(self.viewer, self.target)
        self.safety = Safety(self.viewer, self.target, self.slices)
        self.model = ModelSection()
        self.next = NextSlice(self.viewer, self.target, self.slices, self.model, self.runner)
        self.predict = PredictSection(
            self.viewer, self.target, self.slices, self.model, self.runner
        )
        self.correct = CorrectSection(self.viewer, self.target, self.model, self.slices)
        self.tune = FineTuneSection(self.target, self.model, self.slices, self.runner)
        self.rounds = Rounds(
            self.viewer,
            self.target,
            self.slices,
            self.runner,
            self.model,
            self.predict,
            self.tune,
        )
        self.comparison = Comparison(
            self.viewer, self.target, self.slices, self.runner, self.predict.form.value
        )
        beside = self.tune.body.indexOf(self.tune.contest)
        self.tune.body.insertWidget(beside + 1, self.comparison)
        self.tune.body.addWidget(self.rounds)
        self.corrections = Corrections(self.target, self.slices)
        self.correct.body.addWidget(self.corrections)
        self.export = ExportSection(self.target)
        self.report = Report(self.target, self.model)
        self.model_export = ModelExport(self.model, self.runner)
        self.export.body.addWidget(self.model_export)
        self.export.body.addWidget(self.report)
        self.keeper = SessionKeeper(
            self.viewer, self.target, self.slices, self.safety, self.model, self.tune
        )
        self.session = SessionBar(self.viewer, self.target, self.keeper)
        self.queue = Queue(self.viewer, self.target, self.keeper, self.model, self.runner)
        self.opening = Opening(
            self.viewer, self.target, self.model, self.keeper, self.session, self
        )
        self.start = StartPage()
        self.tour = Tour(self, steps(self))
        self.message = sentence()
        self._new = self
        self._scroll = QTimer(self, singleShot=True, interval=100)
        self._warm = QTimer(self, singleShot=True, interval=WARM_MS)
        self._welcome = QTimer(self, singleShot=True, interval=WELCOME_MS)

    def _lay_out(self) -> None:
        work = QWidget()
        column = QVBoxLayout(work)
        column.setContentsMargins(6, 2, 6, 2)
        column.setSpacing(5)
        column.addWidget(self.safety)
        column.addWidget(self.session)
        column.addWidget(self.queue)
        column.addWidget(self.target)
        column.addWidget(self.message)
        for section in (self.model, self.predict, self.correct, self.tune, self.export):
            column.addWidget(section)
        column.addStretch(1)
        self.pages = QStackedWidget()
        self.pages.addWidget(_scrolled(self.start))
        self.work = _scrolled(work)
        self.pages.addWidget(self.work)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.pages)
        self.setMinimumWidth(WIDTH)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        self.setAcceptDrops(True)

    def _connect(self) -> None:
        self.opening.told.connect(self._tell)
        self.start.open_image.connect(self.opening.ask_image)
        self.start.open_sample.connect(self.opening.sample)
        self.start.open_session.connect(self.session.open_session)
        self.start.choose_session.connect(self.session.ask_open)
        self.session.tour.connect(self.tour.start)
        self.start.tour.clicked.connect(self.tour.start)
        self._welcome.timeout.connect(self._first_time)
        self.start.open_folder.connect(self.opening.ask_folder)
        self.session.open_folder.connect(self.opening.ask_folder)
        self.queue.shown.connect(self.opening.face_up)
        self.session.failed.connect(lambda text: say(self.start.message, text, "bad"))
        self.keeper.opened.connect(self.opening.face_up)
        self.keeper.changed.connect(self._show_page)
        self.target.open.clicked.connect(self.opening.ask_image)
        self.target.load.clicked.connect(self.opening.ask_labels)
        self.target.changed.connect(self._retarget)
        self.target.refused.connect(self._tell)
        self.target.respaced.connect(lambda text: say(self.message, text))
        self.predict.predicted.connect(self._predicted)
        self.predict.surveyed.connect(self.next.take)
        self.correct.next.clicked.connect(self.next.go)
        self.next.said.connect(self.correct.advise)
        self.next.looking.connect(self.correct.show_looking)
        self.correct.stroked.connect(self.safety.stroked)
        self.correct.rested.connect(self.tune.refresh)
        self.correct.rested.connect(self._guide)
        self.correct.rested.connect(self.rounds.heed)
        self.correct.rested.connect(self.safety.rested)
        self.correct.described.connect(self.rounds.heed)
        self.correct.described.connect(self.safety.describe)
        for changed in (self.correct.tools.applied, self.correct.table.dropped):
            changed.connect(self.safety.remember)  # at once and whole: it may lie in any slice
        self.correct.stroked.connect(self.corrections.stroked)
        self.corrections.recorded.connect(self.safety.describe)
        self.correct.stroked.connect(self.keeper.stroked)
        self.correct.rested.connect(self.keeper.stroked)
        self.correct.described.connect(self.keeper.touch)
        self.tune.improved.connect(self.model.choose)
        self.tune.kept.connect(lambda _: self.model.refresh())
        self.tune.look.connect(self.look)
        self.tune.contest.asked.connect(self.comparison.start)
        self.comparison.look.connect(self.look)
        self.rounds.better.connect(self.model.choose)
        self._warm.timeout.connect(self.runner.warm)
        self._warm.start()
        self._scroll.timeout.connect(lambda: self.work.ensureWidgetVisible(self._new, 0, 20))
        for asked in (self.predict.go, self.tune.again):  # what appears is to be seen
            asked.clicked.connect(self.comparison.end)
        self.tune.again.clicked.connect(self.predict.start)
        self.export.saved.connect(self.safety.saved)
        for signal in (self.target.changed, self.slices.marked, self.runner.busy_changed):
            signal.connect(self._guide)
        self.model.changed.connect(self._guide)
        self.viewer.layers.events.removed.connect(self._tidy)
        self.viewer.events.theme.connect(self._restyle)
        prefer_our_reader()

    def _retarget(self) -> None:
        """Show the steps once there is an image, with a model that suits it and the child running."""
        self.model.suit(self.target.volume)
        self._show_page()
        if self.target.image is not None:
            self.runner.warm()

    def _tell(self, why: str) -> None:
        """Say on either page why something could not be done; empty takes it back."""
        for label in (self.message, self.start.message):
            say(label, why, "bad")

    def _show_page(self) -> None:
        """Show the steps where there is an image, or a session whose images are missing."""
        working = self.target.image is not None or self.keeper.folder is not None
        self.pages.setCurrentIndex(int(working))

    def _first_time(self) -> None:
        if not seen() and self.pages.currentIndex() == 0 and self.isVisible():
            self.tour.start()

    def _predicted(self, labels: Labels) -> None:
        self.correct.refresh()
        self.corrections.predicted(labels)
        self.comparison.end()
        self.safety.follow_up(labels)
        self.keeper.touch()
        if labels is self.target.labels:  # somebody may work on others by now
            self.viewer.layers.selection.active = labels

    def _guide(self, *_: object) -> None:
        """Keep one blue button: the step that most people want next."""
        again = not self.tune.again.isHidden()
        emphasise(self.tune.go, self.tune.go.isEnabled() and not again)
        emphasise(self.predict.go, not self.tune.go.isEnabled() and not again)

    def _tidy(self, *_: object) -> None:
        self.predict.stop_if_deleted()
        self.runner.keep(self.target.volumes())
        self.rounds.heed()

    def _restyle(self, *_: object) -> None:
        self.setStyleSheet(style_sheet(self.viewer.theme))
        self.correct.restyle(self.viewer.theme)
        kind = get_theme(self.viewer.theme).type
        self.tune.curve.restyle(kind, SOFT[kind])
        for plot in (self.corrections.plot, self.comparison.plot):
            tint(plot.getPlotItem(), SOFT[kind])


def _scrolled(widget: QWidget) -> QScrollArea:
    area = QScrollArea()
    area.setWidgetResizable(True)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    area.setFrameShape(QScrollArea.Shape.NoFrame)
    area.setWidget(widget)
    return area
