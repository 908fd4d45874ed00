"""Layers become nouns and come back."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from napari.layers import Image, Labels

from napari_unet.core.classes import LabelClass, default_classes
from napari_unet.core.grid import Grid, as_matrix
from napari_unet.core.volume import Volume
from napari_unet.errors import GridError
from napari_unet.plugin import layers, origin, pairing
from napari_unet.plugin.about import About
from napari_unet.plugin.comparison_layer import ComparisonLayer, View
from napari_unet.plugin.flash import Flash
from napari_unet.plugin.uncertainty import UncertaintyLayer

SHAPE = (4, 5, 6)
SPACING = (3.0, 1.0, 0.5)
DIRECTIONS = {
    "straight": np.diag([1.0, 1.0, 1.0]),
    "flipped": np.diag([1.0, -1.0, -1.0]),
    "sagittal": np.array([[0.0, 1, 0], [0, 0, 1], [1, 0, 0]]),
    "oblique": np.array([[0.96, -0.28, 0], [0.28, 0.96, 0], [0, 0, 1.0]]),
}


def volume_along(directions, channels=1):
    matrix = np.eye(4)
    matrix[:3, :3] = directions @ np.diag(SPACING)
    matrix[:3, 3] = (7, -8, 9)
    grid = Grid(SHAPE, SPACING, "mm", as_matrix(matrix), header=b"exact")
    return Volume(np.arange(120.0 * channels).reshape(channels, *SHAPE), grid, name="a.nii.gz")


@pytest.mark.parametrize("name", DIRECTIONS)
def test_a_volume_comes_back_from_its_layer_unchanged(name):
    volume = volume_along(DIRECTIONS[name])
    ((data, meta, kind),) = layers.volume_layers(volume)
    assert kind == "image"
    assert layers.volume_of(Image(data, **meta)) is volume


@pytest.mark.parametrize(
    ("name", "exact"),
    [("straight", True), ("flipped", True), ("sagittal", False), ("oblique", False)],
)
def test_a_layer_lies_in_scanner_space_where_napari_can_cut_it(name, exact):
    volume = volume_along(DIRECTIONS[name])
    ((data, meta, _),) = layers.volume_layers(volume)
    layer = Image(data, **meta)
    index = (1, 2, 3)
    world = volume.grid.matrix @ (*index, 1)
    assert np.allclose(layer.data_to_world(index), world[:3]) == exact
    assert np.allclose(layer.scale, SPACING)
    assert {str(u) for u in layer.units} == {"millimeter"}


def test_labels_lie_on_their_image_and_know_its_exact_grid():
    volume = volume_along(DIRECTIONS["flipped"])
    ((data, meta, _),) = layers.volume_layers(volume)
    image = Image(data, **meta)
    labels = layers.new_labels(volume, default_classes([1, 2]))
    assert np.allclose(labels.data_to_world((1, 2, 3)), image.data_to_world((1, 2, 3)))
    assert labels.units == image.units
    assert layers.about(labels).grid.header == b"exact"
    assert pairing.fits(image, labels)


@pytest.mark.parametrize("highest", [2, 255, 1053, 65_536])
def test_new_labels_hold_the_ids_of_their_classes(highest):
    classes = default_classes([1, highest])
    labels = layers.new_labels(volume_along(DIRECTIONS["straight"]), classes)
    assert layers.can_hold(labels, classes, instances=False)
    labels.selected_label = highest  # napari refuses one that does not fit


TURN = np.array([[1.0, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]])
PLACES = {
    "moved": {"translate": (10, 100, 200), "scale": (2, 1, 1), "units": ("um",) * 3},
    "turned": {"rotate": TURN, "scale": (3, 0.5, 0.5)},
    "sheared": {"shear": (0, 0, 0.5), "translate": (-4, 0, 0)},
    "flipped": {"affine": np.diag([-2.0, -1, 1, 1]) + np.eye(4, k=3) * 7},
    "by an affine": {
        "affine": np.block([[2 * TURN, np.array([[1], [2], [3]])], [0, 0, 0, 1.0]]),
        "translate": (5, 0, 0),
    },
    "tilted": {"affine": np.eye(4) + 0.3 * np.eye(4, k=1) * [[1], [0], [0], [0]]},
}


@pytest.mark.filterwarnings("ignore:Non-orthogonal slicing")
@pytest.mark.parametrize("name", PLACES)
def test_all_that_is_drawn_lies_on_an_image_wherever_that_lies(dock, viewer, name):
    numbered = np.tile(np.arange(12.0)[:, None, None], (1, 20, 24))
    image = viewer.add_image(numbered, **PLACES[name])
    dock.correct.new.click()
    labels, corner = dock.target.labels, (3, 10, 12)
    dock.slices.go(5)
    assert float(image._slice.image.raw.max()) == 5
    assert dock.slices.here == (0, 5)
    dock.slices.toggle()
    assert layers.about(labels).done == {(0, 5)}
    flash, doubts = Flash(viewer), UncertaintyLayer(viewer)
    flash.light(labels, corner, np.ones((2, 3, 4), bool))
    doubts.begin(image, dock.target.volume)
    compared = ComparisonLayer(viewer, labels, dict.fromkeys(View, np.zeros((12, 20, 24), int)))
    for layer, voxel in [
        (labels, corner),
        (compared.layer, corner),
        (doubts._layer, corner),
        (flash._layer, (0, 0, 0)),
    ]:
        assert np.allclose(layer.data_to_world(voxel), image.data_to_world(corner)), layer.name
        assert layer.units == image.units
    flash.remove()
    doubts.remove()
    compared.remove()


def test_channels_become_one_layer_each_that_all_mean_the_whole():
    volume = volume_along(DIRECTIONS["straight"], channels=2)
    made = [Image(data, **meta) for data, meta, _ in layers.volume_layers(volume)]
    assert [m.name for m in made] == ["a channel 1", "a channel 2"]
    assert all(layers.volume_of(m) is volume for m in made)


@pytest.mark.parametrize(
    ("image", "shape", "unit"),
    [
        (Image(np.zeros((4, 5, 6)), scale=(2, 1, 1), units=("um",) * 3), (1, 4, 5, 6), "um"),
        (Image(np.zeros((4, 5, 6)), affine=np.diag([2, 1, 1, 1])), (1, 4, 5, 6), "pixel"),
        (Image(np.zeros((5, 6))), (1, 5, 6), "pixel"),
        (Image(np.zeros((5, 6, 3), np.uint8), rgb=True), (3, 5, 6), "pixel"),
    ],
)
def test_somebody_elses_image_is_understood(image, shape, unit):
    volume = layers.volume_of(image)
    assert volume.data.shape == shape
    assert layers.volume_of(image) is volume
    assert volume.grid.unit == unit
    assert volume.grid.spacing == ((2.0, 1.0, 1.0) if len(shape) == 4 else (1.0, 1.0))


@pytest.mark.parametrize(
    ("change", "same"),
    [
        (lambda layer: setattr(layer, "name", "mine"), True),
        (lambda layer: setattr(layer, "scale", (2.0, 0.5, 0.5)), True),
        (lambda layer: setattr(layer, "scale", (3.0, 1.0, 1.0)), False),
        (lambda layer: setattr(layer, "data", layer.data + 1), False),
        (lambda layer: setattr(layer, "data", layer.data[:, 1:]), False),
        (lambda layer: setattr(layer, "data", layer.data.astype(np.float32)), False),
        (lambda layer: Path(layer.source.path).write_bytes(b"no TIFF"), False),
    ],
    ids=["renamed", "placed alike", "placed elsewhere", "filtered", "cut", "converted", "damaged"],
)
def test_an_image_that_another_reader_opened_keeps_its_file(viewer, tmp_path, change, same):
    path = tmp_path / "stack.tif"
    stack = np.random.default_rng(0).integers(0, 999, (6, 20, 30)).astype(np.uint16)
    tifffile.imwrite(
        path,
        stack,
        imagej=True,
        resolution=(2, 2),
        metadata={"axes": "ZYX", "spacing": 2, "unit": "um"},
    )
    (layer,) = viewer.open(path, plugin="napari")
    change(layer)
    volume = layers.volume_of(layer)
    assert volume.source == (str(path) if same else "")
    assert volume.grid.spacing == ((2.0, 0.5, 0.5) if same else tuple(layer.scale))
    assert np.array_equal(volume.array()[0], layer.data)
    assert layers.volume_of(layer) is volume


@pytest.mark.parametrize("name", DIRECTIONS)
def test_a_scale_set_later_goes_before_the_files_until_it_is_taken_back(name):
    volume = volume_along(DIRECTIONS[name])
    ((data, meta, _),) = layers.volume_layers(volume)
    layer = Image(data, **meta)
    assert layers.volume_of(layer) is volume
    layer.translate = (5, 6, 7)  # which is no matter of size
    assert layers.volume_of(layer) is volume
    layer.scale, layer.units = (2.0, 0.25, 0.25), ("um",) * 3
    other = layers.volume_of(layer)
    assert layers.volume_of(layer) is other
    assert (other.data is volume.data, other.source) == (True, volume.source)
    assert other.grid == volume.grid.respaced((2.0, 0.25, 0.25), "um")
    layer.scale, layer.units = SPACING, ("mm",) * 3
    assert layers.volume_of(layer) is volume


def test_a_scale_set_after_napari_opened_a_file_counts(viewer, tmp_path):
    path = tmp_path / "plain.tif"
    tifffile.imwrite(path, np.zeros((4, 20, 30), np.uint8), imagej=True, metadata={"axes": "ZYX"})
    (layer,) = viewer.open(path, plugin="napari")
    assert layers.volume_of(layer).source == str(path)
    layer.scale = (2.0, 0.5, 0.5)
    assert layers.volume_of(layer).grid.spacing == (2.0, 0.5, 0.5)
    assert layers.volume_of(layer).source == str(path)


def test_a_large_file_is_not_read_a_second_time(viewer, tmp_path, monkeypatch):
    path = tmp_path / "plane.tif"
    tifffile.imwrite(path, np.zeros((20, 30), np.uint8))
    (layer,) = viewer.open(path, plugin="napari")
    monkeypatch.setattr(origin, "_MOST", 599)
    assert layers.volume_of(layer).source == ""


MOVES = {
    "to the same slice": lambda dims: dims.set_current_step(0, 2),
    "to another slice": lambda dims: dims.set_current_step(0, 3),
    "to another axis": lambda dims: dims.roll(),
    "to 3D": lambda dims: setattr(dims, "ndisplay", 3),
}


@pytest.mark.parametrize("visible", [True, False])
@pytest.mark.parametrize("how", MOVES)
def test_voxels_are_written_whatever_is_shown(viewer, visible, how):
    viewer.add_image(np.zeros(SHAPE))
    labels = viewer.add_labels(np.zeros(SHAPE, np.uint8))
    labels.visible = visible
    MOVES[how](viewer.dims)
    where = np.nonzero(np.ones(SHAPE))
    layers.write(labels, where, np.full(len(where[0]), 2))
    assert (labels.data == 2).all()
    assert labels.visible == visible
    labels.undo()
    assert not labels.data.any()


def test_an_image_with_time_is_refused_with_the_remedy():
    with pytest.raises(GridError, match=r"4 axes.*Split Stack"):
        layers.volume_of(Image(np.zeros((2, 3, 4, 5))))


@pytest.mark.parametrize(
    ("shape", "rgb", "fits"),
    [
        ((5, 6), False, True),
        ((4, 5, 6), False, True),
        ((5, 6, 3), True, True),
        ((4, 5, 6, 3), True, True),
        ((2, 3, 4, 5), False, False),
        ((2, 4, 5, 6, 3), True, False),
    ],
)
def test_what_is_refused_is_what_no_volume_can_be_made_of(shape, rgb, fits):
    image = Image(np.zeros(shape, np.uint8), rgb=rgb, name="movie")
    assert (layers.refusal(image) == "") == fits
    if fits:
        assert layers.volume_of(image).grid.ndim in (2, 3)


@pytest.mark.parametrize("writable", [True, False])
def test_labels_that_can_only_be_read_hold_no_prediction(writable):
    labels = Labels(np.zeros((4, 5), np.uint8), name="mapped")
    labels.data.flags.writeable = writable
    assert layers.can_hold(labels, default_classes([1]), instances=False) == writable
    assert (layers.read_only(labels) == "") == writable
    assert "Duplicate Layer" in layers.read_only(labels) or writable


@pytest.mark.parametrize(
    ("ids", "classes", "instances"),
    [([0], [0, 1], False), ([0, 2, 5], [0, 2, 5], False), (range(100), [0, 1], True)],
)
def test_somebody_elses_labels_are_understood(ids, classes, instances):
    data = np.resize(np.array(ids), (4, 5, 6))
    about = layers.about(Labels(data))
    assert [c.id for c in about.classes] == classes
    assert about.instances == instances


def test_ids_too_large_for_a_colour_are_objects_or_grey():
    ids = np.zeros(SHAPE, np.uint32)
    ids[1:3, 2], ids[3, 3] = 720_575, 3  # as segments of whole brains have them
    volume = volume_along(DIRECTIONS["straight"])
    assert layers.about_found(ids, volume).instances
    named = (LabelClass(3, "near", (0, 1.0, 0)), LabelClass(720_575, "far", (1.0, 0, 0)))
    about = layers.about_found(ids, volume, (*default_classes([]), *named))
    labels = layers.labels_layer(ids, about, "segments")
    assert not layers.about(labels).instances
    assert np.allclose(labels.colormap.map(3), (0, 1, 0, 1))
    assert list(labels.features["class"][-2:]) == ["near", "far"]


def test_classes_give_the_layer_its_colours_and_names():
    labels = layers.new_labels(volume_along(DIRECTIONS["straight"]), default_classes([]))
    layers.change_about(labels, classes=(*default_classes([]), LabelClass(3, "mito", (1.0, 0, 0))))
    assert np.allclose(labels.colormap.map(3), (1, 0, 0, 1))
    assert "mito" in list(labels.features["class"])


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("/d/t1.nii.gz", "/d/t1_labels.nii.gz"),
        ("/d/a.ome.tiff", "/d/a_labels.ome.tif"),
        ("/d/photo.png", "/d/photo_labels.tif"),
        ("", "labels_labels.tif"),
    ],
)
def test_the_proposed_name_lies_beside_the_image(source, name):
    about = About(Grid((5, 6), (1.0, 1.0)), default_classes([1]), source=source)
    layer = layers.labels_layer(np.zeros((5, 6), np.uint8), about, "x")
    assert layers.default_export(layer).as_posix() == name
