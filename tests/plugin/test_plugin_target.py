"""What the dock works on: which labels lie on which image, and which of them the brush paints."""

import dask.array
import numpy as np
import pytest

from napari_unet.core.grid import Grid
from napari_unet.core.volume import Volume
from napari_unet.plugin import layers
from napari_unet.plugin.traces import painted

SHAPE = (4, 32, 32)
RESOLUTIONS, PIECES = "in several resolutions", "that are read piece by piece"
SEVERAL = (
    f"wrong holds labels {RESOLUTIONS}, which nobody can paint on: press Load… to put them on the "
    "image from a file."
)


@pytest.fixture
def pair(dock, viewer):
    """Two images of one shape that no file tells apart, with labels on the first."""
    first, second = (viewer.add_image(np.full(SHAPE, i), name=f"image {i}") for i in range(2))
    dock.target.choose_image(first)
    dock.correct.new.click()
    return first, second, dock.target.labels


def test_labels_of_one_image_are_not_taken_for_those_of_another_of_its_shape(dock, viewer, pair):
    first, second, labels = pair
    labels.paint((2, 10, 10), 1)
    dock.target.choose_image(second)
    assert dock.target.labels is None
    assert viewer.layers.selection.active is second  # nobody paints on what is not worked on
    assert dock.target.labelled() == [(first, labels)]
    dock.target.choose_image(first)
    assert dock.target.labels is labels


def test_labels_can_be_given_to_another_image(dock, pair):
    _, second, labels = pair
    labels.paint((2, 10, 10), 1)
    dock.target.choose_image(second)
    dock.target.choose_labels(labels)
    dock.target.refresh()
    assert dock.target.labels is labels
    assert dock.target.labelled() == [(second, labels)]


def test_labels_are_free_again_without_their_image(dock, viewer, pair):
    first, second, labels = pair
    viewer.layers.remove(first)
    assert (dock.target.image, dock.target.labels) == (second, labels)


def test_planes_of_a_stack_from_a_file_are_images_of_their_own(dock, hippocampus, viewer):
    from napari.layers._layer_actions import _split_stack

    viewer.layers.selection.active = dock.target.image
    _split_stack(viewer.layers)
    planes = [*viewer.layers]
    assert dock.target.volume.grid.shape == planes[0].data.shape
    dock.target.choose_image(planes[0])
    dock.correct.new.click()
    dock.target.choose_image(planes[1])
    assert dock.target.labels is None


def test_channels_of_an_image_share_their_labels(dock, viewer):
    volume = Volume(np.zeros((2, *SHAPE), np.uint8), Grid(SHAPE, (1.0, 1.0, 1.0)), ("a", "b"))
    shown = [viewer.add_image(data, **meta) for data, meta, _ in layers.volume_layers(volume)]
    dock.target.choose_image(shown[0])
    dock.correct.new.click()
    labels = dock.target.labels
    dock.target.choose_image(shown[1])
    assert dock.target.labels is labels


def test_what_the_brush_paints_on_is_what_is_worked_on(dock, viewer, pair):
    first, second, labels = pair
    dock.target.choose_image(second)
    dock.correct.new.click()
    heard = []
    dock.target.changed.connect(lambda: heard.append((dock.target.image, dock.target.labels)))
    viewer.layers.selection.active = labels
    assert heard == [(first, labels)]
    mine = viewer.add_labels(np.zeros(SHAPE, np.uint8))
    assert dock.target.labels is mine
    mine.paint((2, 10, 10), 1)
    assert painted(mine)
    dock.target.choose_labels(labels)
    assert viewer.layers.selection.active is labels


@pytest.mark.parametrize(
    ("foreign", "why"),
    [
        (np.full(SHAPE, -1), "wrong holds the label id -1, but ids start at 0: renumber them."),
        ([np.zeros(SHAPE, int), np.zeros((2, 16, 16), int)], SEVERAL),
        ([np.zeros(SHAPE, np.uint8), np.zeros((2, 16, 16), np.uint8)], SEVERAL),
        (dask.array.zeros(SHAPE, dtype=np.uint8), SEVERAL.replace(RESOLUTIONS, PIECES)),
    ],
)
def test_labels_that_cant_be_worked_on_are_not_listed_and_said_why(
    dock, viewer, pair, foreign, why
):
    _, _, labels = pair
    wrong = viewer.add_labels(foreign, name="wrong")
    assert dock.target.labels is labels
    assert dock.message.text() == why
    assert dock.target.labelled() == []
    assert layers.labels_refusal(wrong)  # nobody took it for known meanwhile
    viewer.layers.remove(wrong)
    assert dock.message.text() == ""


def test_labels_go_with_the_scale_that_somebody_gives_their_image(qtbot, dock, viewer):
    image = viewer.add_image(np.zeros(SHAPE))
    other = viewer.add_labels(np.zeros(SHAPE, np.uint8), scale=(7, 7, 7))  # says so itself
    assert layers.about(other).grid.spacing == (7.0, 7.0, 7.0)
    dock.correct.new.click()
    viewer.layers.units = ("pixel",) * 3  # of the list, which the scale bar shows
    viewer.layers.units = None
    labels, tools = dock.target.labels, dock.correct.tools
    tools.operation.setCurrentText("Grow")
    assert tools.number.suffix() == " px"
    with qtbot.waitSignal(dock.target.changed):
        image.scale = (2, 0.5, 0.5)
    image.units = ("um",) * 3
    for place in (layers.volume_of(image).grid, layers.about(labels).grid):
        assert (place.spacing, place.unit) == ((2.0, 0.5, 0.5), "um")
    assert np.allclose(labels.data_to_world((3, 4, 5)), image.data_to_world((3, 4, 5)))
    assert dock.target.labels is labels
    assert tools.number.suffix() == " µm"
    assert dock.message.text().startswith(f"A voxel of {image.name} is 2 × 0.5 × 0.5 µm now")
    assert layers.about(other).grid.spacing == (7.0, 7.0, 7.0)
    assert tuple(other.scale) == (7.0, 7.0, 7.0)
    with qtbot.assertNotEmitted(dock.target.changed):
        image.translate = (1, 2, 3)
        image.affine = np.eye(4)


def test_signed_labels_are_looked_through_once_for_each_data_they_are_given(viewer):
    labels = viewer.add_labels(np.zeros(SHAPE, int))
    assert layers.labels_refusal(labels) == ""
    assert labels.metadata[layers.SOUND]() is labels.data
    labels.data = np.full(SHAPE, -1)
    assert "label id -1" in layers.labels_refusal(labels)
    labels.data = np.ones(SHAPE, int)
    assert layers.labels_refusal(labels) == ""
    assert labels.metadata[layers.SOUND]() is labels.data


def test_labels_of_no_image_here_change_nothing(dock, viewer, pair):
    first, _, labels = pair
    viewer.add_labels(np.zeros((2, 3, 4), np.uint8))
    assert (dock.target.image, dock.target.labels) == (first, labels)
