"""The resumable label store: what was committed survives anything, and ends as a pyramid."""

import itertools
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from napari_unet.core.classes import default_classes
from napari_unet.core.grid import Grid
from napari_unet.errors import WriteError
from napari_unet.io import read, read_labels, write_labels
from napari_unet.io.label_store import LabelStore

GRID = Grid((20, 30, 41), (2.0, 1.0, 1.0), "um")
IDENTITY = {"model": "abc", "image": "brain.zarr"}
CLASSES = default_classes([1, 300])


def truth(shape):
    return np.random.default_rng(0).integers(0, 400, shape).astype(np.uint16)


def boxes(shape, sides):
    """Cut a volume into boxes whose sides follow `sides` in turn, as the cells of a plan do."""
    cuts = []
    for length in shape:
        steps = itertools.accumulate(itertools.cycle(sides))
        edges = [0, *itertools.takewhile(lambda n, end=length: n < end, steps), length]
        cuts.append(list(itertools.pairwise(edges)))
    return [tuple(zip(*corners, strict=True)) for corners in itertools.product(*cuts)]


def slices(box):
    return tuple(map(slice, *box))


def opened(path, grid=GRID, dtype=np.uint16, classes=CLASSES, identity=IDENTITY):
    return LabelStore.open(path, grid, dtype, classes, identity)


def fill(store, labels, todo):
    for box in todo:
        store[slices(box)] = labels[slices(box)]
        store.commit(box)


def names(folder):
    return sorted(p.name for p in folder.iterdir())


PLACES = {
    "a volume": Grid((20, 30, 41), (2.0, 1.0, 1.0), "um"),
    "a plane": Grid((70, 31), (0.5, 0.25), "nm"),
    "several chunks": Grid((70, 140, 131), (1.0, 1.0, 1.0)),
}


def test_what_a_link_leads_to_is_written(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "a.ome.zarr"
    link.symlink_to(tmp_path / "elsewhere" / "b.ome.zarr")
    for _ in range(2):  # a new one, and one in its place
        store = opened(link)
        fill(store, truth(GRID.shape), boxes(GRID.shape, (500,)))
        store.finish()
        assert np.array_equal(read_labels(link)[0], truth(GRID.shape))
        assert (link.is_symlink(), names(tmp_path / "elsewhere")) == (True, ["b.ome.zarr"])


@pytest.mark.parametrize("grid", PLACES.values(), ids=PLACES)
@pytest.mark.parametrize("sides", [(16, 8), (7, 64, 3), (500,)])
def test_boxes_in_any_order_become_the_labels(tmp_path, grid, sides):
    labels, todo = truth(grid.shape), boxes(grid.shape, sides)
    np.random.default_rng(1).shuffle(todo)
    todo = [tuple(map(tuple, np.array(box).tolist())) for box in todo]
    path = tmp_path / "a.ome.zarr"
    store = opened(path, grid)
    assert (store.shape, store.dtype) == (grid.shape, np.uint16)
    fill(store, labels, todo)
    assert store.done == set(todo)
    assert np.array_equal(store[slices(((0,) * grid.ndim, grid.shape))], labels)
    assert store.finish() == path
    found, place, classes = read_labels(path, grid)
    assert np.array_equal(found, labels)
    assert place == grid
    assert [(c.id, c.name) for c in classes] == [(c.id, c.name) for c in CLASSES]
    assert names(tmp_path) == ["a.ome.zarr"]


def test_the_last_labels_of_a_voxel_count_and_the_rest_is_background(tmp_path):
    with opened(tmp_path / "a.zarr") as store:
        store[0:9, 3:20, 5:41] = 7
        store[4:12, :, -11:] = np.full((8, 30, 11), 300)
        expected = np.zeros(GRID.shape, np.uint16)
        expected[0:9, 3:20, 5:41] = 7
        expected[4:12, :, -11:] = 300
        assert np.array_equal(store[2:14, 1:29, 3:40], expected[2:14, 1:29, 3:40])
        assert store.done == frozenset()
        assert np.array_equal(read_labels(store.finish())[0], expected)


def test_a_store_without_finished_labels_leaves_nothing(tmp_path):
    with opened(tmp_path / "a.zarr") as store:
        store[0:3, 0:3, 0:3] = 5
    assert not names(tmp_path)
    opened(tmp_path / "a.zarr", identity={}).close()


def test_a_closed_store_goes_on(tmp_path):
    labels, todo = truth(GRID.shape), boxes(GRID.shape, (8, 4))
    for part in (todo[:9], todo[9:10], todo[10:]):
        with opened(tmp_path / "a.zarr") as store:
            assert store.done == set(todo[: todo.index(part[0])])
            fill(store, labels, part)
            store[slices(todo[0])] = labels[slices(todo[0])]  # written again, not committed again
        assert names(tmp_path) == ["a.zarr.partial"]
    store = opened(tmp_path / "a.zarr")
    assert store.done == set(todo)
    assert np.array_equal(read_labels(store.finish())[0], labels)


# A journal that a crash cut ------------------------------------------------------------------


def test_whatever_is_left_of_a_journal_can_be_trusted(tmp_path):
    labels, todo = truth(GRID.shape), boxes(GRID.shape, (10, 20))
    ends = []
    with opened(tmp_path / "a.zarr") as store:
        journal = store.partial / "journal"
        begin = journal.stat().st_size
        for box in todo:
            fill(store, labels, [box])
            ends.append(journal.stat().st_size)
    whole = journal.read_bytes()
    rng = np.random.default_rng(0)
    for cut in [begin, begin + 1, *ends[:2], *rng.integers(begin, len(whole), 20).tolist()]:
        flipped = bytes([whole[cut] ^ 1]) if cut < len(whole) else b""
        for damage in (b"", b"\0" * 99, flipped + whole[cut + 1 :]):
            journal.write_bytes(whole[:cut] + damage)
            expected = [box for box, end in zip(todo, ends, strict=True) if end <= cut]
            with opened(tmp_path / "a.zarr") as store:
                assert store.done == set(expected)
                for box in expected:
                    assert np.array_equal(store[slices(box)], labels[slices(box)])
                fill(store, labels, todo[len(expected) :])
            with opened(tmp_path / "a.zarr") as store:
                assert store.done == set(todo)
                assert np.array_equal(store[:, :, :], labels)


@pytest.mark.parametrize("content", [b"", b"hello", b"napari-unet labels 1\n", bytes(500)])
def test_a_foreign_journal_is_left_alone(tmp_path, content):
    partial = tmp_path / "a.zarr.partial"
    partial.mkdir()
    (partial / "journal").write_bytes(content)
    for _ in range(2):  # refusing holds no lock
        with pytest.raises(WriteError, match=r"a\.zarr\.partial can't be gone on with.*delete"):
            opened(tmp_path / "a.zarr")
    assert (partial / "journal").read_bytes() == content


# Killed --------------------------------------------------------------------------------------

WORKER = """
import sys
sys.path.insert(0, sys.argv[2])
from test_label_store import GRID, boxes, fill, opened, truth
labels = truth(GRID.shape)
store = opened(sys.argv[1])
print("done", len(store.done), flush=True)
for box in boxes(GRID.shape, (3, 2)):
    if box not in store.done:
        fill(store, labels, [box])
        print("committed", flush=True)
print("finishing", flush=True)
store.finish()
"""


def test_killed_at_any_moment_it_goes_on(tmp_path):
    path, labels, total = tmp_path / "a.zarr", truth(GRID.shape), len(boxes(GRID.shape, (3, 2)))
    command = [sys.executable, "-c", WORKER, str(path), str(Path(__file__).parent)]
    rng = np.random.default_rng(0)
    committed = 0
    for attempt in range(8):
        wait = rng.integers(1, total // 6) if attempt < 5 else total + 1  # the last to finish
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as worker:
            done = int(worker.stdout.readline().split()[1])
            # All that was said to be committed is there; one more may have been, unsaid.
            assert done - committed in (0, 1)
            committed = done
            for line in worker.stdout:
                committed += line == "committed\n"
                wait -= 1
                if not wait or line == "finishing\n":
                    break
            time.sleep(rng.uniform(0, 0.05))
            worker.kill()
            committed += worker.stdout.read().count("committed\n")
        if path.exists():  # it was quicker, or was killed after the last renaming
            assert np.array_equal(read_labels(path)[0], labels)
            committed = committed if (tmp_path / "a.zarr.partial" / "journal").exists() else 0
    subprocess.run(command, check=True, capture_output=True)
    assert np.array_equal(read_labels(path)[0], labels)


def test_one_process_at_a_time(tmp_path):
    path = tmp_path / "a.zarr"
    with opened(path) as store:
        store[0:3, 0:3, 0:3] = 5
        with pytest.raises(WriteError, match=r"a\.zarr is being written by another process"):
            opened(path)
        code = WORKER.replace("finish()", "close()")
        command = [sys.executable, "-c", code, str(path), str(Path(__file__).parent)]
        second = subprocess.run(command, capture_output=True, text=True)
        assert "is being written by another process" in second.stderr
        assert (store[0:3, 0:3, 0:3] == 5).all()
    opened(path).close()


# Refused ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"identity": {**IDENTITY, "model": "abd"}}, "another model:"),
        ({"identity": {"model": "abc", "image": "b", "overlap": "0.5"}}, "another image, overlap:"),
        ({"identity": {}}, "another model, image:"),
        ({"grid": Grid((20, 30, 42), GRID.spacing, "um")}, "another shape:"),
        ({"dtype": np.uint8}, "another dtype:"),
    ],
)
def test_unfinished_labels_of_something_else_are_not_touched(tmp_path, other, words):
    with opened(tmp_path / "a.zarr") as store:
        fill(store, truth(GRID.shape), boxes(GRID.shape, (10,))[:3])
    before = (store.partial / "journal").read_bytes()
    for _ in range(2):
        with pytest.raises(WriteError, match=rf"a\.zarr\.partial .*{words} delete that folder"):
            opened(tmp_path / "a.zarr", **other)
    assert (store.partial / "journal").read_bytes() == before
    with opened(tmp_path / "a.zarr") as again:
        assert len(again.done) == 3


def test_only_our_own_labels_are_replaced_and_at_the_end(tmp_path):
    ours, theirs, file = (tmp_path / f"{name}.zarr" for name in ("ours", "theirs", "file"))
    write_labels(ours, np.ones(GRID.shape, int), GRID)
    theirs.mkdir()
    (theirs / "notes").touch()
    file.touch()
    for path in (theirs, file):
        with pytest.raises(WriteError, match="never replaced"):
            opened(path)
    with opened(ours) as store:
        fill(store, truth(GRID.shape), boxes(GRID.shape, (10,)))
        assert (read_labels(ours)[0] == 1).all()
        store.finish()
    assert np.array_equal(read_labels(ours)[0], truth(GRID.shape))
    assert names(tmp_path) == ["file.zarr", "ours.zarr", "theirs.zarr"]


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(WriteError, match=r"nowhere.*could not be written"):
        opened(tmp_path / "nowhere" / "a.zarr")


def test_what_else_lies_in_the_partial_folder_stays(tmp_path):
    with opened(tmp_path / "a.zarr") as store:
        (store.partial / "notes").touch()
        store.finish()
    assert names(store.partial) == ["notes"]


UNDER_A_LIMIT = """
import resource, signal, sys
sys.path.insert(0, sys.argv[2])
from test_label_store import GRID, WriteError, boxes, fill, opened, truth
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = opened(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))  # a disk with 20 kB left
for _ in range(2):
    try:
        fill(store, truth(GRID.shape), [b for b in boxes(GRID.shape, (8,)) if b not in store.done])
        store.finish()
    except WriteError as error:
        print(error)
print(len(store.done))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no file size limit")
def test_a_full_disk_costs_nothing_that_was_finished(tmp_path):
    command = [sys.executable, "-c", UNDER_A_LIMIT, str(tmp_path / "a.zarr")]
    ended = subprocess.run(
        [*command, str(Path(__file__).parent)], capture_output=True, text=True, check=True
    )
    first, second, done = ended.stdout.splitlines()
    assert first == second
    assert "could not be written" in first
    assert "kept in a.zarr.partial" in first
    todo = boxes(GRID.shape, (8,))
    assert 2 < int(done) < len(todo)
    with opened(tmp_path / "a.zarr") as store:
        assert len(store.done) == int(done)
        fill(store, truth(GRID.shape), [box for box in todo if box not in store.done])
        assert np.array_equal(read_labels(store.finish())[0], truth(GRID.shape))


# Larger than memory ------------------------------------------------------------------------------


def test_memory_does_not_follow_the_volume(tmp_path):
    peaks = []
    for depth in (64, 512):
        grid = Grid((depth, 512, 512), (1.0, 1.0, 1.0))
        tracemalloc.start()
        with opened(tmp_path / f"{depth}.zarr", grid, np.uint8) as store:
            for n, box in enumerate(boxes(grid.shape, (64, 128))):
                store[slices(box)] = np.broadcast_to(np.uint8(n % 99), np.subtract(*box[::-1]))
                store.commit(box)
            path = store.finish()
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert read(path, level=1).grid.shape == (256, 256, 256)
    # The volume grew by 112 MiB. What is kept of it has a bound, which only the larger one meets.
    assert peaks[1] < peaks[0] + (48 << 20)
