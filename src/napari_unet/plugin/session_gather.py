"""What a session says of the images in the viewer, gathered when it is saved."""

from collections.abc import Iterable
from dataclasses import replace
from weakref import WeakKeyDictionary, WeakSet

import numpy as np
from napari.layers import Labels

from napari_unet.jobs import (
    Drawing,
    DrawnLabels,
    SessionImage,
    fingerprint,
    label_file,
    painted_file,
)
from napari_unet.plugin import layers
from napari_unet.plugin.about import by_axis
from napari_unet.plugin.safety import Safety
from napari_unet.plugin.session_layers import OpenImage
from napari_unet.plugin.traces import traces

POINTS = 2000
"""Points of a curve that are kept."""


class Gatherer:
    """Knows which file of the session each Labels layer goes to, and which labels it can't show.

    Parameters
    ----------
    safety : Safety
        Knows the journals of the layers.
    """

    def __init__(self, safety: Safety) -> None:
        self._safety = safety
        self._files: WeakKeyDictionary[Labels, str] = WeakKeyDictionary()
        self._ahead: WeakSet[Labels] = WeakSet()  # of which nobody has changed anything
        # Also of layers that are gone: nobody writes over their files.
        self._taken: set[str] = set()
        self._unread: dict[str, list[DrawnLabels]] = {}

    def came_from(self, layer: Labels, told: DrawnLabels) -> None:
        """Remember what a session told of a layer that it brought."""
        self._keep_in(told.file, layer)
        if told.ahead:
            self._ahead.add(layer)

    def not_shown(self, image: str, about: DrawnLabels) -> None:
        """Remember labels of an image that could not be read; the session goes on naming them."""
        self._unread.setdefault(image, []).append(about)

    def gather(
        self, before: Iterable[SessionImage], images: dict[str, OpenImage], away: set[str]
    ) -> tuple[tuple[SessionImage, ...], list[Drawing]]:
        """Return all images of the session as they are now, and all labels in the viewer.

        Parameters
        ----------
        before : iterable of SessionImage
            As the session had them.
        images : dict of str to OpenImage
            Those in the viewer, by their path in the session.
        away : set of str
            Paths of images that could not be found, and would be open otherwise.
        """
        before = tuple(before)
        taken = {f for one in before if one.path not in images for f in files_of(one)}
        drawings: list[Drawing] = []
        found = []
        for one in before:
            if one.path in images:
                found.append(self._entry(one, images[one.path], taken, drawings))
            else:
                found.append(one if one.path in away else replace(one, open=False))
        known = {one.path for one in found}
        for path, shown in images.items():
            if path not in known:
                found.append(self._entry(SessionImage(path), shown, taken, drawings))
        return tuple(found), drawings

    def _entry(
        self, entry: SessionImage, shown: OpenImage, taken: set[str], drawings: list[Drawing]
    ) -> SessionImage:
        told = list(self._unread.get(entry.path, ()))
        blocked = taken | {one.file for one in told}
        for layer in shown.labels:
            told.append(self._describe(layer, self._file_of(layer, entry.name, blocked)))
            strokes = traces(layer).strokes.still()
            drawings.append(Drawing(told[-1], layer.data, layers.about(layer).grid, strokes))
        mark = entry.fingerprint or fingerprint(shown.volume.source)
        grid = shown.volume.grid
        own = layers.read_volume(shown.shown[0]) is shown.volume
        spacing, unit = ((), "pixel") if own else (grid.spacing, grid.unit)
        return replace(
            entry, fingerprint=mark, labels=tuple(told), open=True, spacing=spacing, unit=unit
        )

    def _file_of(self, layer: Labels, image: str, taken: set[str]) -> str:
        if layer not in self._files:
            self._keep_in(label_file(image, taken | self._taken), layer)
        return self._files[layer]

    def _keep_in(self, file: str, layer: Labels) -> None:
        self._files[layer] = file
        self._taken.add(file)

    def _describe(self, layer: Labels, file: str) -> DrawnLabels:
        about, strokes = layers.about(layer), traces(layer).strokes
        journal = self._safety.journal_of(layer)
        if journal is not None:  # it began when somebody changed something
            self._ahead.discard(layer)
        return DrawnLabels(
            layer.name,
            file,
            painted_file(file) if strokes else "",
            about.classes,
            by_axis(about.done),
            by_axis(about.held_out),
            tuple(sorted(about.locked)),
            about.merged,
            about.instances,
            about.model,
            tuple(np.flatnonzero(strokes.touched(0)).tolist()),
            "" if journal is None else journal.folder.name,
            about.corrections,
            0 if journal is None else journal.asked,
            layer in self._ahead,
        )


def files_of(image: SessionImage) -> list[str]:
    """Return the files of an image's labels in the session's folder."""
    return [name for one in image.labels for name in (one.file, one.painted) if name]


def thinned(points: list[tuple[int, float]]) -> tuple[tuple[int, float], ...]:
    """Return a curve with no more points than are kept, its last among them."""
    step = -(-len(points) // POINTS) if points else 1
    return tuple((int(x), float(y)) for x, y in points[::-step][::-1])
