import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_unet.core.classes import default_classes
from napari_unet.core.grid import Grid
from napari_unet.core.strokes import Strokes
from napari_unet.errors import ReadError, WriteError
from napari_unet.jobs import Journal, unfinished
from napari_unet.jobs.owner import Owner
from napari_unet.jobs.recovery import fingerprint, journal_home

GRID = Grid((6, 8, 10), (2.0, 1.0, 1.0), "mm", header=b"\x00\xff")


@pytest.fixture
def labels():
    return np.zeros(GRID.shape, np.uint8)


def abandoned(labels, source="a.nii", grid=GRID, clean=False):
    """Make a journal of these labels and close it; return its folder."""
    journal = Journal.open(source, grid, labels.dtype)
    journal.write_slices(labels)
    assert journal.flush() == ""
    journal.close(clean)
    return journal.folder


def test_work_that_was_never_saved_is_offered_whole(labels, tmp_path):
    source = tmp_path / "brain scan.nii"
    source.write_bytes(b"voxels")
    journal = Journal.open(str(source), GRID)
    labels[2, 3:5] = 4
    journal.write_slices(labels, [2])
    journal.write_state(classes=default_classes([4]), done={0: {5, 2}}, model="mine")
    journal.write_state(held_out={0: [5]}, locked={4, 2})
    assert journal.flush() == ""
    assert unfinished() == []  # it is being written
    journal.close(clean=False)

    (entry,) = unfinished()
    assert np.array_equal(entry.read(), labels)
    state = entry.state
    assert (state.source, state.grid) == (str(source), GRID)
    assert state.grid.header == GRID.header
    assert (state.done, state.held_out) == ({0: (2, 5)}, {0: (5,)})
    assert (state.classes, state.model, state.locked) == (default_classes([4]), "mine", (2, 4))
    assert "brain_scan" in str(entry.folder)
    assert entry.source_unchanged()
    source.write_bytes(b"others")
    assert not entry.source_unchanged()
    entry.discard()
    assert unfinished() == []


def test_newest_first_and_each_image_and_grid_for_itself(labels):
    labels[:] = 1
    for time, (source, grid) in enumerate(
        [("a.nii", GRID), ("b.nii", GRID), ("a.nii", replace(GRID, unit="um"))]
    ):
        folder = abandoned(labels, source, grid)
        os.utime(folder / "labels.npy", (time, time))
    assert [(e.state.source, e.state.grid.unit) for e in unfinished()] == [
        ("a.nii", "um"),
        ("b.nii", "mm"),
        ("a.nii", "mm"),
    ]
    assert len(list(journal_home().iterdir())) == 3


def test_what_was_saved_is_not_offered_until_it_changes_again(labels):
    journal = Journal.open("a", GRID)
    labels[0] = 1
    journal.write_slices(labels)
    journal.mark_saved()
    journal.close(clean=False)
    assert unfinished() == []

    journal = Journal.open("a", GRID)
    journal.write_slices(labels)
    journal.mark_saved()
    journal.write_slices(labels)  # nothing new
    journal.flush()
    assert '"clean": true' in (journal.folder / "state.json").read_text()
    labels[5] = 2
    journal.write_slices(labels, [5])
    journal.close(clean=False)
    (entry,) = unfinished()
    assert np.array_equal(entry.read(), labels)

    assert abandoned(labels, "b", clean=True).exists()
    assert len(unfinished()) == 1


def test_nothing_painted_leaves_nothing(labels):
    journal = Journal.open("a", GRID)
    journal.write_slices(labels)
    journal.close(clean=False)
    assert not journal.folder.exists()


def test_an_unchanged_slice_is_not_written(labels):
    journal = Journal.open("a", GRID)
    labels[1] = 3
    journal.write_slices(labels)
    journal.flush()
    file = journal.folder / "labels.npy"
    os.utime(file, ns=(1, 1))
    journal.write_slices(labels)
    journal.flush()
    assert file.stat().st_mtime_ns == 1
    journal.close(clean=True)


@pytest.mark.parametrize(
    ("first", "then", "kept"),
    [
        (np.uint8, np.uint8, np.uint8),
        (np.uint8, np.uint16, np.uint16),
        (np.uint8, np.int32, np.int32),
        (np.int64, np.uint8, np.int64),
        (np.uint64, np.int64, np.uint64),
    ],
)
def test_labels_may_grow_wider(first, then, kept):
    labels = np.zeros(GRID.shape, first)
    labels[1] = 200
    journal = Journal.open("a", GRID, first)
    journal.write_slices(labels)
    labels = labels.astype(then)
    labels[4, 2:] = np.iinfo(then).max
    journal.write_slices(labels, [4])
    journal.close(clean=False)
    (entry,) = unfinished()
    assert entry.read().dtype == kept
    assert np.array_equal(entry.read(), labels)


def test_a_plane_has_a_journal_too():
    labels = np.eye(7, dtype=np.int32)
    abandoned(labels, grid=Grid((7, 7), (1.0, 1.0)))
    (entry,) = unfinished()
    assert np.array_equal(entry.read(), labels)


def test_painted_voxels_are_kept_for_as_long_as_they_hold_what_was_painted(labels):
    strokes, here = Strokes(GRID.shape), (slice(2, 3), slice(1, 4), slice(0, 9))
    journal = Journal.open("a", GRID)
    strokes.add(here, np.ones((1, 3, 9), bool), 0)  # background: the labels stay as they were
    journal.write_slices(labels, [2], strokes.still())
    labels[2, 2] = 7  # a program's
    journal.write_slices(labels, None, strokes.still())
    assert journal.flush() == ""
    journal.close(clean=False)
    (entry,) = unfinished()
    expected = np.zeros(GRID.shape, bool)
    expected[2, [1, 3], :9] = True
    assert np.array_equal(entry.read_painted(), expected)


@pytest.mark.parametrize("spoil", [Path.unlink, lambda file: file.write_bytes(b"no array")])
def test_labels_come_back_where_the_painted_voxels_are_lost(labels, spoil):
    labels[1] = 3
    spoil(abandoned(labels) / "painted.npy")
    (entry,) = unfinished()
    assert np.array_equal(entry.read(), labels)
    assert not entry.read_painted().any()


def test_labels_of_another_grid_are_a_problem_and_not_an_exception(labels):
    journal = Journal.open("a", GRID)
    journal.write_slices(labels[1:])
    assert "(5, 8, 10)" in journal.flush()
    labels[0] = 1
    journal.write_slices(labels)
    assert journal.flush() == ""
    journal.close(clean=True)


def test_saved_generations_make_room_and_unsaved_ones_wait_for_their_user(labels):
    labels[:] = 1
    saved = [abandoned(labels, clean=True) for _ in range(2)]
    open_one = Journal.open("a.nii", GRID)
    unsaved = [abandoned(labels) for _ in range(2)]
    assert [f.exists() for f in (*saved, open_one.folder, *unsaved)] == [False, False, *[True] * 3]
    newest = abandoned(labels)
    assert all(f.exists() for f in (*unsaved, newest, open_one.folder))
    open_one.close(clean=True)


def test_saved_labels_stay_a_month(labels):
    labels[:] = 1
    old, young = abandoned(labels, "a", clean=True), abandoned(labels, "b", clean=True)
    forgotten = abandoned(labels, "c")
    for folder in (old, forgotten):
        os.utime(folder, (0, 0))
    abandoned(labels, "d")
    assert [f.exists() for f in (old, young, forgotten)] == [False, True, True]


def damage(name, content):
    def spoil(folder: Path) -> None:
        (folder / name).write_bytes(content)

    return spoil


def truncate(folder: Path) -> None:
    file = folder / "labels.npy"
    file.write_bytes(file.read_bytes()[:-1])


def other_shape(folder: Path) -> None:
    np.save(folder / "labels.npy", np.zeros((2, 2, 2), np.uint8))


def not_whole(folder: Path) -> None:
    np.save(folder / "labels.npy", np.zeros(GRID.shape))


def pickled(folder: Path) -> None:
    np.save(folder / "labels.npy", np.array([{}, None]), allow_pickle=True)


@pytest.mark.parametrize(
    "spoil",
    [
        truncate,
        other_shape,
        not_whole,
        pickled,
        damage("labels.npy", b""),
        damage("labels.npy", b"not an array"),
        damage("state.json", b""),
        damage("state.json", b"\xff\x00"),
        damage("state.json", b"[]"),
        damage("state.json", b'[{"source": "a", "grid": {"shape": [0], "spacing": [1]}}]'),
        lambda folder: (folder / "labels.npy").unlink(),
        lambda folder: (folder / "state.json").unlink() or (folder / "state.json").mkdir(),
    ],
)
def test_a_damaged_journal_is_skipped_and_hides_no_other(labels, spoil, caplog):
    labels[:] = 1
    spoil(abandoned(labels, "spoilt"))
    abandoned(labels, "whole")
    assert [entry.state.source for entry in unfinished()] == ["whole"]
    assert "damaged" in caplog.text


def test_a_journal_killed_before_the_first_stroke_is_not_worth_a_word(labels, caplog):
    labels[:] = 1
    (abandoned(labels) / "state.json").unlink()
    assert unfinished() == []
    assert not caplog.text


def test_what_is_damaged_later_is_told(labels):
    labels[:] = 1
    folder = abandoned(labels)
    (entry,) = unfinished()
    truncate(folder)
    with pytest.raises(ReadError, match="damaged"):
        entry.read()


@pytest.mark.parametrize(
    ("lock", "age", "offered"),
    [
        (str(Owner.here()), 0, False),
        (str(replace(Owner.here(), started=1)), 0, True),
        (str(replace(Owner.here(), machine="0" * 8)), 0, False),
        (str(replace(Owner.here(), machine="0" * 8)), 1e6, True),
        ("nonsense", 0, True),
        ("µ", 0, True),
    ],
)
def test_a_journal_in_use_is_not_offered(labels, lock, age, offered):
    labels[:] = 1
    file = abandoned(labels) / "lock"
    file.write_text(lock, encoding="utf-8")
    touched = file.stat().st_mtime - age
    os.utime(file, (touched, touched))
    assert bool(unfinished()) == offered


def test_a_folder_that_cannot_be_written_is_told_at_once():
    journal_home().parent.mkdir(parents=True, exist_ok=True)
    journal_home().touch()
    with pytest.raises(WriteError, match="save often"):
        Journal.open("a", GRID)


@pytest.mark.skipif(sys.platform != "linux", reason="file size limits")
def test_a_full_disk_is_a_problem_and_cured_by_the_next_write():
    import resource

    labels = np.zeros((8, 512, 1024), np.uint8)  # half a MiB a slice
    journal = Journal.open("a", Grid(labels.shape, (1.0,) * 3))
    labels[1] = labels[6] = 1
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 << 20, hard))
    try:
        journal.write_slices(labels, [1, 6])
        journal.write_state(model="m")
        assert "save them to a file now" in journal.flush()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    journal.write_slices(labels, [0])
    assert journal.flush() == ""
    journal.close(clean=False)
    (entry,) = unfinished()
    assert np.array_equal(entry.read(), labels)


PAINTER = """
import sys
import numpy as np
from napari_unet.core.grid import Grid
from napari_unet.core.strokes import Strokes
from napari_unet.jobs import Journal

labels = np.zeros((20, 64, 61), np.uint16)
strokes = Strokes(labels.shape)
journal = Journal.open("painted", Grid(labels.shape, (1.0, 1.0, 1.0)), labels.dtype)
for stroke in range(1, 100000):
    plane, side = stroke % 20, stroke % 60 + 1
    labels[plane] = stroke
    box = (slice(plane, plane + 1), slice(0, 64), slice(0, side))
    strokes.add(box, np.ones((1, 64, side), bool), stroke)
    journal.write_slices(labels, [plane], strokes.still())
    journal.flush()
    print(stroke, flush=True)
"""


@pytest.mark.skipif(os.name == "nt", reason="signals")
@pytest.mark.parametrize("strokes", [1, 7, 150])
def test_strokes_outlive_kill_9(strokes):
    painter = subprocess.Popen([sys.executable, "-c", PAINTER], stdout=subprocess.PIPE, text=True)
    for _ in range(strokes):
        last = int(painter.stdout.readline())
    painter.send_signal(signal.SIGKILL)
    last = max([last, *map(int, painter.communicate()[0].split())])
    (entry,) = unfinished()
    labels, painted = entry.read(), entry.read_painted()
    for stroke in range(max(1, last - 18), last + 1):  # the slice after `last` may be half done
        assert (labels[stroke % 20] == stroke).all()
        assert painted[stroke % 20].all(axis=0).sum() == painted[stroke % 20].any(axis=0).sum()
        assert painted[stroke % 20, 0].sum() == stroke % 60 + 1


def test_a_fingerprint_sees_both_ends_and_the_size(tmp_path):
    file = tmp_path / "f"
    prints = set()
    for content in (b"", b"a", b"b", b"a" + bytes(3 << 20), bytes(3 << 20) + b"a", bytes(4 << 20)):
        file.write_bytes(content)
        prints.add(fingerprint(str(file)))
    assert len(prints) == 6
    assert fingerprint(str(tmp_path)) not in (*prints, "")
    assert fingerprint(str(tmp_path / "none")) == fingerprint("") == fingerprint("a\0b") == ""
