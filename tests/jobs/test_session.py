"""A session is a folder of ordinary files that comes back whole, and that nobody can attack with."""

import json
import os
import shutil
import sys
from dataclasses import replace

import numpy as np
import pytest

from napari_unet import io
from napari_unet.core.classes import BACKGROUND, LabelClass
from napari_unet.core.grid import Grid
from napari_unet.core.strokes import Strokes
from napari_unet.errors import GridError, ReadError, WriteError
from napari_unet.jobs import (
    Drawing,
    DrawnLabels,
    Journal,
    Rival,
    Round,
    Session,
    SessionImage,
    SessionModel,
    SessionWriter,
    WindowView,
    find_image,
    fingerprint,
    label_file,
    painted_file,
    path_in,
    read_drawing,
    read_session,
    recent_sessions,
    remember_session,
    unfinished,
)
from napari_unet.jobs.owner import Owner
from napari_unet.jobs.recovery import read_entry
from napari_unet.jobs.session import write_session
from napari_unet.jobs.session_log import changes, numbers

GRID = Grid((4, 6, 5), (2.0, 1.0, 1.0), "mm")
CLASSES = (BACKGROUND, LabelClass(1, "vessel", (0.9, 0.62, 0.0)))
DRAWN = DrawnLabels(
    "t1 labels",
    "labels/t1.nii.gz",
    "labels/t1.painted.nii.gz",
    CLASSES,
    {0: (1, 3)},
    {0: (3,)},
    (1,),
    ((2, 1),),
    model="mine",
    touched=(1, 2),
)
SESSION = Session(
    (SessionImage("/data/t1.nii.gz", "ab", (DRAWN,)), SessionImage("b.tif", open=False)),
    "/data/t1.nii.gz",
    SessionModel("mine", "cd" * 32, "models/mine.safetensors"),
    (Round("mine", 12, 0.8, 3, 900, True, "Better."),),
    ((1, 0.7), (2, 0.5)),
    ((2, 0.8),),
    WindowView((0, 1, 2), 2, (4.0, 0.0, 0.0), ((0, 2, ""),)),
    "Not better.",
    (Rival(SessionModel("mr", "ef" * 32), "Dice 0.79"), Rival(SessionModel("mine", "cd" * 32))),
)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("WIN_PD_OVERRIDE_LOCAL_APPDATA", str(tmp_path / "home"))


@pytest.fixture
def writer(tmp_path):
    made = SessionWriter(tmp_path / "session")
    yield made
    made.close()


@pytest.fixture
def drawing():
    labels = np.zeros(GRID.shape, np.uint8)
    labels[1, 2:4, 1:4] = 1
    known = np.zeros(GRID.shape, bool)
    known[1, 2:5] = True
    return Drawing(DRAWN, labels, GRID, Strokes.of(labels, known))


def test_what_is_written_is_read(writer, drawing):
    assert writer.save(SESSION, [drawing]).result(), writer.problem
    assert read_session(writer.folder) == SESSION
    drawn = read_drawing(writer.folder, DRAWN, GRID)
    assert drawn.about == DRAWN
    assert np.array_equal(drawn.labels, drawing.labels)
    assert np.array_equal(drawn.painted, drawing.strokes.known(drawing.labels))
    _, grid, classes = io.read_labels(writer.folder / DRAWN.file)  # ordinary files
    assert (grid.spacing, classes) == (GRID.spacing, CLASSES)


def test_labels_are_written_only_where_they_differ(writer, drawing):
    writer.save(SESSION, [drawing]).result()
    before = (writer.folder / DRAWN.file).stat().st_mtime_ns
    writer.save(SESSION, [drawing]).result()
    assert (writer.folder / DRAWN.file).stat().st_mtime_ns == before
    drawing.labels[2] = 1
    writer.save(SESSION, [drawing]).result()
    assert read_drawing(writer.folder, DRAWN, GRID).labels[2].all()


def test_strokes_after_the_last_save_come_from_the_journal(writer, drawing):
    journal = Journal.open("/data/t1.nii.gz", GRID)
    about = replace(DRAWN, journal=journal.folder.name)
    writer.save(SESSION, [replace(drawing, about=about)]).result()
    later = drawing.labels.copy()
    later[3] = 1
    strokes = Strokes.of(later, later > 0)
    journal.write_slices(later, painted=strokes)
    journal.write_state(classes=CLASSES, done={0: (2,)}, held_out={}, locked=(), model="mine")
    journal.close(clean=False)
    drawn = read_drawing(writer.folder, about, GRID)
    assert np.array_equal(drawn.labels, later)
    assert np.array_equal(drawn.painted, later > 0)
    assert drawn.about.done == {0: (2,)}
    drawn.journal.discard()
    assert np.array_equal(read_drawing(writer.folder, about, GRID).labels, drawing.labels)


@pytest.mark.skipif(sys.platform != "linux", reason="file size limits")
def test_a_journal_that_could_not_be_written_any_more_is_not_taken(writer, drawing):
    import resource

    journal = Journal.open("/data/t1.nii.gz", GRID)
    journal.write_slices(drawing.labels)
    journal.flush()
    later = drawing.labels.copy()
    later[3] = 1
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16, hard))  # its disk is full
    try:
        journal.write_slices(later)
        journal.write_state(done={0: (3,)})
        assert journal.flush()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    about = replace(DRAWN, journal=journal.folder.name, asked=journal.asked)
    writer.save(SESSION, [replace(drawing, about=about, labels=later)]).result()
    journal.close(clean=False)
    drawn = read_drawing(writer.folder, about, GRID)
    assert np.array_equal(drawn.labels, later)
    assert drawn.about.done == DRAWN.done
    assert drawn.journal is None
    assert len(unfinished()) == 1  # it waits for its user


def test_a_journal_that_holds_no_more_than_the_session_is_let_go(writer, drawing):
    journal = Journal.open("/data/t1.nii.gz", GRID)
    journal.write_slices(drawing.labels, painted=drawing.strokes)
    about = replace(DRAWN, journal=journal.folder.name, asked=journal.asked)
    writer.save(SESSION, [replace(drawing, about=about)]).result()
    journal.close(clean=False)  # killed before it heard of the save
    drawn = read_drawing(writer.folder, about, GRID)
    assert np.array_equal(drawn.labels, drawing.labels)
    assert drawn.journal.folder == journal.folder


def test_a_journal_counts_only_what_it_holds_whole(drawing):
    journal = Journal.open("/data/t1.nii.gz", GRID)
    journal.write_slices(drawing.labels)
    journal.write_slices(drawing.labels)  # nothing new
    journal.flush()
    assert (journal.asked, read_entry(journal.folder).state.asked) == (2, 1)
    journal.write_slices(np.zeros((9, 9, 9), np.uint8), [2])  # can't be copied, and is owed
    journal.write_state(model="mine")
    journal.flush()
    state = read_entry(journal.folder).state
    assert (journal.asked, state.asked, state.model) == (4, 1, "mine")
    drawing.labels[2] = 1
    journal.write_slices(drawing.labels, [0])
    journal.flush()
    assert read_entry(journal.folder).state.asked == 5
    journal.close(clean=True)


def change(**values):
    return lambda state: {**state, **values}


def in_labels(**values):
    def made(state):
        state["images"][0]["labels"][0].update(values)
        return state

    return made


@pytest.mark.parametrize(
    ("mischief", "words"),
    [
        (in_labels(file="../../.bashrc"), "outside the session's folder"),
        (in_labels(file="/etc/passwd"), "outside the session's folder"),
        (in_labels(painted="C:\\x.nii"), "outside the session's folder"),
        (in_labels(done={"0": [-1]}), "greater than or equal to 0"),
        (in_labels(done={"7": [1]}), "less than or equal to 2"),
        (in_labels(classes=[{"id": 0, "name": " "}]), "no name"),
        (change(images="x"), "images"),
        (change(model={"name": "m", "sha256": "", "file": "../m"}), "outside"),
        (change(version=2), "later version"),
        (lambda _: [1, 2], "damaged or no session"),
    ],
)
def test_hostile_state_is_refused_in_one_sentence(writer, mischief, words):
    writer.save(SESSION).result()
    path = writer.folder / "session.json"
    path.write_text(json.dumps(mischief(json.loads(path.read_text()))), encoding="utf-8")
    with pytest.raises(ReadError, match=words) as caught:
        read_session(writer.folder)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("text", [b"", b"{", b"[" * 100_000, b"\xff\xfe", b"{}]["])
def test_text_that_is_no_state_is_refused(tmp_path, text):
    (tmp_path / "session.json").write_bytes(text)
    with pytest.raises(ReadError):
        read_session(tmp_path)


def test_marks_outside_the_image_are_refused(writer, drawing):
    about = replace(DRAWN, done={0: (4,)})
    writer.save(SESSION, [replace(drawing, about=about)]).result()
    with pytest.raises(ReadError, match="has not got"):
        read_drawing(writer.folder, about, GRID)


def test_labels_of_another_grid_are_refused(writer, drawing):
    writer.save(SESSION, [drawing]).result()
    with pytest.raises(GridError):
        read_drawing(writer.folder, DRAWN, Grid((4, 6, 6), (2.0, 1.0, 1.0), "mm"))


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_a_link_out_of_the_folder_is_not_followed(writer, drawing, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (writer.folder / "labels").symlink_to(elsewhere)
    assert not writer.save(SESSION, [drawing]).result()
    assert "leads out" in writer.problem
    assert not list(elsewhere.iterdir())
    with pytest.raises(ReadError, match="leads out"):
        read_drawing(writer.folder, DRAWN, GRID)


def test_a_session_is_open_once_and_nothing_else_is_overwritten(writer, tmp_path):
    with pytest.raises(WriteError, match="another napari"):
        SessionWriter(writer.folder)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").touch()
    with pytest.raises(WriteError, match="other files"):
        SessionWriter(tmp_path / "full")


@pytest.mark.parametrize("leaves", [False, True])
def test_a_window_that_was_taken_for_dead_writes_nothing_more(writer, drawing, leaves):
    assert writer.save(SESSION, [drawing]).result()
    lock = writer.folder / "lock"
    theirs = str(replace(Owner.here(), machine="0" * 8))
    told = replace(SESSION, current="c.tif") if leaves else SESSION
    if leaves:  # the other one opened the session, worked, and closed it
        write_session(writer.folder, told)
        lock.unlink()
    else:
        lock.write_text(theirs, encoding="ascii")
    drawing.labels[2] = 1
    assert not writer.save(replace(SESSION, current="b.tif"), [drawing]).result()
    assert "opened by another napari meanwhile" in writer.problem
    writer.stay()
    writer.close()
    assert read_session(writer.folder) == told
    assert not read_drawing(writer.folder, DRAWN, GRID).labels[2].any()
    assert lock.exists() != leaves
    assert leaves or lock.read_text(encoding="ascii") == theirs


@pytest.mark.parametrize("begun", [False, True])
def test_a_lock_that_somebody_deleted_is_taken_again(writer, drawing, begun):
    if begun:
        assert writer.save(SESSION, [drawing]).result()
    (writer.folder / "lock").unlink()
    drawing.labels[2] = 1
    changed = replace(SESSION, current="b.tif")
    assert writer.save(changed, [drawing]).result()
    assert read_session(writer.folder) == changed
    assert read_drawing(writer.folder, DRAWN, GRID).labels[2].all()
    with pytest.raises(WriteError, match="another napari"):
        SessionWriter(writer.folder)


def test_a_session_whose_folder_was_deleted_is_not_made_anew(writer, drawing):
    assert writer.save(SESSION, [drawing]).result()
    shutil.rmtree(writer.folder)
    assert not writer.save(SESSION, [drawing]).result()
    assert "or is gone" in writer.problem
    assert not writer.folder.exists()


def test_other_machines_hear_that_session_and_journal_are_in_use(writer, drawing):
    journal = Journal.open("/data/t1.nii.gz", GRID)
    journal.write_slices(drawing.labels)
    journal.flush()
    locks = [writer.folder / "lock", journal.folder / "lock"]
    for lock in locks:
        os.utime(lock, (1, 1))
    writer.stay()
    journal.stay()
    writer.flush()
    journal.flush()
    assert all(lock.stat().st_mtime > 1 for lock in locks)
    journal.close(clean=True)


def test_a_save_that_fails_is_told_and_the_next_one_heals(writer, drawing):
    (writer.folder / "labels").write_text("a file where a folder belongs")
    assert not writer.save(SESSION, [drawing]).result()
    assert "not up to date" in writer.problem
    (writer.folder / "labels").unlink()
    assert writer.save(SESSION, [drawing]).result()
    assert writer.problem == ""


def test_labels_that_cant_be_written_keep_no_others_from_it(writer, drawing):
    first = replace(DRAWN, file="labels/first.nii.gz", painted="", journal="before")
    labels = np.zeros(GRID.shape, np.int64)

    def save(marks, journal):
        about = replace(first, done=marks, journal=journal)
        mine = replace(DRAWN, done=marks)
        image = replace(SESSION.images[0], labels=(about, mine))
        drawings = [Drawing(about, labels.copy(), GRID), replace(drawing, about=mine)]
        return writer.save(replace(SESSION, images=(image,)), drawings).result()

    def told():
        return [(one.done, one.journal) for one in read_session(writer.folder).images[0].labels]

    assert save({0: (1,)}, "before")
    labels[0] = -1
    drawing.labels[2] = 1
    assert not save({0: (1, 2)}, "after")
    writer.stay()  # which succeeds, and takes nothing back
    assert "-1" in writer.flush()
    assert told() == [({0: (1,)}, "after"), ({0: (1, 2)}, "")]
    assert read_drawing(writer.folder, DRAWN, GRID).labels[2].all()
    labels[0] = 0
    assert save({0: (1, 2)}, "after")
    assert writer.problem == ""
    assert told() == [({0: (1, 2)}, "after"), ({0: (1, 2)}, "")]


def test_the_log_says_who_did_what_and_when(writer):
    writer.save(SESSION).result()
    more = replace(DRAWN, done={0: (1, 3), 1: (4,)}, touched=(0, 1, 2))
    image = replace(SESSION.images[0], labels=(more,), finished=True)
    writer.save(replace(SESSION, images=(image, SESSION.images[1]))).result()
    lines = (writer.folder / "log.txt").read_text(encoding="utf-8").splitlines()
    assert all(line[:2] == "20" and len(line.split("  ", 2)) == 3 for line in lines)
    assert [line.split("  ", 2)[2] for line in lines] == [
        "t1.nii.gz: taken in",
        "t1.nii.gz: predicted by mine",
        "t1.nii.gz: painted in slices z 1, 2",
        "t1.nii.gz: slices z 1, 3 marked done",
        "t1.nii.gz: slice z 3 held out",
        "model mine trained, 12 steps: Better.",
        "model mine in use (cdcdcdcdcdcd)",
        "t1.nii.gz: painted in slice z 0",
        "t1.nii.gz: slice y 4 marked done",
        "t1.nii.gz: done",
    ]


def test_the_log_tells_what_became_of_classes_and_images():
    renamed = (BACKGROUND, LabelClass(1, "artery"), LabelClass(3, "bone"))
    image = replace(SESSION.images[0], labels=(replace(DRAWN, classes=renamed, done={}),))
    assert changes(SESSION, replace(SESSION, images=(image,))) == [
        "t1.nii.gz: slices z 1, 3 no longer marked done",
        "t1.nii.gz: class vessel (1) is now artery",
        "t1.nii.gz: class bone (3) added",
        "b.tif: taken out",
    ]
    assert numbers([9, 3, 7, 8, 12, 13]) == "3, 7–9, 12, 13"


@pytest.mark.parametrize(
    ("image", "labels", "painted"),
    [
        ("/d/t1.nii.gz", "labels/t1.nii.gz", "labels/t1.painted.nii.gz"),
        ("a b.hdr", "labels/a_b.nii.gz", "labels/a_b.painted.nii.gz"),
        ("C:\\d\\x.ome.tif", "labels/x.ome.tif", "labels/x.painted.ome.tif"),
        ("x.png", "labels/x.ome.tif", "labels/x.painted.ome.tif"),
        ("x.ome.zarr", "labels/x.ome.zarr", "labels/x.painted.ome.zarr"),
        ("..", "labels/image.ome.tif", "labels/image.painted.ome.tif"),
    ],
)
def test_labels_get_a_file_in_the_images_own_format(image, labels, painted):
    assert label_file(image, ()) == labels
    assert painted_file(labels) == painted
    stem, dot, ending = labels.partition(".")
    assert label_file(image, {labels.upper()}) == f"{stem}-2{dot}{ending}"


@pytest.mark.parametrize("file", ["x.nii.gz", "x.ome.tif", "x.ome.zarr"])
@pytest.mark.parametrize("shape", [(3, 6, 5), (6, 5)])
def test_every_format_brings_labels_and_strokes_back(writer, file, shape):
    labels = np.arange(np.prod(shape), dtype=np.uint32).reshape(shape) * 1000
    about = DrawnLabels("x", f"labels/{file}", painted_file(f"labels/{file}"), instances=True)
    grid = Grid(shape, (1.0,) * len(shape), "um")
    drawing = Drawing(about, labels, grid, Strokes.of(labels, labels % 7 == 0))
    assert writer.save(Session(), [drawing]).result(), writer.problem
    drawn = read_drawing(writer.folder, about, grid)
    assert np.array_equal(drawn.labels, labels)
    assert np.array_equal(drawn.painted, labels % 7 == 0)


def test_images_are_found_where_they_are_and_beside_the_folder(tmp_path):
    folder = tmp_path / "case" / "session"
    folder.mkdir(parents=True)
    inside, beside = folder / "a.npy", folder.parent / "b.npy"
    np.save(inside, np.zeros((2, 3)))
    np.save(beside, np.ones((2, 3)))
    assert path_in(folder, inside) == "a.npy"
    assert path_in(folder, beside) == str(beside)
    moved = SessionImage("D:\\lab\\b.npy", fingerprint(str(beside)))
    assert find_image(folder, SessionImage("a.npy")) == inside
    assert find_image(folder, moved) == beside
    assert find_image(folder, replace(moved, fingerprint="00")) is None
    assert find_image(folder, SessionImage("x" * 300)) is None


def test_a_copied_folder_has_the_same_fingerprint(tmp_path):
    import shutil

    first, second = tmp_path / "a.zarr", tmp_path / "b.zarr"
    (first / "0").mkdir(parents=True)
    (first / "zarr.json").write_text("{}")
    shutil.copytree(first, second)
    os.utime(second / "zarr.json", (1, 1))
    assert fingerprint(str(first)) == fingerprint(str(second))
    (second / "zarr.json").write_text("[]")
    assert fingerprint(str(first)) != fingerprint(str(second))


def test_the_sessions_opened_last_are_remembered(writer, tmp_path):
    writer.save(SESSION).result()
    remember_session(tmp_path / "gone")
    remember_session(writer.folder)
    assert recent_sessions() == [writer.folder]
