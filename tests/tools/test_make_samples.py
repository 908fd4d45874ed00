import importlib
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import tifffile

TOOLS = Path(__file__).resolve().parents[2] / "tools"
ROW = {"spacing": "2.0x0.5x0.25"}


@pytest.fixture
def make_samples(monkeypatch):
    monkeypatch.syspath_prepend(TOOLS)
    return importlib.import_module("make_samples")


@pytest.fixture
def stack(tmp_path):
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, np.arange(60, dtype=np.uint8).reshape(3, 4, 5))
    return path


def test_nifti_turns_the_axes_and_keeps_the_spacing(make_samples, stack, tmp_path):
    make_samples.nifti_stack(stack, tmp_path / "out.nii.gz", ROW)
    image = nib.load(tmp_path / "out.nii.gz")
    np.testing.assert_array_equal(np.asarray(image.dataobj).T, tifffile.imread(stack))
    np.testing.assert_array_equal(image.affine, np.diag([0.25, 0.5, 2.0, 1.0]))
    assert (int(image.header["sform_code"]), int(image.header["qform_code"])) == (1, 1)


def test_ome_tiff_is_the_same_at_every_run(make_samples, stack, tmp_path):
    target = tmp_path / "out.ome.tif"
    runs = []
    for _ in range(2):
        make_samples.ome_stack(stack, target, ROW)
        runs.append(target.read_bytes())
    assert runs[0] == runs[1]
    np.testing.assert_array_equal(tifffile.imread(target), tifffile.imread(stack))


def test_a_training_case_is_refused(make_samples, tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_UNET_DATA", str(tmp_path))
    first = make_samples.RECIPES[0]
    index = f"dataset,case,split\n{first.dataset},{first.case},train\n"
    (tmp_path / "index.csv").write_text(index)
    with pytest.raises(SystemExit, match="unseen"):
        make_samples.main()


def test_a_missing_data_folder_is_named(make_samples, tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_UNET_DATA", str(tmp_path))
    with pytest.raises(SystemExit, match="NAPARI_UNET_DATA"):
        make_samples.main()
