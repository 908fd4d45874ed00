"""What a user opens, dropped or chosen."""

import numpy as np


def test_what_is_dropped_opens_as_what_it_is(dock, tmp_path):
    np.save(tmp_path / "one.npy", np.zeros((4, 32, 32), np.float32))
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "empty").mkdir()
    dock.start.message.setText("Old.")
    dock.opening.paths([str(tmp_path / name) for name in ("notes.txt", "one.npy", "gone.npy")])
    assert dock.target.image.name == "one"
    told = dock.message.text()
    assert "notes.txt is of no known format" in told
    assert "gone.npy does not exist" in told
    dock.opening.paths([str(tmp_path / "one.npy")])
    assert dock.message.text() == dock.start.message.text() == ""
    dock.opening.paths([str(tmp_path / "empty")])
    assert "empty holds no image" in dock.session.problem.text()


def test_a_folder_that_is_dropped_is_a_session_or_many_images(qtbot, dock, tmp_path):
    for name in "ab":
        np.save(tmp_path / f"{name}.npy", np.zeros((4, 32, 32), np.float32))
    dock.opening.paths([str(tmp_path)])
    assert dock.keeper.folder == tmp_path / "napari-unet-session"
    assert [i.name for i in dock.keeper.session.images] == ["a.npy", "b.npy"]
    qtbot.waitUntil(lambda: not dock.keeper.saving, timeout=20_000)
    dock.opening.paths([str(tmp_path / "napari-unet-session")])
    assert dock.keeper.folder == tmp_path / "napari-unet-session"
    assert dock.target.image is not None


def test_a_file_opened_by_drop_needs_no_question(dock):
    from napari.settings import get_settings

    assert get_settings().plugins.extension2reader["*.nii.gz"] == "napari-unet"
