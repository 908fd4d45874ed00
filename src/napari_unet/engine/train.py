"""Training as a job: from scratch or from a base, on known voxels, against a clock."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import NamedTuple

import torch
from torch import Tensor

from napari_unet.core.channels import as_read
from napari_unet.core.classes import LabelClass
from napari_unet.core.exemplar import Exemplar
from napari_unet.core.progress import Job
from napari_unet.core.settings import TrainSettings
from napari_unet.engine.bootstrap import FEWEST
from napari_unet.engine.cases import Case, prepare, relabelled
from napari_unet.engine.clock import POINTS, REPORT_SECONDS, Clock
from napari_unet.engine.device import choose_device
from napari_unet.engine.exemplars import (
    Recall,
    as_seen,
    chosen,
    handed_on,
    joined,
    kept_aside,
    rehearsed,
)
from napari_unet.engine.holdout import SHARE_SCRATCH, SHARE_TUNE, Split, hold_out, replayed
from napari_unet.engine.learn import (
    Learner,
    Term,
    base_examined,
    base_recalled,
    batch_of,
    batch_size,
    counted_as,
    exam_steps,
    examined,
    first_network,
    pace,
    planned,
    recalled,
    replayer,
    sampler,
)
from napari_unet.engine.ledger import Ledger
from napari_unet.engine.model import Model
from napari_unet.engine.patches import Batch, PatchSampler
from napari_unet.engine.reclass import NO_MERGE
from napari_unet.engine.trained import Measured, Origin, Trained
from napari_unet.engine.validate import NOTHING_HELD_OUT, Examiner, Validation
from napari_unet.errors import AnnotationError, StoppedError

_WARM_UP = 0.04
"""Share of the budget over which the learning rate rises."""
_SETTLED = 0.5
"""Share of the budget before which the latest model counts as the best: while the learning rate is
high, differences between measurements are mostly luck. On fewer than three slices they always are."""


def training(
    cases: Sequence[Case],
    settings: TrainSettings | None = None,
    base: Model | None = None,
    classes: tuple[LabelClass, ...] = (),
    replay: Sequence[Case] = (),
    name: str = "model",
    merged: Mapping[int, int] = NO_MERGE,
) -> Job[Trained]:
    """Train a network on what people have labelled.

    Parameters
    ----------
    cases : sequence of (Volume, Annotation)
        What to learn from; part of it is held out to measure on.
    settings : TrainSettings, optional
        Budget and choices.
    base : Model, optional
        Model to start from. Its architecture is kept, and what it knows of classes that stay.
    classes : tuple of LabelClass
        Names and colours, background first; empty to take the base's or to number them.
    replay : sequence of (Volume, Annotation)
        Cases of the base's own task: half of all patches come from them, so that it is not
        forgotten. They are not measured on.
    name : str
        Of the new model.
    merged : mapping of int to int
        Classes of the base that become others; labels may use either id, and those of classes that
        were merged before.

    Yields
    ------
    Progress
        With the loss as it goes and the held-out Dice when it was measured.

    Returns
    -------
    Trained
        With the best model so far, also when told to stop.

    Raises
    ------
    AnnotationError, GridError, SpecError, DeviceError
        When the data, the spec or the device make it impossible.
    StoppedError
        When told to stop before the first step.
    """
    settings = settings or TrainSettings()
    clock = Clock(settings)
    ids, told = counted_as(cases, settings, base, classes, merged)
    cases, replay = relabelled(cases, ids), relabelled(replay, ids)
    device = torch.device(choose_device(settings.device))
    torch.manual_seed(settings.seed)
    spec, remarks = planned(cases, settings, base, classes, merged, device)
    origin = Origin(spec, settings, base, name, device, merged)
    ready = yield from _unless_stopped(
        _prepared(origin, [*told, *remarks], cases, replay, merged, clock)
    )
    network = first_network(spec, base, device, merged)
    size = batch_size(spec, settings, device)
    learner = Learner(network, pace(spec, base, settings), settings.loss)
    weights, marks = yield from _learn(
        learner,
        lambda: batch_of(ready.fresh, ready.old, size),
        ready.examiner,
        clock,
        _Exams(settings, exam_steps(ready.examiner, spec, size, device), clock.seconds()),
    )

    recall, exemplars = None, ready.exemplars
    if exemplars:
        network.load_state_dict(weights)
        after = yield from recalled(exemplars, spec, network, device, clock)
        aside = len(kept_aside(exemplars, spec))
        recall = Recall(ready.base_recall, after, aside, ready.rehearsed)
    if settings.exemplars:
        exemplars = joined(exemplars, chosen(ready.split.train, spec, settings.seed))
    return origin.trained(
        cases,
        weights,
        clock,
        Measured(marks, ready.base_marks),
        ready.split.record,
        exemplars,
        recall=recall,
    )


class _Ready(NamedTuple):
    """What learning begins with."""

    split: Split
    fresh: PatchSampler
    old: PatchSampler | None
    examiner: Examiner
    exemplars: Sequence[Exemplar]
    rehearsed: int
    base_marks: Validation | None
    base_recall: float | None


def _prepared(
    origin: Origin,
    remarks: Sequence[str],
    cases: Sequence[Case],
    replay: Sequence[Case],
    merged: Mapping[int, int],
    clock: Clock,
) -> Job[_Ready]:
    """Split and read the cases, and measure the base."""
    spec, settings, base, device = origin.spec, origin.settings, origin.base, origin.device
    for remark in remarks:
        yield clock.report("prepare", message=remark)
    past = Ledger.of(origin.history)
    share = SHARE_SCRATCH if base is None else SHARE_TUNE
    share = share if settings.holdout is None else settings.holdout
    split = hold_out(
        cases,
        share,
        settings.seed,
        past,
        instances=spec.target == "instances",
        least=FEWEST if base is None and settings.holdout is None else 1,
    )
    if not split.train:
        raise AnnotationError(
            "Every annotated slice is kept aside to measure the model on, as it was for its base: "
            "annotate at least one more."
        )
    earlier = replayed(replay, past.joined(split.record))
    split = split._replace(record=split.record.joined(earlier.record))
    lessons, borders = [], settings.loss == "border"
    for case in [*split.train, *earlier.train]:
        lessons.append(prepare(case, spec, borders=borders))
        seen = as_read(case[0], spec)
        by_name = "" if seen is case[0] else f", channels by name: {', '.join(seen.channels)}"
        yield clock.report("prepare", message=f"read {case[0].name}{by_name}")
    exemplars = () if base is None else handed_on(base.exemplars, base.spec, spec, merged)
    again = rehearsed(exemplars, spec) if settings.rehearse else []
    lessons += [prepare(case, as_seen(spec), borders=borders) for case in again]
    if again:
        yield clock.report("prepare", message=f"rehearses {len(again)} patches of the base's task")
    examiner = Examiner(split.held, spec, past.joined(split.record))
    if examiner.empty:
        yield clock.report(
            "prepare", message="too few annotated slices to hold any out: the model is not measured"
        )
    teaching = [lesson for lesson in lessons[: len(split.train)] if not lesson.empty]
    if not teaching:
        raise AnnotationError(
            "What is not kept aside to measure on lies outside of what the images show: annotate at "
            "least one slice more that shows something."
        )
    fresh = sampler(teaching, spec, cases, settings.seed, device)
    old = replayer(lessons[len(split.train) :], spec, cases, settings.seed, device)
    marks = yield from base_examined(base, spec, examiner, merged, device, clock)
    recall = yield from base_recalled(exemplars, base, spec, merged, device, clock)
    yield clock.report("prepare", message="learning begins")  # the last moment to call it off
    return _Ready(split, fresh, old, examiner, exemplars, len(again), marks, recall)


def _unless_stopped(preparing: Job[_Ready]) -> Job[_Ready]:
    """Prepare; a stop ends it at once, since there is nothing yet that could be given."""
    with closing(preparing):
        while True:
            try:
                report = next(preparing)
            except StopIteration as end:
                ready: _Ready = end.value
                return ready
            if (yield report):
                raise StoppedError(
                    "Stopped before the first step: nothing was learned, so there is no new model."
                )


class _Exams:
    """Says when to measure.

    A budget of steps has its exams at fixed ones, whatever the clock says: which state is the best must
    not depend on how fast the machine is, or a seed would repeat nothing.

    Parameters
    ----------
    settings : TrainSettings
        With the budget.
    least : int
        Steps that an exam should follow.
    now : float
        Seconds on the job's clock.
    """

    def __init__(self, settings: TrainSettings, least: int, now: float) -> None:
        self._least = least
        self._every = None
        if settings.steps is not None:
            self._every = max(least, -(-settings.steps // POINTS))
        self._term = Term(now)
        self._term.took(now, now)  # so that the first is not of the first step

    def due(self, steps: int, now: float) -> bool:
        """Whether enough was learned for another exam."""
        if self._every is not None:
            return steps % self._every == 0
        return steps >= self._least and self._term.due(now)

    def took(self, began: float, ended: float) -> None:
        """Note when one began and ended."""
        self._term.took(began, ended)


def _learn(
    learner: Learner,
    draw: Callable[[], Batch],
    examiner: Examiner,
    clock: Clock,
    exams: _Exams,
) -> Job[tuple[Mapping[str, Tensor], Validation]]:
    """Train until the budget is spent or someone says stop; return the best weights and their marks."""
    best, best_marks = None, NOTHING_HELD_OUT
    losses: list[float] = []
    clock.learns()
    reported, over = clock.seconds(), False
    while not over:
        losses.append(learner.step(draw(), _schedule(clock.share())))
        clock.steps = learner.steps
        over = clock.over()
        now = clock.seconds()
        if not examiner.empty and (over or exams.due(learner.steps, now)):
            marks = yield from examined(examiner, learner.averaged, learner.device, clock)
            if marks is None:
                break
            early = clock.share() < _SETTLED or not marks.enough
            if best is None or early or marks.score > best_marks.score:
                best, best_marks = learner.weights(), marks
            reported = clock.seconds()
            exams.took(now, reported)
            over = bool((yield clock.report("train", losses, marks))) or over
            losses = []
        elif now - reported > REPORT_SECONDS:
            over = bool((yield clock.report("train", losses))) or over
            losses, reported = [], now
    return best if best is not None else learner.averaged.state_dict(), best_marks


def _schedule(share: float) -> float:
    """Learning rate over the budget: a short rise, then linearly to zero (Li et al. 2020)."""
    return min(1.0, share / _WARM_UP + 0.05) * (1 - share)
