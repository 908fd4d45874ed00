"""The budget of a training, and the reports it dates."""

from __future__ import annotations

import time
from collections.abc import Sequence

from napari_unet.core.progress import Progress
from napari_unet.core.settings import TrainSettings
from napari_unet.engine.validate import Validation


class Clock:
    """The budget, in minutes or in steps, and what is left of it."""

    def __init__(self, settings: TrainSettings) -> None:
        self._began = time.perf_counter()
        self._settings = settings
        self.steps = 0

    def seconds(self) -> float:
        """Seconds since the job began."""
        return time.perf_counter() - self._began

    def share(self) -> float:
        """Part of the budget that is spent, 0..1."""
        if self._settings.steps is not None:
            return min(1.0, self.steps / self._settings.steps)
        return min(1.0, self.seconds() / (60 * self._settings.minutes))

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
        seconds = self.seconds()
        return Progress(
            stage,
            self.steps,
            self._settings.steps or 0,
            seconds,
            seconds * (1 - share) / share if share > 0 else None,
            message,
            loss=sum(losses) / len(losses) if losses else None,
            dice=None if marks is None else marks.per_class,
            voxels=0 if marks is None else marks.voxels,
        )
