"""Whether a new model should replace its base.

The rule: a new model becomes the current one where its mean Dice on the held-out slices is above its
base's with 95 % confidence, by a paired bootstrap over three or more slices; otherwise both are kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from napari_unet.engine.bootstrap import difference
from napari_unet.engine.validate import Validation

Reason = Literal["better", "not better", "too few", "other classes", "no base"]


@dataclass(frozen=True)
class Verdict:
    """What the held-out slices say about a new model and its base.

    Parameters
    ----------
    reason : str
        ``"better"``: beyond noise. ``"not better"``: not beyond noise. ``"too few"``: fewer than
        three held-out slices. ``"other classes"``: base and model can't be compared. ``"no base"``.
    difference : tuple of float, optional
        90 % confidence interval of the gain in mean Dice; None where nothing can be claimed.
    """

    reason: Reason
    difference: tuple[float, float] | None = None

    @property
    def promoted(self) -> bool:
        """Whether the new model should be the current one without being asked for."""
        return self.reason in ("better", "other classes", "no base")


def judged(
    marks: Validation, base: Validation | None, *, has_base: bool, comparable: bool
) -> Verdict:
    """Compare a model with its base.

    Parameters
    ----------
    marks : Validation
        Of the new model.
    base : Validation, optional
        Of the base, on the same slices; None where it was not measured.
    has_base, comparable : bool
        Whether there is a base, and whether it tells the same classes apart.
    """
    if not has_base:
        return Verdict("no base")
    if not comparable:
        return Verdict("other classes")
    if base is None or not marks.enough or len(marks.counts) != len(base.counts):
        return Verdict("too few")
    gain = difference(marks.counts, base.counts)
    return Verdict("better" if gain is not None and gain[0] > 0 else "not better", gain)
