"""Images and labels of a session on their way into the viewer."""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from napari.layers import Image
from napari.viewer import Viewer

from napari_unet import io
from napari_unet.errors import ReadError, UNetError
from napari_unet.jobs import (
    DrawnLabels,
    JournalEntry,
    SessionImage,
    find_image,
    fingerprint,
    path_in,
    read_drawing,
)
from napari_unet.plugin.contributions import PLUGIN
from napari_unet.plugin.session_gather import Gatherer
from napari_unet.plugin.session_layers import labels_layer
from napari_unet.plugin.target import Target


class Opener:
    """Opens images of one session with their labels, and remembers what was not as it should be.

    Parameters
    ----------
    folder : Path
        Of the session.
    viewer, target
        Where they go.
    gatherer : Gatherer
        Hears which file each layer came from.

    Attributes
    ----------
    missing : list of SessionImage
        Images that are not where the session says, or can't be read.
    reasons : dict of str to str
        Why, by path.
    absorbed : list of JournalEntry
        Where strokes came from that the session does not have yet.
    """

    def __init__(self, folder: Path, viewer: Viewer, target: Target, gatherer: Gatherer) -> None:
        self._folder, self._viewer, self._target = folder, viewer, target
        self._gatherer = gatherer
        self.missing: list[SessionImage] = []
        self.reasons: dict[str, str] = {}
        self.absorbed: list[JournalEntry] = []

    def open(self, image: SessionImage) -> tuple[SessionImage, str]:
        """Open an image with its labels; return it as it is now, and what went wrong, if anything."""
        path = self.locate(image)
        if path is None:
            return image, ""
        try:
            opened = self._viewer.open(str(path), plugin=PLUGIN, **_size(image))
        except (UNetError, OSError, ValueError) as error:  # napari's where no reader takes it
            self._miss(image, str(error))
            return image, str(error)
        self._target.choose_image(opened[0])
        problems = []
        if image.fingerprint not in ("", fingerprint(str(path))):
            problems.append(f"{image.name} is another file than the labels were drawn on.")
        here = replace(image, path=path_in(self._folder, path), open=True)
        problems += [self._add_labels(here, told, opened[0]) for told in image.labels]
        return here, " ".join(p for p in problems if p)

    def locate(self, image: SessionImage) -> Path | None:
        """Return where an image is; None where it is missing."""
        path = find_image(self._folder, image)
        if path is None:
            self._miss(image)
        else:
            self.found(image)
        return path

    def require_fit(self, image: SessionImage) -> None:
        """Refuse a file that is no image, or that the labels do not lie on; nothing is opened yet.

        Raises
        ------
        ReadError, GridError
            Why.
        """
        grid = image.placed(io.read(self._folder / image.path).grid)
        for told in image.labels:
            with suppress(ReadError):  # labels that are damaged say nothing about the image
                read_drawing(self._folder, told, grid)

    def found(self, image: SessionImage) -> None:
        """Hear that an image is no longer missing."""
        self.missing = [one for one in self.missing if one.path != image.path]

    def _miss(self, image: SessionImage, why: str = "") -> None:
        self.found(image)
        self.missing.append(image)
        self.reasons[image.path] = why or (
            f"{image.name} is not where the session says ({image.path}): point to it, and its "
            "labels come back."
        )

    def _add_labels(self, image: SessionImage, told: DrawnLabels, shown: Image) -> str:
        volume = self._target.volume
        if volume is None or self._target.image is not shown:
            return f"{image.name} is no image that can be labelled here."
        try:
            drawn = read_drawing(self._folder, told, volume.grid)
        except UNetError as error:
            self._gatherer.not_shown(image.path, told)
            return str(error)
        layer = self._target.add_labels(lambda v: labels_layer(drawn, v))
        self._gatherer.came_from(layer, told)
        if drawn.journal is not None:
            self.absorbed.append(drawn.journal)
        return ""


def _size(image: SessionImage) -> dict[str, Any]:
    """Return the voxel size that a person gave an image, as napari takes it; empty where nobody has."""
    axes = len(image.spacing)
    return {"scale": image.spacing, "units": (image.unit,) * axes} if axes else {}
