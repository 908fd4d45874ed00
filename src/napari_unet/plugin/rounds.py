"""Learning without a click: what is marked is learned, and a better model predicts again."""

from pathlib import Path

from napari.viewer import Viewer
from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QCheckBox

from napari_unet.core.progress import Progress
from napari_unet.jobs import (
    Change,
    ChangeRequest,
    FollowRequest,
    HeldOut,
    Left,
    Published,
)
from napari_unet.plugin import layers
from napari_unet.plugin.about import Slice
from napari_unet.plugin.background import in_thread
from napari_unet.plugin.feed import Feed
from napari_unet.plugin.finetune_section import FineTuneSection, Lesson
from napari_unet.plugin.glance import Glance
from napari_unet.plugin.model_section import ModelSection
from napari_unet.plugin.predict_section import PredictSection
from napari_unet.plugin.runner import Runner
from napari_unet.plugin.section import say
from napari_unet.plugin.slices import Slices
from napari_unet.plugin.target import Target

RESTS = "rest"
"""Stage in which the training waits for annotations."""


class Rounds(QCheckBox):
    """While it is ticked, the child trains, hears of every mark, and gives better models.

    ::

        off ── ticked, something known ──> begins ── what holds out is known ──> learns <──> rests
         ^                                                                        │  better: use it,
         └───────────── unticked, Stop, an error <────────────────────────────────┘  predict what is seen

    Another model chosen by hand, other classes or other layers begin it anew from the model in use.

    Signals
    -------
    better(Path)
        The model to go on with; its file.
    """

    better = Signal(object)

    def __init__(
        self,
        viewer: Viewer,
        target: Target,
        slices: Slices,
        runner: Runner,
        model: ModelSection,
        predict: PredictSection,
        tune: FineTuneSection,
    ) -> None:
        super().__init__("Keep learning while I mark slices")
        self.setToolTip(
            "The network goes on learning, and hears of each slice that you mark or mend. A model with\n"
            "a higher held-out Dice takes over at once and predicts again what you see; slices marked\n"
            "done and painted voxels stay as they are."
        )
        self._viewer, self._target = viewer, target
        self._slices, self._runner = slices, runner
        self._model, self._predict, self._tune = model, predict, tune
        self.glance = Glance(viewer, target, slices, runner)
        self._lesson: Lesson | None = None
        self._feed: Feed | None = None
        self._meant: object = None
        self._mended = self._sending = self._resting = False
        self._standing = ""
        self._stale, self._seen = False, frozenset[Slice]()
        # Once whoever waited for the last job has been told of its end, which comes after idleness.
        self._soon = QTimer(self, singleShot=True, interval=0)
        self._soon.timeout.connect(self._go_on)
        for signal in (
            self.toggled,
            slices.changed,
            runner.busy_changed,
            model.changed,
            target.changed,
        ):
            signal.connect(lambda *_: self._soon.start())
        slices.marked.connect(self.heed)
        tune.halt.clicked.connect(lambda: self.setChecked(False))

    def heed(self, *_: object) -> None:
        """Look soon for what has been marked, painted or changed."""
        self._mended = True
        self._soon.start()

    def on_followed(self, reports: list[Progress]) -> None:
        """Draw the curve, and say how it fares."""
        self._tune.draw(reports)
        last = reports[-1]
        self._resting = last.stage == RESTS
        if self._resting:
            self._say(f"Rests: {last.message}.")
            self._soon.start()
        elif last.stage == "train":
            self._say(f"Learning, step {last.done:,}.")
        elif last.message:
            self._say(f"{last.message[:1].upper()}{last.message[1:]}.")

    def on_held_out(self, held: HeldOut) -> None:
        """Show on the ruler what measures."""
        self._tune.release()  # the child has its own by now
        self._tune.hold_out(held.slices)

    def on_published(self, published: Published) -> None:
        """Use the better model, and look with it at what is in front."""
        result = published.result
        if not self.isChecked() or self._lesson is None:
            return
        self._stale, self._seen = True, frozenset()
        self._tune.show_published(result)
        self._standing = self._tune.verdict
        self._say("In use now; learning goes on.")
        self.better.emit(Path(result["model"]))
        self._meant = self._meaning()
        self._soon.start()

    def on_left(self, left: Left) -> None:
        """Show that it has ended; begin anew if that is what it ended for."""
        self._lesson = self._feed = None
        self._tune.end()
        if left.message:
            self.setChecked(False)
            say(self._tune.status, left.message, "bad")
        else:
            say(self._tune.status, self._standing)
        self._soon.start()

    def release(self) -> None:
        """Let go of what was shared and shown."""
        self._soon.stop()
        self.glance.release()

    def _go_on(self) -> None:
        """Do what is due: begin, end, tell the child of changes, or look at what is in front."""
        if not self._runner.following:
            if self.isChecked() and self._tune.go.isEnabled():
                self._begin()
        elif not self.isChecked() or self._meant != self._meaning():
            self._runner.leave()
        else:
            self._tell()
            self._look()
            if self._resting:
                self._predict_the_rest()

    def _begin(self) -> None:
        lesson = self._tune.lesson()
        if lesson is None:
            self.setChecked(False)
            return
        self._lesson, self._feed = lesson, Feed(lesson.drawn)
        self._standing, self._stale, self._resting = "", False, False
        self._meant = self._meaning()
        self._runner.follow(lambda: FollowRequest(lesson.request()), self)
        self._tune.begin(lesson)

    def _meaning(self) -> object:
        """Return what a training can't hear of while it runs: model, layers, classes, merges."""
        drawn = [labels for _, labels in self._target.labelled()]
        taught = [] if self._lesson is None else self._lesson.drawn
        taught = [labels for labels in taught if labels in self._viewer.layers]
        known = {id(labels): layers.about(labels) for labels in [*taught, *drawn]}
        told = {i: (a.instances, a.merged, {c.id for c in a.classes}) for i, a in known.items()}
        return self._model.path, told

    def _tell(self) -> None:
        """Send what has changed, in a thread; what changes meanwhile is sent after it."""
        if self._sending or not self._mended or self._feed is None:
            return
        self._mended = False
        parts = self._feed.news(self._slices.here)
        if parts:
            self._sending = True
            in_thread(lambda: tuple(p.share() for p in parts), self._send, self._give_up)

    def _send(self, changes: tuple[Change, ...]) -> None:
        self._sending = False
        self._runner.change(ChangeRequest(changes))
        self._soon.start()

    def _give_up(self, why: str) -> None:
        """End the training: what has changed can't be sent."""
        self._sending = False
        self._runner.leave()
        self.setChecked(False)
        say(self._tune.status, why, "bad")

    def _look(self) -> None:
        """Predict the slice in front and its neighbours, if the model in use has not seen them yet."""
        path, here = self._model.path, self._slices.here
        if self._stale and path is not None and not self._model.objects and here not in self._seen:
            self._seen |= self.glance.start(path)

    def _predict_the_rest(self) -> None:
        """Predict the whole image, now that the model stays as it is."""
        if self._stale and not self._runner.busy and self._predict.go.isEnabled():
            self._stale = False
            self._predict.start()

    def _say(self, how: str) -> None:
        say(
            self._tune.status,
            f"{self._standing} {how}".strip(),
            "good" if self._standing else "plain",
        )
