"""Tables of classes go out to ITK-SNAP and 3D Slicer, and come back."""

import numpy as np
import pytest

from napari_unet import io
from napari_unet.core.classes import BACKGROUND, LabelClass
from napari_unet.core.grid import Grid
from napari_unet.errors import ReadError, WriteError
from napari_unet.io.class_tables import read_class_table, write_class_table
from napari_unet.io.labels import classes_from_text

CLASSES = (
    BACKGROUND,
    LabelClass(1, "anterior hippocampus", (1.0, 0.0, 0.2)),
    LabelClass(7, "Gefäß", (0.4, 0.6, 0.8)),
)
ORDERED = (
    BACKGROUND,
    LabelClass(7, "Gefäß", (0.4, 0.6, 0.8), 'walls # and "lumen": all of it'),
    LabelClass(1, "anterior hippocampus", (1.0, 0.0, 0.2), "head, with the uncus"),
)

SNAP = """\
################################################
# ITK-SnAP Label Description File
################################################
    0     0    0    0        0  0  0    "Clear Label"
    1   255    0   51        1  1  1    "anterior hippocampus"
    7   102  153  204        0.5  1  0    "Gefäß"
"""
SLICER = """\
# Color table file x.ctbl
# 3 values
0 Background 0 0 0 0
1 anterior_hippocampus 255 0 51 255
7 Gefäß 102 153 204 255
"""


@pytest.mark.parametrize("name", ["a.ctbl", "a.label.txt", "a.label"])
@pytest.mark.parametrize("classes", [CLASSES, ORDERED, ORDERED[::-1]])
def test_classes_come_back(tmp_path, name, classes):
    path = write_class_table(tmp_path / name, classes)
    found = read_class_table(path)
    assert found == (BACKGROUND, *(c for c in classes if c.id))
    assert len(path.read_text(encoding="utf-8").splitlines()) >= len(classes)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".tif", ".ome.tif", ".ome.zarr"])
@pytest.mark.parametrize("classes", [CLASSES, ORDERED])
def test_order_and_descriptions_come_back_from_label_files(tmp_path, suffix, classes):
    grid = Grid((2, 3, 4), (1.0, 1.0, 1.0), "mm")
    path = io.write_labels(tmp_path / f"a{suffix}", np.ones(grid.shape, np.uint8), grid, classes)
    assert io.read_labels(path)[2] == classes


@pytest.mark.parametrize(
    "text",
    ["[]", '{"napari-unet": {"classes": [3]}}', '{"napari-unet": {"classes": [{"id": 1}]}}'],
)
def test_comments_of_others_name_no_classes(text):
    assert classes_from_text(text) == ()


def test_comments_without_descriptions_are_understood():
    text = '{"napari-unet": {"classes": [{"id": 7, "name": "x", "color": [1, 0, 0]}]}}'
    assert classes_from_text(text) == (LabelClass(7, "x", (1.0, 0.0, 0.0)),)


@pytest.mark.parametrize(("name", "text"), [("x.ctbl", SLICER), ("x.txt", SNAP)])
def test_files_as_the_programs_write_them_are_read(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    found = read_class_table(path)
    assert found[1:] == CLASSES[1:]
    assert found[0].name.lower() == "background"


@pytest.mark.parametrize("name", ["x.ctbl", "x.label.txt"])
@pytest.mark.parametrize("text", ["a shopping list", "1 2 3", '1 2 "x"', "-1 x 0 0 0 0", "\x00"])
def test_anything_else_is_refused_by_its_line(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(f"# a comment\n{text}\n")
    with pytest.raises(ReadError, match="line 2"):
        read_class_table(path)


def test_other_endings_are_not_written(tmp_path):
    with pytest.raises(WriteError, match="ctbl"):
        write_class_table(tmp_path / "a.csv", CLASSES)


@pytest.mark.parametrize("name", ["seg.ctbl", "seg_ColorTable.ctbl", "seg.label.txt", "seg.label"])
def test_labels_without_names_take_those_beside_them(tmp_path, name):
    grid = Grid((2, 3, 4), (1.0, 1.0, 1.0), "mm")
    path = io.write_labels(tmp_path / "seg.nii.gz", np.ones(grid.shape, np.uint8), grid)
    assert io.read_labels(path)[2] == ()
    write_class_table(tmp_path / name, CLASSES)
    assert io.read_labels(path)[2] == CLASSES


def test_names_in_the_file_come_first_and_rubbish_beside_it_is_left(tmp_path):
    grid = Grid((2, 3, 4), (1.0, 1.0, 1.0), "mm")
    labels = np.ones(grid.shape, np.uint8)
    own = io.write_labels(tmp_path / "seg.nii.gz", labels, grid, CLASSES[:2])
    write_class_table(tmp_path / "seg.ctbl", CLASSES)
    assert io.read_labels(own)[2] == CLASSES[:2]
    bare = io.write_labels(tmp_path / "bare.nii.gz", labels, grid)
    (tmp_path / "bare.ctbl").write_text("nothing of the kind")
    assert io.read_labels(bare)[2] == ()
