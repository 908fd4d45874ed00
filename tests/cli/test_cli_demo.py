import imageio.v3 as imageio
import nibabel as nib
import numpy as np
import pytest

from napari_unet.cli.demo import CORRECTED, FILES, MEASURED
from napari_unet.core.bundled import sample
from napari_unet.io import read_labels


def test_no_nucleus_is_both_learned_and_measured():
    reference, _, _ = read_labels(sample("ovules").labels)
    learned = set(np.unique(reference[list(CORRECTED)])) - {0}
    measured = set(np.unique(reference[MEASURED])) - {0}
    assert learned
    assert measured
    assert not learned & measured


@pytest.mark.skipif("sys.platform != 'linux'")
def test_without_a_display_it_says_what_to_do(run, monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    done = run("demo")
    assert done.code == 1
    assert "add --headless" in done.err


@pytest.mark.parametrize("name", FILES.values())
def test_what_is_there_is_not_replaced(run, tmp_path, name):
    (tmp_path / name).write_text("mine", encoding="utf-8")
    done = run("demo", "--headless", "-o", tmp_path)
    assert done.code == 1
    assert f"{tmp_path / name} exists" in done.err
    assert "1. Predict" not in done.err
    assert [path.read_text(encoding="utf-8") for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.slow
def test_the_whole_loop_without_a_window(run, tmp_path):
    done = run("demo", "--headless", "--minutes", "0.5", "-o", tmp_path / "out", "--json")
    assert done.code == 0
    result = done.json
    assert 0 <= result["before"]["dice"] < result["after"]["dice"] <= 1
    assert result["measured"] == list(range(64, 100))
    assert not set(result["measured"]) & set(result["corrected"])
    assert {p.name for p in (tmp_path / "out").iterdir()} == set(FILES.values())
    image = nib.load(sample("ovules").image)
    for name in ("before", "after"):
        labels = nib.load(result["outputs"][name])
        assert np.array_equal(labels.affine, image.affine)
        assert labels.shape == image.shape
    assert imageio.imread(result["outputs"]["picture"]).ndim == 3
