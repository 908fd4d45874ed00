import numpy as np
import pytest
import torch

from napari_unet.api import predict
from napari_unet.core.classes import BACKGROUND, LabelClass
from napari_unet.core.grid import Grid
from napari_unet.core.settings import PredictSettings
from napari_unet.core.spec import ModelSpec, Normalisation
from napari_unet.core.volume import Volume
from napari_unet.engine.arrays import on_host, to_host
from napari_unet.engine.infer import infer, plan_tiles
from napari_unet.engine.model import Model, from_torch
from napari_unet.engine.networks import build_network
from napari_unet.engine.planes import Planes, slices
from napari_unet.engine.view import View

CLASSES = (BACKGROUND, LabelClass(1, "a"), LabelClass(2, "b"))


def spec_of(**more):
    facts = {"context": 1, "features": (2, 4), "normalisation": Normalisation("none")} | more
    return ModelSpec(dims=2, block=(16, 16, 16), classes=CLASSES, tile=(16, 16), **facts)


def noise(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def model_of(spec):
    torch.manual_seed(0)
    return Model(spec, from_torch(build_network(spec).state_dict()))


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("batch", [1, 4, 100])
def test_slices_come_with_their_neighbours_channel_by_channel(axis, batch):
    block = noise(2, 9, 8, 7)  # two channels, one neighbour on each side
    found = np.concatenate(list(slices(block, axis, 1, batch)))
    stack = np.moveaxis(block, axis + 1, 1)
    for z, slice_ in enumerate(found):
        for channel in range(2):
            for away in range(3):
                right = stack[channel, z + away, 1:-1, 1:-1]
                assert np.array_equal(slice_[3 * channel + away], right)


def test_what_each_orientation_says_lies_in_its_place():
    """A network that hands the middle slice through gives back the block, whatever the axis."""
    block = noise(2, 1, 9, 8, 7)
    said = Planes(lambda tiles: tiles[:, 1:2].copy(), context=1, batch=3)(block)
    assert np.allclose(said[:, 0], block[:, 0, 1:-1, 1:-1, 1:-1], atol=1e-6)


def test_a_device_that_gives_up_in_between_changes_nothing():
    block = noise(1, 1, 9, 8, 7)
    calls = []

    def forward(tiles):
        calls.append(len(tiles))
        out = tiles[:, 1:2].copy()
        return torch.from_numpy(out) if len(calls) < 4 else out

    said = Planes(forward, context=1, batch=3)(block)
    assert on_host(said)
    assert np.allclose(to_host(said)[0, 0], block[0, 0, 1:-1, 1:-1, 1:-1], atol=1e-6)


@pytest.mark.parametrize("context", [0, 2])
def test_a_volume_gets_the_mean_of_three_orientations(context):
    spec = spec_of(context=context)
    model = model_of(spec)
    data = noise(1, 16, 16, 16)
    volume = Volume(data, Grid(data.shape[1:], (1.0,) * 3, "mm"))
    network = model.build()
    padded = np.pad(data[0], context)
    total = np.zeros((3, *data.shape[1:]), np.float32)
    for axis in range(3):
        core = np.moveaxis(padded, axis, 0)[:, context : context + 16, context : context + 16]
        stack = np.stack([core[z : z + 2 * context + 1] for z in range(16)])
        with torch.inference_mode():
            said = network(torch.from_numpy(stack)).numpy()
        total += np.moveaxis(np.moveaxis(said, 1, 0), 1, axis + 1)
    for backend in ("torch", "openvino"):
        labels = predict(volume, model, PredictSettings(backend=backend)).labels
        assert (labels == total.argmax(axis=0)).mean() > 0.999


@pytest.mark.parametrize("shape", [(20, 33, 17), (5, 40, 16)])
@pytest.mark.parametrize("spacing", [None, (1.5, 1.5, 1.5)])
def test_every_voxel_is_labelled_whatever_the_batch(shape, spacing):
    spec = spec_of(spacing=spacing, unit="mm")
    volume = Volume(noise(1, *shape), Grid(shape, (1.0, 1.2, 1.0), "mm"))
    view = View(volume, spec)
    plan = plan_tiles(view, spec, 0.25)
    network = model_of(spec).build()

    def forward(tiles):
        with torch.inference_mode():
            return network(torch.from_numpy(tiles)).numpy()

    results = []
    for batch in (1, 5):
        out = np.full((3, *shape), np.nan, np.float32)
        for cells in infer(view, spec, forward, plan, plan.tiles(), batch=batch):
            for cell in cells:
                out[(slice(None), *map(slice, cell.start, cell.stop))] = cell.logits
        results.append(out)
    assert np.isfinite(results[0]).all()
    assert np.allclose(*results, atol=1e-4)


def test_a_plane_is_seen_as_by_any_2d_network():
    spec, data = spec_of(context=1), noise(1, 32, 24)
    volume = Volume(data, Grid(data.shape[1:], (1.0,) * 2, "mm"))
    model = model_of(spec)
    plain = Model(ModelSpec(**{**vars(spec), "block": None}), model.weights)
    assert np.array_equal(predict(volume, model).labels, predict(volume, plain).labels)
