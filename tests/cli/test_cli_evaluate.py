import numpy as np
import pytest

from napari_unet import Grid, write_labels
from napari_unet.core.classes import BACKGROUND, LabelClass

MEASURES = ("dice", "iou", "hd95", "assd")
KEYS = {*MEASURES, *(f"mean_{m}" for m in MEASURES), "unit", "voxels"}


@pytest.fixture
def shifted(tmp_path, ball):
    """Write the ball one row too far."""
    return write_labels(
        tmp_path / "shifted.tif", np.roll(ball, 1, axis=1), Grid(ball.shape, (2, 1, 1))
    )


def test_json_has_the_keys_of_the_contract(run, labels, shifted):
    done = run("evaluate", labels, shifted, "--reference", labels, labels, "--json")
    assert done.code == 0
    result = done.json
    assert set(result) == {"cases", *KEYS}
    first, second = result["cases"]
    assert set(first) == {"case", *KEYS}
    assert (first["case"], second["case"]) == ("truth.nii.gz", "shifted.tif")
    assert (first["dice"], first["mean_dice"], first["hd95"]) == ({"1": 1.0}, 1.0, {"1": 0.0})
    assert second["hd95"] == {"1": 1.0}
    assert 0.5 < second["mean_dice"] < 1
    assert result["mean_dice"] == pytest.approx((1 + second["mean_dice"]) / 2)
    assert (result["unit"], result["voxels"]) == ("mm", 2 * 12 * 24 * 24)


def test_a_class_that_is_absent_is_null_and_in_no_mean(run, labels, relabel, ball, tmp_path):
    two = write_labels(
        tmp_path / "two.npy", ball + 2 * np.roll(ball, 8, axis=2), Grid(ball.shape, (1,) * 3)
    )
    result = run("evaluate", labels, two, "--reference", labels, two, "--json").json
    assert result["cases"][0]["dice"] == {"1": 1.0, "2": None, "3": None}
    assert result["cases"][0]["mean_dice"] == 1.0
    assert result["dice"] == {"1": 1.0, "2": 1.0, "3": 1.0}
    # Pixels and millimetres have no common mean.
    assert (result["unit"], result["mean_hd95"], result["hd95"]["1"]) == (None, None, None)


def test_objects(run, labels, shifted):
    done = run("evaluate", shifted, "--reference", labels, "--instances", "--json")
    case = done.json["cases"][0]
    assert list(case["ap"]) == ["0.5", "0.6", "0.7", "0.8", "0.9"]
    assert (case["ap"]["0.5"], case["ap"]["0.9"]) == (1.0, 0.0)
    assert done.json["ap"] == case["ap"]


@pytest.mark.parametrize("first", ["full", "empty"])
def test_an_image_without_any_object_is_null_and_in_no_mean(run, labels, ball, tmp_path, first):
    empty = write_labels(tmp_path / "empty.tif", ball * 0, Grid(ball.shape, (2, 1, 1)))
    pairs = (labels, empty) if first == "full" else (empty, labels)
    done = run("evaluate", *pairs, "--reference", *pairs, "--instances", "--json")
    scores = dict.fromkeys(("0.5", "0.6", "0.7", "0.8", "0.9"), 1.0)
    found = {case["case"]: (case["ap"], case["mean_ap"]) for case in done.json["cases"]}
    assert found == {"truth.nii.gz": (scores, 1.0), "empty.tif": (dict.fromkeys(scores), None)}
    assert (done.json["ap"], done.json["mean_ap"]) == (scores, 1.0)
    told = run("evaluate", *pairs, "--reference", *pairs, "--instances")
    row = next(line for line in told.out.splitlines() if line.startswith("empty.tif"))
    assert row.split()[1:] == ["-"] * 9


OBJECTS = np.pad(np.arange(1, 161).reshape(1, 8, 20), ((0, 3), (0, 2), (0, 2)))
PARTS = (OBJECTS + 3) // 4  # 1 to 40
NAMED = (BACKGROUND, LabelClass(1, "cell"))
HAVE_NO_NAME = {
    # name: (labels, their classes, reference, its classes, values that have no name; 0: nothing is said)
    "objects as classes": (OBJECTS, (), OBJECTS, (), 160),
    "objects beside classes": (OBJECTS > 0, NAMED, OBJECTS, (), 159),
    "classes beside few objects": (PARTS, (), PARTS > 0, NAMED, 39),
    "many parts": (PARTS, (), PARTS, (), 0),
    "parts that one side lacks": (PARTS % 8, (), PARTS > 0, NAMED, 0),
}


@pytest.mark.parametrize("case", HAVE_NO_NAME.values(), ids=HAVE_NO_NAME)
def test_objects_that_are_compared_as_classes_are_named(run, tmp_path, case):
    labels, classes, reference, others, count = case
    grid = Grid(labels.shape, (1,) * 3)
    one = write_labels(tmp_path / "one.tif", labels.astype(np.uint16), grid, classes)
    two = write_labels(tmp_path / "two.tif", reference.astype(np.uint16), grid, others)
    done = run("evaluate", one, "--reference", two, "--json")
    says = f"{count} different values that have no name: if they are objects, say so (--instances)."
    assert (says in done.err) == (count > 0)
    assert (says in done.json["cases"][0].get("warning", "")) == (count > 0)
    shown = run("evaluate", one, "--reference", two).out.splitlines()
    assert shown[-1].endswith(says) == (count > 0)
    objects = run("evaluate", one, "--reference", two, "--instances", "--json")
    assert "warning" not in objects.json["cases"][0]
    assert "no name" not in objects.err


def test_people_get_a_table(run, labels, shifted):
    lines = run("evaluate", shifted, "--reference", labels).out.splitlines()
    assert lines[0].split() == ["Dice", "IoU", "HD95", "(mm)", "ASSD", "(mm)"]
    assert lines[1].startswith("shifted.tif")
    assert lines[2].startswith("mean of 1 case(s), 6,912 voxels")
    assert "AP@0.5" in run("evaluate", shifted, "--reference", labels, "--instances").out
