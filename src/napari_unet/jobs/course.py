"""A training that goes on between other jobs, in the child process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from napari_unet.core.annotation import Annotation
from napari_unet.core.progress import Progress
from napari_unet.jobs.lessons import (
    ChangeRequest,
    Followed,
    FollowEvent,
    HeldOut,
    Known,
    Published,
)
from napari_unet.jobs.requests import (
    RecallResult,
    SharedCase,
    TrainRequest,
    TrainResult,
    ValidationResult,
)

if TYPE_CHECKING:
    from napari_unet.core.volume import Volume
    from napari_unet.engine.cases import Case
    from napari_unet.engine.ledger import Ledger
    from napari_unet.engine.model import Model
    from napari_unet.engine.trained import Trained


class Course:
    """Drives `engine.follow` a step at a time, and keeps the annotations that it learns from.

    Parameters
    ----------
    start : TrainRequest
        What it begins with, and where each better model goes.
    base : Model, optional
        Model to start from.
    called : callable
        Whether a request waits; a step of seconds is left for it.

    Attributes
    ----------
    resting : bool
        Whether another step would do nothing until something is heard.
    """

    def __init__(self, start: TrainRequest, base: Model | None, called: Callable[[], bool]) -> None:
        from napari_unet.atomic import require_writable
        from napari_unet.engine.follow import following

        require_writable(start.out.parent)
        self.resting = False
        self._out = start.out
        self._volumes: list[Volume] = []
        self._known: list[Known] = []
        self._join(start.cases)
        self._begun = False
        self._news: Sequence[Case] | None = None
        self._run = following(
            self._cases(),
            start.settings,
            base=base,
            classes=start.classes,
            replay=[case.open() for case in start.replay],
            name=start.out.stem,
            merged=start.merged,
            called=called,
        )

    def hear(self, request: ChangeRequest) -> None:
        """Go on with what is annotated by now."""
        self._join(request.more)
        fresh: dict[int, Known] = {}
        for change in request.changes:
            if change.case not in fresh:  # what the engine has is its own, and stays as it is
                labels, known = self._known[change.case]
                fresh[change.case] = labels.copy(), known.copy()
            change.write(fresh[change.case])
        for place, mended in fresh.items():
            self._known[place] = mended
        self._news, self.resting = self._cases(), False

    def advance(self) -> FollowEvent:
        """Do the next step, and say what came of it.

        Raises
        ------
        UNetError
            When data, model and device do not go together; the course is over then.
        """
        from napari_unet.engine.follow import RESTS
        from napari_unet.engine.ledger import Ledger

        if self._begun:
            news, self._news = self._news, None
            found = self._run.send(news)
        else:  # nothing can be sent before the first step
            self._begun, found = True, next(self._run)
        if isinstance(found, Ledger):
            return HeldOut(self._held(found))
        if isinstance(found, Progress):
            self.resting = found.stage == RESTS and self._news is None
            return Followed(found)
        held = self._held(Ledger.of(found.model.history))
        return Published(saved(found, self._out, held))

    def close(self) -> None:
        """Let go of the network."""
        self._run.close()

    def _join(self, more: Sequence[SharedCase]) -> None:
        for case in more:
            volume, annotation = case.open()
            self._volumes.append(volume)
            # Of our own: the window deletes its snapshot, and changes will come.
            self._known.append((np.array(annotation.labels), np.array(annotation.known)))

    def _cases(self) -> list[Case]:
        return [case for case in self._all() if case is not None]

    def _all(self) -> Iterator[Case | None]:
        """Every image with what is known of it; None where that is nothing."""
        for volume, (labels, known) in zip(self._volumes, self._known, strict=True):
            yield (volume, Annotation(labels, known)) if known.any() else None

    def _held(self, ledger: Ledger) -> tuple[dict[int, tuple[int, ...]], ...]:
        from napari_unet.engine.holdout import held_slices

        return tuple({} if case is None else held_slices(case, ledger) for case in self._all())


def saved(
    trained: Trained, path: Path, held: tuple[dict[int, tuple[int, ...]], ...]
) -> TrainResult:
    """Save the model of a training, and return what the window hears of it.

    Parameters
    ----------
    trained : Trained
        What came of it.
    path : Path
        File of the model.
    held : tuple of dict
        For each case, axis to the slices that measured.
    """
    from napari_unet.engine.model import save_model

    return TrainResult(
        model=save_model(trained.model, path),
        steps=trained.steps,
        seconds=trained.seconds,
        device=trained.device,
        validation=cast(ValidationResult, trained.validation.facts()),
        base=None if trained.base is None else cast(ValidationResult, trained.base.facts()),
        promoted=trained.promoted,
        verdict=trained.verdict.reason,
        difference=trained.verdict.difference,
        held_out=held,
        old_task=cast(RecallResult | None, trained.recall and asdict(trained.recall)),
    )
