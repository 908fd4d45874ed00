import io
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from napari_unet import Annotation, load_model, read
from napari_unet.engine.exemplars import chosen
from napari_unet.engine.model import save_model
from napari_unet.io import read_labels

VALIDATION = {
    "mean_dice", "interval", "per_class", "classes", "slices", "voxels", "enough"
}  # fmt: skip
RESULT = {
    "model", "steps", "seconds", "device", "validation", "promoted", "base_dice", "base", "verdict",
    "difference", "old_task",
}  # fmt: skip


@pytest.fixture
def train(run, image, labels, tmp_path):
    def call(*words):
        out = tmp_path / "new.safetensors"
        case = ["--image", image, "--labels", labels]
        return run("train", *case, *words, "--steps", "2", "-o", out)

    return call


def test_json_has_the_keys_of_the_contract(train, tmp_path):
    done = train("--slices", "z:2,4,6,8,10", "--holdout", "0.2", "--seed", "3", "--json")
    assert done.code == 0
    result = done.json
    assert set(result) == RESULT
    assert set(result["validation"]) == VALIDATION
    assert result["model"] == str(tmp_path / "new.safetensors")
    assert (result["steps"], result["promoted"], result["base_dice"]) == (2, True, None)
    assert result["validation"]["slices"] == 1
    assert (result["validation"]["enough"], result["validation"]["interval"]) == (False, None)
    assert result["verdict"] == "no base"
    assert result["validation"]["voxels"] == result["validation"]["slices"] * 24 * 24


def test_classes_keep_their_names(train, tmp_path):
    train()
    model = load_model(tmp_path / "new.safetensors")
    assert [c.name for c in model.spec.classes] == ["background", "ball"]
    assert model.name == "new"


def test_people_are_told_how_good_it_is_and_on_what_that_was_measured(train, model):
    """Each second slice of twelve is annotated, and half of those kept aside."""
    words = ["--slices", "z:0,2,4,6,8,10", "--holdout", "0.5", "--base", model]
    done = train(*words)
    assert re.search(
        r"held-out Dice \d.\d+ \(\d.\d+ to \d.\d+\) on 3 slices, 1,728 voxels", done.out
    )
    assert re.search(r"ball: .*, \d+ voxels on \d of them; the base \d", done.out)
    assert re.search(r"the base on the same voxels: \d.\d+; gain [+-]\d.\d+ to [+-]\d", done.out)
    result = train(*words, "--json").json
    low, high = result["validation"]["interval"]
    assert low <= result["validation"]["mean_dice"] <= high
    assert set(result["validation"]["classes"]["1"]) == {"dice", "interval", "slices", "voxels"}
    assert result["promoted"] == (result["verdict"] == "better") == (result["difference"][0] > 0)
    assert result["base"]["voxels"] == result["validation"]["voxels"]


def test_a_new_model_learns_from_every_one_of_a_few_slices(train):
    done = train("--slices", "z:2,4,6,8,10", "--json")
    assert done.json["validation"]["slices"] == 0
    assert done.json["validation"]["mean_dice"] is None
    assert "the model is not measured" in done.err


def test_nothing_is_claimed_on_too_few_slices(train, model):
    done = train("--slices", "z:2,4,6,8,10", "--base", model)
    assert "too few to tell how good it is: 1 slice held out, and 3 are needed" in done.out
    assert "too few to tell whether it is better than its base" in done.out
    assert "Dice" not in done.out


def test_descendants_are_measured_on_the_same_slices(train, model, run, image, labels, tmp_path):
    slices = ["--slices", "z:0,2,4,6,8,10", "--holdout", "0.34"]
    train(*slices, "--base", model)
    first = load_model(tmp_path / "new.safetensors").history[-1]["split"]
    case = ["--image", image, "--labels", labels, *slices, "--seed", "5", "--steps", "1"]
    out = tmp_path / "next.safetensors"
    assert run("train", *case, "--base", tmp_path / "new.safetensors", "-o", out).code == 0
    history = load_model(out).history
    assert history[-2]["split"] == first
    assert history[-1]["split"] == []
    assert history[-1]["held_out"]["slices"] == history[-2]["held_out"]["slices"] == 3


def test_a_base_is_named_as_the_parent(train, model, image, labels, tmp_path):
    rehearsed = ["--replay", f"{image}={labels}"]
    done = train("--slices", "z:2,4,6,8,10", "--base", model, *rehearsed, "--json")
    assert isinstance(done.json["base_dice"], float)
    assert load_model(tmp_path / "new.safetensors").parent == load_model(model).sha256


def test_exemplars_travel_only_when_asked_for_and_are_rehearsed(
    train, model, run, image, labels, tmp_path
):
    slices = ["--slices", "z:2,4,6,8,10"]
    new = tmp_path / "new.safetensors"
    done = train(*slices, "--base", model, "--json")
    assert load_model(new).exemplars == ()
    assert done.json["old_task"] is None
    train(*slices, "--base", model, "--exemplars")
    assert load_model(new).exemplars
    case = ["--image", image, "--labels", labels, *slices, "--steps", "1"]
    done = run("train", *case, "--base", new, "-o", tmp_path / "next.safetensors", "--json")
    assert done.json["old_task"] == {"before": None, "after": None, "patches": 0, "rehearsed": 1}
    # That patch is the whole image, and of one none can be kept aside; a smaller tile gives more.
    volume, base = read(image), load_model(model)
    drawn = Annotation.full(read_labels(labels, volume.grid)[0])
    save_model(replace(base, exemplars=chosen([(volume, drawn)], base.spec, 0)), new)
    done = run("train", *case, "--base", new, "--no-rehearse", "-o", tmp_path / "o.safetensors")
    assert re.search(r"old task: Dice .* on [0-9]+ of the patches .* kept aside; 0 were", done.out)


def test_a_new_class_joins_those_of_the_base(train, model, relabel, ball, tmp_path):
    relabel(ball * 5)
    train("--base", model)
    classes = load_model(tmp_path / "new.safetensors").spec.classes
    assert [(c.id, c.name) for c in classes] == [
        (0, "background"),
        (1, "ball"),
        (5, "class 5"),
    ]


def test_objects(train, relabel, ball, tmp_path):
    relabel(ball * 7)
    train("--instances", "--network", "residual", "--dims", "2")
    spec = load_model(tmp_path / "new.safetensors").spec
    assert (spec.target, spec.network, spec.dims) == ("instances", "residual", 2)
    assert len(spec.classes) == 2


def test_unknown_voxels_do_not_count(train, relabel, ball, tmp_path):
    ball[6:] = 255
    relabel(ball)
    train("--slices", "z:3,5,7", "--unknown", "255", "--holdout", "0")
    model = load_model(tmp_path / "new.safetensors")
    assert [c.id for c in model.spec.classes] == [0, 1]
    assert model.history[-1]["known_voxels"] == 2 * 24 * 24


def test_slices_belong_to_images_in_order(run, image, labels, tmp_path):
    out = tmp_path / "new.safetensors"
    case = ["--image", image, image, "--labels", labels, "--labels", labels]
    words = ["--slices", "z:1,3", "--slices", "y:4,8", "--steps", "1", "--holdout", "0"]
    assert run("train", *case, *words, "-o", out).code == 0
    expected = 2 * 24 * 24 + 2 * 12 * 24
    assert load_model(out).history[-1]["known_voxels"] == expected


def test_orientations_and_boxes_are_joined(train, tmp_path):
    done = train("--slices", "z:3+y:4,8+box:6:10,12:20,0:5", "--holdout", "0")
    assert done.code == 0
    known = np.zeros((12, 24, 24), bool)
    known[3] = known[:, [4, 8]] = known[6:10, 12:20, :5] = True
    model = load_model(tmp_path / "new.safetensors")
    assert model.history[-1]["known_voxels"] == known.sum()


@pytest.mark.parametrize(
    ("words", "code"), [("z:3+q:4", 2), ("box:3,4", 2), ("box:0:2", 2), ("box:0:2,0:3,0:99", 1)]
)
def test_parts_that_make_no_sense(train, words, code):
    done = train("--slices", words)
    assert done.code == code
    assert "box" in done.err


def test_a_slice_that_is_not_there(train, labels):
    done = train("--slices", "z:3,99")
    assert done.code == 1
    assert str(labels) in done.err
    assert "slices 0 to 11" in done.err


@pytest.fixture
def stopped(image, labels):
    """Press Ctrl+C early in a training of half an hour; returns exit code, report and messages."""

    def call(out):
        words = ["train", "--image", image, "--labels", labels, "--minutes", "30", "-o", out]
        with subprocess.Popen(
            [sys.executable, "-m", "napari_unet", *map(str, words)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            for line in process.stderr:
                if line.startswith("train"):
                    process.send_signal(signal.SIGINT)
                    break
            report, messages = process.communicate(timeout=240)
        return process.returncode, report, messages

    return call


@pytest.mark.skipif(os.name == "nt", reason="Windows sends no SIGINT to a single process")
def test_ctrl_c_keeps_the_best_so_far(stopped, tmp_path):
    out = tmp_path / "new.safetensors"
    code, report, _ = stopped(out)
    assert code == 130
    assert str(out) in report
    assert np.isfinite(load_model(out).parameters)


@pytest.mark.skipif(os.name == "nt", reason="Windows sends no SIGINT to a single process")
def test_a_stopped_training_replaces_no_model(stopped, train, model, tmp_path):
    out, beside = tmp_path / "new.safetensors", tmp_path / "new-stopped.safetensors"
    out.write_bytes(model.read_bytes())
    code, report, messages = stopped(out)
    assert code == 130
    assert out.read_bytes() == model.read_bytes()
    assert str(beside) in report
    assert f"{out} is not replaced, since training was stopped" in messages
    assert load_model(beside).name == "new-stopped"
    assert train().code == 0  # one that has run to its end does replace it
    assert load_model(out).name == "new"


class Pressed(io.StringIO):
    """Standard error at which somebody presses Ctrl+C as soon as an image was read."""

    def write(self, text):
        if text.startswith("read "):
            signal.raise_signal(signal.SIGINT)
        return super().write(text)


def test_ctrl_c_before_the_first_step_leaves_no_model(train, tmp_path, monkeypatch):
    pressed = Pressed()
    monkeypatch.setattr(sys, "stderr", pressed)
    assert train("--json").code == 130
    assert "nothing was learned" in pressed.getvalue()
    assert not list(tmp_path.glob("new*"))
