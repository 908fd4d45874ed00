import pytest

from napari_unet import read, write_labels

KEYS = {"slice", "score", "uncertainty", "change", "distance", "unit", "reason"}


def test_json_has_the_keys_of_the_contract(run, image, labels, model):
    done = run(
        "suggest", image, "-m", model, "--labels", labels, "--slices", "z:3,6", "-n", "4", "--json"
    )
    assert done.code == 0
    result = done.json
    assert set(result) == {"image", "axis", "suggestions"}
    assert (result["image"], result["axis"]) == (str(image), "z")
    assert len(result["suggestions"]) == 4
    for entry in result["suggestions"]:
        assert set(entry) == KEYS
        assert entry["unit"] == "mm"
        assert entry["distance"] == 2 * min(abs(entry["slice"] - 3), abs(entry["slice"] - 6)) > 0
        assert entry["change"] is None
    reasons = [entry["reason"].split(";")[0] for entry in result["suggestions"]]
    assert reasons == ["unsure about ball"] * 4


def test_nothing_need_be_annotated_yet(run, image, model):
    result = run("suggest", image, "-m", model, "--json").json
    assert result["axis"] == "z"
    assert len(result["suggestions"]) == 3
    assert [entry["distance"] for entry in result["suggestions"]] == [None] * 3


def test_slices_alone_say_what_is_annotated(run, image, labels, model):
    words = ("suggest", image, "-m", model, "--slices", "y:0,23", "--json")
    result = run(*words).json
    assert result["axis"] == "y"
    assert result == run(*words, "--labels", labels).json


def test_unknown_voxels_alone_are_asked_about(run, image, model, ball, tmp_path):
    ball[4] = 9
    path = write_labels(tmp_path / "so-far.nii.gz", ball, read(image).grid)
    words = ("suggest", image, "-m", model, "--labels", path, "--unknown", "9", "--json")
    assert [entry["slice"] for entry in run(*words).json["suggestions"]] == [4]


def test_the_model_before_is_compared_with(run, image, model):
    result = run("suggest", image, "-m", model, "--before", model, "--json").json
    assert [entry["change"] for entry in result["suggestions"]] == [0.0] * 3


def test_people_get_a_line_a_slice(run, image, model):
    lines = run("suggest", image, "-m", model, "--slices", "z:6").out.splitlines()
    assert lines[0].split() == ["score", "why"]
    assert len(lines) == 4
    assert all(line.startswith("z ") for line in lines[1:])
    assert "mm from the nearest annotated slice" in lines[1]


def test_all_annotated(run, image, model):
    every = "z:" + ",".join(map(str, range(12)))
    done = run("suggest", image, "-m", model, "--slices", every)
    assert (done.code, done.out) == (0, "Every slice is annotated.\n")


WRONG = {
    "labels alone": (["--labels", "a.tif"], 2, "name the annotated slices"),
    "no slices wanted": (["-n", "0"], 2, "'0'"),
    "a seed below 0": (["--seed=-1"], 2, "'-1'"),
    "a slice that is not there": (["--slices", "z:12"], 1, "Slice 12 does not exist"),
}


@pytest.mark.parametrize("case", WRONG.values(), ids=WRONG)
def test_wrong_arguments(run, image, model, case):
    words, code, says = case
    done = run("suggest", image, "-m", model, *words, "--json")
    assert done.code == code
    assert says in done.json["error"]
