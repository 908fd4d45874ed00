"""Images and labels on disk: one file a format, all behind four functions.

The libraries of a format are imported when a file of that format is first met.
"""

from __future__ import annotations

from napari_unet.io.class_tables import read_class_table, write_class_table
from napari_unet.io.folder import images_in
from napari_unet.io.formats import (
    FORMATS,
    is_zarr,
    read,
    read_labels,
    suffix_of,
    write_labels,
    write_probabilities,
)

__all__ = [
    "FORMATS",
    "images_in",
    "is_zarr",
    "read",
    "read_class_table",
    "read_labels",
    "suffix_of",
    "write_class_table",
    "write_labels",
    "write_probabilities",
]
