import json
import signal
import subprocess
import sys
import time

import nibabel as nib
import numpy as np
import pytest

from napari_unet import read, read_labels, write_probabilities
from napari_unet.core.grid import Grid
from napari_unet.io.label_journal import LabelJournal


def test_json_has_the_keys_of_the_contract(run, image, model, tmp_path):
    out = tmp_path / "labels.nii.gz"
    done = run("predict", image, "-m", model, "-o", out, "--backend", "torch", "--json")
    assert done.code == 0
    result = done.json
    known = {"outputs", "failed", "voxels", "seconds", "device", "backend", "tiles", "resumed"}
    assert set(result) == known | {"peak_rss_bytes"}
    assert set(result["seconds"]) == {"total", "read", "network", "write"}
    assert result["outputs"] == [str(out)]
    assert result["voxels"] == 12 * 24 * 24
    assert (result["device"], result["backend"]) == ("cpu", "torch")
    assert result["tiles"] == {"total": 8, "run": 8}
    assert result["resumed"] == 0
    assert result["peak_rss_bytes"] > 2**20


@pytest.mark.parametrize("name", ["unsure.nii.gz", "unsure.ome.zarr"])
def test_uncertainty_is_the_entropy_of_the_probabilities(run, image, model, tmp_path, name):
    out, likely, unsure = (tmp_path / n for n in ("labels.ome.zarr", "likely.npy", name))
    words = ("predict", image, "-m", model, "-o", out, "--probabilities", likely)
    assert run(*words, "--uncertainty", unsure).code == 0
    p = np.load(likely).astype(float)
    found = read(unsure)
    assert found.data.dtype == np.float32
    assert found.grid.spacing == read(image).grid.spacing
    expected = -(p * np.log2(p)).sum(axis=0)
    assert found.array()[0] == pytest.approx(expected, abs=5e-3)
    assert run(*words, "--uncertainty", likely).code == 2


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


def test_a_folder_means_the_images_in_it(run, image, model, tmp_path):
    folder = tmp_path / "scans"
    folder.mkdir()
    for name in ("b.nii.gz", "a.nii.gz", ".hidden.nii.gz"):
        (folder / name).write_bytes(image.read_bytes())
    (folder / "notes.txt").write_text("not an image", encoding="utf-8")
    for words in ([], ["--overwrite"]):  # what the first run leaves is no image to the second
        done = run("predict", folder, "-m", model, "-o", folder, "--json", *words)
        expected = [str(folder / f"{name}_labels.nii.gz") for name in "ab"]
        assert done.json["outputs"] == expected


def test_labels_that_nobody_named_are_not_replaced_unasked(run, image, model, tmp_path):
    drawn = tmp_path / "image_labels.nii.gz"
    drawn.write_text("drawn by hand", encoding="utf-8")
    refused = run("predict", image, "-m", model, "-o", tmp_path)
    assert (refused.code, drawn.read_text(encoding="utf-8")) == (1, "drawn by hand")
    assert f"{drawn} exists" in refused.err
    assert run("predict", image, "-m", model, "-o", tmp_path, "--overwrite").code == 0
    assert read_labels(drawn)[0].shape == (12, 24, 24)


REFUSED = {
    # name: (image, model, more words)
    "no such model": ("image.nii.gz", "nobody", []),
    "no such image": ("nothing.nii.gz", None, []),
    "a model that is none": ("image.nii.gz", "image.nii.gz", []),
    "an image for a choice": ("image.nii.gz", None, ["--time", "3"]),
    "a device that is not there": ("image.nii.gz", None, ["--device", "mps"]),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("out", ["labels.ome.zarr", "new/"])
def test_what_is_refused_leaves_nothing(run, image, model, tmp_path, monkeypatch, case, out):
    monkeypatch.chdir(tmp_path)
    name, other, words = case
    done = run("predict", name, "-m", other or model, "-o", out, *words)
    assert done.code == 1
    assert not list(tmp_path.glob("*.partial"))
    assert not list(tmp_path.glob("new/*"))
    assert (tmp_path / "new").exists() == (out == "new/" and bool(words))


WRONG_FOLDERS = {
    # name: (what lies in it, output, what the message says)
    "nothing in it": ([], "out", "holds no image"),
    "one file for it": (["a.nii.gz"], "out.nii.gz", "one file for a folder of images"),
}


@pytest.mark.parametrize("case", WRONG_FOLDERS.values(), ids=WRONG_FOLDERS)
def test_folders_that_are_refused(run, image, model, tmp_path, case):
    names, output, says = case
    (tmp_path / "scans").mkdir()
    for name in names:
        (tmp_path / "scans" / name).write_bytes(image.read_bytes())
    done = run("predict", tmp_path / "scans", "-m", model, "-o", tmp_path / output)
    assert done.code == 2
    assert says in done.err


@pytest.fixture
def scans(image, tmp_path):
    """Write the image three times into a folder, one of them unfit for the model."""

    def call(spoil, which):
        folder = tmp_path / "scans"
        folder.mkdir()
        names = [folder / f"scan{i}.nii.gz" for i in range(3)]
        for name in names:
            name.write_bytes(image.read_bytes())
        spoil(names[which])
        return folder, names[which]

    return call


def damage(scan):
    scan.write_text("no image", encoding="utf-8")


def flatten(scan):
    nib.save(nib.Nifti1Image(np.zeros((24, 24), np.float32), np.eye(4)), scan)


def unlink(scan):
    scan.unlink()
    scan.symlink_to("elsewhere.nii.gz")


@pytest.mark.parametrize(
    ("spoil", "which"), [(damage, 0), (flatten, 1), (damage, 2), (unlink, 0), (unlink, 1)]
)
def test_an_image_that_can_not_be_predicted_spares_the_others(
    run, scans, model, tmp_path, image, spoil, which
):
    folder, bad = scans(spoil, which)
    words = ["predict", folder, "-m", model, "-o", tmp_path / "out", "--json"]
    done = run(*words)
    assert done.code == 1
    [failed] = done.json["failed"]
    assert failed["image"] == str(bad)
    assert f"{bad} is left out: {failed['error']}" in done.err.splitlines()
    assert "1 of 3 images left out" in done.err.splitlines()[-1]
    good = [str(tmp_path / "out" / f"scan{i}_labels.nii.gz") for i in range(3) if i != which]
    assert done.json["outputs"] == good
    assert sorted(map(str, (tmp_path / "out").iterdir())) == good

    assert "--skip-existing" in run(*words).json["error"]
    bad.unlink()
    bad.write_bytes(image.read_bytes())
    mended = run(*words, "--skip-existing")
    assert (mended.code, mended.json["failed"]) == (0, [])
    assert mended.json["outputs"] == [str(tmp_path / "out" / f"scan{which}_labels.nii.gz")]
    assert "2 of 3 images have labels already" in mended.err
    again = run(*words, "--skip-existing")
    assert (again.code, again.json["outputs"]) == (0, [])


def test_a_device_that_is_not_there_is_no_fault_of_an_image(run, scans, model, tmp_path):
    folder, _ = scans(damage, 2)
    done = run("predict", folder, "-m", model, "-o", tmp_path / "out", "--device", "mps", "--json")
    assert done.code == 1
    assert "choose auto" in done.json["error"]


@pytest.mark.parametrize("words", [[], ["--instances"]])
def test_a_zarr_holds_the_same_labels(run, image, model, tmp_path, words):
    words = [*words, "--backend", "torch"]
    outputs = [tmp_path / "labels.nii.gz", tmp_path / "labels.ome.zarr"]
    for out in outputs:
        assert run("predict", image, "-m", model, "-o", out, *words).code == 0
    (plain, _, names), (stored, _, named) = map(read_labels, outputs)
    assert np.array_equal(plain, stored)
    assert [c.name for c in names] == [c.name for c in named]
    assert not list(tmp_path.glob("*.partial"))


@pytest.fixture
def large(tmp_path):
    """Write noise that takes the tiny model a second or two."""
    values = np.random.default_rng(0).standard_normal((1, 40, 112, 112), np.float32)
    grid = Grid(values.shape[1:], (1.0, 1.0, 1.0), "mm")
    return write_probabilities(tmp_path / "large.nii.gz", values, grid)


def interrupt(words, partial, how):
    """Run a command in a process of its own, and send it a signal about half through."""
    journal = partial / "journal"
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while process.poll() is None:
        if journal.is_file() and journal.stat().st_size > 250_000:
            process.send_signal(how)
            break
        time.sleep(0.005)
    out, err = process.communicate()
    return process.returncode, out, err


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize(("how", "code"), [(signal.SIGKILL, -9), (signal.SIGINT, 130)])
def test_an_interrupted_zarr_goes_on_where_it_stopped(run, large, model, tmp_path, how, code):
    words = ["predict", large, "-m", model, "--backend", "torch", "--json", "-o"]
    whole = run(*words, tmp_path / "whole.ome.zarr")
    out, partial = tmp_path / "out.ome.zarr", tmp_path / "out.ome.zarr.partial"
    command = [sys.executable, "-m", "napari_unet", *map(str, words), str(out)]
    returned, _, err = interrupt(command, partial, how)
    assert returned == code, err
    assert not out.exists()
    journal = LabelJournal(partial / "journal")
    finished = journal.final
    journal.close()
    assert finished

    other = run(*words, out, "--overlap", "0.5")
    assert other.code == 1
    assert "another overlap" in other.err

    again = run(*words, out)
    assert again.code == 0
    assert f"{len(finished)} of " in again.err
    assert again.json["resumed"] == len(finished)
    assert again.json["outputs"] == [str(out)]
    assert again.json["tiles"]["total"] == whole.json["tiles"]["run"]
    assert again.json["tiles"]["run"] < 0.9 * whole.json["tiles"]["run"]
    assert np.array_equal(read_labels(out)[0], read_labels(tmp_path / "whole.ome.zarr")[0])
    assert not partial.exists()


def test_ctrl_c_between_images_keeps_those_that_are_done(run, image, large, model, tmp_path):
    del run  # its data folder is not needed: this one is a process of its own
    out = tmp_path / "out"
    words = ["predict", image, large, "-m", model, "-o", out, "--backend", "torch", "--json"]
    command = [sys.executable, "-m", "napari_unet", *map(str, words)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        if "(2 of 2)" in line:
            process.send_signal(signal.SIGINT)
            break
    printed, _ = process.communicate()
    assert process.returncode == 130
    assert json.loads(printed)["outputs"] == [str(out / "image_labels.nii.gz")]
    assert [path.name for path in out.iterdir()] == ["image_labels.nii.gz"]
