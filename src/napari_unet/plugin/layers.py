"""The translator between napari's layers and this package's nouns.

What a layer of ours has to remember rides on the layer itself, in ``layer.metadata["napari_unet"]``:
an image keeps its `Volume` (with the source file's exact grid), a Labels layer its `About`.
What is known of labels says `annotation.py`.
"""

import weakref
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import dask.array
import numpy as np
from napari.layers import Image, Labels
from napari.utils.colormaps import CyclicLabelColormap, direct_colormap, label_colormap
from numpy.typing import NDArray

from napari_unet.core.classes import BACKGROUND, LabelClass, default_classes
from napari_unet.core.volume import Volume
from napari_unet.errors import GridError
from napari_unet.io import suffix_of
from napari_unet.jobs import SharedArray
from napari_unet.plugin.about import KEY, LARGEST_CLASS, About, Slice, about_ids
from napari_unet.plugin.origin import from_file
from napari_unet.plugin.placement import grid_of, placement
from napari_unet.plugin.traces import traces

SEEN = "napari_unet_seen"
"""Where somebody else's image layer keeps the volume last made of it, so that it stays the same one."""

OPENED = "napari_unet_opened"
"""Where somebody else's image layer keeps the grid that it showed when its file was found."""

_MOST_OBJECTS = np.iinfo(np.uint16).max
"""Ids that labels of objects must have room for."""

SOUND = "napari_unet_sound"
"""Where a Labels layer keeps a weak reference to the data last looked through for negative ids."""


def volume_of(layer: Image) -> Volume:
    """Return an image layer as a `Volume`: the one its reader made, its file's, or one built from its scale.

    A scale or unit that somebody gives the layer of a file later goes before the file's.

    Raises
    ------
    GridError
        When the layer has other than two or three spatial axes.
    """
    known = read_volume(layer)
    if known is not None:
        return _as_shown(layer, known)
    if why := refusal(layer):
        raise GridError(why)
    data = intensities(layer)
    data = np.moveaxis(np.asarray(data)[..., :3], -1, 0) if layer.rgb else data[None]
    grid = grid_of(layer, data.shape[1:])
    seen = layer.metadata.get(SEEN)
    if isinstance(seen, Volume) and seen.grid == grid and _same(seen.data, data):
        return seen
    if not isinstance(seen, Volume) and (volume := from_file(layer, data, grid)):
        layer.metadata = {**layer.metadata, KEY: volume, OPENED: grid}
        return volume
    volume = Volume(data, grid, name=layer.name)
    layer.metadata = {**layer.metadata, SEEN: volume}
    return volume


def read_volume(layer: Image) -> Volume | None:
    """Return the volume that a reader left on an image layer, or None.

    Layers split from a stack carry that of the stack, which is not theirs.
    """
    known = layer.metadata.get(KEY)
    fits = isinstance(known, Volume) and known.grid.shape == spatial_shape(layer)
    return known if fits else None


def refusal(layer: Image) -> str:
    """Say why an image layer can't be worked on, and what to do; empty where it can."""
    axes = len(spatial_shape(layer))
    if axes in (2, 3):
        return ""
    return (
        f"{layer.name} has {axes} axes, but an image here has 2 or 3: save the time point you want "
        "as a file of its own, or split the layer (right-click on it: Split Stack)."
    )


def labels_refusal(layer: Labels) -> str:
    """Say why labels can't be worked on, and what to do; empty where they can."""
    lazy = isinstance(layer.data, dask.array.Array)
    if layer.multiscale or lazy:
        how = "in several resolutions" if layer.multiscale else "that are read piece by piece"
        return (
            f"{layer.name} holds labels {how}, which nobody can paint on: press Load… to put them "
            "on the image from a file."
        )
    if layer.data.dtype.kind != "i" or isinstance(layer.metadata.get(KEY), About):
        return ""
    looked = layer.metadata.get(SOUND)
    if looked is not None and looked() is layer.data:
        return ""  # looking takes a while, and every change of the layer list asks
    lowest = int(np.asarray(layer.data).min())
    if lowest >= 0:
        if isinstance(layer.data, np.ndarray):
            layer.metadata = {**layer.metadata, SOUND: weakref.ref(layer.data)}
        return ""
    return f"{layer.name} holds the label id {lowest}, but ids start at 0: renumber them."


def read_only(layer: Labels) -> str:
    """Say why nothing can be written into labels, and what to do; empty where it can."""
    if not isinstance(layer.data, np.ndarray) or layer.data.flags.writeable:
        return ""
    return (
        f"{layer.name} can only be read, as whoever added it has it: work on a copy (right-click on "
        "the layer: Duplicate Layer)."
    )


def intensities(layer: Image) -> Any:  # noqa: ANN401 - whatever napari holds
    """Return the voxels of an image layer at full resolution."""
    return layer.data[0] if layer.multiscale else layer.data


def spatial_shape(image: Image) -> tuple[int, ...]:
    """Return the voxels of an image layer along each axis, colours left out."""
    data = intensities(image)
    return tuple(data.shape[:-1] if image.rgb else data.shape)


def short_name(volume: Volume) -> str:
    """Return an image's name without the end that tells its format."""
    name = Path(volume.name).name
    return name.removesuffix(suffix_of(name)) or name


def volume_layers(volume: Volume) -> list[tuple[Any, dict[str, Any], str]]:
    """Return a volume as napari layer data: one image a channel, or one in colour."""
    look = {**placement(volume.grid), "metadata": {KEY: volume}}
    if _is_colour(volume):
        return [
            (
                np.moveaxis(volume.array(), 0, -1),
                {**look, "name": short_name(volume), "rgb": True},
                "image",
            )
        ]
    if len(volume.channels) == 1:
        return [(volume.data[0], {**look, "name": short_name(volume)}, "image")]
    colours = ("cyan", "magenta", "yellow", "green", "red", "blue", "gray")
    return [
        (
            volume.data[i],
            {
                **look,
                "name": f"{short_name(volume)} {channel}",
                "colormap": colours[i % len(colours)],
                "blending": "additive",
            },
            "image",
        )
        for i, channel in enumerate(volume.channels)
    ]


def new_labels(volume: Volume, classes: Iterable[LabelClass], *, instances: bool = False) -> Labels:
    """Return an empty Labels layer that lies on a volume, and can hold the ids of its classes."""
    classes = tuple(classes)
    about = About(volume.grid, classes, instances=instances, source=volume.source)
    empty = np.zeros(volume.grid.shape, label_type(classes, instances))
    return labels_layer(empty, about, f"{short_name(volume)} labels")


def label_type(classes: Iterable[LabelClass], instances: bool) -> np.dtype[np.unsignedinteger[Any]]:
    """Return the smallest type that holds the ids."""
    return np.dtype(np.uint32) if instances else np.min_scalar_type(max(c.id for c in classes))


def labels_layer(labels: NDArray[np.integer[Any]], about: About, name: str) -> Labels:
    """Return a Labels layer in its place, with its classes' names and colours, and room for objects."""
    if about.instances and np.iinfo(labels.dtype).max < _MOST_OBJECTS:
        labels = labels.astype(np.uint32)
    layer = Labels(labels, name=name, opacity=0.6, **placement(about.grid))
    set_about(layer, about)
    return layer


def about(layer: Labels) -> About:
    """Return what a Labels layer knows, found out from its voxels if it is somebody else's."""
    known = layer.metadata.get(KEY)
    if isinstance(known, About) and known.grid.shape == tuple(layer.data.shape):
        return known
    grid = known.grid if isinstance(known, Volume) else grid_of(layer, layer.data.shape)
    found = about_ids(layer.data, grid)
    layer.metadata = {**layer.metadata, KEY: found}
    return found


def about_found(
    labels: NDArray[np.integer[Any]],
    volume: Volume,
    classes: tuple[LabelClass, ...] = (),
    *,
    objects: bool = False,
) -> About:
    """Return what can be known of labels from a file that lie on a volume.

    Several ids without names are `objects` where the model in use is one of objects; one id is a mask.
    """
    found = replace(about_ids(labels, volume.grid), source=volume.source)
    if classes:
        return replace(found, classes=classes, instances=False)
    if objects and len(found.classes) > 2:
        return replace(found, classes=default_classes([1]), instances=True)
    return found


def set_about(layer: Labels, value: About) -> None:
    """Remember `value` on the layer, and show its classes."""
    before = layer.metadata.get(KEY)
    layer.metadata = {**layer.metadata, KEY: value}
    if before is None or (before.classes, before.instances) != (value.classes, value.instances):
        _show_classes(layer, value)


def change_about(layer: Labels, **changes: Any) -> About:  # noqa: ANN401
    """Change some of what a Labels layer knows, and return all of it."""
    value = replace(about(layer), **changes)
    set_about(layer, value)
    return value


def write(layer: Labels, where: tuple[NDArray[np.intp], ...], values: NDArray[Any]) -> None:
    """Write voxels as one step, which Ctrl+Z takes back.

    Parameters
    ----------
    layer : Labels
        Shown or hidden. napari (0.9) writes into what it has cut for the canvas too, and that is not
        there for a hidden layer once the slices have moved: so it is shown for that moment.
    where : tuple of ndarray of int
        Indices of the voxels, one array an axis.
    values : ndarray of int
        Their labels, shape (voxels,).
    """
    hidden = not layer.visible
    if hidden:
        layer.visible = True
    try:
        layer.data_setitem(where, values)
    finally:
        if hidden:
            layer.visible = False


def make_room(layer: Labels, highest: int | None = None) -> None:
    """Give a layer numbers that are wide enough; what it holds and can undo stays.

    Parameters
    ----------
    layer : Labels
        Writable.
    highest : int, optional
        An id that it is to hold; as many as objects may need by default.
    """
    if np.iinfo(layer.data.dtype).max < (_MOST_OBJECTS if highest is None else highest):
        wider = np.dtype(np.uint32) if highest is None else np.min_scalar_type(highest)
        layer.data = layer.data.astype(wider)


def can_hold(layer: Labels, classes: Iterable[LabelClass], *, instances: bool) -> bool:
    """Tell whether a prediction with these ids can be written into a layer."""
    widest = _MOST_OBJECTS if instances else max(c.id for c in classes)
    writable = isinstance(layer.data, np.ndarray) and layer.data.flags.writeable
    return (
        writable
        and np.iinfo(layer.data.dtype).max >= widest
        and about(layer).instances == instances
    )


def prediction_before(layer: Labels, model: str) -> SharedArray | None:
    """Return the last prediction on a layer if another model made it, to compare with; else None.

    Of objects there is none: their ids mean nothing from one prediction to the next.
    """
    known = about(layer)
    if known.instances or known.model in ("", model):
        return None
    return traces(layer).prediction


def slice_key(ndim: int, which: Slice) -> tuple[slice | int, ...]:
    """Return the index of one slice in an array; the whole array when it has two axes."""
    axis, index = which
    return (slice(None),) * axis + (index,) if ndim == 3 else ()


def default_export(layer: Labels) -> Path:
    """Return a name beside the image, in the image's own format where that can hold labels."""
    source = Path(about(layer).source or "labels.tif")
    for suffix in (".nii.gz", ".nii", ".ome.zarr", ".ome.tiff", ".ome.tif", ".npy"):
        if source.name.lower().endswith(suffix):
            stem = source.name[: -len(suffix)]
            return source.with_name(f"{stem}_labels{suffix.replace('tiff', 'tif')}")
    return source.with_name(f"{source.stem}_labels.tif")


def _as_shown(layer: Image, known: Volume) -> Volume:
    """Return a file's volume with the voxel size that somebody has given its layer since, if any."""
    shown, opened = grid_of(layer, known.grid.shape), layer.metadata.get(OPENED, known.grid)
    if shown.unit == opened.unit and np.allclose(shown.spacing, opened.spacing, rtol=1e-6, atol=0):
        return known
    grid, seen = known.grid.respaced(shown.spacing, shown.unit), layer.metadata.get(SEEN)
    if isinstance(seen, Volume) and seen.data is known.data and seen.grid == grid:
        return seen
    volume = replace(known, grid=grid)
    layer.metadata = {**layer.metadata, SEEN: volume}
    return volume


def _same(old: Any, new: Any) -> bool:  # noqa: ANN401
    """Tell whether two views show the same voxels; lazy ones can't be told and count as the same."""
    if isinstance(old, np.ndarray) and isinstance(new, np.ndarray):
        return np.may_share_memory(old, new)
    return type(old) is type(new)


def _is_colour(volume: Volume) -> bool:
    """Tell a photograph from three stains."""
    names = tuple(c.lower() for c in volume.channels)
    return volume.data.dtype == np.uint8 and names[:3] in {
        ("red", "green", "blue"),
        ("r", "g", "b"),
    }


def _show_classes(layer: Labels, value: About) -> None:
    """Give the layer the colours of its classes, and names for the status bar."""
    if value.instances:
        if not isinstance(layer.colormap, CyclicLabelColormap):
            layer.colormap = label_colormap()
        layer.features = {}  # the status bar would go on naming classes
        return
    colours: Mapping[int | None, Any] = {
        None: (0.5, 0.5, 0.5, 1.0),
        0: (0.0, 0.0, 0.0, 0.0),
        **{c.id: (*c.color, 1.0) for c in value.classes if 0 < c.id <= LARGEST_CLASS},
    }
    layer.colormap = direct_colormap(colours)
    named = (
        value.classes
        if value.classes and value.classes[0].id == 0
        else (BACKGROUND, *value.classes)
    )
    features = {"index": [c.id for c in named], "class": [c.name for c in named]}
    if any(c.description for c in named):
        features["description"] = [c.description for c in named]
    layer.features = features
