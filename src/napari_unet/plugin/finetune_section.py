"""Step 4: teach the model what was just corrected."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, cast

from napari.layers import Image, Labels
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QProgressBar, QSizePolicy

from napari_unet.core.bundled import user_models_folder
from napari_unet.core.classes import LabelClass
from napari_unet.core.progress import Progress
from napari_unet.core.settings import TrainSettings
from napari_unet.errors import UNetError
from napari_unet.jobs import (
    Finished,
    Point,
    SharedCase,
    TrainRequest,
    TrainResult,
    ValidationResult,
)
from napari_unet.plugin import layers
from napari_unet.plugin.about import About
from napari_unet.plugin.annotation import annotation_of
from napari_unet.plugin.contest import Contest
from napari_unet.plugin.curve import Curve
from napari_unet.plugin.forms import SettingsForm
from napari_unet.plugin.known_counts import painted_beside
from napari_unet.plugin.model_section import ModelSection
from napari_unet.plugin.outcome import of_each, outcome, recalled, standing
from napari_unet.plugin.predict_section import time_left
from napari_unet.plugin.runner import Runner
from napari_unet.plugin.section import Section, button, row, say, sentence
from napari_unet.plugin.slices import Slices
from napari_unet.plugin.target import Target


class Lesson(NamedTuple):
    """What there is to learn at a moment.

    Parameters
    ----------
    request : callable
        Shares the pixels, which takes a while, and returns the request.
    drawn : list of Labels
        The layers that teach, in the order of the request's cases.
    base, out : Path
        Model to start from, if any, and the file of the new one.
    cases : list of SharedCase
        What `request` has shared.
    """

    request: Callable[[], TrainRequest]
    drawn: list[Labels]
    base: Path | None
    out: Path
    cases: list[SharedCase]


class FineTuneSection(Section):
    """Fine-tune, a live curve, and what came of it: the old model and the new one side by side.

    Signals
    -------
    improved(Path)
        A model is to be used from now on; this is its file.
    kept(Path)
        A new model was saved, but nothing shows that it is better.
    look(QWidget)
        Something new is to be seen there.
    ended(TrainResult)
        A round has come to its end.
    """

    improved = Signal(object)
    kept = Signal(object)
    look = Signal(object)
    ended = Signal(object)

    def __init__(self, target: Target, model: ModelSection, slices: Slices, runner: Runner) -> None:
        super().__init__(4, "Fine-tune")
        self._target, self._model, self._slices, self._runner = target, model, slices, runner
        self._cases: list[SharedCase] = []
        self._taught: list[Labels] = []
        self._base: Path | None = None
        self._flat = False
        self._classes: tuple[LabelClass, ...] = ()
        self.verdict = ""
        self.running = False
        self.go = button("Fine-tune", "", primary=True)
        self.halt = button("Stop", "Stop now and keep the best model so far")
        self.form = SettingsForm(TrainSettings, front=("minutes",), hidden=("instances",))
        self.bar = QProgressBar()
        self.curve = Curve()
        self.marks = sentence()
        self.contest = Contest()
        self.status = sentence()
        self.again = button(
            "Predict again", "Predict the whole image with the new model", primary=True
        )
        self._lay_out()
        self._connect()
        self.refresh()

    def refresh(self, *_: object) -> None:
        """Enable what makes sense now, and say on how much the model would learn."""
        verb = "Train" if self._model.path is None else "Fine-tune"
        lesson = teaching(labels for _, labels in self._pairs())
        short = lesson.replace(" painted", "") if " and " in lesson else lesson
        self.go.setText(f"{verb} on {short}" if lesson else verb)
        reason = self._missing(lesson)
        self.go.setEnabled(not reason)
        self.go.setToolTip(reason or f"Learn from {lesson}, and from nothing else")
        self.note.setText("" if self.running or not reason else reason)
        self.halt.setVisible(self.running)
        self.bar.setVisible(self.running and not self._runner.following)
        self.form.setVisible(not self.running)
        if self._runner.busy or self._target.image is None:
            self.again.hide()

    def start(self) -> None:
        """Learn from all that is marked done or painted, in every image that is open."""
        lesson = self.lesson()
        if lesson is None:
            return
        self.begin(lesson)
        self.bar.setRange(0, 0)
        self._runner.start(lesson.request, self)

    def lesson(self) -> Lesson | None:
        """Gather what there is to learn now; None, and the reason said, where that is impossible."""
        labels = self._target.labels or self._target.labelled()[0][1]
        about = layers.about(labels)
        try:
            settings = replace(self.form.value(), instances=about.instances)
            pairs = self._pairs()
            learned = [(layers.volume_of(i), annotation_of(drawn)) for i, drawn in pairs]
            out = self._new_path()
        except UNetError as error:
            self.on_failed(str(error))
            return None
        base, classes = self._model.path, () if about.instances else about.classes
        merged, drawn = self._merged(about), [drawn for _, drawn in pairs]
        cases: list[SharedCase] = []

        def request() -> TrainRequest:
            cases.extend(SharedCase.of(self._runner.share(v), known) for v, known in learned)
            return TrainRequest(
                tuple(cases), out, settings, base=base, classes=classes, merged=merged
            )

        return Lesson(request, drawn, base, out, cases)

    def begin(self, lesson: Lesson) -> None:
        """Show that training has begun, with an empty curve."""
        self._base, self._cases, self._taught = lesson.base, lesson.cases, lesson.drawn
        self._flat = lesson.drawn[0].ndim == 2
        self._classes = layers.about(lesson.drawn[0]).classes
        self.contest.hide()
        self.verdict = ""
        self.running = True
        self.curve.clear_curves(self._classes)
        self.curve.show()
        say(self.marks, "")
        say(self.status, "Reading what is known…")
        self.refresh()
        self.look.emit(self.curve)

    def on_progress(self, reports: list[Progress]) -> None:
        """Draw the curve and the time left."""
        self.draw(reports)
        last = reports[-1]
        if last.seconds_left is not None:
            self.bar.setRange(0, 1000)
            share = last.seconds / max(last.seconds + last.seconds_left, 1e-6)
            self.bar.setValue(round(1000 * share))
            self.bar.setFormat(f"{time_left(last.seconds_left)} left")
        if last.stage == "train":
            say(self.status, f"Step {last.done:,}. You can go on painting.")
        else:
            say(self.status, last.message[:1].upper() + last.message[1:])

    def draw(self, reports: list[Progress]) -> None:
        """Go on with the curve, and say the Dice of each class with its ground."""
        self.curve.add(reports)
        measured = [r for r in reports if r.dice]
        if measured:
            last = measured[-1]
            self._mark(last.dice or {}, last.slices)

    def on_finished(self, finished: Finished) -> None:
        """Say what came of it, with its ground, and offer the next step."""
        result = cast(TrainResult, finished.payload)
        self.end()
        self.verdict = f"{outcome(result, flat=self._flat)} {recalled(result)}".strip()
        say(self.status, self.verdict, "good" if result["promoted"] else "plain")
        self._measured(result["validation"])
        self.hold_out(result["held_out"])
        self._taught = []
        if self._base is not None:
            self.contest.show_models(self._base, result)
        self.again.setVisible(result["promoted"])
        (self.improved if result["promoted"] else self.kept).emit(Path(result["model"]))
        self.look.emit(self.again if result["promoted"] else self.contest)
        self.ended.emit(result)

    def on_failed(self, message: str) -> None:
        """Say why there is no new model; the old one stays."""
        self.end()
        self.curve.setVisible(bool(self.curve.losses))
        say(self.status, message, "bad")

    def hold_out(self, held_out: Iterable[dict[int, tuple[int, ...]]]) -> None:
        """Show which slices of the labels that teach are kept aside."""
        for drawn, held in zip(self._taught, held_out, strict=True):
            self._slices.hold_out(drawn, [(axis, i) for axis, every in held.items() for i in every])

    def show_published(self, result: TrainResult) -> None:
        """Show a model that has taken over while training goes on, beside the one it came from."""
        self.verdict = standing(result)
        self._measured(result["validation"])
        if self._base is not None:
            self.contest.show_models(self._base, result)
            self.contest.mark(Path(result["model"]))

    def end(self) -> None:
        """Show that training has ended, and delete what was shared for it."""
        self.running = False
        self.release()
        self.refresh()

    def recall(
        self,
        losses: Iterable[Point],
        dices: Iterable[Point],
        verdict: str = "",
        rivals: list[tuple[Path, str]] | None = None,
    ) -> None:
        """Show the last training of a session and the choice it left, or none where there was none."""
        self.curve.restore(list(losses), list(dices))
        self.curve.setVisible(bool(self.curve.losses))
        self.contest.hide()
        if rivals:
            self.contest.show_rivals(rivals)
            self.contest.mark(self._model.path)
        self.again.hide()
        say(self.marks, "")
        self.verdict = verdict
        say(self.status, verdict)

    def release(self) -> None:
        """Delete what was shared with the child."""
        for case in self._cases:
            case.remove()
        self._cases = []

    def _lay_out(self) -> None:
        # Its text grows with what was painted, and must not widen the dock.
        self.go.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.body.addWidget(self.go)
        self.body.addLayout(row(self.again, self.halt))
        for widget in (self.bar, self.curve, self.marks, self.status, self.contest, self.form):
            self.body.addWidget(widget)
        self.curve.hide()
        self.again.hide()

    def _connect(self) -> None:
        self.go.clicked.connect(self.start)
        self.halt.clicked.connect(self._runner.stop)
        self._target.changed.connect(self.refresh)
        self._model.changed.connect(self.refresh)
        self._model.changed.connect(lambda: self.contest.mark(self._model.path))
        self.contest.chosen.connect(self._overrule)
        self._slices.marked.connect(self.refresh)
        self._runner.busy_changed.connect(self.refresh)

    def _measured(self, marks: ValidationResult) -> None:
        self._mark(marks["per_class"], marks["slices"])

    def _mark(self, dice: Mapping[int, float], slices: int) -> None:
        what = "image" if self._flat else "slice"
        say(self.marks, of_each(dice, self._classes, slices, what))

    def _merged(self, about: About) -> dict[int, int]:
        """Return the merges that the base still has before it."""
        header = self._model.header
        known = set() if header is None else {c.id for c in header.spec.classes}
        there = {c.id for c in about.classes}
        going = [(a, b) for a, b in about.merged if b]  # the others were removed
        return {a: b for a, b in going if a in known - there and b in known & there}

    def _overrule(self, path: Path) -> None:
        self.again.setVisible(not self._runner.busy and self._target.image is not None)
        self.improved.emit(path)

    def _pairs(self) -> list[tuple[Image, Labels]]:
        """Return images and labels to learn from: all of them classes, or all of them objects."""
        pairs = self._target.labelled()
        chosen = self._target.labels or (pairs[0][1] if pairs else None)
        if chosen is None:
            return []
        objects = layers.about(chosen).instances
        return [(i, drawn) for i, drawn in pairs if layers.about(drawn).instances == objects]

    def _missing(self, lesson: str) -> str:
        if self._target.image is None:
            return "Open an image first."
        if self._runner.following:
            return "It learns already, from every slice that you mark."
        if self._runner.busy:
            return "A job is running."
        return "" if lesson else "Paint or mark a slice first."

    def _new_path(self) -> Path:
        """Return a free name among the user's models, such as ``nuclei-3d+ovules``."""
        volume = self._target.volume
        image = re.sub(r"[^\w-]+", "_", layers.short_name(volume)) if volume else "image"
        base = self._model.path
        stem = image if base is None else f"{base.stem.split('+')[0]}+{image}"
        folder = user_models_folder()
        names = (stem, *(f"{stem}-{n}" for n in range(2, 10_000)))
        return next(p for n in names if not (p := folder / f"{n}.safetensors").exists())


def teaching(drawn: Iterable[Labels]) -> str:
    """Say what of some labels will teach: ``"3 slices and 1,204 painted voxels"``, or nothing.

    Slices held out by the last training don't count, nor do their painted voxels.
    """
    slices = voxels = 0
    for labels in drawn:
        about = layers.about(labels)
        slices += len(about.done - about.held_out)
        voxels += sum(painted_beside(labels, about.done | about.held_out).values())
    parts = [
        f"{number:,} {what}{'s' * (number != 1)}"
        for number, what in ((slices, "slice"), (voxels, "painted voxel"))
        if number
    ]
    return " and ".join(parts)
