"""Training as a job: from scratch or from a base, on known voxels, against a clock."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

import torch
from torch import Tensor, nn

from napari_unet.core.classes import LabelClass
from napari_unet.core.exemplar import Exemplar
from napari_unet.core.progress import Job
from napari_unet.core.settings import TrainSettings
from napari_unet.core.spec import ModelSpec
from napari_unet.engine.advice import advice
from napari_unet.engine.augment import MEDICAL, MICROSCOPY, Augmentation
from napari_unet.engine.auto import choose_spec
from napari_unet.engine.backends import on_torch
from napari_unet.engine.bootstrap import FEWEST
from napari_unet.engine.cases import Case, Lesson, prepare
from napari_unet.engine.clock import Clock
from napari_unet.engine.device import choose_device
from napari_unet.engine.exemplars import (
    Recall,
    as_seen,
    chosen,
    handed_on,
    joined,
    kept_aside,
    rehearsed,
    told,
)
from napari_unet.engine.holdout import SHARE_SCRATCH, SHARE_TUNE, hold_out, spared
from napari_unet.engine.ledger import Ledger
from napari_unet.engine.losses import loss_of
from napari_unet.engine.model import Model, from_torch
from napari_unet.engine.networks import build_network
from napari_unet.engine.patches import Batch, PatchSampler
from napari_unet.engine.reclass import NO_MERGE
from napari_unet.engine.tune import (
    comparable,
    has_new_outputs,
    measurable,
    transferred,
    tuned_spec,
)
from napari_unet.engine.validate import NOTHING_HELD_OUT, Examiner, Validation
from napari_unet.engine.verdict import Verdict, judged
from napari_unet.errors import AnnotationError

_RATE_SCRATCH, _RATE_TUNE = 2e-3, 5e-4
NEW_OUTPUTS = 10.0
"""How much faster the last layer learns where it has rows that the base lacked. They start as
background, and stay it for long at the rate of fine-tuning; so the rest learns as if from scratch."""
_WARM_UP = 0.04
"""Share of the budget over which the learning rate rises."""
_EMA = 0.99
_CLIP = 1.0
_EXAM_SHARE = 0.1
"""Share of the time that measuring may take."""
_SETTLED = 0.5
"""Share of the budget before which the latest model counts as the best: while the learning rate is
high, differences between measurements are mostly luck. On fewer than three slices they always are."""
_SHORTEST_EXAM = 0.2
"""Seconds that an exam counts as at least, so that tiny ones do not follow each step."""
_REPORT_SECONDS = 0.5


@dataclass(frozen=True, eq=False)
class Trained:
    """What a training run leaves.

    Parameters
    ----------
    model : Model
        The best so far, by its held-out score.
    validation : Validation
        Of that model.
    base : Validation, optional
        Of the base on the same voxels, as far as it knows the classes; None where it can't be run.
    verdict : Verdict
        Whether the model should replace the base, and why.
    steps : int
        Steps made.
    seconds : float
        Time taken, preparation and measuring included.
    device : str
        Where it learned.
    recall : Recall, optional
        How well the base's own task is still done; None without a base that carries exemplars of it.
    """

    model: Model
    validation: Validation
    base: Validation | None
    verdict: Verdict
    steps: int
    seconds: float
    device: str
    recall: Recall | None = None

    @property
    def base_dice(self) -> float | None:
        """Mean held-out Dice of the base on the same voxels; None without a comparable base."""
        return None if self.base is None else self.base.mean_dice

    @property
    def promoted(self) -> bool:
        """Whether the model should replace the base."""
        return self.verdict.promoted


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
        Classes of the base that become others; labels may use either id.

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
    """
    settings = settings or TrainSettings()
    clock = Clock(settings)
    if not cases:
        raise AnnotationError("There is nothing to learn from: give at least one annotated image.")
    if merged:
        cases, replay = _merged(cases, merged), _merged(replay, merged)
    device = torch.device(choose_device(settings.device))
    torch.manual_seed(settings.seed)

    if base is None:
        spec, reasons = choose_spec(cases, settings, classes, device)
    else:
        spec, reasons = tuned_spec(base.spec, cases, settings, classes, device, merged)
    spec = replace(spec, mirrored=augmentation_for(cases).mirror)
    for reason in (*reasons, *advice(cases)):
        yield clock.report("prepare", message=reason)
    past = Ledger.of(base.history if base is not None else ())
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
    train, held = split.train, split.held
    lessons, borders = [], settings.loss == "border"
    for case in [*train, *spared(replay, past.joined(split.record))]:
        lessons.append(prepare(case, spec, borders=borders))
        yield clock.report("prepare", message=f"read {case[0].name}")
    exemplars = () if base is None else handed_on(base.exemplars, spec, merged)
    again = rehearsed(exemplars, spec) if settings.rehearse else []
    lessons += [prepare(case, as_seen(spec), borders=borders) for case in again]
    if again:
        yield clock.report("prepare", message=f"rehearses {len(again)} patches of the base's task")
    examiner = Examiner(held, spec)
    if examiner.empty:
        yield clock.report(
            "prepare", message="too few annotated slices to hold any out: the model is not measured"
        )

    compared = base is not None and comparable(base.spec, spec)
    base_marks = base_recall = None
    if base is not None and measurable(base.spec, spec):
        asked = replace(base.spec, classes=spec.classes)
        answers = transferred(asked, base, merged)
        base_marks = yield from _examine(Examiner(held, asked), answers.eval(), device, clock)
        if base_marks is not None and not compared:
            base_marks = base_marks.only({c.id for c in base.spec.classes})
        base_recall = yield from _recall(exemplars, asked, answers, device, clock)
    network = (build_network(spec) if base is None else transferred(spec, base, merged)).to(device)
    if device.type == "cpu" and spec.dims == 3:  # a third less time a step; planes take longer so
        network = network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    weights: Mapping[str, Tensor] = network.state_dict()
    marks = NOTHING_HELD_OUT
    if base_marks is not None or not compared:  # else: told to stop while the base was measured
        batches = _batches(lessons, len(train), spec, settings, device, cases)
        new = base is not None and has_new_outputs(base.spec, spec)
        usual = _RATE_SCRATCH if base is None or new else _RATE_TUNE
        rate = settings.learning_rate or usual
        optimiser = _optimiser(network, rate, NEW_OUTPUTS if new else 1.0)
        weights, marks = yield from _learn(network, optimiser, batches, examiner, settings, clock)

    recall = None
    if exemplars:
        network.load_state_dict(weights)
        after = yield from _recall(exemplars, spec, network, device, clock)
        aside = len(kept_aside(exemplars, spec))
        recall = Recall(base_recall, after, aside, len(again))
    if settings.exemplars:
        exemplars = joined(exemplars, chosen(train, spec, settings.seed))
    verdict = judged(marks, base_marks, has_base=base is not None, comparable=compared)
    model = Model(
        spec,
        from_torch(weights),
        name=name,
        parent=base.sha256 if base is not None else None,
        history=(
            *(base.history if base is not None else ()),
            _entry(cases, settings, clock, device)
            | {"held_out": _ground(marks, base_marks, verdict), "split": split.record.entry()}
            | {"curve": clock.curve()}
            | ({} if recall is None else {"old_task": asdict(recall)}),
        ),
        exemplars=exemplars,
    )
    return Trained(
        model, marks, base_marks, verdict, clock.steps, clock.seconds(), device.type, recall
    )


def _merged(cases: Sequence[Case], merged: Mapping[int, int]) -> list[Case]:
    """Return cases whose labels are of the classes that others were merged into."""
    found = []
    for volume, annotation in cases:
        labels = annotation.labels.copy()
        for one, into in merged.items():
            labels[annotation.labels == one] = into
        found.append((volume, replace(annotation, labels=labels)))
    return found


def _optimiser(network: nn.Module, rate: float, head: float) -> torch.optim.Optimizer:
    """Make AdamW with a rate of its own for the last layer; each group keeps its top one as ``rate``."""
    parts: tuple[list[Tensor], list[Tensor]] = [], []
    for name, weights in network.named_parameters():
        parts[name.startswith("head")].append(weights)
    groups = [{"params": p, "rate": r} for p, r in zip(parts, (rate, rate * head), strict=True)]
    device = next(network.parameters()).device
    return torch.optim.AdamW(
        groups, lr=rate, weight_decay=1e-2, fused=device.type in ("cpu", "cuda")
    )


def _learn(
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    batches: Iterator[Batch],
    examiner: Examiner,
    settings: TrainSettings,
    clock: Clock,
) -> Job[tuple[Mapping[str, Tensor], Validation]]:
    """Train until the budget is spent or someone says stop; return the best weights and their marks."""
    device = next(network.parameters()).device
    averaged = copy.deepcopy(network).requires_grad_(False)
    best, best_marks = None, NOTHING_HELD_OUT
    losses: list[float] = []
    exam_seconds, last_exam = 0.0, clock.seconds()
    reported, over = clock.seconds(), clock.over()
    while not over:
        for group in optimiser.param_groups:
            group["lr"] = group["rate"] * _schedule(clock.share())
        losses.append(_step(network, optimiser, next(batches), settings))
        clock.steps += 1
        _average(averaged, network, min(_EMA, (1 + clock.steps) / (10 + clock.steps)))
        over = clock.over()
        now = clock.seconds()
        if not examiner.empty and (over or now - last_exam > exam_seconds / _EXAM_SHARE):
            marks = yield from _examine(examiner, averaged, device, clock)
            if marks is None:
                break
            early = clock.share() < _SETTLED or not marks.enough
            if best is None or early or marks.score > best_marks.score:
                best, best_marks = copy.deepcopy(averaged.state_dict()), marks
            last_exam = clock.seconds()
            exam_seconds = max(last_exam - now, _SHORTEST_EXAM)
            over = bool((yield clock.report("train", losses, marks))) or over
            losses, reported = [], last_exam
        elif now - reported > _REPORT_SECONDS:
            over = bool((yield clock.report("train", losses))) or over
            losses, reported = [], now
    return best if best is not None else averaged.state_dict(), best_marks


def _batches(
    lessons: list[Lesson],
    own: int,
    spec: ModelSpec,
    settings: TrainSettings,
    device: torch.device,
    cases: Sequence[Case],
) -> Iterator[Batch]:
    """Yield batches for ever; with replayed lessons, half of each batch comes from them."""
    size = settings.batch or _batch_size(spec, device)
    spacing = spec.spacing or (1.0, 1.0, 1.0)
    if spec.dims == 2 and spec.block is None:
        spacing = (1.0, *(s for i, s in enumerate(spacing) if i != spec.axis))  # type: ignore[assignment]
    how = augmentation_for(cases)
    fresh = PatchSampler(lessons[:own], spec, how, spacing, settings.seed)
    if len(lessons) == own:
        while True:
            yield fresh.batch(size).to(device)
    old = PatchSampler(lessons[own:], spec, how, spacing, settings.seed + 1)
    half = max(1, size // 2)
    while True:
        axis = fresh.orientation()
        yield fresh.batch(half, axis).beside(old.batch(half, axis)).to(device)


def augmentation_for(cases: Sequence[Case]) -> Augmentation:
    """Choose by unit: millimetres mean a scanner, all else a microscope."""
    return MEDICAL if cases[0][0].grid.unit in ("mm", "cm", "m") else MICROSCOPY


def _batch_size(spec: ModelSpec, device: torch.device) -> int:
    """Patches a step: a few large ones or many small ones."""
    budget, most = (1 << 17, 6) if device.type == "cpu" else (1 << 21, 16)
    return max(2, min(most, budget // math.prod(spec.tile)))


def _step(
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    batch: Batch,
    settings: TrainSettings,
) -> float:
    network.train()
    optimiser.zero_grad(set_to_none=True)
    with torch.autocast("cuda", torch.bfloat16, enabled=batch.image.device.type == "cuda"):
        outputs = network(batch.image)
    loss = loss_of(outputs, batch.target, settings.loss, batch.ridge)
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(network.parameters(), _CLIP)
    optimiser.step()
    return float(loss.detach())


@torch.no_grad()
def _average(averaged: nn.Module, network: nn.Module, decay: float) -> None:
    """Move the running average of the weights a little towards the network's."""
    for mean, now in zip(
        averaged.state_dict().values(), network.state_dict().values(), strict=True
    ):
        mean.lerp_(now, 1 - decay)


def _examine(
    examiner: Examiner, network: nn.Module, device: torch.device, clock: Clock
) -> Job[Validation | None]:
    """Measure a network; None when told to stop before the end."""
    exam = examiner.examine(on_torch(network, device.type))
    reported = clock.seconds()
    while True:
        try:
            next(exam)
        except StopIteration as end:
            marks: Validation = end.value
            return marks
        if clock.seconds() - reported > _REPORT_SECONDS:
            reported = clock.seconds()
            if (yield clock.report("validate")):
                return None


def _recall(
    exemplars: Sequence[Exemplar],
    spec: ModelSpec,
    network: nn.Module,
    device: torch.device,
    clock: Clock,
) -> Job[float | None]:
    """Measure a network on the old task; None when there is nothing to measure on, or no time."""
    examiner = Examiner(kept_aside(exemplars, spec), as_seen(spec))
    marks = yield from _examine(examiner, network.eval(), device, clock)
    return None if marks is None else marks.only(told(exemplars, spec)).mean_dice


def _schedule(share: float) -> float:
    """Learning rate over the budget: a short rise, then linearly to zero (Li et al. 2020)."""
    return min(1.0, share / _WARM_UP + 0.05) * (1 - share)


def _entry(
    cases: Sequence[Case], settings: TrainSettings, clock: Clock, device: torch.device
) -> dict[str, Any]:
    """Return what the model file will say about this run, less what was measured."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cases": len(cases),
        "known_voxels": sum(int(a.known.sum()) for _, a in cases),
        "steps": clock.steps,
        "seconds": round(clock.seconds(), 1),
        "device": device.type,
        "settings": asdict(settings),
    }


def _ground(marks: Validation, base: Validation | None, verdict: Verdict) -> dict[str, Any]:
    """Return what the model file will say about what was measured, and on what."""
    return {
        **marks.facts(),
        "base_dice": None if base is None else base.mean_dice,
        "verdict": verdict.reason,
        "difference": verdict.difference,
    }
