import os

import pytest

from napari_unet.atomic import require_writable, write_whole
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


def test_the_temporary_name_keeps_the_suffix(tmp_path):
    names = []
    write_whole(tmp_path / "a.ome.tif", write("x"), lambda path: names.append(path.name))
    assert names[0].endswith(".a.ome.tif")


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
