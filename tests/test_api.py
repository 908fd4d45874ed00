import subprocess
import sys

import numpy as np
import pytest

import napari_unet as nu

RNG = np.random.default_rng(0)


def test_exported_members():
    public = [name for name in dir(nu) if not name.startswith("_")]
    assert nu.__all__ == sorted(nu.__all__)
    assert public == nu.__all__
    assert all(getattr(nu, name) is not None for name in nu.__all__)


def test_a_name_that_is_not_there():
    with pytest.raises(AttributeError, match="segment"):
        nu.segment  # noqa: B018


def test_importing_the_package_loads_neither_torch_nor_napari():
    code = (
        "import sys, napari_unet\n"
        "heavy = {'torch', 'monai', 'napari', 'qtpy'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.fixture
def case():
    """A bright ball on noise, and its labels."""
    z, y, x = np.ogrid[:12, :24, :24]
    labels = ((z - 6) ** 2 * 4 + (y - 12) ** 2 + (x - 12) ** 2 < 64).astype(np.uint8)
    image = labels * 3 + RNG.standard_normal(labels.shape)
    return nu.Volume.from_array(image.astype(np.float32), (2.0, 1.0, 1.0), "um"), labels


def test_the_loop_of_the_readme(case, tmp_path):
    volume, labels = case
    annotation = nu.Annotation.from_slices(labels, axis=0, done=[2, 4, 6, 8, 10])
    reports = []
    first = nu.finetune(
        [(volume, annotation)], steps=2, seed=1, holdout=0.2, on_progress=reports.append
    )
    better = nu.finetune([(volume, annotation)], base=first, steps=2)
    assert reports[-1].stage == "train"
    assert better.parent == first.sha256
    assert [entry["steps"] for entry in better.history] == [2, 2]

    path = nu.save_model(better, tmp_path / "mine.safetensors")
    prediction = nu.predict(volume, nu.load_model(path), overlap=0.5, keep_probabilities=True)
    assert prediction.model == better.sha256
    assert prediction.labels.shape == volume.grid.shape
    assert prediction.probabilities.shape == (2, *volume.grid.shape)

    out = tmp_path / "labels.nii.gz"
    nu.write_labels(out, prediction.labels, prediction.grid, prediction.classes)
    nu.write_probabilities(tmp_path / "p.nii.gz", prediction.probabilities, prediction.grid)
    again, grid, classes = nu.read_labels(out, nu.read(out).grid)
    assert np.array_equal(again, prediction.labels)
    assert grid.spacing == pytest.approx(volume.grid.spacing)
    assert classes == prediction.classes
    assert 0 <= nu.evaluate(again, labels, grid)["mean_dice"] <= 1


@pytest.mark.parametrize("call", [nu.predict, nu.finetune])
def test_an_unknown_choice_is_refused(case, call):
    with pytest.raises(TypeError, match="overlapp"):
        call(case[0], None, overlapp=0.5)


def test_choices_are_checked_like_settings(case):
    with pytest.raises(nu.UNetError, match="Overlap"):
        nu.predict(case[0], None, nu.PredictSettings(), overlap=2)
