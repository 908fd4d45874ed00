"""What napari calls by name: reader, writer, samples (see napari.yaml)."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from napari.layers import Labels

from napari_unet import io
from napari_unet.core.bundled import sample
from napari_unet.core.volume import Volume
from napari_unet.plugin import layers
from napari_unet.plugin.about import KEY, About
from napari_unet.plugin.placement import grid_of

PLUGIN = "napari-unet"
"""What napari calls this plugin."""
PLACE = ("scale", "rotate", "shear", "affine", "units")
"""What of a layer tells the size of its voxels."""
LayerData = tuple[Any, dict[str, Any], str]


def reader(path: str | Sequence[str]) -> Callable[[str], list[LayerData]] | None:
    """Return a function that reads `path`, or None where the format is not ours."""
    first = path if isinstance(path, str) else path[0]
    return read_layers if io.suffix_of(first) in io.FORMATS else None


def read_layers(path: str | Sequence[str]) -> list[LayerData]:
    """Read images, one layer a channel, each where its voxels lie."""
    paths = [path] if isinstance(path, str) else path
    return [layer for one in paths for layer in layers.volume_layers(io.read(one))]


def write_labels(path: str, data: Any, meta: dict[str, Any]) -> list[str]:  # noqa: ANN401
    """Write a Labels layer with the geometry of its image, and the names of its classes."""
    labels = np.asarray(data)
    about = meta.get("metadata", {}).get(KEY)
    if isinstance(about, About):
        classes = () if about.instances else about.classes
        return [str(io.write_labels(path, labels, about.grid, classes))]
    if (
        isinstance(about, Volume) and about.grid.shape == labels.shape
    ):  # read as an image, converted
        return [str(io.write_labels(path, labels, about.grid))]
    placed = {name: meta[name] for name in PLACE if name in meta}
    return [str(io.write_labels(path, labels, grid_of(Labels(labels, **placed), labels.shape)))]


def sample_hippocampus() -> list[LayerData]:
    """Return the MR sample."""
    return _sample("hippocampus")


def sample_nuclei_2d() -> list[LayerData]:
    """Return the plane of nuclei."""
    return _sample("nuclei-2d")


def sample_nuclei_3d() -> list[LayerData]:
    """Return the volume of embryo nuclei."""
    return _sample("nuclei-3d")


def sample_ovules() -> list[LayerData]:
    """Return the volume of plant nuclei, which its starter does not know yet."""
    return _sample("ovules")


def _sample(name: str) -> list[LayerData]:
    return read_layers(str(sample(name).image))
