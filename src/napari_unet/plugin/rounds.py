"""Rounds without a click: what is marked is learned, and a better model predicts again."""

from pathlib import Path

from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QCheckBox

from napari_unet.jobs import TrainResult
from napari_unet.plugin import layers
from napari_unet.plugin.finetune_section import FineTuneSection
from napari_unet.plugin.predict_section import PredictSection
from napari_unet.plugin.runner import Runner
from napari_unet.plugin.slices import Slices
from napari_unet.plugin.target import Target

Marks = frozenset[tuple[int, frozenset[tuple[int, int]]]]
"""Slices marked done, by the labels layer that they lie in."""


class Rounds(QCheckBox):
    """While it is ticked, training follows the marks, and prediction follows training.

    ::

        marks change -> (job running? wait for its end) -> fine-tune -> higher held-out Dice?
              ^                                                          | yes: use, predict again
              +----------------------------------------------------------+ no: wait for more marks

    Nothing is learned twice from the same marks, so it rests until a slice is marked. Stop unticks it.

    Signals
    -------
    better(Path)
        The model to go on with; its file.
    """

    better = Signal(object)

    def __init__(
        self,
        target: Target,
        slices: Slices,
        runner: Runner,
        predict: PredictSection,
        tune: FineTuneSection,
    ) -> None:
        super().__init__("Keep learning while I mark slices")
        self.setToolTip(
            "Marking a slice starts the next round by itself. A model with a higher held-out Dice takes\n"
            "over at once and predicts again; slices marked done and painted voxels stay as they are."
        )
        self._target, self._runner, self._predict, self._tune = target, runner, predict, tune
        self._learned: Marks = frozenset()
        self._due = False
        # Once whoever waited for the last job has been told of its end, which comes after idleness.
        self._soon = QTimer(self, singleShot=True, interval=0)
        self._soon.timeout.connect(self._go_on)
        for signal in (self.toggled, slices.marked, runner.busy_changed):
            signal.connect(lambda *_: self._soon.start())
        tune.ended.connect(self._ended)
        tune.halt.clicked.connect(lambda: self.setChecked(False))

    def _go_on(self) -> None:
        """Begin what is due: a prediction by a better model first, then a round on new marks."""
        if not self.isChecked() or self._runner.busy:
            return
        if self._due:
            self._due = False
            self._predict.start()
            return
        marks = self._marks()
        if marks != self._learned and self._tune.go.isEnabled():
            self._learned = marks
            self._tune.start()

    def _ended(self, result: TrainResult) -> None:
        if self.isChecked() and takes_over(result):
            self._due = True
            self.better.emit(Path(result["model"]))

    def _marks(self) -> Marks:
        pairs = self._target.labelled()
        return frozenset((id(drawn), frozenset(layers.about(drawn).done)) for _, drawn in pairs)


def takes_over(result: TrainResult) -> bool:
    """Whether a round's model goes on: it was promoted, or measured as better on however few slices."""
    before, after = result["base"], result["validation"]
    if result["promoted"] or before is None:
        return result["promoted"]
    scores = before["mean_dice"], after["mean_dice"]
    return None not in scores and scores[1] > scores[0]  # type: ignore[operator]
