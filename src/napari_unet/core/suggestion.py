"""What a model says about each slice, and which slices a person should annotate next."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Survey:
    """What a model says about each slice of an image.

    Parameters
    ----------
    axis : int
        Axis of the grid that slices are counted along.
    spacing : float
        From one slice to the next.
    unit : str
        Of the spacing.
    computed : tuple of bool
        Whether the network has seen all of a slice.
    uncertainty : tuple of float
        Entropy of the prediction, each class counting the same however rare it is; 0..1.
    causes : tuple of str
        What weighs most in a slice, in words.
    change : tuple of float, optional
        How much differs from an earlier model's prediction, each class counting the same; 0..1.
    """

    axis: int
    spacing: float
    unit: str
    computed: tuple[bool, ...]
    uncertainty: tuple[float, ...]
    causes: tuple[str, ...]
    change: tuple[float, ...] | None = None

    @classmethod
    def unasked(cls, axis: int, length: int, spacing: float, unit: str) -> Survey:
        """Return what stands in for a survey where there is no model."""
        reason = "spread evenly, as no model was asked"
        return cls(
            axis,
            spacing,
            unit,
            computed=(True,) * length,
            uncertainty=(0.0,) * length,
            causes=(reason,) * length,
        )


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
