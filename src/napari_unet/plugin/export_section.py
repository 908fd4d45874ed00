"""Step 5: the labels go into a file, in the image's own geometry."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QFileDialog

from napari_unet import io
from napari_unet.core.classes import LabelClass
from napari_unet.core.grid import Grid
from napari_unet.errors import WriteError
from napari_unet.io.class_tables import SLICER, SNAP
from napari_unet.plugin import layers
from napari_unet.plugin.background import in_thread
from napari_unet.plugin.section import Section, button, say, sentence
from napari_unet.plugin.target import Target

EXPORT = "Write the labels with the geometry of the image"

FILTERS = (
    "NIfTI (*.nii.gz *.nii)",
    "OME-TIFF (*.ome.tif)",
    "TIFF (*.tif)",
    "NumPy (*.npy)",
    "OME-Zarr (*.ome.zarr)",
)

BEFORE = "as the labels were when writing began: export again for what was drawn since."


class ExportSection(Section):
    """One button; "Saved" is shown after the file was read back.

    Signals
    -------
    saved(Labels)
        This layer's labels are in a file.
    """

    saved = Signal(object)

    def __init__(self, target: Target) -> None:
        super().__init__(5, "Export")
        self._target = target
        self.go = button("Export labels…", EXPORT)
        self.tables = QCheckBox("Names for ITK-SNAP and 3D Slicer, too")
        self.tables.setToolTip(
            "Write a label description and a colour table beside the labels; both are read back here"
        )
        self.status = sentence()
        self.head.addWidget(self.go)
        self.body.addWidget(self.tables)
        self.body.addWidget(self.status)
        self.go.clicked.connect(self._ask)
        target.changed.connect(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Enable the button where there are labels."""
        labels = self._target.labels
        self.go.setEnabled(labels is not None)
        self.go.setToolTip(
            EXPORT if labels is not None else "Predict first, or paint from nothing."
        )
        self.tables.setVisible(labels is not None and not layers.about(labels).instances)

    def export(self, path: Path) -> None:
        """Write the labels as they are now, read them back, and only then say "Saved"."""
        labels = self._target.labels
        if labels is None:
            return
        about = layers.about(labels)
        classes = () if about.instances else about.classes
        self.go.setEnabled(False)
        say(self.status, f"Writing {path.name}…")

        def told(words: str, tone: str) -> None:
            self.refresh()
            say(self.status, words, tone)

        drawn, tables = np.array(labels.data), self.tables.isChecked()

        def saved(_: None) -> None:
            if np.array_equal(drawn, labels.data):
                told(f"Saved {path}", "good")
                self.saved.emit(labels)
            else:  # the journal has what the file lacks
                told(f"Saved {path} {BEFORE}", "good")

        in_thread(
            lambda: write_and_check(path, drawn, about.grid, classes, tables=tables),
            saved,
            lambda why: told(why, "bad"),
        )

    def _ask(self) -> None:
        labels = self._target.labels
        assert labels is not None  # noqa: S101
        proposed = layers.default_export(labels)
        first = next((f for f in FILTERS if "".join(proposed.suffixes[-2:]) in f), FILTERS[2])
        chosen, _ = QFileDialog.getSaveFileName(
            self, "Export labels", str(proposed), ";;".join(FILTERS), first
        )
        if chosen:
            self.export(Path(chosen))


def write_and_check(
    path: Path,
    labels: NDArray[np.integer[Any]],
    grid: Grid,
    classes: tuple[LabelClass, ...],
    *,
    tables: bool = False,
) -> None:
    """Write labels and compare them with what the file then says.

    With `tables`, the classes go beside them for ITK-SNAP and 3D Slicer.

    Raises
    ------
    WriteError
        When the file can't be written, or does not read back the same.
    """
    written = io.write_labels(path, labels, grid, classes)
    found, _, _ = io.read_labels(written, grid)
    if not np.array_equal(found, labels):
        raise WriteError(f"{path} does not read back as it was written: export under another name.")
    if tables and classes:
        stem = written.name[: -len(io.suffix_of(written))]
        for ending in (SNAP, SLICER):
            io.write_class_table(written.with_name(f"{stem}{ending}"), classes)
