"""What an annotation lacks that no network can guess."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from napari_unet.core.annotation import Annotation
from napari_unet.engine.cases import Case
from napari_unet.engine.regions import slicing_axis, usual_axis


def advice(cases: Sequence[Case]) -> list[str]:
    """Say what else is worth annotating, a sentence each; empty when nothing is missing.

    A network that was never shown a slice beyond the ends of a structure finds the structure there too.
    On the hippocampus that is most of what goes wrong: see benchmarks/RESULTS.md.
    """
    stacks = [(v, a) for v, a in cases if a.known.ndim == 3 and min(a.known.shape) > 1]
    sparse = [(a, usual_axis(v.grid)) for v, a in stacks if not a.known.all()]
    if not sparse or any(_has_empty_slice(a, usual) for a, usual in sparse):
        return []
    return [
        "every annotated slice shows a structure: also mark one beyond each of its ends done, "
        "or the model will go on finding it there"
    ]


def _has_empty_slice(annotation: Annotation, usual: int) -> bool:
    """Whether a slice that is known shows nothing but background."""
    others = tuple({0, 1, 2} - {slicing_axis(annotation, usual)})
    known = annotation.known.any(axis=others)
    shown = (annotation.known & (annotation.labels != 0)).any(axis=others)
    return bool(np.any(known & ~shown))
