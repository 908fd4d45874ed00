"""Make the small real images of `sample_data/` from the curated data folder.

    python tools/make_samples.py

The data folder is `NAPARI_UNET_DATA`, or `../shared/data` beside this checkout; its `index.csv`
says where each case lies. Only cases of a test split that may be redistributed are taken, so no
starter has ever trained on a sample. Run again, it writes the same bytes.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import imageio.v3 as imageio
import nibabel as nib
import numpy as np
import tifffile
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "sample_data"
LOSSLESS: dict[str, Any] = {
    "photometric": "minisblack",
    "compression": "deflate",
    "compressionargs": {"level": 9},
}

Row = Mapping[str, str]
Writer = Callable[[Path, Path, Row], None]


def copy(source: Path, target: Path, _row: Row) -> None:
    """Take a file as it is."""
    shutil.copyfile(source, target)


def plane(source: Path, target: Path, _row: Row) -> None:
    """Write a 2D image or its labels as a TIFF without a pixel size: none is known."""
    tifffile.imwrite(target, imageio.imread(source), **LOSSLESS)


def ome_stack(source: Path, target: Path, row: Row) -> None:
    """Write a (z, y, x) stack as an OME-TIFF with the spacing and unit that the index states."""
    # A UUID made from the name: a random one would change the file at every run.
    metadata: dict[str, Any] = {"axes": "ZYX", "UUID": str(uuid5(NAMESPACE_URL, target.name))}
    for axis, step in zip("ZYX", spacing(row), strict=True):
        metadata |= {f"PhysicalSize{axis}": step, f"PhysicalSize{axis}Unit": "µm"}
    tifffile.imwrite(target, tifffile.imread(source), ome=True, metadata=metadata, **LOSSLESS)


def nifti_stack(source: Path, target: Path, row: Row) -> None:
    """Write a (z, y, x) stack as NIfTI in micrometres, straight axes, voxel 0 at the origin."""
    voxels: NDArray[Any] = tifffile.imread(source)
    affine = np.diag([*reversed(spacing(row)), 1.0])
    image = nib.Nifti1Image(voxels.T, affine)
    image.set_sform(affine, code="scanner")
    image.set_qform(affine, code="scanner")
    image.header.set_xyzt_units("micron")
    nib.save(image, target)


def spacing(row: Row) -> tuple[float, ...]:
    """Return the distance between voxel centres along (z, y, x) in the row's unit, µm here."""
    return tuple(float(step) for step in row["spacing"].split("x"))


@dataclass(frozen=True)
class Recipe:
    """What one sample is made from and how it is presented.

    Parameters
    ----------
    name, title, starter, licence, origin : str
        As in `napari_unet.core.bundled.Sample`.
    dataset, case : str
        The row of `index.csv`.
    suffix : str
        Of the files written.
    write : callable
        Takes the source, the target and the row.
    """

    name: str
    title: str
    starter: str
    licence: str
    origin: str
    dataset: str
    case: str
    suffix: str
    write: Writer

    @property
    def files(self) -> dict[str, str]:
        """Names of the two files written, by what they hold."""
        return {
            "image": f"{self.name}{self.suffix}",
            "labels": f"{self.name}-labels{self.suffix}",
        }

    def make(self, data: Path, row: Row) -> dict[str, str]:
        """Write the image and its labels; return their entry of `samples.json`."""
        for column, file in zip(("image", "label"), self.files.values(), strict=True):
            self.write(data / row[column], TARGET / file, row)
        return {
            "name": self.name,
            "title": self.title,
            **self.files,
            "starter": self.starter,
            "licence": self.licence,
            "origin": self.origin,
        }


RECIPES = (
    Recipe(
        name="hippocampus",
        title="Hippocampus, anterior and posterior (3D MR)",
        starter="hippocampus-mr",
        licence="CC BY-SA 4.0",
        origin="Medical Segmentation Decathlon, Task04 Hippocampus, case 174",
        dataset="hippocampus",
        case="hippocampus_174",
        suffix=".nii.gz",
        write=copy,
    ),
    Recipe(
        name="nuclei-2d",
        title="Cell nuclei (2D fluorescence)",
        starter="nuclei-2d",
        licence="CC0 1.0",
        origin="2018 Data Science Bowl (BBBC038v1), image 4ee5850b6354",
        dataset="dsb2018_fluo",
        case="4ee5850b6354",
        suffix=".tif",
        write=plane,
    ),
    Recipe(
        name="nuclei-3d",
        title="Mouse embryo nuclei (3D fluorescence)",
        starter="nuclei-3d",
        licence="CC0 1.0",
        origin="BBBC050, embryo A_Emb09 at t451",
        dataset="bbbc050",
        case="A_Emb09_t451",
        suffix=".ome.tif",
        write=ome_stack,
    ),
    Recipe(
        name="ovules",
        title="Arabidopsis ovule nuclei (3D, another microscope: a task to fine-tune for)",
        starter="nuclei-3d",
        licence="CC0 1.0",
        origin="Go-Nuclear (BioImage Archive S-BIAD1026), crop of volume 1136",
        dataset="gonuclear",
        case="1136",
        suffix=".nii.gz",
        write=nifti_stack,
    ),
)


def main() -> None:
    """Write every sample and `samples.json`.

    Raises
    ------
    SystemExit
        When the data folder is missing, or a case is not of a test split.
    """
    data = Path(os.environ.get("NAPARI_UNET_DATA", ROOT.parent / "shared" / "data"))
    index = data / "index.csv"
    if not index.is_file():
        raise SystemExit(f"{index} is missing: set NAPARI_UNET_DATA to the curated data folder.")
    with index.open(newline="", encoding="utf-8") as lines:
        rows = {(row["dataset"], row["case"]): row for row in csv.DictReader(lines)}
    entries = []
    for recipe in RECIPES:
        row = rows[recipe.dataset, recipe.case]
        if row["split"] != "test":
            raise SystemExit(f"{recipe.case} is a {row['split']} case: a sample must be unseen.")
        entries.append(recipe.make(data, row))
        size = sum((TARGET / file).stat().st_size for file in recipe.files.values())
        print(f"{recipe.name}: {size / 1000:.0f} kB")
    text = json.dumps(entries, indent=2, ensure_ascii=False) + "\n"
    (TARGET / "samples.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
