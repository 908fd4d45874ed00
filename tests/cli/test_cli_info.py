from dataclasses import replace

import pytest

from napari_unet.core.bundled import sample
from napari_unet.engine.model import load_model, save_model

MODEL = {
    "kind", "name", "path", "network", "dims", "channels", "classes", "spacing", "unit",
    "norm", "parameters", "sha256", "parent", "history",
}  # fmt: skip


def test_a_model(run, model):
    result = run("info", model, "--json").json
    assert set(result) >= MODEL
    assert (result["kind"], result["network"], result["dims"]) == ("model", "unet", 3)
    assert [(c["id"], c["name"]) for c in result["classes"]] == [(0, "background"), (1, "ball")]
    assert len(result["sha256"]) == 64
    assert result["parent"] is None
    assert "0 background, 1 ball" in run("info", model).out


def test_what_of_images_a_model_carries(run, model):
    assert run("info", model, "--json").json["exemplars"]["patches"] == 0
    assert "the file holds no image" in run("info", model).out
    carried = run("info", "nuclei-2d", "--json").json["exemplars"]
    assert (carried["patches"], carried["licences"]) == (16, ["CC0 1.0"])
    assert "16 patches of images and labels" in run("info", "nuclei-2d").out


ODD = [
    "yes",
    [1],
    {"mean_dice": 0.5},
    {"mean_dice": "0.5", "slices": 4, "voxels": "a"},
    {"mean_dice": 0.5, "slices": 4, "voxels": 4, "interval": [1]},
]


@pytest.mark.parametrize("held", ODD)
def test_a_history_that_nobody_understands_does_not_hide_the_model(run, model, tmp_path, held):
    odd = replace(load_model(model), history=({"steps": 3, "held_out": held},))
    done = run("info", save_model(odd, tmp_path / "odd.safetensors"))
    assert done.code == 0
    assert "steps 3" in done.out
    assert "what was held out can't be understood" in done.out


@pytest.mark.parametrize(
    ("name", "shape", "unit"),
    [
        ("ovules", [100, 100, 100], "um"),
        ("hippocampus", [34, 55, 37], "mm"),
        ("nuclei-2d", [520, 696], "pixel"),
    ],
)
def test_an_image(run, name, shape, unit):
    result = run("info", sample(name).image, "--json").json
    assert (result["kind"], result["shape"], result["unit"]) == ("image", shape, unit)
    assert len(result["spacing"]) == len(shape)
    assert result["channels"] == ["channel 1"]


def test_neither(run, tmp_path):
    done = run("info", tmp_path / "nothing.tif", "--json")
    assert done.code == 1
    assert "nothing.tif" in done.json["error"]


def test_models_lists_the_users_own_and_names_damaged_ones(run, model, monkeypatch, tmp_path):
    own = tmp_path.parent / f"{tmp_path.name}-data" / "napari-unet" / "models"
    own.mkdir(parents=True)
    (own / "mine.safetensors").write_bytes(model.read_bytes())
    (own / "broken.safetensors").write_bytes(model.read_bytes()[:-9])
    done = run("models", "--json")
    found = {m["name"]: m for m in done.json["models"]}
    assert found["mine"]["origin"] == "yours"
    assert "broken" not in found
    assert "broken.safetensors" in done.err
    assert run("info", "mine", "--json").json["name"] == "tiny"
    assert "mine" in run("models").out
