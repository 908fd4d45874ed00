import nibabel as nib
import numpy as np
import pytest
import tifffile

from napari_unet.core import bundled
from napari_unet.errors import ReadError, WriteError

NAMES = ("hippocampus", "nuclei-2d", "nuclei-3d", "ovules")
MEGABYTE = 1_000_000


def voxels(path):
    """Array and spacing as stored: NIfTI in (x, y, z), TIFF in (z, y, x)."""
    if path.name.endswith(".nii.gz"):
        image = nib.load(path)
        return np.asarray(image.dataobj), image.header.get_zooms()
    return tifffile.imread(path), None


def test_the_samples_are_listed_by_name():
    assert tuple(s.name for s in bundled.samples()) == NAMES
    assert bundled.sample("ovules").starter == "nuclei-3d"


def test_an_unknown_sample_is_refused_with_the_known_ones():
    with pytest.raises(ReadError, match="ovules"):
        bundled.sample("brain")


@pytest.mark.parametrize("name", NAMES)
def test_labels_lie_on_their_image(name):
    sample = bundled.sample(name)
    image, spacing = voxels(sample.image)
    labels, same = voxels(sample.labels)
    assert labels.shape == image.shape
    assert same == spacing
    assert np.issubdtype(labels.dtype, np.integer)
    assert 0.01 < (labels > 0).mean() < 0.5
    assert image.std() > 0


@pytest.mark.parametrize(
    ("name", "shape", "ids"),
    [
        ("hippocampus", (37, 55, 34), 2),
        ("nuclei-2d", (520, 696), 49),
        ("nuclei-3d", (51, 125, 132), 26),
        ("ovules", (100, 100, 100), 32),
    ],
)
def test_samples_are_what_their_readme_says(name, shape, ids):
    labels, _ = voxels(bundled.sample(name).labels)
    assert labels.shape == shape
    assert len(np.unique(labels)) - 1 == ids


def test_spacing_and_unit_are_in_the_files():
    header = nib.load(bundled.sample("ovules").image).header
    assert header.get_zooms() == pytest.approx((0.12757, 0.12757, 0.28372))
    assert header.get_xyzt_units()[0] == "micron"
    with tifffile.TiffFile(bundled.sample("nuclei-3d").image) as tiff:
        assert tiff.series[0].axes == "ZYX"
        for attribute in ('PhysicalSizeZ="1.75"', 'PhysicalSizeX="0.8"', 'PhysicalSizeXUnit="µm"'):
            assert attribute in tiff.ome_metadata


@pytest.mark.parametrize("sample", bundled.samples(), ids=lambda s: s.name)
def test_every_sample_states_its_origin_and_licence(sample):
    readme = (bundled.folder() / "README.md").read_text(encoding="utf-8")
    section = readme.split(f"\n## {sample.name}\n")[1].split("\n## ")[0]
    assert sample.licence in section
    assert "**Cite**" in section
    assert sample.origin
    assert sample.title


def test_the_samples_are_small():
    files = [f for s in bundled.samples() for f in (s.image, s.labels)]
    assert sum(f.stat().st_size for f in files) < 4 * MEGABYTE


def test_models_are_listed_without_making_a_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert bundled.model_paths() == bundled.starter_paths()
    assert not list(tmp_path.iterdir())


def test_a_model_that_is_gone_or_a_data_folder_that_is_none_hides_no_other(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    own = bundled.user_models_folder()
    (own / "gone.safetensors").symlink_to(tmp_path / "nothing")
    (own / "mine.safetensors").touch()
    assert set(bundled.model_paths()) == {*bundled.starter_paths(), "mine"}

    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "file"))
    assert bundled.model_paths() == bundled.starter_paths()
    with pytest.raises(WriteError, match="can't be made"):
        bundled.user_models_folder()
