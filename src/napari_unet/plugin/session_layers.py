"""Layers of the viewer as what a session remembers of them, and back."""

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from napari.layers import Image, Labels, Layer
from napari.viewer import Viewer

from napari_unet.core.strokes import Strokes
from napari_unet.core.volume import Volume
from napari_unet.errors import GridError
from napari_unet.jobs import Drawn, WindowView
from napari_unet.plugin import layers
from napari_unet.plugin.about import KEY, PREVIEW, About, about_again
from napari_unet.plugin.pairing import mate
from napari_unet.plugin.slices import Slices
from napari_unet.plugin.target import is_workable
from napari_unet.plugin.traces import traces


@dataclass
class OpenImage:
    """One image file in the viewer, with all layers that show it or lie on it.

    Parameters
    ----------
    volume : Volume
        What was read of it.
    shown : list of Image
        Its channels.
    labels : list of Labels
        The lowest first.
    """

    volume: Volume
    shown: list[Image]
    labels: list[Labels] = field(default_factory=list)


def open_images(viewer: Viewer) -> dict[str, OpenImage]:
    """Return every image in the viewer that comes from a file, by its path."""
    found: dict[str, OpenImage] = {}
    for layer in viewer.layers:
        if isinstance(layer, Image):
            try:
                volume = layers.volume_of(layer)
            except GridError:
                continue
            if volume.source and Path(volume.source).exists():
                found.setdefault(volume.source, OpenImage(volume, [])).shown.append(layer)
    for layer in viewer.layers:
        if is_workable(layer):
            known = layer.metadata.get(KEY)
            told = found.get(known.source) if isinstance(known, About) else None
            mates = [told] if told else list(found.values())
            image = mate(layer, [x for one in mates for x in one.shown], viewer)
            for one in mates:
                if image in one.shown:
                    one.labels.append(layer)
    return found


def of_no_session(viewer: Viewer, kept: bool) -> list[Layer]:
    """Return the layers of the user's that could not be had again from files.

    Parameters
    ----------
    viewer : Viewer
        Its layers, less those of ours that only show something.
    kept : bool
        Whether a session keeps what is open, so that labels on its images are in files too.
    """
    held: list[Layer] = []
    for one in open_images(viewer).values():
        held += [*one.shown, *one.labels] if kept else one.shown
    return [x for x in viewer.layers if x not in held and PREVIEW not in x.metadata]


def without_file(viewer: Viewer) -> list[Image]:
    """Return the images that a session leaves out, since there is no file to open them from."""
    found = []
    for layer in of_no_session(viewer, kept=True):
        if isinstance(layer, Image):
            with suppress(GridError):
                layers.volume_of(layer)
                found.append(layer)
    return found


def labels_layer(drawn: Drawn, volume: Volume) -> Labels:
    """Return the layer of labels that come out of a session."""
    told = drawn.about
    about = about_again(told, volume)
    labels = drawn.labels.astype(np.uint32) if told.instances else drawn.labels
    layer = layers.labels_layer(labels, about, told.name)
    traces(layer).strokes = Strokes.of(labels, drawn.painted)
    return layer


def window_view(viewer: Viewer, slices: Slices) -> WindowView:
    """Return how the window stands."""
    dims = viewer.dims
    return WindowView(
        tuple(int(a) for a in dims.order),
        3 if dims.ndisplay == 3 else 2,
        tuple(float(p) for p in dims.point),
        tuple((int(a), int(i), why) for (a, i), why in slices.suggested().items()),
        slices.suggested_by,
    )


def show_view(view: WindowView, viewer: Viewer, slices: Slices) -> None:
    """Put the window as it stood, as far as its axes are the same."""
    dims = viewer.dims
    if sorted(view.order) == list(range(dims.ndim)):
        dims.order = view.order
        dims.ndisplay = view.ndisplay
        if len(view.point) == dims.ndim and all(np.isfinite(view.point)):
            dims.set_point(range(dims.ndim), view.point)
    suggested = {(axis, index): why for axis, index, why in view.suggested}
    slices.suggest(suggested, view.suggested_by)
