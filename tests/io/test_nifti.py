"""NIfTI: what nibabel and ITK see is what we read, and labels come back in the same place."""

import gzip
import itertools
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK

from napari_unet.core.classes import BACKGROUND, LabelClass
from napari_unet.core.grid import Grid
from napari_unet.errors import ReadError
from napari_unet.io import read, read_labels, write_labels, write_probabilities

SHAPE_XYZ = (5, 4, 3)
SPACING_XYZ = (0.5, 0.75, 3.0)
SAMPLES = Path(nib.__file__).parent / "tests" / "data"
GEOMETRY = (
    *("qform_code", "sform_code", "pixdim", "xyzt_units", "toffset", "dim"),
    *("srow_x", "srow_y", "srow_z", "quatern_b", "quatern_c", "quatern_d"),
    *("qoffset_x", "qoffset_y", "qoffset_z"),
)

ORIENTATIONS = [
    np.eye(3)[list(order)] * signs
    for order in itertools.permutations(range(3))
    for signs in itertools.product((1, -1), repeat=3)
]
OBLIQUE = nib.eulerangles.euler2mat(0.3, -0.2, 0.1)
SHEARED = np.array([[1, 0.1, 0], [0, 1, 0.2], [0, 0, 1]])
PLACES = [
    *((np.eye(3), codes) for codes in [(0, 0), (1, 0), (0, 2), (1, 4), (2, 2)]),
    *((OBLIQUE, codes) for codes in [(1, 0), (0, 2), (1, 4)]),
    *((SHEARED, codes) for codes in [(0, 2), (1, 4)]),
]
"""Tilt of the axes, and codes of (qform, sform)."""
DTYPES = ["u1", "i2", "f4", "u2", "f8", "i4"]


def affine_of(orientation, tilt):
    affine = np.eye(4)
    affine[:3, :3] = tilt @ orientation @ np.diag(SPACING_XYZ)
    affine[:3, 3] = (-12.5, 30.25, 7.1)
    return affine


def save(path, data, affine=None, codes=(1, 1), endianness="<", unit="mm", kind=nib.Nifti1Image):
    """Write `data` (x, y, z, ...) with nibabel; codes are those of (qform, sform)."""
    affine = affine_of(np.eye(3), np.eye(3)) if affine is None else affine
    header = kind.header_class(endianness=endianness)
    header.set_data_dtype(data.dtype)
    header.set_xyzt_units(unit)
    image = kind(data, affine, header)
    image.header.set_qform(affine, codes[0], strip_shears=True)
    # With both codes set the two matrices differ, as scanner and template space do.
    image.header.set_sform(affine + 0.1 * np.eye(4) * (codes == (1, 4)), codes[1])
    image.header["sform_code"] = codes[1]
    # nibabel writes the affine it was given unless it agrees with the header.
    kind(data, None, image.header).to_filename(path)
    return path


def voxels(shape=SHAPE_XYZ, dtype="u1"):
    return (np.arange(np.prod(shape)) % 100).reshape(shape).astype(dtype)


@pytest.mark.parametrize(("tilt", "codes"), PLACES)
def test_any_orientation_is_read_rightly_and_written_back_exactly(tmp_path, tilt, codes):
    accepted = 0
    for number, orientation in enumerate(ORIENTATIONS):
        data = voxels(dtype=DTYPES[number % len(DTYPES)])
        affine = affine_of(orientation, tilt)
        source = save(tmp_path / f"{number}.nii", data, affine, codes, "<>"[number % 2])
        original = nib.load(source)
        volume = read(source)

        assert np.array_equal(volume.data[0], np.asarray(original.dataobj).T)
        swap = np.eye(4)[[2, 1, 0, 3]]
        assert np.array_equal(volume.grid.matrix, swap @ original.affine @ swap)
        assert volume.grid.unit == "mm"

        ids = (volume.data[0] % 7).astype(np.int64)
        written = nib.load(write_labels(tmp_path / f"{number}-labels.nii", ids, volume.grid))
        assert written.affine.tobytes() == original.affine.tobytes()
        for field in GEOMETRY:
            assert written.header[field].tobytes() == original.header[field].tobytes(), field
        assert np.array_equal(np.asarray(written.dataobj), ids.T)
        accepted += same_place_in_itk(source, Path(written.get_filename()))
    assert accepted == len(ORIENTATIONS) or tilt is SHEARED


def same_place_in_itk(source, labels):
    """Compare two files as ITK places them; False where ITK refuses the source."""
    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        image = SimpleITK.ReadImage(source)
    except RuntimeError:
        return False
    mask = SimpleITK.ReadImage(labels)
    assert mask.GetOrigin() == image.GetOrigin()
    assert mask.GetSpacing() == image.GetSpacing()
    assert mask.GetDirection() == image.GetDirection()
    assert np.array_equal(
        SimpleITK.GetArrayFromImage(mask), SimpleITK.GetArrayFromImage(image).astype(int) % 7
    )
    return True


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.img"])
@pytest.mark.parametrize("endianness", "<>")
@pytest.mark.parametrize("version", [1, 2])
def test_versions_pairs_and_byte_orders(tmp_path, name, endianness, version):
    kinds = {
        (1, False): nib.Nifti1Image,
        (2, False): nib.Nifti2Image,
        (1, True): nib.Nifti1Pair,
        (2, True): nib.Nifti2Pair,
    }
    kind = kinds[version, name.endswith(".img")]
    affine = affine_of(np.eye(3), OBLIQUE)
    source = save(tmp_path / name, voxels(dtype="i2"), affine, (1, 4), endianness, kind=kind)
    for path in {source, source.with_suffix(".hdr")} if name.endswith(".img") else {source}:
        volume = read(path)
        original = nib.load(path)
        assert volume.data.dtype == np.int16
        assert np.array_equal(volume.data[0], voxels().T)
        out = nib.load(write_labels(tmp_path / "out.nii.gz", volume.data[0], volume.grid))
        assert out.affine.tobytes() == original.affine.tobytes()
        assert out.header.endianness == endianness
        assert out.header["sizeof_hdr"] == original.header["sizeof_hdr"]


@pytest.mark.parametrize(
    "name",
    ["anatomical.nii", "reoriented_anat_moved.nii", "resampled_anat_moved.nii", "standard.nii.gz"],
)
def test_nibabels_own_files(tmp_path, name):
    original = nib.load(SAMPLES / name)
    volume = read(SAMPLES / name)
    assert np.allclose(volume.array()[0], original.get_fdata().T, equal_nan=True)
    ids = np.zeros(volume.grid.shape, np.uint8)
    written = nib.load(write_labels(tmp_path / "labels.nii.gz", ids, volume.grid))
    assert written.affine.tobytes() == original.affine.tobytes()


@pytest.mark.parametrize("name", ["functional.nii", "example4d.nii.gz", "example_nifti2.nii.gz"])
def test_a_series_asks_for_a_choice(name):
    original = nib.load(SAMPLES / name)
    with pytest.raises(ReadError, match=r"time=0 to \d+ \(--time\).*\(--channel-axis\)"):
        read(SAMPLES / name)
    second = read(SAMPLES / name, time=1)
    assert np.allclose(second.array()[0], np.asarray(original.dataobj)[..., 1].T)
    for axis in (3, -1, 0):
        channels = read(SAMPLES / name, channel_axis=axis)
        assert np.allclose(channels.array(), np.asarray(original.dataobj).T)


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ({"time": 20}, "time points 0 to 19"),
        ({"channel_axis": 1}, "use 3"),
        ({"channel_axis": 4}, "use 3"),
        ({"level": 1}, "one resolution level"),
    ],
)
def test_an_impossible_choice_names_the_possible_ones(choice, words):
    with pytest.raises(ReadError, match=words):
        read(SAMPLES / "functional.nii", **choice)


def test_singleton_axes_after_space_are_dropped(tmp_path):
    path = save(tmp_path / "a.nii", voxels((5, 4, 1, 1, 1)))
    assert read(path).data.shape == (1, 1, 4, 5)


def test_a_plane(tmp_path):
    path = save(tmp_path / "a.nii", voxels((5, 4)))
    volume = read(path)
    assert volume.data.shape == (1, 4, 5)
    assert volume.grid.spacing == (0.75, 0.5)
    out = nib.load(write_labels(tmp_path / "b.nii", volume.data[0], volume.grid))
    assert out.shape == (5, 4)
    assert np.array_equal(out.affine, nib.load(path).affine)


def test_colours_become_channels(tmp_path):
    rgb = np.zeros((5, 4, 3), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    rgb["G"] = 7
    volume = read(save(tmp_path / "a.nii", rgb))
    assert volume.channels == ("red", "green", "blue")
    assert volume.data.shape == (3, 3, 4, 5)
    assert volume.data[1].min() == 7 and volume.data[0].max() == 0


def test_complex_values_are_refused(tmp_path):
    with pytest.raises(ReadError, match=r"a\.nii holds values of type complex64"):
        read(save(tmp_path / "a.nii", voxels(dtype="c8")))


@pytest.mark.parametrize(
    ("slope", "inter", "expected"),
    [(2, -1024, 2 * 7 - 1024), (0, 5, 7), (np.nan, np.nan, 7), (1, 0, 7), (0.5, 0, 3.5)],
)
def test_intensities_are_scaled(tmp_path, slope, inter, expected):
    path = save(tmp_path / "a.nii", np.full(SHAPE_XYZ, 7, np.int16))
    patch(path, 112, np.array([slope, inter], "<f4").tobytes())
    volume = read(path)
    assert np.all(volume.data[0] == expected)
    header = nib.load(write_labels(tmp_path / "b.nii", voxels().T, volume.grid)).header
    stored = np.frombuffer((tmp_path / "b.nii").read_bytes(), "<f4", 2, 112)
    assert stored.tolist() == [1, 0]
    assert header.get_data_dtype() == np.uint8


def patch(path, offset, replacement):
    raw = bytearray(path.read_bytes())
    raw[offset : offset + len(replacement)] = replacement
    path.write_bytes(raw)


@pytest.mark.parametrize(
    ("unit", "codes", "expected"),
    [
        ("meter", (1, 1), "m"),
        ("mm", (0, 0), "mm"),
        ("micron", (1, 1), "um"),
        ("unknown", (0, 2), "mm"),
        ("unknown", (0, 0), "pixel"),
    ],
)
def test_units(tmp_path, unit, codes, expected):
    volume = read(save(tmp_path / "a.nii", voxels(), codes=codes, unit=unit))
    assert volume.grid.unit == expected
    assert volume.grid.spacing == tuple(reversed(SPACING_XYZ))


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [((0, 2, 3), (3, 2, 1)), ((np.nan, 2, 3), (3, 2, 1)), ((1, 2, -3), (3, 2, 1))],
)
def test_impossible_voxel_sizes_are_replaced_with_a_warning(tmp_path, sizes, expected):
    path = save(tmp_path / "a.nii", voxels(), codes=(0, 0))
    patch(path, 80, np.array(sizes, "<f4").tobytes())
    with pytest.warns(UserWarning, match=r"a\.nii gives impossible voxel sizes"):
        volume = read(path)
    assert volume.grid.spacing == expected


def test_a_damaged_matrix_gives_way_to_the_next(tmp_path):
    path = save(tmp_path / "a.nii", voxels(), affine_of(np.eye(3), OBLIQUE), (1, 1))
    patch(path, 280, np.array([np.nan] * 4, "<f4").tobytes())
    with pytest.warns(UserWarning, match="damaged position matrix"):
        volume = read(path)
    assert volume.grid.spacing == pytest.approx(tuple(reversed(SPACING_XYZ)), rel=1e-6)
    ids, grid, _ = read_labels(write_labels(tmp_path / "b.nii", volume.data[0], volume.grid))
    volume.grid.require(grid)
    assert np.array_equal(ids, volume.data[0])


@pytest.mark.parametrize(
    ("unit", "stored", "factor"),
    [("um", "um", 1), ("nm", "um", 1e-3), ("cm", "mm", 10), ("mm", "mm", 1)],
)
@pytest.mark.parametrize("shape", [(3, 4, 5), (4, 5)])
def test_a_header_is_built_for_grids_of_other_formats(tmp_path, shape, unit, stored, factor):
    grid = Grid(shape, (3.0, 0.5, 0.25)[-len(shape) :], unit)
    ids, found, _ = read_labels(write_labels(tmp_path / "a.nii", np.ones(shape, int), grid))
    assert ids.shape == shape
    assert found.unit == stored
    assert found.spacing == pytest.approx([s * factor for s in grid.spacing])


def test_a_changed_grid_does_not_use_the_old_header(tmp_path):
    grid = read(save(tmp_path / "a.nii", voxels())).grid
    part = grid.crop((1, 1, 1), (3, 3, 3))
    _, found, _ = read_labels(write_labels(tmp_path / "b.nii", np.ones((2, 2, 2), int), part))
    part.require(found)


def test_a_long_axis_needs_nifti_2(tmp_path):
    grid = Grid((1, 2, 40000), (1.0, 1.0, 1.0), "mm")
    path = write_labels(tmp_path / "a.nii.gz", np.ones(grid.shape, int), grid)
    assert isinstance(nib.load(path), nib.Nifti2Image)
    assert read(path).grid.shape == grid.shape


CLASSES = (BACKGROUND, LabelClass(1, "tête µ", (0.9, 0.62, 0.0)), LabelClass(300, "corps"))


@pytest.mark.parametrize("endianness", "<>")
@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
def test_class_names_travel_in_a_comment(tmp_path, endianness, kind):
    grid = read(save(tmp_path / "a.nii", voxels(), endianness=endianness, kind=kind)).grid
    path = write_labels(tmp_path / "b.nii.gz", voxels().T, grid, CLASSES)
    assert read_labels(path)[2] == CLASSES
    extension = nib.load(path).header.extensions[0]
    assert extension.get_code() == 6
    assert np.array_equal(np.asarray(nib.load(path).dataobj), voxels())
    if kind is nib.Nifti1Image:  # ITK does not read NIfTI-2
        assert np.array_equal(SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(path)), voxels().T)


def test_probabilities_lie_along_the_fourth_axis(tmp_path):
    grid = read(save(tmp_path / "a.nii", voxels())).grid
    values = np.random.default_rng(0).random((2, *grid.shape)).astype(np.float16)
    path = write_probabilities(tmp_path / "b.nii.gz", values, grid)
    assert nib.load(path).shape == (*SHAPE_XYZ, 2)
    assert np.array_equal(nib.load(path).affine, nib.load(tmp_path / "a.nii").affine)
    assert np.array_equal(read(path, channel_axis=3).data, values)


def test_equal_labels_make_equal_files(tmp_path):
    grid = Grid((3, 4, 5), (1.0, 1.0, 1.0), "mm")
    files = [write_labels(tmp_path / n, voxels().T, grid) for n in ("a.nii.gz", "b.nii.gz")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_analyze_reads_as_in_nibabel(tmp_path):
    nib.AnalyzeImage(voxels(dtype="i2"), np.diag([-0.5, 0.75, 3, 1])).to_filename(
        tmp_path / "a.img"
    )
    (tmp_path / "a.mat").unlink(missing_ok=True)
    volume = read(tmp_path / "a.hdr")
    assert np.array_equal(volume.data[0], voxels().T)
    assert volume.grid.spacing == (3, 0.75, 0.5)


# Damage -------------------------------------------------------------------------------------


@pytest.mark.parametrize("percent", [1, 10, 50, 99])
@pytest.mark.parametrize("name", ["cut.nii", "cut.nii.gz"])
def test_a_truncated_file_is_refused(tmp_path, name, percent):
    data = np.random.default_rng(0).integers(0, 255, (20, 20, 20)).astype(np.uint8)
    path = save(tmp_path / name, data)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * percent // 100])
    with pytest.raises(ReadError, match=r"cut\.nii.*cut short") as caught:
        read(path)
    assert "source" in str(caught.value) and "\n" not in str(caught.value)


def test_a_wrong_checksum_is_refused(tmp_path):
    path = save(tmp_path / "a.nii.gz", voxels())
    raw = bytearray(path.read_bytes())
    raw[-6] ^= 0xFF
    path.write_bytes(raw)
    with pytest.raises(ReadError, match="CRC"):
        read(path)


def test_gzip_is_told_by_its_first_bytes_not_the_name(tmp_path):
    plain, zipped = save(tmp_path / "a.nii", voxels()), tmp_path / "b.nii"
    zipped.write_bytes(gzip.compress(plain.read_bytes()))
    plain = plain.rename(tmp_path / "c.nii.gz")
    for path in (plain, zipped):
        assert np.array_equal(read(path).data[0], voxels().T)


@pytest.mark.parametrize(
    ("dims", "words"),
    [
        ((3, 32767, 32767, 32767), "cut short or damaged"),
        ((3, 5, 0, 3), "impossible shape"),
        ((3, 5, -4, 3), "impossible shape"),
        ((1, 60, 1, 1), "impossible shape"),
        ((0, 1, 1, 1), "impossible shape"),
        ((99, 5, 4, 3), "bad.nii"),
    ],
)
@pytest.mark.parametrize("zipped", [False, True])
def test_an_absurd_shape_is_refused_before_memory_is_taken(tmp_path, dims, words, zipped):
    path = save(tmp_path / "bad.nii", voxels())
    patch(path, 40, np.array(dims, "<i2").tobytes())
    if zipped:
        path.write_bytes(gzip.compress(path.read_bytes()))
    with pytest.raises(ReadError, match=words):
        read(path)


@pytest.mark.parametrize(
    ("offset", "replacement"),
    [
        (108, np.array(np.nan, "<f4").tobytes()),  # where voxels begin
        (108, np.array(-352, "<f4").tobytes()),
        (108, np.array(1e30, "<f4").tobytes()),
        (70, np.array(12345, "<i2").tobytes()),  # type of a voxel
        (112, np.array([2, np.inf], "<f4").tobytes()),  # scale
    ],
)
def test_a_damaged_header_is_refused(tmp_path, offset, replacement):
    path = save(tmp_path / "bad.nii", voxels())
    patch(path, offset, replacement)
    with pytest.raises(ReadError, match=r"bad\.nii"):
        read(path)


@pytest.mark.parametrize("content", [b"", b"\x1f\x8b", b"hello, I am no image" * 30, b"\0" * 400])
def test_other_content_is_refused(tmp_path, content):
    path = tmp_path / "other.nii.gz"
    path.write_bytes(content)
    with pytest.raises(ReadError, match=r"other\.nii\.gz"):
        read(path)


def test_half_a_pair_is_refused(tmp_path):
    path = save(tmp_path / "a.img", voxels(), kind=nib.Nifti1Pair)
    path.unlink()
    with pytest.raises(ReadError, match=r"a\.img is missing"):
        read(tmp_path / "a.hdr")
