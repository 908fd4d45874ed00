"""Starting from a model that exists: what of it is kept, and what new data change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from napari_unet.core.alignment import times
from napari_unet.core.channels import as_read, channels_for
from napari_unet.core.classes import LabelClass, default_classes
from napari_unet.core.orientation import turn
from napari_unet.core.settings import TrainSettings
from napari_unet.core.spec import ModelSpec
from napari_unet.engine.auto import choose_spec
from napari_unet.engine.cases import Case
from napari_unet.engine.content import empty_outside
from napari_unet.engine.detail import FACTORS, coarsest
from napari_unet.engine.extent import block_for, seen_spacing, three, tile_for
from napari_unet.engine.model import Model
from napari_unet.engine.networks import build_network
from napari_unet.engine.reclass import NO_MERGE, check_merges, rows
from napari_unet.engine.regions import slicing_axis
from napari_unet.errors import SpecError

_ABOUT = 1.01
"""What spacings may differ by and still count as the same."""


def tuned_spec(
    base: ModelSpec,
    cases: Sequence[Case],
    settings: TrainSettings,
    classes: tuple[LabelClass, ...],
    device: torch.device,
    merged: Mapping[int, int] = NO_MERGE,
) -> tuple[ModelSpec, list[str]]:
    """Fit a base's spec to new data: its classes, channels and, where it is far off, its spacing.

    Parameters
    ----------
    base : ModelSpec
        Of the model to start from; its architecture stays.
    cases : sequence of (Volume, Annotation)
        What the new model will learn from.
    settings : TrainSettings
        What the user has fixed.
    classes : tuple of LabelClass
        Background first; empty to keep the base's where they suffice.
    device : torch.device
        Where it will learn.
    merged : mapping of int to int
        Classes of the base that become others.

    Returns
    -------
    ModelSpec, list of str
        The spec, and a line for each change.

    Raises
    ------
    SpecError
        When another network, dimension or context is asked for, or a merge makes no sense.
    """
    fixed = {"dims": settings.dims, "context": settings.context}
    for what, wanted in fixed.items():
        if wanted not in ("auto", None, getattr(base, what)):
            raise SpecError(
                f"The base model has {what} {getattr(base, what)}, not {wanted}: leave {what} on "
                "auto, or train from scratch."
            )
    if settings.planes not in ("auto", 1 if base.block is None else 3):
        raise SpecError(
            f"The base model {'sees' if base.block else 'does not see'} slices of all three orientations: "
            "leave planes on auto, or train from scratch."
        )
    if settings.network not in ("auto", base.network):
        raise SpecError(
            f"The base model is a {base.network}, not a {settings.network}: leave the network "
            "on auto, or train from scratch."
        )
    spec, reasons = base, list[str]()
    if any(channels_for(volume, spec) is None for volume, _ in cases):
        spec = replace(spec, channels=cases[0][0].channels)
    if (
        spec.channels != base.channels
    ):  # the first image may have the base's, and another one none of them
        reasons.append(
            f"channel(s) {', '.join(spec.channels)} in place of the base's {', '.join(base.channels)}: "
            "what they show is learned anew"
        )
    if settings.instances and spec.target == "classes":
        new = classes or choose_spec(cases, settings, (), device)[0].classes
        spec = replace(spec, target="instances", classes=new)
        reasons.append("objects instead of classes: the last layer starts anew")
    elif not settings.instances and spec.target == "instances":
        new = choose_spec(cases, settings, classes, device)[0].classes
        spec = replace(spec, target="classes", classes=new)
        reasons.append("classes instead of objects: the last layer starts anew")
    elif spec.target == "classes":
        ids = {i for _, a in cases for i in a.counts()}
        kept = classes or tuple(c for c in spec.classes if c.id not in merged)
        check_merges(spec, kept, merged)
        spec = replace(spec, classes=kept)
        if classes:
            reasons += _changes(base, spec, merged)
        elif not ids <= {c.id for c in spec.classes}:
            known = {c.id for c in spec.classes}
            added = tuple(
                c for c in default_classes(ids - known, spec.classes) if c.id not in known
            )
            spec = replace(spec, classes=(*spec.classes, *added))
            reasons.append(f"new classes {', '.join(c.name for c in added)} beside the base's")
    if spec.crop and empty_outside([(as_read(v, spec), a) for v, a in cases]) is False:
        spec = replace(spec, crop=False)
    shape = cases[0][0].grid.shape
    if spec.dims == 2 and len(shape) == 3 and (1 in shape or not spec.context):
        way = turn(cases[0][0].grid, spec.orientation)
        along = slicing_axis(cases[0][1], otherwise=way.axes[spec.axis])
        spec = replace(spec, axis=way.axes.index(along))
    spec, why = _respaced(spec, cases, new=has_new_outputs(base, spec))
    reasons += why
    if spec.block is not None and len(shape) == 3:
        spec = replace(spec, block=block_for(spec, cases))
    return replace(spec, tile=tile_for(spec, cases, device)), reasons


def _changes(base: ModelSpec, spec: ModelSpec, merged: Mapping[int, int]) -> list[str]:
    """Say in a line each which classes are new, gone or others now."""
    old, new = ({c.id: c.name for c in s.classes} for s in (base, spec))
    lines = [f"new class {name} beside the base's" for i, name in new.items() if i not in old]
    for i in old.keys() - new.keys():
        into = f"part of {new[merged[i]]} now" if i in merged else "removed"
        lines.append(f"class {old[i]}: {into}")
    return lines


def measurable(base: ModelSpec, spec: ModelSpec) -> bool:
    """Whether a base can be run on the new model's images and tells some of its classes."""
    return base.target == spec.target and base.channels == spec.channels


def comparable(base: ModelSpec, spec: ModelSpec) -> bool:
    """Whether a base could answer the new model's question about the same images.

    It can if every class is one of its own; names are of no importance, and some may be left out.
    """
    return measurable(base, spec) and {c.id for c in spec.classes} <= {c.id for c in base.classes}


def has_new_outputs(base: ModelSpec, spec: ModelSpec) -> bool:
    """Whether the last layer must tell something that the base's did not."""
    return base.target != spec.target or not {c.id for c in spec.classes} <= {
        c.id for c in base.classes
    }


def transferred(spec: ModelSpec, base: Model, merged: Mapping[int, int] = NO_MERGE) -> nn.Module:
    """Build a network and give it every weight of the base that means the same in it.

    That is all that fits; what becomes of the last layer says `reclass.rows`.
    """
    network = build_network(spec)
    weights = network.state_dict()
    for name, fresh in weights.items():
        if name not in base.weights or fresh.shape[1:] != base.weights[name].shape[1:]:
            continue
        old = base.weights[name].astype(np.float32)
        if name.startswith("head"):
            if spec.target == base.spec.target:
                fresh.copy_(torch.from_numpy(rows(old, base.spec, spec, merged)))
        elif fresh.shape == old.shape:
            fresh.copy_(torch.from_numpy(old))
    network.load_state_dict(weights)
    return network


def _respaced(spec: ModelSpec, cases: Sequence[Case], *, new: bool) -> tuple[ModelSpec, list[str]]:
    """Fit a spec to new data: its spacing, where the data's own is far from it.

    Nuclei of another organism may have another size altogether. Brought to the base's spacing
    they would be a few voxels; a network does not care about micrometres, so it learns them at the
    spacing they were recorded at. But a 2D model may have been given coarse pixels for what is large:
    these stay as long as what is annotated is seen in them, and so it is asked of what is `new`.
    """
    if spec.spacing is None:
        return spec, []
    thick = spec.spacing[spec.axis]
    own = [
        seen_spacing(volume.grid, spec.unit, spec.axis, thick, spec.orientation)
        for volume, _ in cases
    ]
    if None in own:
        return spec, []
    spacing = np.mean([s for s in own if s is not None], axis=0)
    ratio = np.array(spec.spacing) / spacing
    sliced = spec.dims == 2 and spec.block is None
    inside = [i for i in range(3) if not sliced or i != spec.axis]
    finest, coarse = float(ratio[inside].min()), float(ratio[inside].max())
    if spec.block is not None:  # its voxels are as long as wide
        spacing[:] = np.median(spacing)
    factor = 1.0
    if sliced and finest >= 1 / 2 and (new or coarse > 2):
        most = max((f for f in FACTORS if f <= _ABOUT * coarse), default=1.0)
        factor = coarsest(
            cases,
            spec.axis,
            most,
            instances=spec.target == "instances",
            orientation=spec.orientation,
        )
        if factor == most and coarse <= _ABOUT * max(FACTORS):  # beyond, nobody has tried
            return spec, []
    elif finest >= 1 / 2 and coarse <= 2:
        return spec, []
    spacing[inside] *= factor
    far = "what is annotated needs finer ones" if sliced and finest >= 1 / 2 else ""
    why = (
        f"spacing {times(spacing)} {spec.unit} in place of the base's {times(spec.spacing)}: "
        f"{far or 'more than twice as fine or coarse as this data'}"
    )
    return replace(spec, spacing=three(spacing)), [why]
