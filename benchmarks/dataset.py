"""The labelled data that benchmarks and starters learn from and are scored on.

A folder with an ``index.csv`` (dataset, case, image, label, split, licence, ...), given by the
environment variable ``NAPARI_UNET_DATA``, else ``../shared/data`` beside the checkout.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.volume import Volume
from napari_unet.io import read, read_labels


@dataclass(frozen=True)
class Row:
    """One labelled image of the index."""

    dataset: str
    case: str
    image: Path
    labels: Path
    licence: str

    def load(self) -> tuple[Volume, NDArray[np.integer[Any]]]:
        """Read the image and its labels."""
        volume = read(self.image)
        labels, _, _ = read_labels(self.labels, volume.grid)
        return volume, labels


def data_folder() -> Path:
    """Return the folder of the data."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    return Path(os.environ.get("NAPARI_UNET_DATA", default))


def rows(dataset: str, split: str) -> Iterator[Row]:
    """Yield the images of one data set and split, in the order of the index."""
    home = data_folder()
    with (home / "index.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if (row["dataset"], row["split"]) == (dataset, split):
                image, labels = home / row["image"], home / row["label"]
                yield Row(dataset, row["case"], image, labels, row["licence"])
