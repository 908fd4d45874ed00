"""What teaches and what measures while annotations change."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from napari_unet.core.settings import TrainSettings
from napari_unet.core.spec import ModelSpec
from napari_unet.engine.cases import Case, Lesson, prepare
from napari_unet.engine.holdout import SHARE_TUNE, hold_out
from napari_unet.engine.learn import sampler
from napari_unet.engine.ledger import Ledger
from napari_unet.engine.patches import PatchSampler
from napari_unet.engine.regions import stack, touched
from napari_unet.engine.validate import Examiner


class Classroom:
    """Splits annotations into lessons and held-out slices, again whenever they have changed.

    What is held out stays so: the record of each split goes before the next one, as the history of
    a base does. Of newly annotated slices one in six joins, also without a base, since a run that
    goes on needs something to tell its states apart by.

    Parameters
    ----------
    spec : ModelSpec
        Of the model that learns; annotations may not bring other classes.
    settings : TrainSettings
        Share to hold out, and the seed.
    past : Ledger
        Of the base.
    device : torch.device
        Where it learns.

    Attributes
    ----------
    held : list of (Volume, Annotation)
        What measures now.
    examiner : Examiner
        Measures on that.
    record : Ledger
        What this run has held out and taught.
    """

    def __init__(
        self, spec: ModelSpec, settings: TrainSettings, past: Ledger, device: torch.device
    ) -> None:
        self._spec, self._settings, self._past, self._device = spec, settings, past, device
        self._taught: list[tuple[Case, Lesson]] = []
        self._sampler: PatchSampler | None = None
        self.held: list[Case] = []
        self.examiner = Examiner((), spec)
        self.record = Ledger()

    @property
    def ledger(self) -> Ledger:
        """What the base and this run have held out and taught."""
        return self._past.joined(self.record)

    @property
    def taught(self) -> list[Case]:
        """The cases that teach, without what is held out."""
        return [case for case, _ in self._taught]

    @property
    def lessons(self) -> list[Lesson]:
        """What teaches, a lesson an image."""
        return [lesson for _, lesson in self._taught]

    @property
    def sampler(self) -> PatchSampler | None:
        """What draws patches; None while nothing may teach."""
        return self._sampler if self._taught else None

    def admit(self, cases: Sequence[Case]) -> bool:
        """Take all annotations as they are now; return whether other voxels or labels measure now.

        Only what has changed is prepared again, and no image twice.

        Raises
        ------
        AnnotationError, GridError, SpecError
            When a case does not fit the model.
        """
        settings, spec = self._settings, self._spec
        share = SHARE_TUNE if settings.holdout is None else settings.holdout
        objects = spec.target == "instances"
        split = hold_out(cases, share, settings.seed, self.ledger, instances=objects)
        self.record = self.record.joined(split.record)
        lessons = map(self._lesson, split.train)
        self._taught = [(case, lesson) for case, lesson in lessons if not lesson.empty]
        if self._sampler is not None:
            self._sampler.show(self.lessons)
        elif self._taught:
            self._sampler = sampler(self.lessons, spec, split.train, settings.seed, self._device)
        if len(split.held) == len(self.held) and all(map(_same, split.held, self.held)):
            return False
        self.held, self.examiner = split.held, Examiner(split.held, spec, self.ledger)
        return True

    def _lesson(self, case: Case) -> tuple[Case, Lesson]:
        mates = [known for known in self._taught if known[0][0] is case[0]]
        for known in mates:
            if _same(known[0], case):
                return known
        before = mates[0][1] if mates else None
        borders = self._settings.loss == "border"
        return case, prepare(case, self._spec, before, borders=borders)


def _same(one: Case, other: Case) -> bool:
    """Whether two cases say the same of the same image; looks only where they know anything."""
    (volume, mine), (image, theirs) = one, other
    rows = touched(mine.known, 0)
    if volume is not image or not np.array_equal(rows, touched(theirs.known, 0)):
        return False
    known, its = (stack(a.known)[rows] for a in (mine, theirs))
    if not np.array_equal(known, its):
        return False
    labels, drawn = (stack(a.labels)[rows] for a in (mine, theirs))
    return mine.labels is theirs.labels or np.array_equal(labels[known], drawn[known])
