"""Which slices a person should annotate next, and why."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Suggestion:
    """One slice that is worth annotating.

    Parameters
    ----------
    index : int
        Of the slice.
    score : float
        What it was chosen by, 0..1: how unsure the model is of it and how much has changed there, with a
        random share, times how far it is from what is annotated or suggested already.
    uncertainty : float
        Entropy of the prediction, each class counting the same however rare it is; 1 in the slice of
        the image that has most of it.
    distance : float, optional
        To the nearest annotated slice, in the unit of the grid; None when none is annotated.
    reason : str
        The same in words.
    change : float, optional
        How much the prediction differs from an earlier model's, each class counting the same; 1 in
        the slice that differs most. None when there is no earlier model.
    """

    index: int
    score: float
    uncertainty: float
    distance: float | None
    reason: str
    change: float | None = None


@dataclass(frozen=True)
class Suggestions:
    """Slices of one image in the order in which they should be annotated.

    Parameters
    ----------
    axis : int
        Axis of the grid that they are counted along.
    unit : str
        Of the distances.
    slices : tuple of Suggestion
        The best first; empty when every slice is annotated.
    complete : bool
        False when stopped early: only slices that were computed in full were considered.
    """

    axis: int
    unit: str
    slices: tuple[Suggestion, ...]
    complete: bool = True
