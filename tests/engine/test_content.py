from dataclasses import replace

import numpy as np
import pytest

from napari_unet.core.annotation import Annotation
from napari_unet.core.grid import Grid
from napari_unet.core.progress import run
from napari_unet.core.settings import PredictSettings, TrainSettings
from napari_unet.core.spec import ModelSpec
from napari_unet.core.volume import Volume
from napari_unet.engine.blocks import Layout
from napari_unet.engine.content import content_box, empty_outside
from napari_unet.engine.model import Model, from_torch
from napari_unet.engine.networks import build_network
from napari_unet.engine.predict import predicting
from napari_unet.engine.suggest import suggesting
from napari_unet.engine.train import training
from napari_unet.engine.view import View

SHAPE = (40, 37, 45)
BOX = ((5, 0, 21), (31, 30, 44))


def inside(box=BOX):
    return tuple(map(slice, *box))


def volume_of(box=BOX, air=-3.0, channels=1, shape=SHAPE):
    """Noise in a box, and one value around it."""
    data = np.full((channels, *shape), air, np.float32)
    part = (slice(None), *inside(box))
    data[part] = np.random.default_rng(0).normal(size=data[part].shape)
    return Volume(data, Grid(shape, (1.0,) * len(shape), "mm"))


def model_of(**more):
    spec = ModelSpec(features=(2, 4), **{"tile": (16, 16, 16), "crop": True, **more})
    return Model(spec, from_torch(build_network(spec).state_dict()))


class Lazy:
    """Data of which it is noted how much was read."""

    def __init__(self, data):
        self.data, self.shape, self.dtype = data, data.shape, data.dtype
        self.read = self.most = 0

    def __getitem__(self, key):
        part = self.data[key]
        self.read += part.size
        self.most = max(self.most, part.nbytes)
        return part


@pytest.mark.parametrize(
    "box",
    [
        BOX,
        ((0, 0, 0), SHAPE),
        ((39, 36, 44), SHAPE),
        ((0, 0, 0), (1, 1, 1)),
        ((17, 16, 20), (18, 21, 22)),
    ],
    ids=str,
)
def test_the_content_is_found(box):
    volume = volume_of(box)
    # A lone voxel in the corner is what is outside, whatever it holds.
    expected = ((0,) * 3, SHAPE) if box[1] == (1, 1, 1) else box
    found = content_box(volume)
    if box[0] == (0, 0, 0):
        assert found[1] == SHAPE
    else:
        assert found == expected
    assert content_box(volume_of(box[0:2], shape=SHAPE, channels=2)) == found


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (np.zeros((1, 4, 5, 6)), ((0, 0, 0), (4, 5, 6))),
        (np.full((1, 4, 5, 6), np.nan), ((0, 0, 0), (4, 5, 6))),
        (np.pad(np.ones((1, 2, 2), np.uint8), ((0, 0), (1, 3), (2, 0))), ((1, 2), (3, 4))),
    ],
    ids=["constant", "nan", "plane"],
)
def test_odd_images_have_their_content(data, expected):
    shape = data.shape[1:]
    assert content_box(Volume(data, Grid(shape, (1.0,) * len(shape)))) == expected


def test_channels_may_have_other_values_outside():
    volume = volume_of(channels=2)
    volume.data[1] += 7
    assert content_box(volume) == BOX
    volume.data[1, 2, 3, 4] += 1
    assert content_box(volume)[0] == (2, 0, 4)


def test_an_image_without_surroundings_is_hardly_read():
    lazy = Lazy(volume_of(((0, 0, 0), SHAPE)).data)
    content_box(Volume(lazy, Grid(SHAPE, (1.0,) * 3)))
    assert lazy.read <= 1 + 6 * 45 * 40


@pytest.mark.parametrize(
    ("shape", "at_once"),
    [
        ((1, 40, 9, 9), 16),
        ((1, 7, 4096, 4096), 4),
        ((2, 4, 4096, 4096), 2),
        ((5, 3, 4096, 4096), 1),
    ],
)
def test_few_planes_are_read_at_once_where_they_are_large(shape, at_once):
    air = Lazy(np.broadcast_to(np.uint16(7), shape))
    content_box(Volume(air, Grid(shape[1:], (1.0,) * 3)))
    assert air.most == at_once * shape[0] * shape[2] * shape[3] * 2


@pytest.mark.parametrize("backend", ["torch", "openvino"])
@pytest.mark.parametrize("spacing", [None, (1.3, 0.8, 1.0)])
@pytest.mark.parametrize("dims", [2, 3])
def test_a_prediction_is_that_of_the_content_alone(dims, spacing, backend):
    volume = volume_of()
    model = model_of(dims=dims, tile=(16,) * dims, spacing=spacing, unit="mm")
    if dims == 2:
        model = replace(model, spec=replace(model.spec, axis=1))
    settings = PredictSettings(device="cpu", backend=backend)
    whole = run(predicting(volume, model, settings, keep_probabilities=True))
    part = Volume(volume.data[(slice(None), *inside())], volume.grid.crop(*BOX))
    plain = replace(model, spec=replace(model.spec, crop=False))
    alone = run(predicting(part, plain, settings, keep_probabilities=True))
    assert whole.grid == volume.grid
    assert np.array_equal(whole.labels[inside()], alone.labels)
    assert whole.labels.sum() == alone.labels.sum() > 0
    assert np.array_equal(whole.probabilities[(slice(None), *inside())], alone.probabilities)
    assert whole.probabilities.shape == (2, *SHAPE)
    assert np.allclose(whole.probabilities.sum(axis=0), 1, atol=1e-2)
    assert (whole.probabilities[0, :5] == 1).all()
    everything = run(predicting(volume, plain, settings))
    assert everything.tiles["run"] > whole.tiles["run"]


@pytest.mark.parametrize("target", ["classes", "instances"])
def test_objects_are_found_in_the_content(target):
    volume, model = volume_of(), model_of(target=target)
    found = run(predicting(volume, model, PredictSettings(device="cpu", instances=True)))
    assert found.labels.shape == SHAPE
    assert not found.labels[:5].any()


def test_parts_are_the_whole_and_lie_in_the_content():
    volume, model = volume_of(), model_of()
    settings = PredictSettings(device="cpu")
    whole = run(predicting(volume, model, settings)).labels
    blocks = Layout(volume, model.spec, settings.overlap).blocks(3)
    out = np.zeros(SHAPE, np.uint8)
    for block in blocks:
        part = run(predicting(volume, model, settings, within=block.box))
        out[inside(block.box)] = part.labels
        assert part.labels.shape == part.grid.shape
    assert np.array_equal(out, whole)
    assert np.array_equal(run(predicting(volume, model, settings, done=[BOX])).labels, out * 0)
    half = ((0, 0, 0), (20, *SHAPE[1:]))
    rest = run(predicting(volume, model, settings, out=out.copy(), done=[half], near=(39, 0, 0)))
    assert np.array_equal(rest.labels, whole)


def test_slices_outside_are_never_suggested():
    volume = volume_of()
    job = suggesting(volume, model_of(), count=40, settings=PredictSettings(device="cpu"))
    found = run(job)
    assert {s.index for s in found.slices} == set(range(5, 31))


def labelled(*voxels, known=((0, 0, 0), SHAPE)):
    labels, mask = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, bool)
    mask[inside(known)] = True
    for voxel in voxels:
        labels[voxel] = 1
    return Annotation(labels, mask)


@pytest.mark.parametrize(
    ("cases", "expected"),
    [
        ([(volume_of(), labelled((9, 9, 30)))], True),
        ([(volume_of(((0, 0, 0), SHAPE)), labelled((0, 0, 0)))], None),
        ([(volume_of(), labelled((9, 9, 30))), (volume_of(), labelled((0, 9, 9)))], False),
        ([(volume_of(), labelled((9, 9, 30), (0, 0, 0), known=BOX))], True),
        ([(volume_of(), labelled(known=((0, 0, 0), (3, 3, 3))))], False),
    ],
    ids=["empty", "no outside", "labelled", "not known", "nothing known inside"],
)
def test_surroundings_are_left_out_only_where_nobody_labelled_them(cases, expected):
    assert empty_outside(cases) is expected


def test_a_new_model_learns_to_leave_them_out_and_unlearns_it():
    settings = TrainSettings(steps=1, dims=3, device="cpu")
    good, bad = labelled((9, 9, 30), (20, 5, 25)), labelled((0, 9, 9), (20, 5, 25))
    first = run(training([(volume_of(), good)], settings)).model
    assert first.spec.crop
    assert run(training([(volume_of(((0, 0, 0), SHAPE)), good)], settings, first)).model.spec.crop
    assert not run(training([(volume_of(), bad)], settings, first)).model.spec.crop


def test_intensities_are_those_of_the_content():
    volume = volume_of(air=1e6)
    seen = View(volume, model_of().spec).intensities[0]
    assert abs(seen.mean) < 1


def stained(box=BOX):
    """A stain with nothing around it, beside a channel that shows something everywhere."""
    stain = volume_of(box)
    bright = np.random.default_rng(1).normal(size=(1, *SHAPE)).astype(np.float32)
    return Volume(np.concatenate([bright, stain.data]), stain.grid, ("phase", "DAPI"))


def test_surroundings_are_those_of_the_channels_that_a_model_reads():
    both, model = stained(), model_of(channels=("DAPI",))
    alone = replace(volume_of(), channels=("DAPI",))
    assert View(both, model.spec).image_shape == View(alone, model.spec).image_shape
    settings = PredictSettings(device="cpu")
    labels = [run(predicting(volume, model, settings)).labels for volume in (both, alone)]
    assert np.array_equal(*labels)


def test_labels_outside_of_a_stain_are_seen_beside_other_channels():
    settings = TrainSettings(steps=1, device="cpu", holdout=0)
    base = model_of(channels=("DAPI",))
    assert run(training([(stained(), labelled((9, 9, 30)))], settings, base)).model.spec.crop
    outside = labelled((9, 9, 30), (0, 9, 9))
    assert not run(training([(stained(), outside)], settings, base)).model.spec.crop
