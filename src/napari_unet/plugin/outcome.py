"""What a training has brought, in words: never a Dice without what it was measured on."""

import math
from collections.abc import Iterable, Mapping
from html import escape

from napari_unet.core.classes import LabelClass
from napari_unet.jobs import TrainResult, ValidationResult

ENOUGH = 3
"""Held-out slices from which a Dice says anything."""
MOST = 12
"""Classes that a sentence tells the Dice of."""


def measured(marks: ValidationResult | None) -> str:
    """Write a Dice with its 95 % interval, or nothing where too few slices were held out."""
    if marks is None or not marks["enough"] or marks["mean_dice"] is None:
        return ""
    low, high = marks["interval"] or (0.0, 1.0)
    return f"Dice {marks['mean_dice']:.2f} ({low:.2f}–{high:.2f})"


def standing(result: TrainResult) -> str:
    """Say how good the model in use is, never without what it was measured on."""
    marks = result["validation"]
    number = marks["slices"]
    if not number:
        return "Not measured: no slice is held out yet."
    what = f"{number} held-out slice{'s' * (number != 1)} ({marks['voxels']:,} voxels)"
    if not marks["enough"]:
        return f"Better on {what}: too few to tell how good."
    return f"{measured(marks)} on {what}."


def of_each(
    dice: Mapping[int, float], classes: Iterable[LabelClass], slices: int, what: str = "slice"
) -> str:
    """Write the held-out Dice of each class beside a square of its colour; nothing with too few slices.

    Parameters
    ----------
    dice : mapping of int to float
        Of each class that is shown there.
    classes : iterable of LabelClass
        With their names and colours.
    slices : int
        What it was measured on.
    what : str
        What a slice is called: ``"slice"``, or ``"image"`` where whole ones are held out.
    """
    shown = [c for c in classes if math.isfinite(dice.get(c.id, math.nan))]
    if not shown or slices < ENOUGH:
        return ""
    said = [f"{_square(c)} {escape(c.name)} {dice[c.id]:.2f}" for c in shown[:MOST]]
    rest = f" and {len(shown) - MOST} more" if len(shown) > MOST else ""
    return f"Dice {', '.join(said)}{rest} on {slices} held-out {what}s."


def _square(entry: LabelClass) -> str:
    red, green, blue = (round(255 * part) for part in entry.color)
    return f'<span style="color:#{red:02x}{green:02x}{blue:02x}">■</span>'


def recalled(result: TrainResult) -> str:
    """Return how well the base's own task is still done; nothing where that was not measured."""
    old = result["old_task"]
    if old is None or old["before"] is None or old["after"] is None:
        return ""
    ground = f"on {old['patches']} of the patches that the old model carries"
    return f"Old task: Dice {old['before']:.2f} before, {old['after']:.2f} after, {ground}."


def outcome(result: TrainResult, *, flat: bool = False) -> str:
    """Return what a training run brought, never a Dice without what it was measured on.

    Parameters
    ----------
    result : TrainResult
        What came back from the child.
    flat : bool
        Whether the images are single planes, of which whole ones are held out.
    """
    score, before, number = result["validation"], result["base"], result["validation"]["slices"]
    what = "image" if flat else "slice"
    if not score["enough"]:
        held = f"{number or 'no'} {what}{'s' * (number != 1)} held out, and {ENOUGH} are needed"
        if result["promoted"]:
            return f"Learned, but too few to tell how well: {held}. The new model is in use now."
        return f"Too few to tell which is better: {held}. Both are kept: choose, and mark more {what}s."
    ground = f"{number} held-out {what}s ({score['voxels']:,} voxels)"
    if before is None or result["verdict"] == "other classes":
        why = ": the one before knows other classes" if result["verdict"] == "other classes" else ""
        return f"{measured(score)} on {ground}. The new model is in use now{why}."
    low, high = result["difference"] or (0.0, 0.0)
    gain = f"{low:+.2f} to {high:+.2f}".replace("-", "−") + f" on {ground}"
    if result["promoted"]:
        return f"Better beyond noise: Dice {gain}. In use now."
    return f"Not better beyond noise: Dice {gain}. The old model stays in use."
