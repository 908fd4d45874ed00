import json

import nibabel as nib
import numpy as np
import pytest

from napari_unet import read, read_labels


def test_json_has_the_keys_of_the_contract(run, image, model, tmp_path):
    out = tmp_path / "labels.nii.gz"
    done = run("predict", image, "-m", model, "-o", out, "--backend", "torch", "--json")
    assert done.code == 0
    result = done.json
    assert set(result) == {"outputs", "voxels", "seconds", "device", "backend", "peak_rss_bytes"}
    assert set(result["seconds"]) == {"total", "read", "network", "write"}
    assert result["outputs"] == [str(out)]
    assert result["voxels"] == 12 * 24 * 24
    assert (result["device"], result["backend"]) == ("cpu", "torch")
    assert result["peak_rss_bytes"] > 2**20


def test_labels_lie_where_the_image_lies_and_know_their_classes(run, image, model, tmp_path):
    out = tmp_path / "labels.nii.gz"
    done = run("predict", image, "-m", model, "-o", out)
    assert done.out == f"{out}\n"
    assert np.array_equal(nib.load(out).affine, nib.load(image).affine)
    labels, _, classes = read_labels(out, read(image).grid)
    assert labels.dtype == np.uint8
    assert [c.name for c in classes] == ["background", "ball"]


def test_several_images_go_into_a_folder(run, image, model, tmp_path):
    other = tmp_path / "other.nii.gz"
    other.write_bytes(image.read_bytes())
    folder = tmp_path / "out"
    done = run("predict", image, other, "-m", model, "-o", folder, "--json")
    assert done.json["voxels"] == 2 * 12 * 24 * 24
    names = ["image_labels.nii.gz", "other_labels.nii.gz"]
    assert done.json["outputs"] == [str(folder / name) for name in names]
    assert sorted(path.name for path in folder.iterdir()) == names


def test_probabilities_and_objects(run, image, model, tmp_path):
    out, probabilities = tmp_path / "labels.tif", tmp_path / "p.nii.gz"
    words = ["-o", out, "--probabilities", probabilities, "--instances", "--overlap", "0"]
    assert run("predict", image, "-m", model, *words).code == 0
    assert read(probabilities, channel_axis=3).array().sum(axis=0) == pytest.approx(1, abs=1e-2)
    # Objects are not classes, so no name of a class is written.
    assert read_labels(out)[2] == ()


def test_labels_and_probabilities_never_share_a_file(run, image, model, tmp_path):
    out = tmp_path / "both.nii.gz"
    assert run("predict", image, "-m", model, "-o", out, "--probabilities", out).code == 2
    assert not out.exists()


def test_an_existing_result_is_replaced_whole(run, image, model, tmp_path):
    out = tmp_path / "labels.npy"
    out.write_text("old", encoding="utf-8")
    assert run("predict", image, "-m", model, "-o", out).code == 0
    assert np.load(out).shape == (12, 24, 24)


def test_a_series_asks_for_a_choice_and_takes_it(run, model, tmp_path):
    series = tmp_path / "series.nii.gz"
    values = np.random.default_rng(0).random((8, 8, 4, 3), dtype=np.float32)
    nib.save(nib.Nifti1Image(values, np.eye(4)), series)
    out = tmp_path / "labels.nii.gz"
    refused = run("predict", series, "-m", model, "-o", out)
    assert refused.code == 1
    assert not out.exists()
    assert run("predict", series, "-m", model, "-o", out, "--time", "1").code == 0
    assert nib.load(out).shape == (8, 8, 4)


def test_progress_goes_to_standard_error(run, image, model, tmp_path):
    done = run("predict", image, "-m", model, "-o", tmp_path / "l.tif", "--json")
    assert "prepare" in done.err or "predict" in done.err
    assert json.loads(done.out)
