import os

import pytest

from napari_unet.atomic import require_name, require_writable, write_whole
from napari_unet.errors import ReadError, WriteError

as_root = hasattr(os, "geteuid") and os.geteuid() == 0


def write(text):
    return lambda path: path.write_text(text, encoding="utf-8")


def fail(error):
    def raise_it(path):
        raise error

    return raise_it


def test_a_new_file_and_a_replaced_one(tmp_path):
    target = tmp_path / "labels.nii.gz"
    for text in ("first", "second"):
        assert write_whole(target, write(text)) == target
        assert target.read_text(encoding="utf-8") == text
    assert list(tmp_path.iterdir()) == [target]


ENDINGS = {
    "a.ome.tif": ".ome.tif",
    "mouse 1.5 mm, second day.nii.gz": ".nii.gz",
    "model.safetensors": ".safetensors",
    "no. 2, of the other mouse.tif": ".tif",
    "session": "",
}


@pytest.mark.parametrize(("name", "ending"), ENDINGS.items())
def test_the_temporary_name_keeps_the_suffix(tmp_path, name, ending):
    names = []
    write_whole(tmp_path / name, write("x"), lambda path: names.append(path.name))
    assert names[0].endswith(f".partial{ending}")


def test_a_name_as_long_as_it_may_be(tmp_path):
    target = require_name(tmp_path / ("x" * 248 + ".nii.gz"))
    write_whole(target, write("long"))
    assert target.read_text(encoding="utf-8") == "long"
    with pytest.raises(WriteError, match="too long a name"):
        require_name(tmp_path / ("x" * 249 + ".nii.gz"))
    with pytest.raises(WriteError, match="could not be written"):
        write_whole(tmp_path / ("x" * 249 + ".nii.gz"), write("longer"))
    assert list(tmp_path.iterdir()) == [target]


def a_folder(path):
    path.mkdir()
    (path / "inner").touch()


@pytest.mark.parametrize("writer", [write("new"), a_folder], ids=["file", "folder"])
@pytest.mark.parametrize("there", [True, False])
def test_what_a_link_leads_to_is_written_and_the_link_stays(tmp_path, writer, there):
    (tmp_path / "elsewhere").mkdir()
    target, link = tmp_path / "elsewhere" / "a.zarr", tmp_path / "link.zarr"
    if there:
        writer(target)
    link.symlink_to(target)
    assert write_whole(link, writer) == link
    assert link.is_symlink()
    assert target.exists()
    assert list((tmp_path / "elsewhere").iterdir()) == [target]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["elsewhere", "link.zarr"]


FAILURES = {
    "disk full while writing": (fail(OSError(28, "No space left on device")), None),
    "what was read back is not what was meant": (write("new"), fail(ReadError("It is damaged."))),
    "the job itself fails": (fail(ReadError("It is damaged.")), None),
}


@pytest.mark.parametrize("case", FAILURES.values(), ids=FAILURES)
def test_what_fails_leaves_the_old_file_and_nothing_else(tmp_path, case):
    writer, check = case
    target = tmp_path / "labels.tif"
    target.write_text("old", encoding="utf-8")
    with pytest.raises(WriteError) as caught:
        write_whole(target, writer, check)
    assert str(target) in str(caught.value)
    assert target.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_that_does_not_exist(tmp_path):
    with pytest.raises(WriteError, match="check that the folder exists"):
        write_whole(tmp_path / "nowhere" / "a.tif", write("x"))


def test_only_the_last_part_of_a_folder_is_made(tmp_path):
    assert require_writable(tmp_path / "new").is_dir()
    assert not list((tmp_path / "new").iterdir())
    with pytest.raises(WriteError, match="choose another folder"):
        require_writable(tmp_path / "not" / "there")


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match="file"):
        require_writable(tmp_path / "file")


@pytest.mark.skipif(as_root, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_to(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(WriteError, match="Permission denied"):
        require_writable(tmp_path)
