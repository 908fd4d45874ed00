import pytest

from conftest import CLASSES, GRID
from napari_unet import load_model
from napari_unet.core.classes import LabelClass
from napari_unet.io import write_labels


@pytest.fixture
def change(run, model, tmp_path):
    out = tmp_path / "new.safetensors"
    return lambda *words: run("classes", model, *words, "-o", out), out


def test_classes_are_added_renamed_and_merged(change, run, tmp_path, model):
    call, out = change
    done = call("--add", "2=vessel wall", "5=lumen", "--rename", "1=cell", "--json")
    assert done.code == 0
    assert [(c["id"], c["name"]) for c in done.json["classes"]] == [
        (0, "background"),
        (1, "cell"),
        (2, "vessel wall"),
        (5, "lumen"),
    ]
    assert load_model(out).parent == load_model(model).sha256
    last = tmp_path / "last.safetensors"
    done = run("classes", out, "--merge", "2=1", "--remove", "5", "-o", last)
    assert done.code == 0
    assert "napari-unet train --base" in done.out
    assert [c.id for c in load_model(last).spec.classes] == [0, 1]
    assert load_model(last).history[-1]["merged"] == {"2": 1}


def test_labels_from_before_a_merge_teach_the_class_that_took_theirs(
    change, run, tmp_path, image, labels, ball
):
    call, out = change
    assert call("--add", "2=shell").code == 0
    one = tmp_path / "one.safetensors"
    assert run("classes", out, "--merge", "2=1", "-o", one).code == 0
    ball[5] *= 2
    write_labels(labels, ball, GRID, (*CLASSES, LabelClass(2, "shell")))
    words = ["--labels", labels, "--steps", "1", "--base", one, "-o", tmp_path / "two.safetensors"]
    done = run("train", "--image", image, *words)
    assert done.code == 0
    assert "label 2 counts as ball" in done.err
    assert [c.id for c in load_model(tmp_path / "two.safetensors").spec.classes] == [0, 1]


def test_classes_are_described_and_put_in_order(change, run):
    call, out = change
    done = call("--add", "4=lumen", "--describe", "1=round, 5 mm", "--order", "4", "1", "--json")
    found = [(c["id"], c["name"], c["description"]) for c in done.json["classes"]]
    assert found == [(0, "background", ""), (4, "lumen", ""), (1, "ball", "round, 5 mm")]
    assert "0 background, 4 lumen, 1 ball (round, 5 mm)" in run("info", out).out


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--rename", "3=cell"], 2, "There is no class 3 to change; the model has 0 background, 1"),
        (["--remove", "0"], 2, "There is no class 0"),
        (["--describe", "3=round"], 2, "There is no class 3"),
        (["--order", "3", "1"], 2, "There is no class 3"),
        (["--add", "1=cell"], 2, "Class 1 is there already (ball)"),
        (["--add", "cell"], 2, "3=vessel"),
        (["--merge", "2=x"], 2, "2=1"),
        (["--merge", "1=4"], 2, "can't be merged"),
        (["--remove", "1"], 1, "at least one class"),
    ],
)
def test_what_makes_no_sense_is_refused(change, words, code, message):
    call, out = change
    done = call(*words)
    assert done.code == code
    assert message in done.err
    assert not out.exists()
