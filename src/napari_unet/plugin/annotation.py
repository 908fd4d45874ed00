"""What a person vouches for on a Labels layer: what they marked done, and what they painted."""

from typing import Any

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray

from napari_unet.core.annotation import Annotation
from napari_unet.errors import AnnotationError
from napari_unet.plugin import layers
from napari_unet.plugin.about import Slice
from napari_unet.plugin.traces import traces


def annotation_of(layer: Labels) -> Annotation:
    """Return the labels with the mask of what a person vouches for; nothing else teaches.

    Known are the slices marked done, and every voxel that was painted, background included, and
    still holds what was painted. Slices held out are known like others: what measures and what
    teaches is for the training to decide.

    Raises
    ------
    AnnotationError
        When nothing is known.
    """
    labels = np.array(layer.data)
    known = traces(layer).strokes.known(labels)
    for which in layers.about(layer).done:
        known[layers.slice_key(labels.ndim, which)] = True
    if not known.any():
        raise AnnotationError(
            f"Nothing in {layer.name} is painted or marked done, so there is nothing to learn from: "
            "mend a slice and press D."
        )
    return Annotation(labels, known)


def known_slice(
    layer: Labels, which: Slice
) -> tuple[tuple[int, ...], NDArray[np.integer[Any]], NDArray[np.bool_]]:
    """Return one slice as `annotation_of` does the whole: its first voxel, labels and known mask."""
    labels = np.asarray(layer.data)
    at = [slice(0, n) for n in labels.shape]
    if labels.ndim == 3:
        at[which[0]] = slice(which[1], which[1] + 1)
    known = traces(layer).strokes.known(labels, tuple(at))
    for axis, index in layers.about(layer).done:
        if at[axis].start <= index < at[axis].stop:
            known[layers.slice_key(labels.ndim, (axis, index - at[axis].start))] = True
    return tuple(s.start for s in at), np.array(labels[tuple(at)]), known
