"""OME-Zarr: lazy reading of 0.4 and 0.5, and label stores that a validator accepts."""

import json
import shutil

import dask.array
import numpy as np
import pytest
import zarr

from napari_unet.core.classes import default_classes
from napari_unet.core.grid import Grid, as_matrix
from napari_unet.errors import ReadError, WriteError
from napari_unet.io import read, read_labels, write_labels, write_probabilities
from napari_unet.io.pyramid import strides

TCZYX = np.arange(2 * 2 * 3 * 4 * 6, dtype=np.uint16).reshape(2, 2, 3, 4, 6)
GRID = Grid((3, 4, 6), (2.0, 0.5, 0.5), "um")


def axis(name):
    kind = {"t": "time", "c": "channel"}.get(name, "space")
    return {"name": name, "type": kind, **({"unit": "micrometer"} if kind == "space" else {})}


def store(path, data, axes, version="0.5", levels=2, **more):
    """Write an image with `levels` levels, each half of the one before along y and x."""
    group = zarr.open_group(path, mode="w", zarr_format=2 if version == "0.4" else 3)
    size = {"z": 2.0, "y": 0.5, "x": 0.5}
    datasets = []
    for level in range(levels):
        step = 2**level
        group.create_array(str(level), data=np.ascontiguousarray(data[..., ::step, ::step]))
        scale = [size.get(a, 1.0) * (step if a in "yx" else 1) for a in axes]
        shift = [(step - 1) / 2 * 0.5 if a in "yx" else 0.0 for a in axes]
        transforms = [{"type": "scale", "scale": scale}]
        if level:
            transforms.append({"type": "translation", "translation": shift})
        datasets.append({"path": str(level), "coordinateTransformations": transforms})
    multiscale = {"axes": [axis(a) for a in axes], "datasets": datasets}
    if version == "0.4":
        group.attrs.update({"multiscales": [{**multiscale, "version": version}], **more})
    else:
        group.attrs["ome"] = {"version": version, "multiscales": [multiscale], **more}
    return path


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("name", ["a.ome.zarr", "a.zarr", "no suffix at all"])
def test_an_image_is_read_lazily_at_any_level(tmp_path, version, name):
    omero = {"channels": [{"label": "DAPI"}, {"label": "GFP"}]}
    path = store(tmp_path / name, TCZYX, "tczyx", version, omero=omero)
    with pytest.raises(ReadError, match="2 time points"):
        read(path)
    volume = read(path, time=1)
    assert isinstance(volume.data, dask.array.Array)
    assert np.array_equal(volume.array(), TCZYX[1])
    assert volume.channels == ("DAPI", "GFP")
    assert volume.grid == GRID
    coarse = read(path, time=0, level=1)
    assert np.array_equal(coarse.array(), TCZYX[0, ..., ::2, ::2])
    assert coarse.grid == GRID.resized((3, 2, 3))


@pytest.mark.parametrize(
    ("data", "axes", "shape"),
    [
        (TCZYX[0, 0], "zyx", (1, 3, 4, 6)),
        (TCZYX[0, 0, 0], "yx", (1, 4, 6)),
        (TCZYX[0, :, 0], "cyx", (2, 4, 6)),
        (TCZYX[:1], "tczyx", (2, 3, 4, 6)),
    ],
)
def test_axes(tmp_path, data, axes, shape):
    assert read(store(tmp_path / "a.zarr", data, axes)).data.shape == shape


def test_a_transform_of_the_whole_pyramid_counts_too(tmp_path):
    path = store(tmp_path / "a.zarr", TCZYX[0, 0], "zyx")
    meta = json.loads((path / "zarr.json").read_text())
    whole = [{"type": "scale", "scale": [1, 10, 10]}]
    meta["attributes"]["ome"]["multiscales"][0]["coordinateTransformations"] = whole
    (path / "zarr.json").write_text(json.dumps(meta))
    assert read(path).grid.spacing == (2.0, 5.0, 5.0)


@pytest.mark.parametrize("chunks", [(8, 16, 16), (64, 8, 8), (1, 64, 64)])
def test_a_box_reads_only_the_chunks_under_it(tmp_path, chunks):
    data = np.random.default_rng(0).integers(0, 999, (64, 64, 64)).astype(np.uint16)
    path = store(tmp_path / "a.zarr", data, "zyx", levels=1)
    shutil.rmtree(path / "0")
    zarr.open_group(path, mode="a").create_array("0", data=data, chunks=chunks)
    box = (slice(5, 20), slice(30, 50), slice(0, 9))
    touched = [range(b.start // c, -(-b.stop // c)) for b, c in zip(box, chunks, strict=True)]
    for chunk in (path / "0" / "c").glob("*/*/*"):
        place = chunk.relative_to(path / "0" / "c").parts
        if not all(int(i) in inside for i, inside in zip(place, touched, strict=True)):
            chunk.write_bytes(b"unreadable")
    volume = read(path)
    assert np.array_equal(np.asarray(volume.data[(slice(None), *box)])[0], data[box])
    with pytest.raises(Exception, match=r"."):  # the rest is unreadable indeed
        volume.array()


def test_a_volume_of_many_chunks_is_few_blocks(tmp_path):
    path = store(tmp_path / "a.zarr", TCZYX[0, 0], "zyx", levels=1)
    shutil.rmtree(path / "0")
    group = zarr.open_group(path, mode="a")
    group.create_array("0", shape=(1024, 2048, 2048), chunks=(64, 64, 64), dtype="u2")
    data = read(path).data
    assert data.npartitions <= 2048
    assert all(n % 64 == 0 for axis in data.chunks[1:] for n in axis)


def spoil_version(path):
    group = zarr.open_group(path, mode="a")
    group.attrs["ome"] = {**group.attrs["ome"], "version": "0.9"}


def spoil_json(path):
    (path / "zarr.json").write_text("{")


def make_plate(path):
    zarr.open_group(path, mode="a").attrs["ome"] = {"version": "0.5", "plate": {}}


def make_array(path):
    shutil.rmtree(path)
    zarr.create_array(path, shape=(2, 2), dtype="u1")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (spoil_version, "OME-Zarr 0.9, but 0.4 and 0.5"),
        (spoil_json, "can't be read as OME-Zarr"),
        (make_plate, "holds 0, 1: open one inside"),
        (make_array, "no Zarr group"),
        (lambda path: shutil.rmtree(path / "0"), "lacks the array '0'"),
        (lambda path: (path / "zarr.json").unlink(), "is a folder and no OME-Zarr"),
    ],
)
def test_damage_is_named(tmp_path, damage, words):
    path = store(tmp_path / "bad.zarr", TCZYX[0, 0], "zyx")
    damage(path)
    with pytest.raises(ReadError, match=rf"bad\.zarr.*{words}"):
        read(path)


@pytest.mark.parametrize("chosen", [{}, {"channel_axis": 0}])
def test_a_damaged_chunk_is_named_when_it_is_read(tmp_path, chosen):
    path = store(tmp_path / "a.ome.zarr", TCZYX[0, 0], "zyx")
    chunk = next(p for p in sorted((path / "0").rglob("*")) if p.is_file() and p.suffix != ".json")
    chunk.write_bytes(chunk.read_bytes()[:20])
    volume = read(path, **chosen)
    for part in (volume.array, lambda: volume.data[0, 1:2].compute()):
        with pytest.raises(
            ReadError, match=r"a\.ome\.zarr can't be read as OME-Zarr .*copy it anew"
        ):
            part()


@pytest.mark.parametrize(("time", "axes"), [(1, "tczyx"), (None, "czyx")])
def test_axes_that_have_a_name_alone_are_read_by_it(tmp_path, time, axes):
    path = store(tmp_path / "a.ome.zarr", TCZYX if time else TCZYX[1], axes)
    whole = read(path, time=time)
    group = zarr.open_group(path)
    ome = group.attrs["ome"]
    for row in ome["multiscales"][0]["axes"]:
        del row["type"]
    group.attrs["ome"] = ome
    found = read(path, time=time)
    assert np.array_equal(found.array(), TCZYX[1])
    assert found.grid == whole.grid


def test_a_missing_level_is_named(tmp_path):
    path = store(tmp_path / "a.zarr", TCZYX[0, 0], "zyx")
    with pytest.raises(ReadError, match="2 resolution level"):
        read(path, level=2)


def test_a_missing_chunk_is_filled(tmp_path):
    path = store(tmp_path / "a.zarr", TCZYX[0, 0] + 1, "zyx")
    shutil.rmtree(path / "0" / "c")
    assert read(path).array().max() == 0


# Labels ------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(70, 4, 6), (4, 6)])
@pytest.mark.parametrize("highest", [1, 255, 256, 65535, 65536, 2**31, 2**63])
def test_labels_come_back_with_place_and_names(tmp_path, shape, highest):
    labels = np.zeros(shape, np.uint64)
    labels.flat[:2] = (1, highest)
    grid = Grid(shape, (2.0, 0.5, 0.25)[-len(shape) :], "nm")
    classes = default_classes([1, 300])
    for _ in range(2):  # the second replaces the first
        path = write_labels(tmp_path / "a.ome.zarr", labels, grid, classes)
    ids, found, names = read_labels(path, grid)
    assert np.array_equal(ids, labels)
    assert ids.dtype == np.min_scalar_type(highest)
    assert found == grid
    assert [(c.id, c.name) for c in names] == [(c.id, c.name) for c in classes]
    for ours, theirs in zip(classes, names, strict=True):
        assert theirs.color == pytest.approx(ours.color, abs=1 / 255)
    assert [p.name for p in tmp_path.iterdir()] == ["a.ome.zarr"]


@pytest.mark.parametrize("shear", [0.0, 0.3])
def test_an_oblique_place_is_kept_exactly(tmp_path, shear):
    matrix = np.diag([2.0, 0.5, 0.5, 1.0])
    matrix[:3, 3] = (-7.1, 3.3, 1 / 3)
    matrix[0, 2] = shear
    grid = Grid(GRID.shape, GRID.spacing, "mm", as_matrix(matrix))
    path = write_labels(tmp_path / "a.zarr", np.ones(grid.shape, int), grid)
    assert read_labels(path)[1] == grid
    transforms = zarr.open_group(path).attrs["ome"]["multiscales"][0]["datasets"][0]
    kinds = [t["type"] for t in transforms["coordinateTransformations"]]
    assert kinds == (["scale"] if shear else ["scale", "translation"])


def test_labels_inside_an_image(tmp_path):
    path = store(tmp_path / "a.zarr", TCZYX[0, 0], "zyx")
    labels = zarr.open_group(path, mode="a").create_group("labels")
    labels.attrs["ome"] = {"version": "0.5", "labels": ["nuclei"]}
    write_labels(path / "labels" / "nuclei.zarr", TCZYX[0, 0] % 5, GRID, default_classes([1]))
    (path / "labels" / "nuclei.zarr").rename(path / "labels" / "nuclei")
    ids, grid, classes = read_labels(path)
    assert np.array_equal(ids, TCZYX[0, 0] % 5)
    assert grid == GRID
    assert classes[1].name == "class 1"
    labels.attrs["ome"] = {"version": "0.5", "labels": ["nuclei", "cells"]}
    with pytest.raises(ReadError, match=r"2 label images.*nuclei"):
        read_labels(path)


def test_probabilities_are_channels(tmp_path):
    values = np.random.default_rng(0).random((2, *GRID.shape)).astype(np.float16)
    volume = read(write_probabilities(tmp_path / "a.zarr", values, GRID))
    assert np.array_equal(volume.array(), values)
    assert volume.data.dtype == np.float32
    assert volume.grid == GRID


def test_an_image_of_somebody_elses_is_never_replaced(tmp_path):
    path = store(tmp_path / "a.zarr", TCZYX[0, 0], "zyx")
    (tmp_path / "notes.zarr").mkdir()
    (tmp_path / "notes.zarr" / "text").touch()
    for target in (path, tmp_path / "notes.zarr"):
        with pytest.raises(WriteError, match="never replaced"):
            write_labels(target, np.ones(GRID.shape, int), GRID)
    assert np.array_equal(read(path).array()[0], TCZYX[0, 0])
    assert (tmp_path / "notes.zarr" / "text").exists()


STRIDES = {
    "all axes are short": ((256, 200, 3), (1, 1, 1), [(1, 1, 1)]),
    "cubes": ((600, 600, 600), (1, 1, 1), [(1, 1, 1), (2, 2, 2), (4, 4, 4)]),
    "thick slices wait until the voxels are cubes": (
        (600, 2000, 2000),
        (4, 1, 1),
        [(1, 1, 1), (1, 2, 2), (1, 4, 4), (2, 8, 8), (4, 8, 8)],
    ),
    "nearly cubes": ((600, 600, 600), (1.3, 1, 1), [(1, 1, 1), (2, 2, 2), (4, 4, 4)]),
    "few slices": ((20, 1000, 600), (1, 1, 1), [(1, 1, 1), (1, 2, 2), (1, 4, 4)]),
    "one long axis": ((20, 30, 600), (1, 1, 9), [(1, 1, 1), (1, 1, 2), (1, 1, 4)]),
    "a plane": ((600, 300), (1, 1), [(1, 1), (2, 2), (4, 2)]),
}


@pytest.mark.parametrize(("shape", "spacing", "expected"), STRIDES.values(), ids=STRIDES)
def test_levels_halve_what_is_long_and_fine(shape, spacing, expected):
    assert strides(shape, spacing) == expected


@pytest.mark.parametrize("shear", [0.0, 0.3])
@pytest.mark.parametrize("shape", [(70, 301, 533), (270, 1025)])
def test_each_level_is_every_nth_voxel_at_its_own_place(tmp_path, shape, shear):
    yaozarrs = pytest.importorskip("yaozarrs")
    labels = np.random.default_rng(0).integers(0, 300, shape).astype(np.uint16)
    spacing = (2.0, 0.5, 0.5)[-len(shape) :]
    matrix = np.diag([*spacing, 1.0])
    matrix[:-1, -1], matrix[0, 1] = 7.5, shear
    grid = Grid(shape, spacing, "um", as_matrix(matrix))
    path = write_labels(tmp_path / "a.ome.zarr", labels, grid, default_classes([1]))
    levels = strides(shape, spacing)
    assert len(levels) > 1
    yaozarrs.validate_zarr_store(path)
    for level, steps in enumerate(levels):
        volume = read(path, level=level)
        expected = labels[tuple(slice(None, None, k) for k in steps)]
        assert np.array_equal(volume.array()[0], expected)
        assert volume.grid.spacing == tuple(s * k for s, k in zip(spacing, steps, strict=True))
        # Voxel i of the level is voxel i * steps of the image, and lies where that one lies.
        index = np.array([*(n - 1 for n in expected.shape), 1])
        there = np.array([*(i * k for i, k in zip(index[:-1], steps, strict=True)), 1])
        assert np.allclose(volume.grid.matrix @ index, grid.matrix @ there)
        stored = zarr.open_group(path).attrs["ome"]["multiscales"][0]["datasets"][level]
        scale, *moved = stored["coordinateTransformations"]
        assert scale["scale"] == [s * k for s, k in zip(spacing, steps, strict=True)]
        shifts = [m["translation"] for m in moved]
        assert shifts == ([] if shear else [[7.5] * len(shape)])
    assert np.array_equal(read_labels(path)[0], labels)
    with pytest.raises(ReadError, match=f"{len(levels)} resolution level"):
        read(path, level=len(levels))


@pytest.mark.parametrize("classes", [(), default_classes([1, 2])])
def test_a_validator_accepts_what_we_write(tmp_path, classes):
    yaozarrs = pytest.importorskip("yaozarrs")
    labels = write_labels(tmp_path / "a.ome.zarr", np.ones(GRID.shape, int), GRID, classes)
    scores = write_probabilities(tmp_path / "b.ome.zarr", np.ones((2, *GRID.shape)), GRID)
    kinds = [type(yaozarrs.validate_zarr_store(p).ome_metadata()) for p in (labels, scores)]
    assert [kind.__name__ for kind in kinds] == ["LabelImage", "Image"]
