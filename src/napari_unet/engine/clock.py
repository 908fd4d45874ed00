"""The budget of a training, and the reports it dates."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

from napari_unet.core.progress import Progress
from napari_unet.core.settings import TrainSettings
from napari_unet.engine.validate import Validation

POINTS = 24
"""Points of each curve that a model's history keeps: enough to see, too few to weigh in a header."""

REPORT_SECONDS = 0.5
"""Time between two reports that say nothing but how far it is."""


class Clock:
    """The budget, in minutes or in steps, what is left of it, and what was reported on the way.

    The budget is for learning: reading the images and measuring the base come before, however long they
    take.

    Parameters
    ----------
    settings : TrainSettings, optional
        With the budget; None for a job that goes on until it is told to stop.
    """

    def __init__(self, settings: TrainSettings | None) -> None:
        self._began = time.perf_counter()
        self._learns_since: float | None = None
        self._settings = settings
        self.steps = 0
        self._losses: list[tuple[int, float]] = []
        self._dices: list[tuple[int, float]] = []

    def seconds(self) -> float:
        """Seconds since the job began."""
        return time.perf_counter() - self._began

    def learns(self) -> None:
        """Count the budget from now on."""
        self._learns_since = time.perf_counter()

    def share(self) -> float:
        """Part of the budget that is spent, 0..1."""
        if self._settings is None:
            return 0.0
        if self._settings.steps is not None:
            return min(1.0, self.steps / self._settings.steps)
        return min(1.0, self._learned() / (60 * self._settings.minutes))

    def over(self) -> bool:
        """Whether the budget is spent."""
        return self.share() >= 1

    def report(
        self,
        stage: str,
        losses: Sequence[float] = (),
        marks: Validation | None = None,
        message: str = "",
    ) -> Progress:
        """Make a report of the moment; the loss is the mean of `losses`."""
        share = self.share()
        if losses:
            self._losses.append((self.steps, sum(losses) / len(losses)))
        if marks is not None and marks.mean_dice is not None:
            self._dices.append((self.steps, marks.mean_dice))
        return Progress(
            stage,
            self.steps,
            0 if self._settings is None else self._settings.steps or 0,
            self.seconds(),
            self._learned() * (1 - share) / share if share > 0 else None,
            message,
            loss=sum(losses) / len(losses) if losses else None,
            dice=None if marks is None else marks.per_class,
            slices=0 if marks is None else marks.slices,
            voxels=0 if marks is None else marks.voxels,
        )

    def _learned(self) -> float:
        """Seconds since learning began."""
        return 0.0 if self._learns_since is None else time.perf_counter() - self._learns_since

    def curve(self) -> dict[str, list[tuple[int, float]]]:
        """Return loss and mean held-out Dice over the steps, few points of each."""
        return {"loss": _thinned(self._losses), "dice": _thinned(self._dices)}


def _thinned(points: list[tuple[int, float]]) -> list[tuple[int, float]]:
    """Keep the first, the last, and others evenly in between."""
    points = [point for point in points if math.isfinite(point[1])]
    last = len(points) - 1
    chosen = {round(i * last / (POINTS - 1)) for i in range(POINTS)} if points else set()
    return [(points[i][0], round(points[i][1], 4)) for i in sorted(chosen)]
