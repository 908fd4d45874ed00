"""Training that goes on while annotations change, until it is told to stop."""

from __future__ import annotations

import copy
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing, suppress

import torch
from torch import nn

from napari_unet.core.classes import LabelClass
from napari_unet.core.progress import Job, Progress
from napari_unet.core.settings import TrainSettings
from napari_unet.engine.cases import Case, prepare, relabelled
from napari_unet.engine.classroom import Classroom
from napari_unet.engine.clock import REPORT_SECONDS, Clock
from napari_unet.engine.device import choose_device
from napari_unet.engine.exemplars import as_seen, chosen, handed_on, joined, rehearsed
from napari_unet.engine.holdout import replayed
from napari_unet.engine.learn import (
    Called,
    Learner,
    Term,
    base_examined,
    batch_of,
    batch_size,
    examined,
    first_network,
    pace,
    planned,
    replayer,
)
from napari_unet.engine.ledger import Ledger
from napari_unet.engine.model import Model
from napari_unet.engine.patches import PatchSampler
from napari_unet.engine.plateau import Plateau
from napari_unet.engine.reclass import NO_MERGE
from napari_unet.engine.trained import Measured, Origin, Trained
from napari_unet.engine.validate import NOTHING_HELD_OUT, Validation

RESTS = "rest"
"""Stage of the report after which nothing is done until something is sent."""

_WARM_UP = 20
"""Steps over which the learning rate rises; it stays there, since nobody knows when the run ends."""

Sent = bool | Sequence[Case] | None
"""True ends the run; cases are all annotations as they are now."""

Stream = Generator[Progress | Ledger | Trained, Sent, None]


def following(
    cases: Sequence[Case],
    settings: TrainSettings | None = None,
    base: Model | None = None,
    classes: tuple[LabelClass, ...] = (),
    replay: Sequence[Case] = (),
    name: str = "model",
    merged: Mapping[int, int] = NO_MERGE,
    called: Callable[[], bool] | None = None,
) -> Stream:
    """Train on and on, and give each model that is better than all before on what is held out.

    ::

        cases ──> learn ──────────── measure ── better ──> a model; learn on
                   ^  ^                 | no better for long
              cases|  └─────────────────┤
                   └──────── rest <─────┘          True, at any time ──> end

    What is sent when the stage is ``"rest"`` is awaited: whoever drives this sends something then,
    or does not go on. The learning rate is constant, and a running average of the weights is what
    is measured and given.

    Parameters
    ----------
    cases : sequence of (Volume, Annotation)
        What is annotated at the beginning. Later ones, sent, may know more or less and come with
        more images, but a class that none of `classes`, the base's and these labels is, is refused.
    settings : TrainSettings, optional
        Choices; its budget has no say.
    base, classes, replay, name, merged
        As `train.training` takes them.
    called : callable, optional
        Whether somebody waits for a report; a step, which may take seconds, is left for it.

    Yields
    ------
    Progress
        As in `train.training`.
    Ledger
        What is held out and what taught, when that has changed.
    Trained
        A model better than the base and all given before, on what is held out by then. Where
        nothing is, one is given only without a base that it could be compared with.

    Raises
    ------
    AnnotationError, GridError, SpecError, DeviceError
        When the data, the spec or the device make it impossible.
    """
    settings = settings or TrainSettings()
    device = torch.device(choose_device(settings.device))
    torch.manual_seed(settings.seed)
    cases, replay = relabelled(cases, merged), relabelled(replay, merged)
    spec, remarks = planned(cases, settings, base, classes, merged, device)
    run = _Run(Origin(spec, settings, base, name, device), merged, called)
    run.hear(cases)
    for remark in remarks:
        run.hear((yield run.clock.report("prepare", message=remark)))
    yield from run.through(replay)


class _Run:
    """One run: what learns, the best model so far, and what was sent and not yet heeded."""

    def __init__(
        self, origin: Origin, merged: Mapping[int, int], called: Callable[[], bool] | None
    ) -> None:
        self.clock = Clock(None)
        spec, settings, base, device = origin.spec, origin.settings, origin.base, origin.device
        self._origin, self._merged = origin, merged
        self._cases: Sequence[Case] = ()
        self._news: Sequence[Case] | None = None
        self._stopped = False
        self._room = Classroom(spec, settings, Ledger.of(origin.history), origin.device)
        network = first_network(spec, base, device, merged)
        self._learner = Learner(network, pace(spec, base, settings), settings.loss, called)
        self._exemplars = () if base is None else handed_on(base.exemplars, base.spec, spec, merged)
        self._plateau = Plateau()
        self._given: nn.Module | None = None  # the model given last
        self._given_marks: Validation | None = None
        self._base_marks: Validation | None = None
        self._measured = False  # whether these marks are of what is held out now

    def hear(self, sent: Sent) -> None:
        """Remember what was sent until there is time for it."""
        if isinstance(sent, bool):
            self._stopped = self._stopped or sent
        elif sent is not None:
            self._news = relabelled(sent, self._merged)

    def through(self, replay: Sequence[Case]) -> Stream:
        """Learn until told to stop."""
        yield from self._admit()
        again = self._replayed(replay)
        self.hear((yield self._room.ledger))  # with what is replayed
        size = batch_size(self._origin.spec, self._origin.settings, self._origin.device)
        losses: list[float] = []
        reported = self.clock.seconds()
        term = Term(reported)
        term.took(reported, reported)  # so that the first exam is not of the first step
        while not self._stopped:
            now = self.clock.seconds()
            if self._news is not None:
                yield from self._admit()
            elif self._room.sampler is None or self._plateau.reached(self._learner.steps):
                self.hear((yield self.clock.report(RESTS, message=self._why())))
            elif not self._measured:
                yield from self._measure_others()
            elif losses and term.due(now):
                yield from self._exam(losses)
                losses, reported = [], self.clock.seconds()
                term.took(now, reported)
            else:
                batch = batch_of(self._room.sampler, again, size)
                rate = min(1.0, (self.clock.steps + 1) / _WARM_UP)
                with suppress(Called):
                    losses.append(self._learner.step(batch, rate))
                self.clock.steps = self._learner.steps
                told = now - reported > REPORT_SECONDS
                self.hear((yield self.clock.report("train", losses if told else ())))
                reported = now if told else reported

    def _replayed(self, replay: Sequence[Case]) -> PatchSampler | None:
        """Return what draws from earlier cases and from the exemplars that the base carries."""
        spec, settings = self._origin.spec, self._origin.settings
        borders = settings.loss == "border"
        split = replayed(replay, self._room.ledger)
        self._room.record = self._room.record.joined(split.record)
        old = [prepare(c, spec, borders=borders) for c in split.train]
        if settings.rehearse:
            carried = rehearsed(self._exemplars, spec)
            old += [prepare(c, as_seen(spec), borders=borders) for c in carried]
        return replayer(old, spec, self._cases, settings.seed, self._origin.device)

    def _admit(self) -> Stream:
        """Take in what was annotated since the last time."""
        self._cases, self._news = self._news or (), None
        if self._room.admit(self._cases):
            self._measured = False
        self._plateau = Plateau(self._learner.steps)
        self.hear((yield self._room.ledger))

    def _measure_others(self) -> Stream:
        """Measure the base, and the model given last, on what is held out by now."""
        room, device, clock = self._room, self._origin.device, self.clock
        self._base_marks = yield from self._interruptible(
            base_examined(
                self._origin.base,
                self._origin.spec,
                room.held,
                room.ledger,
                self._merged,
                device,
                clock,
            )
        )
        if self._given is not None and not self._called:
            self._given_marks = yield from self._interruptible(
                examined(room.examiner, self._given, device, clock)
            )
        self._measured = not self._called

    def _exam(self, losses: Sequence[float]) -> Stream:
        """Measure what was learned; give it if it is better than all before."""
        marks, better = NOTHING_HELD_OUT, False
        if self._room.examiner.empty:
            better = self._plateau.lower(sum(losses) / len(losses))
            give = better and not self._origin.compared
        else:
            found = yield from self._interruptible(
                examined(
                    self._room.examiner, self._learner.averaged, self._origin.device, self.clock
                )
            )
            if found is None:
                return
            marks = found
            rivals = [self._given_marks, self._base_marks if self._origin.compared else None]
            give = better = all(rival is None or marks.score > rival.score for rival in rivals)
        self._plateau.examined(self._learner.steps, better)
        self.hear((yield self.clock.report("train", losses, marks)))
        if give:
            self._given = copy.deepcopy(self._learner.averaged)
            self._given_marks = None if self._room.examiner.empty else marks
            self.hear((yield self._trained(marks)))

    def _trained(self, marks: Validation) -> Trained:
        """Make a model of what was measured last."""
        exemplars = self._exemplars
        if self._origin.settings.exemplars:
            taught = chosen(self._room.taught, self._origin.spec, self._origin.settings.seed)
            exemplars = joined(exemplars, taught)
        return self._origin.trained(
            self._cases,
            self._learner.averaged.state_dict(),
            self.clock,
            Measured(marks, self._base_marks),
            self._room.record,
            exemplars,
            continuous=True,
        )

    @property
    def _called(self) -> bool:
        """Whether something was sent that has not been heeded."""
        return self._stopped or self._news is not None

    def _interruptible(
        self, exam: Job[Validation | None]
    ) -> Generator[Progress, Sent, Validation | None]:
        """Measure; None when something is sent before the end."""
        stop: bool | None = None
        with closing(exam):
            while True:
                try:
                    report = exam.send(stop)
                except StopIteration as end:
                    marks: Validation | None = end.value
                    return marks
                self.hear((yield report))
                stop = self._called

    def _why(self) -> str:
        """Say what the run waits for."""
        if not self._cases:
            return "nothing is marked: mark a slice"
        if self._room.sampler is None:
            return "every annotated slice is kept aside to measure on: mark one more"
        if self._room.examiner.empty and self._origin.compared:
            return "no slice is held out yet, so no model can show that it is better: mark more"
        return "no better for a while: waits for another slice"
