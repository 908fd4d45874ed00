from pathlib import Path

import pytest

from napari_unet.cli.command import UsageError
from napari_unet.cli.outputs import (
    image_file,
    label_files,
    label_name,
    model_file,
    require_folders,
    stopped_file,
)
from napari_unet.errors import WriteError

NAMES = {
    "brain.nii.gz": "brain_labels.nii.gz",
    "brain.nii": "brain_labels.nii",
    "old.img": "old_labels.tif",
    "cells.ome.tif": "cells_labels.ome.tif",
    "cells.TIFF": "cells_labels.tiff",
    "photo.v2.png": "photo.v2_labels.tif",
    "embryo.ome.zarr": "embryo_labels.ome.zarr",
    "array.npy": "array_labels.npy",
}


@pytest.mark.parametrize(("image", "labels"), NAMES.items())
def test_labels_are_named_after_their_image(image, labels):
    assert label_name(Path("somewhere") / image) == labels


PLANS = {
    # name: (images, output, what becomes of them, both below a folder)
    "a file": (["a.tif"], "out.nii.gz", ["out.nii.gz"]),
    "a folder that is there": (["a.tif"], "there", ["there/a_labels.tif"]),
    "a folder that is not": (["a.tif"], "new/", ["new/a_labels.tif"]),
    "several images": (["a.tif", "b.npy"], "new", ["new/a_labels.tif", "new/b_labels.npy"]),
    "a zarr that is there": (["a.tif"], "there.ome.zarr", ["there.ome.zarr"]),
    "a zarr with a slash": (["a.tif"], "there.ome.zarr/", ["there.ome.zarr"]),
    "a new zarr with a slash": (["a.tif"], "new.ZARR/", ["new.ZARR"]),
}


@pytest.mark.parametrize("case", PLANS.values(), ids=PLANS)
def test_where_labels_go(tmp_path, case):
    images, output, expected = case
    (tmp_path / "there").mkdir()
    (tmp_path / "there.ome.zarr").mkdir()
    found = label_files([tmp_path / image for image in images], f"{tmp_path}/{output}")
    assert found == [tmp_path / name for name in expected]


REFUSED = {
    # name: (images, output, error, what the message must say)
    "the input itself": (["a.tif"], "a.tif", WriteError, "would be overwritten"),
    "one file for two": (["a.tif", "b.tif"], "c.tif", UsageError, "one file for 2 images"),
    "one name for two": (["a.tif", "deep/a.tif"], "c", UsageError, "a_labels.tif"),
    "an unknown format": (["a.tif"], "c.mp4", WriteError, "end its name in one of .nii.gz"),
    "a format to read only": (["a.tif"], "c.png", WriteError, "end its name in one of .nii.gz"),
    "two into a zarr": (["a.tif", "b.tif"], "c.zarr/", UsageError, "one file for 2 images"),
    "inside a zarr": (["a.tif"], "store/a.npy", WriteError, "inside the Zarr"),
    "inside one without an ending": (["a.tif"], "store", WriteError, "inside the Zarr"),
    "deep inside a zarr": (["a.tif", "b.tif"], "store/labels/new", WriteError, "inside the Zarr"),
    "a name too long": (["a.tif"], "x" * 252 + ".tif", WriteError, "too long"),
    "a name of ours too long": (["x" * 250 + ".tif"], "new/", WriteError, "too long"),
    "no name": (["a.tif"], None, UsageError, "no name"),
    "a folder for a file": (["a.tif"], "folder.tif", WriteError, "is a folder"),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_where_labels_can_not_go(tmp_path, case):
    images, output, error, says = case
    (tmp_path / "file").touch()
    (tmp_path / "folder.tif").mkdir()
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "zarr.json").touch()
    with pytest.raises(error, match=says):
        label_files(
            [tmp_path / image for image in images], f"{tmp_path}/{output}" if output else ""
        )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.tif", "store"]
    assert len(list((tmp_path / "store").iterdir())) == 1


@pytest.mark.parametrize("output", ["not/there/c.tif", "file/c.tif"])
def test_folders_that_can_not_be_written_into(tmp_path, output):
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match="choose another folder"):
        require_folders([tmp_path / "c.tif", tmp_path / output])


def test_a_name_that_nobody_wrote_is_never_replaced_unasked(tmp_path):
    images = [tmp_path / name for name in ("a.tif", "b.tif", "c.tif")]
    for name in ("b_labels.tif", "c_labels.tif"):
        (tmp_path / name).touch()
    with pytest.raises(WriteError, match=r"b_labels.tif \(and 1 more\) exists"):
        label_files(images, str(tmp_path))
    assert label_files(images[:1], str(tmp_path)) == [tmp_path / "a_labels.tif"]
    assert len(label_files(images, str(tmp_path), overwrite=True)) == 3
    named = tmp_path / "b_labels.tif"
    assert label_files(images[1:2], str(named)) == [named]


def test_a_link_to_the_input_is_the_input(tmp_path):
    image = tmp_path / "a.tif"
    image.touch()
    link = tmp_path / "link.tif"
    link.symlink_to(image)
    with pytest.raises(WriteError, match="would be overwritten"):
        image_file(link, [image])


def test_a_model_has_an_ending_of_its_own(tmp_path):
    assert model_file(tmp_path / "m.safetensors") == tmp_path / "m.safetensors"
    with pytest.raises(WriteError, match=r"end it in \.safetensors"):
        model_file(tmp_path / "m.pt")
    with pytest.raises(WriteError, match="would be overwritten"):
        model_file(tmp_path / "m.safetensors", [tmp_path / "m.safetensors"])
    (tmp_path / "m.safetensors").mkdir()
    with pytest.raises(WriteError, match="is a folder"):
        model_file(tmp_path / "m.safetensors")


def test_a_stopped_model_takes_a_name_that_is_free(tmp_path):
    model = tmp_path / "m.v2.safetensors"
    for name in ("m.v2-stopped", "m.v2-stopped-2", "m.v2-stopped-3"):
        assert stopped_file(model) == tmp_path / f"{name}.safetensors"
        stopped_file(model).touch()
