"""What napari calls by name."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from napari.layers import Labels
from npe2 import PluginManifest

from napari_unet import io
from napari_unet.core.bundled import samples
from napari_unet.core.classes import default_classes
from napari_unet.plugin import contributions, layers
from napari_unet.plugin.about import KEY

ROOT = Path(__file__).parents[2]


def test_the_packaged_manifest_is_the_true_one():
    packaged = ROOT / "src" / "napari_unet" / "napari.yaml"
    assert packaged.read_bytes() == (ROOT / "napari.yaml").read_bytes()


def test_the_manifest_is_valid_and_everything_it_names_exists():
    done = subprocess.run(
        [sys.executable, "-m", "npe2", "validate", "--imports", "napari-unet"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_bundled_sample_is_in_the_menu():
    manifest = PluginManifest.from_file(ROOT / "napari.yaml")
    assert {s.key for s in manifest.contributions.sample_data} == {s.name for s in samples()}


@pytest.mark.parametrize("sample", samples(), ids=lambda s: s.name)
def test_a_sample_is_read_as_napari_reads_it(sample):
    read = contributions.reader(str(sample.image))
    ((data, meta, kind),) = read(str(sample.image))
    assert kind == "image"
    assert meta["metadata"][KEY].grid.shape == data.shape


def test_other_formats_are_left_to_others(tmp_path):
    assert contributions.reader(str(tmp_path / "notes.docx")) is None


def test_saving_a_layer_keeps_the_geometry(viewer, tmp_path):
    volume = io.read(samples()[0].image)
    labels = viewer.add_layer(layers.new_labels(volume, default_classes([1])))
    labels.data[3, 4, 5] = 1
    written = labels.save(str(tmp_path / "saved.nii.gz"), plugin="napari-unet")
    found, grid, classes = io.read_labels(written[0], volume.grid)
    assert np.array_equal(found, labels.data)
    assert np.array_equal(grid.matrix, volume.grid.matrix)
    assert [c.name for c in classes] == ["background", "class 1"]


def test_an_image_made_labels_keeps_its_geometry_when_saved(tmp_path):
    volume = io.read(samples()[0].image)
    ((data, meta, _),) = layers.volume_layers(volume)
    labels = Labels(np.asarray(data) > 50, metadata=meta["metadata"], scale=meta["scale"])
    data, meta, _ = labels.as_layer_data_tuple()
    (written,) = contributions.write_labels(str(tmp_path / "saved.nii.gz"), data, meta)
    assert np.array_equal(io.read(written).grid.matrix, volume.grid.matrix)


def test_somebody_elses_labels_keep_their_voxel_size_and_unit_when_saved(tmp_path):
    labels = Labels(np.ones((3, 4, 5), np.uint8), scale=(2, 0.5, 0.5), units="um")
    data, meta, _ = labels.as_layer_data_tuple()
    (written,) = contributions.write_labels(str(tmp_path / "saved.ome.tif"), data, meta)
    grid = io.read(written).grid
    assert grid.spacing == (2, 0.5, 0.5)
    assert grid.unit == "um"


def test_the_window_opens_without_torch():
    code = "import sys, napari_unet.plugin.dock; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
