"""Where to go next: the slice that would teach the model most."""

from pathlib import Path
from typing import NamedTuple, cast

from napari.layers import Labels
from napari.viewer import Viewer
from qtpy.QtCore import QObject, Signal

from napari_unet.core.model_header import ModelHeader
from napari_unet.core.progress import Progress
from napari_unet.core.suggestion import Survey
from napari_unet.core.volume import Volume
from napari_unet.engine.rank import suggestions
from napari_unet.jobs import Finished, JobRequest, SharedWatch, SurveyRequest, SurveyResult
from napari_unet.plugin import layers
from napari_unet.plugin.model_section import ModelSection
from napari_unet.plugin.runner import Runner
from napari_unet.plugin.slice_states import State
from napari_unet.plugin.slices import NEXT_KEY, Slices
from napari_unet.plugin.target import Target

SHOWN = 3
"""Slices suggested at a time."""


class Known(NamedTuple):
    """A survey, and what it is of.

    Parameters
    ----------
    labels : Labels
        Whose slices they are.
    model : Path or None
        Who was asked; None for nobody.
    survey : Survey
        What came of it.
    complete : bool
        False when the network was stopped before it had seen all.
    """

    labels: Labels
    model: Path | None
    survey: Survey
    complete: bool = True


class NextSlice(QObject):
    """Suggests slices, and goes to them one after the other.

    ::

        go ── a survey by this model is there, or what it
           │  suggested has come back with a session ────────────────> the best slice left
           ├─ there is a model, and the network is free ─> looking ──> the best slice left
           └─ else: an older survey, or none ────────────────────────> the same, saying so

    A prediction brings a survey along, so looking is for images that the model has not labelled.
    Marking a slice ranks anew, which takes no network. Slices gone to and not marked are passed
    over until all others were offered.

    Signals
    -------
    said(str)
        One sentence about the slice in front, or about what is going on; empty for nothing.
    looking(bool)
        The network has begun to look, or has ended.
    """

    said = Signal(str)
    looking = Signal(bool)

    def __init__(
        self, viewer: Viewer, target: Target, slices: Slices, model: ModelSection, runner: Runner
    ) -> None:
        super().__init__(target)
        self._viewer, self._target, self._slices = viewer, target, slices
        self._model, self._runner = model, runner
        self._known: Known | None = None
        self._asked: tuple[Labels, Path] | None = None
        self._passed: set[int] = set()
        self._note = ""
        viewer.bind_key(NEXT_KEY, lambda _: self.go(), overwrite=True)
        slices.changed.connect(self._tell)
        slices.marked.connect(self._marked)
        target.changed.connect(self._retarget)

    def go(self) -> None:
        """Go to the best slice that is left; while the network looks, to the best it has seen."""
        labels, axis = self._target.labels, self._slices.axis
        if labels is None or axis is None or self._slices.count < 2:
            return
        if self._asked is not None:
            self._runner.stop()
            return
        self._note = ""
        fits = self._fits()
        if (fits and self._by_model_in_use()) or self._came_back():
            self._advance()
        elif self._model.header is not None and not self._runner.busy:
            self._look(labels, axis)
        else:
            self._make_do(labels, axis, fits=fits)

    def take(self, labels: Labels, model: Path, survey: Survey) -> None:
        """Hear what a model says about the slices under some labels."""
        if labels.ndim == 3 and labels is self._target.labels:
            self._know(Known(labels, model, survey))

    def on_progress(self, reports: list[Progress]) -> None:
        """Say how far the network has looked."""
        last = reports[-1]
        share = f" {100 * last.done // last.total} %" if last.total else ""
        self._note = f"Looking where the model is unsure…{share}"
        self._tell()

    def on_finished(self, finished: Finished) -> None:
        """Go to the best slice, unless the user works on something else by now."""
        result = cast(SurveyResult, finished.payload)
        assert self._asked is not None  # noqa: S101
        known = Known(*self._asked, result["survey"], result["complete"])
        self._ended("")
        if known.labels is not self._target.labels:
            return
        if not any(result["survey"].computed):
            self._note = "Stopped before a slice was seen whole."
            self._tell()
            return
        self._know(known)
        if self._fits():
            self._advance()

    def on_failed(self, message: str) -> None:
        """Say why the network could not look."""
        self._ended(message)

    def release(self) -> None:
        """Give the key back."""
        self._viewer.bind_key(NEXT_KEY, None)

    def _look(self, labels: Labels, axis: int) -> None:
        """Ask the child how unsure the model is of each slice that is not done."""
        volume, path = cast(Volume, self._target.volume), cast(Path, self._model.path)
        done = tuple(sorted(self._done(axis)))
        name = cast(ModelHeader, self._model.header).name
        watch = SharedWatch(axis, before=layers.prediction_before(labels, name))
        self._asked = (labels, path)
        self._note = "Looking where the model is unsure…"
        self.looking.emit(True)
        self._tell()

        def prepare() -> JobRequest:
            return SurveyRequest(self._runner.share(volume), path, watch, done=done)

        self._runner.start(prepare, self)

    def _make_do(self, labels: Labels, axis: int, *, fits: bool) -> None:
        """Go on without the network."""
        if not fits:
            grid = layers.about(labels).grid
            blank = Survey.unasked(axis, labels.data.shape[axis], grid.spacing[axis], grid.unit)
            self._know(Known(labels, None, blank))
        if self._model.header is not None:
            which = (
                "the last model's doubts" if fits and self._asked_a_model() else "distance alone"
            )
            self._note = f"The network is busy, so this goes by {which}."
        self._advance()

    def _asked_a_model(self) -> bool:
        return self._known is not None and self._known.model is not None

    def _advance(self) -> None:
        """Go to the best slice that was not passed over; begin again when there is none."""
        here = self._slices.here
        if here is not None and here in self._slices.suggested():
            self._passed.add(here[1])
        for prepare in (None, self._rank, self._forgive):
            if prepare is not None:
                prepare()
            left = self._left()
            if left:
                self._passed.add(left[0])
                self._slices.go(left[0])
                return
        if self._known is not None and not self._known.complete:
            self._known = None
            self._note = f"Not all was looked at: press {NEXT_KEY} again to look at the rest."
        else:
            done = bool((self._slices.states() >= State.DONE).all())
            self._note = "Every slice is done." if done else "No other slice is left."
        self._tell()

    def _left(self) -> list[int]:
        here, cut = self._slices.here, self._slices.axis
        return [
            i
            for axis, i in self._slices.suggested()
            if axis == cut and (axis, i) != here and i not in self._passed
        ]

    def _forgive(self) -> None:
        """Offer again what was passed over."""
        self._passed.clear()
        self._rank()

    def _marked(self) -> None:
        if self._asked is None:
            self._note = ""
        self._rank()

    def _know(self, known: Known) -> None:
        self._known = known
        self._passed.clear()
        self._rank()

    def _rank(self) -> None:
        """Choose anew among what is not done."""
        if self._known is None or self._known.labels is not self._target.labels:
            return
        survey = self._known.survey
        chosen = suggestions(survey, self._done(survey.axis), SHOWN, 0, self._passed)
        header = self._model.header
        by = header.sha256 if header is not None and self._by_model_in_use() else ""
        self._slices.suggest({(survey.axis, s.index): s.reason for s in chosen}, by)

    def _by_model_in_use(self) -> bool:
        return self._known is not None and self._known.model == self._model.path

    def _came_back(self) -> bool:
        """Whether some of what this model suggested before the session was closed is left."""
        header = self._model.header
        by = "" if header is None else header.sha256
        return self._known is None and by == self._slices.suggested_by != "" and bool(self._left())

    def _done(self, axis: int) -> set[int]:
        """Return the slices along an axis that need no annotation."""
        done = self._slices.done() | self._slices.held_out()
        return {index for along, index in done if along == axis}

    def _fits(self) -> bool:
        """Whether what is known is about the labels and the axis in front."""
        known = self._known
        return (
            known is not None
            and known.labels is self._target.labels
            and known.survey.axis == self._slices.axis
        )

    def _retarget(self) -> None:
        self._known, self._note = None, ""
        self._passed.clear()
        self._tell()

    def _ended(self, note: str) -> None:
        self._asked, self._note = None, note
        self.looking.emit(False)
        self._tell()

    def _tell(self) -> None:
        here = self._slices.here
        why = self._slices.suggested().get(here, "") if here is not None else ""
        reason = f"Suggested: {why}." if why else ""
        self.said.emit(" ".join(part for part in (self._note, reason) if part))
