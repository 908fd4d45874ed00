"""TIFF: axes, spacing and unit from whoever wrote the file, and back for whoever reads ours."""

import numpy as np
import pytest
import tifffile

from napari_unet.core.classes import default_classes
from napari_unet.core.grid import Grid
from napari_unet.errors import ReadError, WriteError
from napari_unet.io import read, read_labels, write_labels, write_probabilities

ZYX = np.arange(3 * 4 * 5, dtype=np.uint16).reshape(3, 4, 5)
ZCYX = np.stack([ZYX, ZYX + 100], axis=1)


def imagej(path, data, axes, unit="micron", spacing=2.0, resolution=(4.0, 5.0), **options):
    metadata = {"axes": axes, "unit": unit, "spacing": spacing}
    tifffile.imwrite(path, data, imagej=True, resolution=resolution, metadata=metadata, **options)
    return path


@pytest.mark.parametrize(
    ("unit", "expected", "factor"),
    [
        ("micron", "um", 1),
        ("microns", "um", 1),
        ("um", "um", 1),
        ("\\u00B5m", "um", 1),
        ("nm", "nm", 1),
        ("mm", "mm", 1),
        ("cm", "cm", 1),
        ("inch", "mm", 25.4),
        ("pixel", "pixel", 1),
        ("parsec", "pixel", 1),
    ],
)
def test_imagej_units(tmp_path, unit, expected, factor):
    grid = read(imagej(tmp_path / "a.tif", ZYX, "ZYX", unit)).grid
    assert grid.unit == expected
    assert grid.spacing == pytest.approx([2.0 * factor, 0.2 * factor, 0.25 * factor])


@pytest.mark.parametrize("byteorder", "<>")
def test_imagej_hyperstack(tmp_path, byteorder):
    data = np.stack([ZCYX, ZCYX + 1000])  # TZCYX
    path = imagej(tmp_path / "a.tif", data, "TZCYX", byteorder=byteorder)
    with pytest.raises(ReadError, match=r"2 time points.*time=0 to 1.*file of its own"):
        read(path)
    volume = read(path, time=1)
    assert np.array_equal(volume.data, np.moveaxis(data[1], 1, 0))
    assert volume.grid.shape == (3, 4, 5)
    assert volume.data.dtype.isnative


def test_imagej_without_a_depth_has_one_unit_between_slices(tmp_path):
    metadata = {"axes": "ZYX", "unit": "um"}
    tifffile.imwrite(tmp_path / "a.tif", ZYX, imagej=True, resolution=(2.0, 2.0), metadata=metadata)
    assert read(tmp_path / "a.tif").grid.spacing == (1.0, 0.5, 0.5)


@pytest.mark.parametrize("options", [{}, {"bigtiff": True}, {"byteorder": ">"}, {"tile": (16, 16)}])
def test_ome(tmp_path, options):
    metadata = {
        "axes": "ZCYX",
        "PhysicalSizeX": 250.0,
        "PhysicalSizeXUnit": "nm",
        "PhysicalSizeY": 0.25,
        "PhysicalSizeYUnit": "µm",
        "PhysicalSizeZ": 2.0,
        "Channel": {"Name": ["DAPI", "GFP"]},
    }
    tifffile.imwrite(tmp_path / "a.ome.tif", ZCYX, ome=True, metadata=metadata, **options)
    volume = read(tmp_path / "a.ome.tif")
    assert np.array_equal(volume.data, np.moveaxis(ZCYX, 1, 0))
    assert volume.channels == ("DAPI", "GFP")
    assert volume.grid.unit == "nm"
    assert volume.grid.spacing == pytest.approx((2000, 250, 250))


def test_ome_pyramid(tmp_path):
    data = np.zeros((3, 64, 64), np.uint8)
    metadata = {"axes": "ZYX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5, "PhysicalSizeZ": 2.0}
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as tif:
        tif.write(data, subifds=1, metadata=metadata, photometric="minisblack")
        tif.write(data[:, ::2, ::2] + 1, subfiletype=1, photometric="minisblack")
    fine, coarse = (read(tmp_path / "a.ome.tif", level=n) for n in (0, 1))
    assert fine.grid == Grid((3, 64, 64), (2.0, 0.5, 0.5), "um")
    assert coarse.grid.shape == (3, 32, 32)
    assert coarse.grid.spacing == (2.0, 1.0, 1.0)
    assert coarse.grid.matrix[:-1, -1].tolist() == [0, 0.25, 0.25]
    assert coarse.data.max() == 1
    with pytest.raises(ReadError, match="2 resolution level"):
        read(tmp_path / "a.ome.tif", level=2)


def test_ome_without_a_depth_says_what_it_assumes(tmp_path):
    metadata = {"axes": "ZYX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
    tifffile.imwrite(tmp_path / "a.ome.tif", ZYX, ome=True, metadata=metadata)
    with pytest.warns(UserWarning, match="no voxel size along z: 0.5 um is assumed"):
        assert read(tmp_path / "a.ome.tif").grid.spacing == (0.5, 0.5, 0.5)


def test_broken_ome_xml_leaves_a_plain_stack(tmp_path):
    broken = {"description": "<OME><Pixels Size</OME>", "photometric": "minisblack"}
    tifffile.imwrite(tmp_path / "a.ome.tif", ZYX, **broken)
    assert read(tmp_path / "a.ome.tif").grid == Grid((3, 4, 5), (1.0, 1.0, 1.0))


def test_missing_planes_are_named(tmp_path):
    tifffile.imwrite(tmp_path / "a.ome.tif", ZYX, ome=True, metadata={"axes": "ZYX"})
    raw = (tmp_path / "a.ome.tif").read_bytes()
    assert raw.count(b'SizeZ="3"') == 1
    (tmp_path / "a.ome.tif").write_bytes(raw.replace(b'SizeZ="3"', b'SizeZ="5"'))
    with pytest.raises(ReadError, match=r"lacks 2 of its 5 planes"):
        read(tmp_path / "a.ome.tif")


@pytest.mark.parametrize(
    ("unit", "resolution", "expected"),
    [
        ("CENTIMETER", (20000, 40000), (0.25, 0.5)),
        ("INCH", (72, 72), None),
        ("INCH", (300, 300), None),
        ("NONE", (3, 3), None),
    ],
)
def test_resolution_of_a_plain_plane(tmp_path, unit, resolution, expected):
    tifffile.imwrite(
        tmp_path / "a.tif", ZYX[0], resolution=resolution, resolutionunit=unit, metadata=None
    )
    grid = read(tmp_path / "a.tif").grid
    assert grid.unit == ("um" if expected else "pixel")
    assert grid.spacing == pytest.approx(expected or (1, 1))


def test_pages_without_axes_are_slices(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as tif:
        for plane in ZYX:
            tif.write(plane, metadata=None, contiguous=False)
    assert np.array_equal(read(tmp_path / "a.tif").data[0], ZYX)


def test_pages_can_be_taken_as_channels(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", ZYX, photometric="minisblack")
    volume = read(tmp_path / "a.tif", channel_axis=0)
    assert volume.data.shape == (3, 4, 5)
    assert volume.grid.shape == (4, 5)


def test_spacing_in_tifffiles_own_metadata(tmp_path):
    metadata = {"axes": "ZYX", "spacing": [1.75, 0.8, 0.8], "unit": "um"}
    tifffile.imwrite(tmp_path / "a.tif", ZYX, metadata=metadata)
    assert read(tmp_path / "a.tif").grid == Grid((3, 4, 5), (1.75, 0.8, 0.8), "um")


@pytest.mark.parametrize("alpha", [None, "constant", "varied"])
@pytest.mark.parametrize("depth", [(), (3,)])
def test_colours_become_channels_without_a_constant_alpha(tmp_path, alpha, depth):
    data = np.full((*depth, 4, 5, 4), 255, np.uint8)
    data[..., :3] = (1, 2, 3)
    if alpha == "varied":
        data[..., 0, 0, 3] = 0
    data = data[..., :3] if alpha is None else data
    extra = None if alpha is None else ["unassalpha"]
    tifffile.imwrite(tmp_path / "a.tif", data, photometric="rgb", extrasamples=extra)
    volume = read(tmp_path / "a.tif")
    assert volume.channels == ("red", "green", "blue", "alpha")[: 4 if alpha == "varied" else 3]
    assert volume.grid.shape == (*depth, 4, 5)
    assert volume.data[2].max() == 3


def test_several_images_in_one_file_are_not_passed_over_in_silence(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as tif:
        tif.write(ZYX, photometric="minisblack")
        tif.write(ZYX[0, :2])
    with pytest.warns(UserWarning, match="holds 2 images"):
        assert read(tmp_path / "a.tif").grid.shape == (3, 4, 5)


@pytest.mark.parametrize("percent", [1, 10, 50, 99])
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("kind", [{}, {"imagej": True}, {"ome": True}, {"metadata": None}])
def test_a_truncated_file_is_refused(tmp_path, percent, compression, kind):
    data = np.random.default_rng(0).integers(0, 255, (20, 64, 64)).astype(np.uint8)
    path = tmp_path / "cut.tif"
    tifffile.imwrite(path, data, photometric="minisblack", compression=compression, **kind)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * percent // 100])
    with pytest.raises(ReadError, match=r"cut\.tif"):
        read(path)


def test_a_small_file_that_promises_gigabytes_is_refused(tmp_path):
    data = np.zeros((64, 64), np.uint8)
    tifffile.imwrite(tmp_path / "bomb.tif", data, compression="zlib", tile=(64, 64))
    with tifffile.TiffFile(tmp_path / "bomb.tif", mode="r+") as tif:
        tif.pages[0].tags["ImageWidth"].overwrite(60000)
        tif.pages[0].tags["ImageLength"].overwrite(60000)
    with pytest.raises(ReadError, match=r"bomb\.tif"):
        read(tmp_path / "bomb.tif")


@pytest.mark.parametrize("compression", ["zlib", "zstd", "lzma", "lerc"])
def test_labels_with_hardly_anything_in_them_are_no_damage(tmp_path, compression):
    labels = np.zeros((20, 2048, 2048), np.uint8)
    labels[7, 90:110, 90:110] = 1
    path = tmp_path / "sparse.tif"
    tifffile.imwrite(path, labels, compression=compression, tile=(2048, 2048))
    assert np.array_equal(read_labels(path)[0], labels)


def test_pages_in_a_circle_are_refused(tmp_path):
    tifffile.imwrite(tmp_path / "ring.tif", ZYX[0], metadata=None)
    with tifffile.TiffFile(tmp_path / "ring.tif") as tif:
        first, link = tif.pages[0].offset, tif.pages.next_page_offset
    raw = bytearray((tmp_path / "ring.tif").read_bytes())
    raw[link : link + 4] = first.to_bytes(4, "little")
    (tmp_path / "ring.tif").write_bytes(raw)
    with pytest.raises(ReadError, match=r"ring\.tif is cut short or damaged"):
        read(tmp_path / "ring.tif")


@pytest.mark.parametrize("content", [b"", b"II*\0", b"just a text, not a picture"])
def test_other_content_is_refused(tmp_path, content):
    (tmp_path / "text.tif").write_bytes(content)
    with pytest.raises(ReadError, match=r"text\.tif can't be read as TIFF"):
        read(tmp_path / "text.tif")


# Labels ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.tif", "a.ome.tif", "a.tiff", "a.OME.TIFF"])
@pytest.mark.parametrize("highest", [1, 255, 256, 65535, 65536, 2**32 - 1])
@pytest.mark.parametrize(
    "shape", [(3, 4, 5), (4, 5), (5, 6, 3), (5, 7, 1), (5, 1, 7), (5, 1, 1), (7, 1), (1, 7)]
)
def test_labels_come_back_with_spacing_unit_and_names(tmp_path, name, highest, shape):
    labels = np.zeros(shape, np.int64)
    labels.flat[:3] = (1, min(7, highest), highest)
    grid = Grid(shape, (2.0, 0.5, 0.25)[-len(shape) :], "um")
    classes = default_classes([1, 7])
    found = read_labels(write_labels(tmp_path / name, labels, grid, classes), grid)
    assert np.array_equal(found[0], labels)
    assert found[0].dtype == np.min_scalar_type(highest)
    assert found[1].unit == "um"
    assert found[1].spacing == pytest.approx(grid.spacing)
    assert found[2] == classes


@pytest.mark.parametrize("name", ["a.tif", "a.ome.tif"])
@pytest.mark.parametrize(
    "spacing", [(2.0, 0.7, 0.31), (2.0, 1.0, 1.0), (0.7, 0.31), (1.0, 1.0, 1.0)]
)
def test_spacing_without_a_unit_comes_back(tmp_path, name, spacing):
    grid = Grid((3, 4, 5)[-len(spacing) :], spacing)
    path = write_labels(tmp_path / name, np.ones(grid.shape, int), grid)
    found = read_labels(path)[1]
    assert found.unit == "pixel"
    assert found.spacing == pytest.approx(spacing)


@pytest.mark.parametrize(("highest", "is_imagej"), [(255, True), (65535, True), (65536, False)])
def test_imagej_gets_what_it_can_read(tmp_path, highest, is_imagej):
    grid = Grid((3, 4, 5), (2.0, 0.5, 0.5), "um")
    path = write_labels(tmp_path / "a.tif", np.full(grid.shape, highest), grid)
    with tifffile.TiffFile(path) as tif:
        assert tif.is_imagej == is_imagej
        assert tif.is_ome != is_imagej
        if is_imagej:
            assert tif.imagej_metadata["unit"] == "micron"
            assert tif.imagej_metadata["spacing"] == 2.0
            assert tif.pages[0].tags["XResolution"].value == (2, 1)


def test_ids_too_large_for_tiff(tmp_path):
    with pytest.raises(WriteError, match=r"4294967295.*renumber"):
        write_labels(tmp_path / "a.tif", np.full((4, 5), 2**32), Grid((4, 5), (1.0, 1.0)))


@pytest.mark.parametrize("classes", [1, 2, 3])
def test_probabilities_are_channels(tmp_path, classes):
    grid = Grid((3, 4, 5), (2.0, 0.5, 0.5), "nm")
    values = np.random.default_rng(0).random((classes, *grid.shape)).astype(np.float16)
    volume = read(write_probabilities(tmp_path / "a.tif", values, grid))
    assert np.array_equal(volume.data, values)
    assert volume.grid == grid
