"""What every training does, however long it lasts: draw patches, take a step, average, measure."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from napari_unet.core.alignment import Alignment
from napari_unet.core.classes import LIKELY_OBJECTS, LabelClass, nameless
from napari_unet.core.exemplar import Exemplar
from napari_unet.core.progress import Job
from napari_unet.core.settings import Loss, TrainSettings
from napari_unet.core.spec import ModelSpec
from napari_unet.engine.advice import advice
from napari_unet.engine.augment import MEDICAL, MICROSCOPY, Augmentation
from napari_unet.engine.auto import choose_spec, classes_of
from napari_unet.engine.backends import on_torch
from napari_unet.engine.cases import Case, Lesson
from napari_unet.engine.clock import REPORT_SECONDS, Clock
from napari_unet.engine.exemplars import as_seen, kept_aside, told
from napari_unet.engine.extent import patch_of
from napari_unet.engine.ledger import Ledger
from napari_unet.engine.losses import loss_of
from napari_unet.engine.model import Model
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
from napari_unet.engine.validate import Examiner, Validation
from napari_unet.errors import AnnotationError

_RATE_SCRATCH, _RATE_TUNE = 2e-3, 5e-4
NEW_OUTPUTS = 10.0
"""How much faster the last layer learns where it has rows that the base lacked. They start as
background, and stay it for long at the rate of fine-tuning; so the rest learns as if from scratch."""
_EMA = 0.99
_CLIP = 1.0
_EXAM_SHARE = 0.1
"""Share of the time that measuring may take."""
_SHORTEST_EXAM = 0.2
"""Seconds that an exam counts as at least, so that tiny ones do not follow each step."""
_WAYS = 3
"""What a step costs for each voxel, in those of an exam: the way forward, and twice that back."""
_LEFT_ON_END = 3
"""Steps that are left one after the other: a person who paints, rests and marks calls more than once."""


def planned(
    cases: Sequence[Case],
    settings: TrainSettings,
    base: Model | None,
    classes: tuple[LabelClass, ...],
    merged: Mapping[int, int],
    device: torch.device,
) -> tuple[ModelSpec, list[str]]:
    """Return what the new model is to be, and what a person should hear of that and of the labels.

    Raises
    ------
    AnnotationError, SpecError
        When there is nothing to learn from, or settings, labels and base don't go together.
    """
    if not cases:
        raise AnnotationError("There is nothing to learn from: give at least one annotated image.")
    if not settings.instances and (base is None or base.spec.target == "instances"):
        # Before many are looked at; and a base of objects loses its last layer to more than one class.
        most = LIKELY_OBJECTS if base is None else 2
        found = classes_of(cases, settings, classes)
        _require_classes(found, (), most)
        classes = found if base is None else classes  # nobody need look for them again
    if base is None:
        spec, reasons = choose_spec(cases, settings, classes, device)
    else:
        spec, reasons = tuned_spec(base.spec, cases, settings, classes, device, merged)
    if base is not None and spec.target == base.spec.target == "classes":
        _require_classes(spec.classes, base.spec.classes, LIKELY_OBJECTS)
    return replace(spec, mirrored=augmentation_for(cases).mirror), [*reasons, *advice(cases)]


def _require_classes(classes: Sequence[LabelClass], known: Sequence[LabelClass], most: int) -> None:
    """Refuse as classes what are objects, most likely: many values that neither a person nor a base names."""
    count = len(nameless(classes, known))
    if count >= most:
        raise AnnotationError(
            f"The labels hold {count} different values that have no name: if they are objects and "
            "not classes, say so (--instances); else give the classes their names, in the window or in a "
            "table of 3D Slicer or ITK-SNAP beside the labels."
        )


class Pace(NamedTuple):
    """How fast a network learns: the highest learning rate, and how much faster its last layer does."""

    rate: float
    head: float = 1.0


def pace(spec: ModelSpec, base: Model | None, settings: TrainSettings) -> Pace:
    """Choose the learning rate by what the network knows already."""
    new = base is not None and has_new_outputs(base.spec, spec)
    usual = _RATE_SCRATCH if base is None or new else _RATE_TUNE
    return Pace(settings.learning_rate or usual, NEW_OUTPUTS if new else 1.0)


class Called(Exception):  # noqa: N818 - nothing is wrong
    """A step was left half-done, since somebody waits; nothing was learned from it."""


class Learner:
    """A network that learns, and the running average of its weights, which is what is kept.

    Parameters
    ----------
    network : Module
        Where it learns.
    pace : Pace
        Highest learning rates of AdamW.
    loss : str
        As `TrainSettings.loss`.
    called : callable, optional
        Whether somebody waits. Then a step is left between two layers: in 3D one takes seconds.

    Attributes
    ----------
    averaged : Module
        The network with the averaged weights.
    steps : int
        Steps taken.
    """

    def __init__(
        self, network: nn.Module, pace: Pace, loss: Loss, called: Callable[[], bool] | None = None
    ) -> None:
        self._network, self._loss = network, loss
        self.device = next(network.parameters()).device
        self.averaged = copy.deepcopy(network).requires_grad_(False)
        self.steps = 0
        parts: tuple[list[Tensor], list[Tensor]] = [], []
        for name, weights in network.named_parameters():
            parts[name.startswith("head")].append(weights)
        self._rates = (pace.rate, pace.rate * pace.head)
        self._optimiser = torch.optim.AdamW(
            [{"params": part} for part in parts],
            lr=pace.rate,
            weight_decay=1e-2,
            fused=self.device.type in ("cpu", "cuda"),
        )
        self._called = called
        self._left = 0  # steps left half-done since the last that was taken to its end
        if called is not None:
            for layer in network.modules():
                layer.register_forward_pre_hook(self._listen)
            for weights in network.parameters():
                weights.register_hook(self._listen)  # type: ignore[no-untyped-call]

    def step(self, batch: Batch, share: float = 1.0) -> float:
        """Learn from a batch at a share of the highest rates; return the loss.

        Raises
        ------
        Called
            When somebody waits. After some steps that were left the next is taken to its end, so that
            one who calls without a pause does not keep the network from learning.
        """
        images, targets, ridge = batch.to(self.device)
        for group, rate in zip(self._optimiser.param_groups, self._rates, strict=True):
            group["lr"] = rate * share
        self._network.train()
        self._optimiser.zero_grad(set_to_none=True)
        with torch.autocast("cuda", torch.bfloat16, enabled=self.device.type == "cuda"):
            outputs = self._network(images)
        loss = loss_of(outputs, targets, self._loss, ridge)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self._network.parameters(), _CLIP)
        self._optimiser.step()
        self._left = 0
        self.steps += 1
        self._average(min(_EMA, (1 + self.steps) / (10 + self.steps)))
        return float(loss.detach())

    def _listen(self, *_: object) -> None:
        if self._called is not None and self._left < _LEFT_ON_END and self._called():
            self._left += 1
            raise Called

    def weights(self) -> Mapping[str, Tensor]:
        """Return a copy of the averaged weights."""
        return copy.deepcopy(self.averaged.state_dict())

    @torch.no_grad()
    def _average(self, decay: float) -> None:
        """Move the running average of the weights a little towards the network's."""
        for mean, now in zip(
            self.averaged.state_dict().values(), self._network.state_dict().values(), strict=True
        ):
            mean.lerp_(now, 1 - decay)


def exam_steps(examiner: Examiner, spec: ModelSpec, size: int, device: torch.device) -> int:
    """Return how many steps of `size` patches an exam should follow to take its share of the work."""
    patch = math.prod(patch_of(spec, device).tile)
    return math.ceil(examiner.seen / (_WAYS * size * patch) / _EXAM_SHARE)


class Term:
    """Says when the next exam is due: measuring may take a tenth of the time.

    Parameters
    ----------
    now : float
        Seconds on the job's clock.
    """

    def __init__(self, now: float) -> None:
        self._last, self._length = now, 0.0

    def due(self, now: float) -> bool:
        """Whether enough was learned since the last exam."""
        return now - self._last > self._length / _EXAM_SHARE

    def took(self, began: float, ended: float) -> None:
        """Note when an exam began and ended."""
        self._last, self._length = ended, max(ended - began, _SHORTEST_EXAM)


def first_network(
    spec: ModelSpec,
    base: Model | None,
    device: torch.device,
    merged: Mapping[int, int] = NO_MERGE,
) -> nn.Module:
    """Build the network that begins to learn: new, or with what a base knows."""
    network = (build_network(spec) if base is None else transferred(spec, base, merged)).to(device)
    if device.type == "cpu" and spec.dims == 3:  # a third less time a step; planes take longer so
        network = network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    return network


def sampler(
    lessons: Sequence[Lesson],
    spec: ModelSpec,
    cases: Sequence[Case],
    seed: int,
    device: torch.device,
) -> PatchSampler:
    """Make what draws patches from lessons, bent and recoloured as suits such images."""
    spacing = spec.spacing or (1.0, 1.0, 1.0)
    if spec.dims == 2 and spec.block is None:
        spacing = (1.0, *(s for i, s in enumerate(spacing) if i != spec.axis))  # type: ignore[assignment]
    return PatchSampler(lessons, patch_of(spec, device), augmentation_for(cases), spacing, seed)


def replayer(
    lessons: Sequence[Lesson],
    spec: ModelSpec,
    cases: Sequence[Case],
    seed: int,
    device: torch.device,
) -> PatchSampler | None:
    """Make what draws from lessons that are shown beside new ones; None where they show nothing."""
    shown = [lesson for lesson in lessons if not lesson.empty]
    return sampler(shown, spec, cases, seed + 1, device) if shown else None


def batch_of(fresh: PatchSampler, old: PatchSampler | None, size: int) -> Batch:
    """Draw a batch; with replayed lessons, half of it comes from them."""
    if old is None:
        return fresh.batch(size)
    half, axis = max(1, size // 2), fresh.orientation()
    return fresh.batch(half, axis).beside(old.batch(half, axis))


def augmentation_for(cases: Sequence[Case]) -> Augmentation:
    """Choose by unit: millimetres mean a scanner, all else a microscope."""
    return MEDICAL if cases[0][0].grid.unit in ("mm", "cm", "m") else MICROSCOPY


def batch_size(spec: ModelSpec, settings: TrainSettings, device: torch.device) -> int:
    """Patches a step: a few large ones or many small ones."""
    patch = patch_of(spec, device)
    budget, most = (1 << 17, 6) if device.type == "cpu" else (1 << 21, 16)
    if patch is not spec:
        budget = 1 << 15
    return settings.batch or max(2, min(most, budget // math.prod(patch.tile)))


def examined(
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
        if clock.seconds() - reported > REPORT_SECONDS:
            reported = clock.seconds()
            if (yield clock.report("validate")):
                return None


def base_examined(
    base: Model | None,
    spec: ModelSpec,
    held: Sequence[Case],
    ledger: Ledger,
    merged: Mapping[int, int],
    device: torch.device,
    clock: Clock,
) -> Job[Validation | None]:
    """Measure a base on what is held out for a model of `spec`, as far as it knows the classes.

    None where there is no base that can be run on these images, or when told to stop.
    """
    if base is None or not measurable(base.spec, spec):
        return None
    asked = replace(base.spec, classes=spec.classes)
    if any(Alignment(v.grid, asked).far_off for v, _ in held):  # it can't be run as it is on these
        asked = replace(asked, spacing=spec.spacing)
    answers = transferred(asked, base, merged).to(device).eval()
    marks = yield from examined(Examiner(held, asked, ledger), answers, device, clock)
    if marks is None or comparable(base.spec, spec):
        return marks
    return marks.only({c.id for c in base.spec.classes})


def base_recalled(
    exemplars: Sequence[Exemplar],
    base: Model | None,
    spec: ModelSpec,
    merged: Mapping[int, int],
    device: torch.device,
    clock: Clock,
) -> Job[float | None]:
    """Measure a base on its own task; None where it can't be run, or there is nothing to measure on."""
    if base is None or not measurable(base.spec, spec):
        return None
    # At the spacing that `handed_on` gave them, which is that of the voxels the base learned from.
    asked = replace(base.spec, classes=spec.classes, spacing=spec.spacing)
    answers = transferred(asked, base, merged).to(device)
    return (yield from recalled(exemplars, asked, answers, device, clock))


def recalled(
    exemplars: Sequence[Exemplar],
    spec: ModelSpec,
    network: nn.Module,
    device: torch.device,
    clock: Clock,
) -> Job[float | None]:
    """Measure a network on the old task; None when there is nothing to measure on, or no time."""
    examiner = Examiner(kept_aside(exemplars, spec), as_seen(spec))
    marks = yield from examined(examiner, network.eval(), device, clock)
    return None if marks is None else marks.only(told(exemplars, spec)).mean_dice
