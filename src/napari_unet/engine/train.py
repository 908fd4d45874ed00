"""Training as a job: from scratch or from a base, on known voxels, against a clock."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

import torch
from torch import Tensor, nn

from napari_unet.core.classes import LabelClass
from napari_unet.core.progress import Job, Progress
from napari_unet.core.settings import TrainSettings
from napari_unet.core.spec import ModelSpec
from napari_unet.engine.augment import MEDICAL, MICROSCOPY, Augmentation
from napari_unet.engine.auto import adapt_spec, choose_spec
from napari_unet.engine.backends import on_torch
from napari_unet.engine.cases import Case, Lesson, prepare
from napari_unet.engine.device import choose_device
from napari_unet.engine.holdout import hold_out
from napari_unet.engine.losses import loss_of
from napari_unet.engine.model import Model
from napari_unet.engine.networks import build_network
from napari_unet.engine.patches import PatchSampler
from napari_unet.engine.validate import NOTHING_HELD_OUT, Examiner, Validation
from napari_unet.errors import AnnotationError, SpecError

_RATE_SCRATCH, _RATE_TUNE = 2e-3, 5e-4
_WARM_UP = 0.04
"""Share of the budget over which the learning rate rises."""
_EMA = 0.99
_CLIP = 1.0
_EXAM_SHARE = 0.1
"""Share of the time that measuring may take."""
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
    base_dice : float, optional
        Mean held-out Dice of the base on the same voxels; None without a comparable base.
    promoted : bool
        Whether it should replace the base: better on the held-out voxels, or nothing to compare.
    steps : int
        Steps made.
    seconds : float
        Time taken, preparation and measuring included.
    device : str
        Where it learned.
    """

    model: Model
    validation: Validation
    base_dice: float | None
    promoted: bool
    steps: int
    seconds: float
    device: str


def training(
    cases: Sequence[Case],
    settings: TrainSettings | None = None,
    base: Model | None = None,
    classes: tuple[LabelClass, ...] = (),
    replay: Sequence[Case] = (),
    name: str = "model",
) -> Job[Trained]:
    """Train a network on what people have labelled.

    Parameters
    ----------
    cases : sequence of (Volume, Annotation)
        What to learn from; part of it is held out to measure on.
    settings : TrainSettings, optional
        Budget and choices.
    base : Model, optional
        Model to start from. Its architecture is kept; where classes differ, its head is replaced.
    classes : tuple of LabelClass
        Names and colours, background first; empty to take the base's or to number them.
    replay : sequence of (Volume, Annotation)
        Cases of the base's own task: half of all patches come from them, so that it is not
        forgotten. They are not measured on.
    name : str
        Of the new model.

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
    clock = _Clock(settings)
    if not cases:
        raise AnnotationError("There is nothing to learn from: give at least one annotated image.")
    device = choose_device(settings.device)
    torch.manual_seed(settings.seed)

    spec, reasons = _spec(cases, settings, base, classes, device)
    for reason in reasons:
        yield clock.report("prepare", message=reason)
    train, held = hold_out(cases, settings.holdout, settings.seed)
    lessons = []
    for case in [*train, *replay]:
        lessons.append(prepare(case, spec))
        yield clock.report("prepare", message=f"read {case[0].name}")
    examiner = Examiner(held, spec)
    if examiner.empty:
        yield clock.report(
            "prepare", message="too few annotated slices to hold any out: the model is not measured"
        )

    base_marks = None
    if base is not None and base.spec.classes == spec.classes and base.spec.target == spec.target:
        base_marks = yield from _examine(Examiner(held, base.spec), base.build(), device, clock)
    network = _transfer(spec, base).to(device)
    averaged = copy.deepcopy(network).requires_grad_(False)
    batches = _batches(lessons, len(train), spec, settings, device, cases)
    rate = settings.learning_rate or (_RATE_SCRATCH if base is None else _RATE_TUNE)
    optimiser = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=1e-2)

    best, best_marks, exam_seconds, last_exam = None, NOTHING_HELD_OUT, 0.0, clock.seconds()
    losses: list[float] = []
    reported, stop = clock.seconds(), False
    while not (stop or clock.over()):
        for group in optimiser.param_groups:
            group["lr"] = rate * _schedule(clock.share())
        loss = _step(network, optimiser, next(batches), settings)
        clock.steps += 1
        _average(averaged, network, min(_EMA, (1 + clock.steps) / (10 + clock.steps)))
        losses.append(loss)
        due = clock.seconds() - last_exam > exam_seconds / _EXAM_SHARE
        if not examiner.empty and (due or clock.over()):
            started = clock.seconds()
            marks = yield from _examine(examiner, averaged, device, clock)
            last_exam = clock.seconds()
            exam_seconds = max(last_exam - started, 0.2)
            if marks is None:
                break
            if best is None or marks.score > best_marks.score:
                best, best_marks = copy.deepcopy(averaged.state_dict()), marks
            stop = bool((yield clock.report("train", losses, marks)))
            losses, reported = [], last_exam
        elif clock.seconds() - reported > _REPORT_SECONDS:
            stop = bool((yield clock.report("train", losses)))
            losses, reported = [], clock.seconds()

    weights = best if best is not None else averaged.state_dict()
    base_dice = base_marks.mean_dice if base_marks is not None else None
    promoted = base_marks is None or examiner.empty or best_marks.score > base_marks.score
    model = Model(
        spec,
        {k: v.detach().cpu().clone() for k, v in weights.items()},
        name=name,
        parent=base.sha256 if base is not None else None,
        history=(
            *(base.history if base is not None else ()),
            _entry(cases, settings, clock, best_marks, base_dice, device),
        ),
        card=base.card if base is not None else {},
    )
    return Trained(
        model, best_marks, base_dice, promoted, clock.steps, clock.seconds(), device.type
    )


def _spec(
    cases: Sequence[Case],
    settings: TrainSettings,
    base: Model | None,
    classes: tuple[LabelClass, ...],
    device: torch.device,
) -> tuple[ModelSpec, list[str]]:
    """Choose the new model's spec: the base's, or one made for the data."""
    if base is None:
        return choose_spec(cases, settings, classes, device)
    if settings.network not in ("auto", base.spec.network):
        raise SpecError(
            f"The base model is a {base.spec.network}, not a {settings.network}: leave the network "
            "on auto, or train from scratch."
        )
    spec, reasons = adapt_spec(base.spec, cases)
    channels = cases[0][0].channels
    if len(channels) != len(spec.channels):
        spec = replace(spec, channels=channels)
        reasons.append(f"{len(channels)} channel(s): the first layer starts anew")
    if settings.instances and spec.target == "classes":
        new = classes or choose_spec(cases, settings, (), device)[0].classes
        spec = replace(spec, target="instances", classes=new)
        reasons.append("objects instead of classes: the last layer starts anew")
    elif spec.target == "classes":
        ids = {i for _, a in cases for i in a.counts()}
        if classes and classes != spec.classes:
            spec = replace(spec, classes=classes)
        elif not ids <= {c.id for c in spec.classes}:
            new = choose_spec(cases, settings, (), device)[0].classes
            spec = replace(spec, classes=new)
            reasons.append(f"classes {sorted(ids)}: the last layer starts anew")
    return spec, reasons


def _transfer(spec: ModelSpec, base: Model | None) -> nn.Module:
    """Build the network and give it every weight of the base that fits."""
    network = build_network(spec)
    if base is not None:
        fresh = network.state_dict()
        kept = {
            k: v.float()
            for k, v in base.weights.items()
            if k in fresh and fresh[k].shape == v.shape
        }
        network.load_state_dict(fresh | kept)
    return network


def _batches(
    lessons: list[Lesson],
    own: int,
    spec: ModelSpec,
    settings: TrainSettings,
    device: torch.device,
    cases: Sequence[Case],
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield batches for ever; with replayed lessons, half of each batch comes from them."""
    size = settings.batch or _batch_size(spec, device)
    spacing = spec.spacing or (1.0, 1.0, 1.0)
    if spec.dims == 2:
        spacing = (1.0, *(s for i, s in enumerate(spacing) if i != spec.axis))  # type: ignore[assignment]
    how = augmentation_for(cases)
    fresh = PatchSampler(lessons[:own], spec, how, spacing, settings.seed)
    if len(lessons) == own:
        while True:
            yield _to(fresh.batch(size), device)
    old = PatchSampler(lessons[own:], spec, how, spacing, settings.seed + 1)
    half = max(1, size // 2)
    while True:
        (a, b), (c, d) = fresh.batch(half), old.batch(half)
        yield _to((torch.cat([a, c]), torch.cat([b, d])), device)


def augmentation_for(cases: Sequence[Case]) -> Augmentation:
    """Choose by unit: millimetres mean a scanner, all else a microscope."""
    return MEDICAL if cases[0][0].grid.unit in ("mm", "cm", "m") else MICROSCOPY


def _to(batch: tuple[Tensor, Tensor], device: torch.device) -> tuple[Tensor, Tensor]:
    return batch[0].to(device), batch[1].to(device)


def _batch_size(spec: ModelSpec, device: torch.device) -> int:
    """Patches a step: a few large ones or many small ones."""
    budget = (1 << 17) if device.type == "cpu" else (1 << 21)
    voxels = 1
    for n in spec.tile:
        voxels *= n
    return max(2, min(16, budget // voxels))


def _step(
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    batch: tuple[Tensor, Tensor],
    settings: TrainSettings,
) -> float:
    network.train()
    optimiser.zero_grad(set_to_none=True)
    with torch.autocast("cuda", torch.bfloat16, enabled=batch[0].device.type == "cuda"):
        outputs = network(batch[0])
    loss = loss_of(outputs, batch[1], settings.loss)
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
    examiner: Examiner, network: nn.Module, device: torch.device, clock: _Clock
) -> Job[Validation | None]:
    """Measure a network; None when told to stop before the end."""
    exam = examiner.examine(on_torch(network, device))
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


def _schedule(share: float) -> float:
    """Learning rate over the budget: a short rise, then linearly to zero (Li et al. 2020)."""
    return min(1.0, share / _WARM_UP + 0.05) * (1 - share)


def _entry(
    cases: Sequence[Case],
    settings: TrainSettings,
    clock: _Clock,
    marks: Validation,
    base_dice: float | None,
    device: torch.device,
) -> dict[str, Any]:
    """Return what the model file will say about this run."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cases": len(cases),
        "known_voxels": sum(int(a.known.sum()) for _, a in cases),
        "steps": clock.steps,
        "seconds": round(clock.seconds(), 1),
        "device": device.type,
        "settings": asdict(settings),
        "held_out": {
            "mean_dice": marks.mean_dice,
            "slices": marks.slices,
            "voxels": marks.voxels,
            "base_dice": base_dice,
        },
    }


class _Clock:
    """The budget, in minutes or in steps, and what is left of it."""

    def __init__(self, settings: TrainSettings) -> None:
        self._began = time.perf_counter()
        self._settings = settings
        self.steps = 0

    def seconds(self) -> float:
        return time.perf_counter() - self._began

    def share(self) -> float:
        """Part of the budget that is spent, 0..1."""
        if self._settings.steps is not None:
            return min(1.0, self.steps / self._settings.steps)
        return min(1.0, self.seconds() / (60 * self._settings.minutes))

    def over(self) -> bool:
        return self.share() >= 1

    def report(
        self,
        stage: str,
        losses: Sequence[float] = (),
        marks: Validation | None = None,
        message: str = "",
    ) -> Progress:
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
