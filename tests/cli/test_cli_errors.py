"""What goes wrong is told in one sentence that names the file and the remedy; nothing is written."""

import nibabel as nib
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file


def truncated(image, **files):
    image.write_bytes(image.read_bytes()[:-2000])
    return image


def text(tmp_path, **files):
    path = tmp_path / "notes.tif"
    path.write_text("These are notes, and no image.\n" * 20, encoding="utf-8")
    return path


def missing(tmp_path, **files):
    return tmp_path / "gone.nii.gz"


def other_shape(tmp_path, **files):
    path = tmp_path / "other.nii.gz"
    nib.save(nib.Nifti1Image(np.zeros((24, 24, 11), np.uint8), np.diag([1, 1, 2, 1])), path)
    return path


def nothing_known(labels, relabel, ball, **files):
    relabel(np.full_like(ball, 255))
    return labels


def larger_voxels(image, tmp_path, **files):
    """Write the image with voxels a thousand times as long."""
    path = tmp_path / "larger.nii.gz"
    source = nib.load(image)
    nib.save(nib.Nifti1Image(np.asarray(source.dataobj), np.diag([1e3, 1e3, 2e3, 1])), path)
    return path


def outlined(labels, relabel, ball, **files):
    """Give each voxel of the ball an id of its own."""
    relabel(ball * np.arange(ball.size).reshape(ball.shape))
    return labels


def turned_weights(tmp_path, model, **files):
    """Save the model with one weight of another shape and the same size."""
    weights = load_file(model)
    with safe_open(model, "numpy") as file:
        metadata = file.metadata()
    name, weight = next((n, w) for n, w in weights.items() if w.ndim == 5 and w.shape[0] > 1)
    weights[name] = weight.reshape(1, -1, *weight.shape[2:])
    path = tmp_path / "turned.safetensors"
    save_file(weights, path, metadata)
    return path


def unwritable(tmp_path, **files):
    """Make a place that not even root can write to: a file in the place of a folder."""
    path = tmp_path / "full"
    path.touch()
    return path / "result"


PREDICT = "predict {image} -m {model} -o {out}.nii.gz"
TRAIN = "train --image {image} --labels {labels} --steps 1 -o {out}.safetensors"

CASES = {
    # name: (what makes the trouble, the command, what the message must say)
    "truncated image": (truncated, "predict {bad} -m {model} -o {out}.nii.gz", "cut short"),
    "truncated image to learn from": (truncated, TRAIN, "cut short"),
    "text named .tif": (text, "predict {bad} -m {model} -o {out}.tif", "of another format"),
    "text named .tif, looked at": (text, "info {bad}", "of another format"),
    "missing image": (missing, "predict {bad} -m {model} -o {out}.nii.gz", "does not exist"),
    "missing labels": (
        missing,
        "train --image {image} --labels {bad} --steps 1 -o {out}.safetensors",
        "does not exist",
    ),
    "labels of another shape": (
        other_shape,
        "train --image {image} --labels {bad} --steps 1 -o {out}.safetensors",
        "(11, 24, 24)",
    ),
    "labels of another shape to judge": (
        other_shape,
        "evaluate {bad} --reference {labels}",
        "(11, 24, 24)",
    ),
    "nothing known": (nothing_known, TRAIN + " --unknown 255", "mark at least one slice"),
    "objects taken for classes": (outlined, TRAIN, "say so (--instances)"),
    "objects taken for classes beside those of a base": (
        outlined,
        TRAIN + " --base {model}",
        "say so (--instances)",
    ),
    "weights of another shape": (
        turned_weights,
        "predict {image} -m {bad} -o {out}.nii.gz",
        "shape",
    ),
    "voxels of quite another size": (
        larger_voxels,
        "predict {bad} -m {model} -o {out}.nii.gz",
        "1,000 times less: correct the voxel size",
    ),
    "voxels of quite another size to choose slices of": (
        larger_voxels,
        "suggest {bad} -m {model}",
        "1,000 times less: correct the voxel size",
    ),
    "no model": (missing, "predict {image} -m {bad} -o {out}.nii.gz", "no model"),
    "unwritable folder for labels": (
        unwritable,
        "predict {image} -m {model} -o {bad}.nii.gz",
        "choose another folder",
    ),
    "unwritable folder for a model": (
        unwritable,
        "train --image {image} --labels {labels} --steps 1 -o {bad}.safetensors",
        "choose another folder",
    ),
    "unwritable folder for the demo": (unwritable, "demo --headless -o {bad}", "another folder"),
    "no such device": (
        missing,
        "predict {image} -m {model} -o {out}.nii.gz --device mps",
        "choose auto",
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_one_sentence_and_nothing_written(run, image, labels, model, relabel, ball, tmp_path, case):
    spoil, command, says = case
    files = {"image": image, "labels": labels, "model": model}
    bad = spoil(**files, tmp_path=tmp_path, relabel=relabel, ball=ball)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    words = command.format(**files, bad=bad, out=tmp_path / "result").split()
    done = run(*words, "--json")
    assert done.code == 1
    message = done.json["error"]
    assert done.err.splitlines()[-1] == message
    assert "Traceback" not in done.err
    assert "Unexpected" not in message
    assert message.endswith(".")
    assert says in message
    if "{bad}" in command:
        assert bad.name.removesuffix(".nii.gz") in message or bad.parent.name in message
    after = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert after == before
