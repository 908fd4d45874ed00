"""Compare labels with a reference, in the image's own unit."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance
from numpy.typing import NDArray

from napari_unet.core import scores
from napari_unet.core.grid import Grid
from napari_unet.core.scores import MEASURES, Labels
from napari_unet.errors import GridError


def evaluate(
    labels: Labels,
    reference: Labels,
    grid: Grid,
    ids: Iterable[int] | None = None,
    instances: bool = False,
) -> dict[str, Any]:
    """Score labels against a reference.

    Parameters
    ----------
    labels, reference : ndarray of int
        Class ids, or object ids with `instances`; shape of the grid.
    grid : Grid
        Its spacing and unit are those of the distances.
    ids : iterable of int, optional
        Classes to score; background never counts. None: every id that occurs on either side.
    instances : bool
        The ids are objects: all of them together are scored as class 1, and average precision at
        IoU 0.5 to 0.9 is added.

    Returns
    -------
    dict
        ``dice``, ``iou``, ``hd95`` (95th percentile of the Hausdorff distance) and ``assd`` (average
        symmetric surface distance): {id: value}, None where a class is absent on both sides, or for
        distances on one. ``mean_dice``...: means over the classes that have a value. ``unit`` of
        the distances. ``voxels``: how many were compared. With `instances`, ``ap``
        ({threshold: value}, empty when there is no object at all) and ``mean_ap``.

    Raises
    ------
    GridError
        When the shapes differ.
    """
    if labels.shape != grid.shape or reference.shape != grid.shape:
        raise GridError(
            f"Labels of shape {labels.shape} and a reference of shape {reference.shape} can't be "
            f"compared on a grid of shape {grid.shape}: use labels of one and the same image."
        )
    objects = scores.average_precision(labels, reference) if instances else {}
    if instances:
        labels, reference, ids = (
            (labels > 0).astype(np.uint8),
            (reference > 0).astype(np.uint8),
            [1],
        )
    elif ids is None:
        ids = sorted({*np.unique(labels).tolist(), *np.unique(reference).tolist()})
    wanted = [int(i) for i in ids if i != 0]
    distances = {i: surface_distances(labels == i, reference == i, grid) for i in wanted}
    measured: dict[str, dict[int, Any]] = {
        "dice": scores.dice(labels, reference, wanted),
        "iou": scores.iou(labels, reference, wanted),
        "hd95": {i: pair[0] for i, pair in distances.items()},
        "assd": {i: pair[1] for i, pair in distances.items()},
    }
    case: dict[str, Any] = {m: {i: measured[m].get(i) for i in wanted} for m in MEASURES}
    case |= {f"mean_{m}": scores.mean(case[m].values()) for m in MEASURES}
    case |= {"unit": grid.unit, "voxels": grid.size}
    if instances:
        case |= {"ap": objects, "mean_ap": scores.mean(objects.values())}
    return case


def surface_distances(
    mask: NDArray[np.bool_], reference: NDArray[np.bool_], grid: Grid
) -> tuple[float | None, float | None]:
    """Distances between the surfaces of two masks.

    Returns
    -------
    hd95, assd : float or None
        95th percentile of the Hausdorff distance and average symmetric surface distance, in
        ``grid.unit``; None when a mask is empty, since then there is no surface to measure to.
    """
    if not (mask.any() and reference.any()):
        return None, None
    # A volume of one slice is a plane: across it there is no surface.
    axes = [axis for axis, length in enumerate(grid.shape) if length > 1]
    if len(axes) == 2:
        mask, reference = mask.squeeze(), reference.squeeze()
    else:
        axes = list(range(grid.ndim))
    spacing = [float(grid.spacing[axis]) for axis in axes]
    pred, ref = (torch.from_numpy(np.ascontiguousarray(m))[None, None] for m in (mask, reference))
    with warnings.catch_warnings():
        # MONAI 1.6 uses an argument of its own that it has deprecated.
        warnings.simplefilter("ignore", FutureWarning)
        hd95 = compute_hausdorff_distance(
            pred, ref, include_background=True, percentile=95, spacing=spacing
        )
        assd = compute_average_surface_distance(
            pred, ref, include_background=True, symmetric=True, spacing=spacing
        )
    return float(hd95), float(assd)
