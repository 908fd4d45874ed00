"""What holds for every format: choice by name, one-sentence errors, ids, whole or nothing."""

import os
import struct
import subprocess
import sys
import zlib

import imageio.v3 as iio
import numpy as np
import pytest

from napari_unet.core.grid import Grid, as_matrix
from napari_unet.errors import GridError, ReadError, WriteError
from napari_unet.io import FORMATS, read, read_labels, suffix_of, write_labels, write_probabilities

WRITABLE = [suffix for suffix, found in FORMATS.items() if found.writes]
GRID = Grid((3, 4, 5), (2.0, 0.5, 0.5), "um")
LABELS = np.arange(60).reshape(GRID.shape) % 4


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        ("a.nii", ".nii"),
        ("sub-01.T1w.NII.GZ", ".nii.gz"),
        ("a.b.tif", ".tif"),
        ("a.ome.tif", ".ome.tif"),
        ("a.OME.TIFF", ".ome.tiff"),
        ("plate.ome.zarr", ".ome.zarr"),
        ("a.mha", ".mha"),
        ("a", ""),
        ("folder.tif/a.npy", ".npy"),
    ],
)
def test_the_longest_known_suffix_counts(name, suffix):
    assert suffix_of(name) == suffix


def test_an_unknown_format_lists_the_known_ones(tmp_path):
    (tmp_path / "a.xyz").touch()
    with pytest.raises(ReadError, match=r"a\.xyz is of no known format.*\.nii\.gz.*\.ome\.zarr"):
        read(tmp_path / "a.xyz")
    for name in ("a.xyz", "a.png", "a"):
        with pytest.raises(WriteError, match=r"end its name in one of \.nii\.gz.*\.npy"):
            write_labels(tmp_path / name, LABELS, GRID)


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_missing_file_is_named(tmp_path, suffix):
    with pytest.raises(ReadError, match=r"nowhere.* does not exist"):
        read(tmp_path / f"nowhere{suffix}")


@pytest.mark.parametrize("suffix", ["", *FORMATS])
def test_a_folder_is_not_a_file(tmp_path, suffix):
    (tmp_path / f"folder{suffix}").mkdir()
    for reader in (read, read_labels):
        with pytest.raises(ReadError, match="is a folder and no OME-Zarr: choose a file in it"):
            reader(tmp_path / f"folder{suffix}")


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"\x89PNG\r\n\x1a\n", bytes(600)])
def test_rubbish_is_one_sentence(tmp_path, suffix, content):
    path = tmp_path / f"rubbish{suffix}"
    path.write_bytes(content)
    for reader in (read, read_labels):
        with pytest.raises(ReadError, match="rubbish") as caught:
            reader(path)
        assert "\n" not in str(caught.value)


OTHER_KINDS = {
    "text in .npy": ("a.npy", b"1 2 3\n4 5 6\n", "is no NumPy array"),
    "a pickle in .npy": ("a.npy", b"\x80\x04K\x01.", "is no NumPy array"),
    "an archive in .npy": ("a.npy", b"PK\x03\x04" + bytes(99), "is no NumPy array"),
    "text in .png": ("a.png", b"1 2 3\n4 5 6\n", "can't be read as PNG or JPEG:"),
    "zeros in .png": ("a.png", bytes(600), "can't be read as PNG or JPEG:"),
    "a PNG cut short": ("a.png", b"\x89PNG\r\n\x1a\n", "can't be read as PNG or JPEG:"),
    "a JPEG cut short": ("a.jpg", b"\xff\xd8\xff\xe0", "can't be read as PNG or JPEG:"),
}


@pytest.mark.parametrize(("name", "content", "words"), OTHER_KINDS.values(), ids=OTHER_KINDS)
@pytest.mark.parametrize("reader", [read, read_labels])
def test_another_kind_of_file_is_told_in_our_own_words(tmp_path, name, content, words, reader):
    if reader is read_labels and name.endswith("jpg"):
        words = "blurs label ids"
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ReadError, match=words) as caught:
        reader(path)
    for inner in ("pickle", "SimpleITK", "object at", "buffer", "Traceback"):
        assert inner not in str(caught.value)


def test_a_png_that_claims_too_much_is_refused(tmp_path):
    iio.imwrite(tmp_path / "a.png", np.zeros((4, 5), np.uint8))
    raw = (tmp_path / "a.png").read_bytes()
    header = b"IHDR" + struct.pack(">II", 200_000, 200_000) + raw[24:29]
    checked = header + struct.pack(">I", zlib.crc32(header))
    (tmp_path / "a.png").write_bytes(raw[:12] + checked + raw[33:])
    with pytest.raises(ReadError, match=r"a\.png says that it holds more pixels.*convert it"):
        read(tmp_path / "a.png")


@pytest.mark.parametrize("suffix", WRITABLE)
def test_labels_and_probabilities_come_back(tmp_path, suffix):
    folder = tmp_path / "Größe µ 図"
    folder.mkdir()
    ids, grid, _ = read_labels(write_labels(folder / f"my labels{suffix}", LABELS, GRID), GRID)
    assert np.array_equal(ids, LABELS)
    assert ids.dtype == np.uint8
    GRID.require(grid)
    for dtype in (np.float16, np.float64):
        scores = np.linspace(0, 1, 120, dtype=dtype).reshape(2, *GRID.shape)
        path = write_probabilities(folder / f"scores{suffix}", scores, GRID)
        named = suffix in (".tif", ".tiff", ".ome.tif", ".ome.tiff", ".zarr", ".ome.zarr")
        assert np.array_equal(
            read(path, channel_axis=None if named else 0).array(), scores.astype(np.float32)
        )
    assert len(list(folder.iterdir())) == 2


@pytest.mark.parametrize("suffix", WRITABLE)
@pytest.mark.parametrize("ids", [(1, 7, 300), (255,), (256,), (65535,), (65536,), (2**31,)])
def test_ids_are_kept_in_the_smallest_type(tmp_path, suffix, ids):
    labels = np.zeros(GRID.shape, np.int64)
    labels.flat[: len(ids)] = ids
    found = read_labels(write_labels(tmp_path / f"a{suffix}", labels, GRID))[0]
    assert np.array_equal(found, labels)
    assert found.dtype == np.min_scalar_type(max(ids))


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (LABELS - 1, "-1 was found"),
        (LABELS.astype(float), "whole numbers, not float64"),
        (LABELS.astype(complex), "whole numbers, not complex128"),
    ],
)
def test_what_is_no_label_is_not_written(tmp_path, labels, words):
    with pytest.raises(WriteError, match=words):
        write_labels(tmp_path / "a.nii", labels, GRID)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", WRITABLE)
def test_voxel_sizes_of_other_libraries_are_written_as_ours_are(tmp_path, suffix):
    """nibabel's are of numpy; an affine is an array there."""
    sizes = tuple(np.array(GRID.spacing, np.float32))
    grid = Grid(GRID.shape, sizes, GRID.unit, np.diag([*GRID.spacing, 1.0]))
    written = write_labels(tmp_path / f"a{suffix}", LABELS, grid)
    _, found, _ = read_labels(written, GRID)
    GRID.require(found)


def test_labels_of_another_shape_are_not_written(tmp_path):
    with pytest.raises(GridError, match=r"\(2, 4, 5\).*\(3, 4, 5\)"):
        write_labels(tmp_path / "a.nii", LABELS[:2], GRID)
    with pytest.raises(GridError):
        write_probabilities(tmp_path / "a.nii", LABELS.astype(float), GRID)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 1.0, 2.9999], [0, 1, 3]),
        ([True, False, True], [1, 0, 1]),
        ([0.0, 0.5, 1.0], "value 0.5"),
        ([0.0, np.nan, 1.0], "value nan"),
        ([0.0, np.inf, 1.0], "value inf"),
        ([0.0, 1e20, 1.0], r"value 1e\+20"),
        ([0, -3, 1], "label id -3"),
        ([0.0, -3.0, 1.0], "label id -3"),
    ],
)
def test_stored_values_become_ids_or_are_refused_by_name(tmp_path, values, expected):
    np.save(tmp_path / "a.npy", np.array([values]))
    if isinstance(expected, str):
        with pytest.raises(ReadError, match=rf"a\.npy holds the {expected}"):
            read_labels(tmp_path / "a.npy")
    else:
        ids = read_labels(tmp_path / "a.npy")[0]
        assert ids.tolist() == [expected]
        assert ids.dtype == np.uint8


def test_labels_must_lie_on_the_image(tmp_path):
    path = write_labels(tmp_path / "a.nii", LABELS, GRID)
    for other in (
        Grid((3, 4, 6), GRID.spacing, "um"),
        Grid(GRID.shape, (2.0, 0.5, 0.6), "um"),
        Grid(GRID.shape, GRID.spacing, "um", as_matrix(GRID.matrix + np.eye(4, k=3) * 9)),
    ):
        with pytest.raises(GridError, match=r"The labels in a\.nii"):
            read_labels(path, other)


def test_labels_without_a_place_take_that_of_the_image(tmp_path):
    path = write_labels(tmp_path / "a.npy", LABELS, GRID)
    assert read_labels(path)[1].unit == "pixel"
    assert read_labels(path, GRID)[1] == GRID
    with pytest.raises(GridError):
        read_labels(path, Grid((3, 4, 6), GRID.spacing, "um"))


@pytest.mark.parametrize("suffix", WRITABLE)
def test_labels_of_a_single_slice_come_back_onto_it(tmp_path, suffix):
    affine = as_matrix(np.diag([2.0, 0.5, 0.5, 1]) + np.eye(4, k=3) * 7)
    grid = Grid((1, 4, 5), (2.0, 0.5, 0.5), "um", affine)
    path = write_labels(tmp_path / f"a{suffix}", LABELS[1:2], grid)
    ids, found, _ = read_labels(path, grid)
    assert np.array_equal(ids, LABELS[1:2])
    grid.require(found)
    with pytest.raises(GridError):
        read_labels(path, Grid((1, 5, 4), grid.spacing, "um"))


@pytest.mark.parametrize("suffix", [".tif", ".ome.tif"])
def test_a_plane_lies_on_the_only_slice_of_an_image(tmp_path, suffix):
    affine = as_matrix(np.diag([2.0, 0.5, 0.5, 1]) + np.eye(4, k=3) * 7)
    grid = Grid((1, 4, 5), (2.0, 0.5, 0.5), "um", affine)
    path = write_labels(tmp_path / f"a{suffix}", LABELS[1], Grid((4, 5), (0.5, 0.5), "um"))
    ids, found, _ = read_labels(path, grid)
    assert ids.shape == grid.shape
    assert found == grid
    other = Grid((1, 4, 5), (2.0, 0.5, 0.7), "um")
    with pytest.raises(GridError, match="spacing"):
        read_labels(path, other)


@pytest.mark.parametrize("suffix", [".nii.gz", ".ome.zarr", ".npy"])
def test_labels_of_a_single_slice_lie_on_a_plane(tmp_path, suffix):
    """As programs for volumes save those that were drawn on a plane."""
    path = write_labels(
        tmp_path / f"a{suffix}", LABELS[1:2], Grid((1, 4, 5), (2.0, 0.5, 0.5), "um")
    )
    for plane in (Grid((4, 5), (1.0, 1.0)), Grid((4, 5), (0.5, 0.5), "um")):
        ids, found, _ = read_labels(path, plane)
        assert np.array_equal(ids, LABELS[1])
        assert found == plane
    with pytest.raises(GridError):
        read_labels(path, Grid((5, 4), (0.5, 0.5), "um"))
    if suffix != ".npy":
        with pytest.raises(GridError, match="spacing"):
            read_labels(path, Grid((4, 5), (0.5, 0.7), "um"))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".tif", ".ome.tif", ".npy", ".png"])
def test_flipped_bytes_do_no_worse_than_a_read_error(tmp_path, suffix):
    whole, damaged = tmp_path / f"whole{suffix}", tmp_path / f"damaged{suffix}"
    if suffix == ".png":
        iio.imwrite(whole, LABELS[0].astype(np.uint8))
    else:
        write_labels(whole, LABELS, GRID)
    rng = np.random.default_rng(0)
    for _ in range(60):
        raw = np.frombuffer(whole.read_bytes(), np.uint8).copy()
        where = rng.integers(0, min(len(raw), 400), rng.choice([1, 2, 8]))
        raw[where] = rng.choice([0, 127, 128, 255], len(where))
        damaged.write_bytes(raw[: rng.choice([len(raw), len(raw), len(raw) // 2])].tobytes())
        for reader in (read, read_labels):
            try:
                reader(damaged)
            except ReadError as error:
                assert "damaged" in str(error)
                assert "\n" not in str(error)


# Writing whole or not at all ---------------------------------------------------------------


@pytest.mark.parametrize("suffix", WRITABLE)
def test_a_missing_folder_is_named(tmp_path, suffix):
    with pytest.raises(WriteError, match=r"nowhere.*check that the folder exists"):
        write_labels(tmp_path / "nowhere" / f"a{suffix}", LABELS, GRID)
    assert not any(tmp_path.iterdir())


WRITE_UNDER_A_LIMIT = """
import resource, sys
import numpy as np
from napari_unet.core.grid import Grid
from napari_unet.errors import WriteError
from napari_unet.io import write_labels
import importlib
for name in ("nifti", "tiff", "ome_zarr", "npy"):
    importlib.import_module(f"napari_unet.io.{name}")
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))  # a disk with 20 kB left
labels = np.random.default_rng(0).integers(0, 2**30, (16, 32, 32))
try:
    write_labels(sys.argv[1], labels, Grid(labels.shape, (1.0, 1.0, 1.0), "mm"))
except WriteError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no file size limit")
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".tif", ".ome.zarr", ".npy"])
def test_an_older_file_stays_when_the_disk_is_full(tmp_path, suffix):
    path = write_labels(tmp_path / f"a{suffix}", LABELS, GRID)
    done = subprocess.run(
        [sys.executable, "-c", WRITE_UNDER_A_LIMIT, path], capture_output=True, text=True
    )
    assert "could not be written" in done.stdout, done.stderr
    assert path.name in done.stdout
    assert np.array_equal(read_labels(path)[0], LABELS)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() == 0, reason="permissions do not bind this user"
)
@pytest.mark.parametrize("suffix", WRITABLE)
def test_an_unwritable_folder_is_named(tmp_path, suffix):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(WriteError, match="could not be written"):
            write_labels(tmp_path / f"a{suffix}", LABELS, GRID)
    finally:
        tmp_path.chmod(0o700)


def test_a_folder_in_the_way_stays(tmp_path):
    (tmp_path / "a.tif").mkdir()
    (tmp_path / "a.tif" / "inside").touch()
    with pytest.raises(WriteError, match=r"a\.tif could not be written"):
        write_labels(tmp_path / "a.tif", LABELS, GRID)
    assert (tmp_path / "a.tif" / "inside").exists()
    assert len(list(tmp_path.iterdir())) == 1


# Planes and bare arrays --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("array", "channels"),
    [
        (np.arange(20, dtype=np.uint8).reshape(4, 5), ("channel 1",)),
        (np.arange(20, dtype=np.uint16).reshape(4, 5) * 999, ("channel 1",)),
        (np.arange(60, dtype=np.uint8).reshape(4, 5, 3), ("red", "green", "blue")),
        (np.arange(80, dtype=np.uint8).reshape(4, 5, 4), ("red", "green", "blue", "alpha")),
    ],
)
def test_png(tmp_path, array, channels):
    iio.imwrite(tmp_path / "a.png", array)
    volume = read(tmp_path / "a.png")
    assert volume.channels == channels
    assert volume.grid == Grid((4, 5), (1.0, 1.0))
    assert np.array_equal(volume.data, np.moveaxis(np.atleast_3d(array), 2, 0))


def test_png_with_a_constant_alpha(tmp_path):
    array = np.arange(80, dtype=np.uint8).reshape(4, 5, 4)
    array[..., 3] = 255
    iio.imwrite(tmp_path / "a.png", array)
    assert read(tmp_path / "a.png").channels == ("red", "green", "blue")


def test_png_labels(tmp_path):
    ids = np.arange(20, dtype=np.uint16).reshape(4, 5) * 30
    iio.imwrite(tmp_path / "a.png", ids)
    assert np.array_equal(read_labels(tmp_path / "a.png")[0], ids)
    iio.imwrite(tmp_path / "grey.png", np.dstack([ids.astype(np.uint8)] * 3))
    assert np.array_equal(read_labels(tmp_path / "grey.png")[0], ids.astype(np.uint8))
    iio.imwrite(tmp_path / "rgb.png", np.arange(60, dtype=np.uint8).reshape(4, 5, 3))
    with pytest.raises(ReadError, match="3 channels but labels have one"):
        read_labels(tmp_path / "rgb.png")


def test_png_labels_with_a_palette_are_its_indices(tmp_path):
    from PIL import Image

    ids = np.arange(20, dtype=np.uint8).reshape(4, 5) % 3
    image = Image.fromarray(ids, mode="L").convert("P")
    image.putdata(ids.ravel().tolist())
    image.putpalette([0, 0, 0, 200, 10, 10, 10, 200, 10])
    image.save(tmp_path / "a.png")
    assert np.array_equal(read_labels(tmp_path / "a.png")[0], ids)
    assert read(tmp_path / "a.png").data.shape == (3, 4, 5)


def test_jpeg_is_an_image_but_no_labels(tmp_path):
    iio.imwrite(tmp_path / "a.jpg", np.full((4, 5, 3), 90, np.uint8))
    assert read(tmp_path / "a.jpg").data.shape == (3, 4, 5)
    with pytest.raises(ReadError, match="blurs label ids"):
        read_labels(tmp_path / "a.jpg")


@pytest.mark.parametrize(
    ("shape", "axis", "expected"),
    [
        ((4, 5), None, (1, 4, 5)),
        ((3, 4, 5), None, (1, 3, 4, 5)),
        ((1, 4, 5), None, (1, 1, 4, 5)),
        ((4, 5, 3), 2, (3, 4, 5)),
        ((2, 3, 4, 5), 0, (2, 3, 4, 5)),
        ((3, 4, 5, 2), -1, (2, 3, 4, 5)),
        ((3, 2, 4, 5), 1, (2, 3, 4, 5)),
        ((1, 3, 4, 5), None, (1, 3, 4, 5)),
        ((1, 3, 1, 5), None, (1, 3, 1, 5)),
        ((2, 3, 4, 5), None, r"channel_axis \(--channel-axis\)"),
        ((2, 3, 4, 5), 4, r"channel_axis \(--channel-axis\) is 0 to 3"),
        ((2, 2, 3, 4, 5), 0, "does not say what axis"),
        ((5,), None, "no plane"),
        ((0, 5), None, "a.npy"),
    ],
)
def test_npy_axes(tmp_path, shape, axis, expected):
    np.save(tmp_path / "a.npy", np.zeros(shape))
    if isinstance(expected, str):
        with pytest.raises(ReadError, match=expected):
            read(tmp_path / "a.npy", channel_axis=axis)
    else:
        assert read(tmp_path / "a.npy", channel_axis=axis).data.shape == expected


def test_a_name_in_capitals_is_kept(tmp_path):
    path = write_labels(tmp_path / "A.NPY", LABELS, GRID)
    assert np.array_equal(read_labels(path)[0], LABELS)
    assert list(tmp_path.iterdir()) == [path]


def test_npy_never_unpickles(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{}]), allow_pickle=True)
    with pytest.raises(ReadError, match=r"a\.npy"):
        read(tmp_path / "a.npy")


def test_npy_that_promises_more_than_it_holds(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((40, 40)))
    raw = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(raw.replace(b"(40, 40)", b"(9999999, 9999999)")[: len(raw)])
    with pytest.raises(ReadError, match=r"a\.npy"):
        read(tmp_path / "a.npy")


def test_the_room_loads_neither_torch_nor_napari_nor_any_format():
    code = (
        "import sys, napari_unet.io; "
        "heavy = {'torch', 'napari', 'qtpy', 'dask', 'zarr', 'nibabel', 'tifffile', 'imageio'}; "
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
