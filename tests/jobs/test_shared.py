import errno
import subprocess
import sys
import tempfile
from pathlib import Path

import dask.array as da
import numpy as np
import pytest

from napari_unet.errors import ReadError, WriteError
from napari_unet.jobs import SharedArray
from napari_unet.jobs.shared import sweep


def test_both_sides_see_the_same():
    shared = SharedArray.create((3, 4), np.uint16)
    ours, theirs = shared.open(writable=True), shared.open()
    assert theirs.shape == (3, 4)
    assert not theirs.any()
    ours[1, 2] = 500
    assert theirs[1, 2] == 500
    assert not theirs.flags.writeable


@pytest.mark.parametrize(
    "array",
    [
        np.arange(24, dtype=np.int16).reshape(2, 3, 4),
        np.ones((5, 5), bool),
        np.arange(24.0).reshape(2, 3, 4).T,
        da.arange(100, chunks=7).reshape(10, 10),
    ],
    ids=["int16", "bool", "transposed", "dask"],
)
def test_copies_any_array(array):
    copied = SharedArray.from_array(array).open()
    assert copied.dtype == array.dtype
    assert np.array_equal(copied, np.asarray(array))


def test_removes_file_and_folder_but_not_what_stands_beside():
    first = SharedArray.create((2,), np.uint8)
    second = SharedArray.create((2,), np.uint8, beside=first)
    assert first.path.parent == second.path.parent
    mapped = first.open()
    first.remove()
    assert mapped.sum() == 0  # a mapping outlives its file
    with pytest.raises(ReadError, match="removed"):
        first.open()
    assert second.open().shape == (2,)
    second.remove()
    second.remove()
    assert not second.path.parent.exists()


def test_says_where_there_is_no_room():
    with pytest.raises(WriteError, match="TMPDIR"):
        SharedArray.create((1 << 52,), np.uint8)
    assert not list(Path(tempfile.gettempdir()).iterdir())


def broken_chunk(block):
    raise OSError(errno.EIO, "the drive is gone")


def test_voxels_that_cannot_be_read_are_told_and_leave_nothing():
    lazy = da.zeros((4, 4), chunks=2).map_blocks(broken_chunk, dtype=float, meta=np.empty((0, 0)))
    with pytest.raises(ReadError, match="drive is gone"):
        SharedArray.from_array(lazy)
    assert not list(Path(tempfile.gettempdir()).iterdir())


def test_sweeps_after_the_dead_only():
    mine = SharedArray.create((2,), np.uint8)
    code = (
        "import numpy as np, os; from napari_unet.jobs import SharedArray;"
        "print(SharedArray.create((2,), np.uint8).path, flush=True); os._exit(1)"
    )
    theirs = Path(
        subprocess.run(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True
        ).stdout.strip()
    )
    assert theirs.exists()
    strange = Path(tempfile.gettempdir(), "napari-unet-notes")
    strange.mkdir()
    assert sweep() == 1
    assert not theirs.parent.exists()
    assert mine.path.exists()
    assert strange.exists()
