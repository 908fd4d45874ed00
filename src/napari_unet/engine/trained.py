"""What a training leaves: a model that says what it comes of, and how good it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

import torch
from torch import Tensor

from napari_unet.core.exemplar import Exemplar
from napari_unet.core.settings import TrainSettings
from napari_unet.core.spec import ModelSpec
from napari_unet.engine.cases import Case
from napari_unet.engine.clock import Clock
from napari_unet.engine.exemplars import Recall
from napari_unet.engine.ledger import Ledger
from napari_unet.engine.model import Model, from_torch
from napari_unet.engine.reclass import merges_entry
from napari_unet.engine.tune import comparable
from napari_unet.engine.validate import Validation
from napari_unet.engine.verdict import Verdict, judged


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


class Measured(NamedTuple):
    """How good the new model is, and its base on the same voxels; None where that can't be run."""

    marks: Validation
    base: Validation | None


@dataclass(frozen=True, eq=False)
class Origin:
    """What a training begins with, and what its model will say that it comes of.

    Parameters
    ----------
    spec : ModelSpec
        Of the new model.
    settings : TrainSettings
        Choices.
    base : Model, optional
        Model to start from.
    name : str
        Of the new model.
    device : torch.device
        Where it learns.
    merged : mapping of int to int
        Classes of the base that become others.
    """

    spec: ModelSpec
    settings: TrainSettings
    base: Model | None
    name: str
    device: torch.device
    merged: Mapping[int, int]

    @property
    def history(self) -> tuple[dict[str, Any], ...]:
        """What the base says of itself."""
        return () if self.base is None else self.base.history

    @property
    def compared(self) -> bool:
        """Whether the new model has to be better than the base."""
        return self.base is not None and comparable(self.base.spec, self.spec)

    def trained(
        self,
        cases: Sequence[Case],
        weights: Mapping[str, Tensor],
        clock: Clock,
        measured: Measured,
        record: Ledger,
        exemplars: Sequence[Exemplar],
        recall: Recall | None = None,
        *,
        continuous: bool = False,
    ) -> Trained:
        """Make a model of weights, with all that is to be said of it.

        Parameters
        ----------
        cases : sequence of (Volume, Annotation)
            All that was annotated.
        weights : mapping of str to Tensor
            Of the network.
        clock : Clock
            How long it took, and its curves.
        measured : Measured
            How good it is.
        record : Ledger
            What this run has held out and taught.
        exemplars : sequence of Exemplar
            Patches that the model carries.
        recall : Recall, optional
            How well the base's own task is still done.
        continuous : bool
            Whether annotations changed while it learned.
        """
        base, marks = self.base, measured.marks
        verdict = judged(marks, measured.base, has_base=base is not None, comparable=self.compared)
        told = self._entry(cases, clock)
        told |= {"continuous": True} if continuous else {}
        told |= {"held_out": _ground(measured, verdict), "split": record.entry()}
        told |= {"curve": clock.curve()}
        told |= merges_entry(self.merged) if self.merged else {}
        told |= {} if recall is None else {"old_task": asdict(recall)}
        model = Model(
            self.spec,
            from_torch(weights),
            name=self.name,
            parent=None if base is None else base.sha256,
            history=(*self.history, told),
            exemplars=tuple(exemplars),
        )
        seconds, device = clock.seconds(), self.device.type
        return Trained(model, marks, measured.base, verdict, clock.steps, seconds, device, recall)

    def _entry(self, cases: Sequence[Case], clock: Clock) -> dict[str, Any]:
        return {
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "cases": len(cases),
            "known_voxels": sum(int(a.known.sum()) for _, a in cases),
            "steps": clock.steps,
            "seconds": round(clock.seconds(), 1),
            "device": self.device.type,
            "settings": asdict(self.settings),
        }


def _ground(measured: Measured, verdict: Verdict) -> dict[str, Any]:
    """Return what was measured, and on what."""
    return {
        **measured.marks.facts(),
        "base_dice": None if measured.base is None else measured.base.mean_dice,
        "verdict": verdict.reason,
        "difference": verdict.difference,
    }
