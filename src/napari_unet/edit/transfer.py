"""Labels taken over from others on the same grid, such as a prediction."""

from __future__ import annotations

import numpy as np

from napari_unet.edit.delta import Delta, Ids, box_of, having
from napari_unet.errors import AnnotationError, GridError


def copy_labels(labels: Ids, ids: tuple[int, ...], source: Ids) -> Delta:
    """Take over where `source` has the ids, and where it has none of them any longer.

    Parameters
    ----------
    labels, source : ndarray of int
        Of one shape.
    ids : tuple of int
        Which ones; labels of others stay where neither side has one of these.

    Raises
    ------
    GridError
        When the shapes differ.
    AnnotationError
        When the labels' type can't hold an id of the source.
    """
    if labels.shape != source.shape:
        raise GridError(
            f"Labels of shape {labels.shape} can't take over from {source.shape}: use labels of the "
            "same image."
        )
    theirs, ours = having(source, ids), having(labels, ids)
    at = box_of(theirs | ours)
    if at is None:
        return Delta.none(labels)
    theirs, before = theirs[at], labels[at]
    top = int(source[at].max(where=theirs, initial=0))
    if top > np.iinfo(labels.dtype).max:
        raise AnnotationError(
            f"Id {top} does not fit these labels: convert the layer to 32 bits (right-click on it: "
            "Convert data type)."
        )
    after = np.where(theirs, source[at], np.where(ours[at], 0, before))
    return Delta(at, before, after.astype(labels.dtype))
