"""Parts of a prediction: computed alone, left out, or written elsewhere, they are what the whole has."""

import dask.array as da
import numpy as np
import pytest
import torch
import zarr

from napari_unet.core.classes import BACKGROUND, LabelClass
from napari_unet.core.grid import Grid
from napari_unet.core.progress import run
from napari_unet.core.settings import PredictSettings
from napari_unet.core.spec import ModelSpec, Normalisation
from napari_unet.core.volume import Volume
from napari_unet.engine.infer import plan_tiles
from napari_unet.engine.model import Model, from_torch
from napari_unet.engine.networks import build_network
from napari_unet.engine.predict import predicting
from napari_unet.engine.scope import image_edges
from napari_unet.engine.view import View
from napari_unet.errors import GridError, SpecError

CLASSES = (BACKGROUND, LabelClass(3, "a"), LabelClass(300, "b"))
TORCH = PredictSettings(backend="torch")
SHAPE = (22, 13, 17)
SPACINGS = [None, (1.7, 1.0, 1.0), (0.6, 1.3, 0.8)]
KINDS = [(3, 0), (2, 0), (2, 1), (2, 2)]


def model_of(dims=3, axis=0, spacing=None, **choices) -> Model:
    defaults = {"normalisation": Normalisation("none"), "classes": CLASSES}
    spec = ModelSpec(
        dims=dims,
        axis=axis,
        spacing=spacing,
        unit="mm",
        features=(4, 8),
        tile=(8,) * dims,
        **(defaults | choices),
    )
    torch.manual_seed(0)
    return Model(spec, from_torch(build_network(spec).state_dict()))


def image(shape=SHAPE) -> Volume:
    data = np.random.default_rng(1).normal(size=(1, *shape)).astype(np.float32)
    return Volume(data, Grid(shape, (1.0,) * len(shape), "mm"))


def place(box):
    return tuple(map(slice, *box))


def finals(job):
    """Run a job to its end; return the boxes it reported and its result."""
    boxes, tiles = [], 0
    while True:
        try:
            report = next(job)
        except StopIteration as end:
            return boxes, tiles, end.value
        tiles = max(tiles, report.total)
        if report.box:
            boxes.append(report.box)


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize(("dims", "axis"), KINDS)
def test_boxes_cover_each_voxel_once(dims, axis, spacing):
    boxes, _, whole = finals(predicting(image(), model_of(dims, axis, spacing), TORCH))
    covered = np.zeros(SHAPE, int)
    for box in boxes:
        covered[place(box)] += 1
    assert (covered == 1).all()
    assert whole.complete


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize(("dims", "axis"), KINDS)
def test_what_is_done_is_left_alone_and_the_rest_equals_the_whole(dims, axis, spacing):
    model, volume = model_of(dims, axis, spacing), image()
    boxes, tiles, whole = finals(predicting(volume, model, TORCH))
    done = frozenset(boxes[: 2 * len(boxes) // 3])
    out = np.full(SHAPE, 999, np.uint16)
    rest, fewer, _ = finals(predicting(volume, model, TORCH, out=out, done=done))
    assert set(rest) == set(boxes) - done
    assert fewer < tiles
    for box in boxes:
        assert (out[place(box)] == (999 if box in done else whole.labels[place(box)])).all()


def test_nothing_is_run_when_all_is_done():
    boxes, _, _ = finals(predicting(image(), model_of(), TORCH))
    whole = [((0, 0, 0), SHAPE)]  # a larger box counts for the cells in it
    for done in (boxes, whole):
        out = np.full(SHAPE, 999, np.uint16)
        prediction = run(predicting(image(), model_of(), TORCH, out=out, done=done))
        assert prediction.complete
        assert prediction.tiles["run"] == 0
        assert (out == 999).all()


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize(("dims", "axis"), KINDS)
def test_a_box_alone_equals_that_part_of_the_whole(dims, axis, spacing):
    model, volume = model_of(dims, axis, spacing), image()
    whole = run(predicting(volume, model, TORCH, keep_probabilities=True))
    view = View(volume, model.spec)
    edges = [np.unique(e) for e in image_edges(view, plan_tiles(view, model.spec, 0.25))]
    for seed in range(3):
        rng = np.random.default_rng(seed)
        faces = [np.sort(rng.choice(e, 2, replace=False)).tolist() for e in edges]
        box = view.in_grid(*(tuple(f[i] for f in faces) for i in range(2)))
        part = run(predicting(volume, model, TORCH, within=box, keep_probabilities=True))
        assert np.array_equal(part.labels, whole.labels[place(box)])
        assert part.grid.shape == part.labels.shape
        expected = whole.probabilities[(slice(None), *place(box))]
        assert np.allclose(part.probabilities, expected, atol=1e-3)
        out = np.full(SHAPE, 999, np.uint16)
        run(predicting(volume, model, TORCH, within=box, out=out))
        assert np.array_equal(out[place(box)], part.labels)
        assert (out == 999).sum() == out.size - part.labels.size


@pytest.mark.parametrize("box", [((0, 0, 0), (7, 13, 17)), ((0, 0, 0), (99, 13, 17))])
def test_refuses_a_box_that_cuts_cells(box):
    with pytest.raises(GridError, match="edges"):
        run(predicting(image(), model_of(), TORCH, within=box))


@pytest.mark.parametrize("part", [{"done": [((0, 0, 0), SHAPE)]}, {"within": ((0, 0, 0), SHAPE)}])
def test_refuses_objects_of_a_part(part):
    with pytest.raises(SpecError, match="whole volume"):
        run(predicting(image(), model_of(), PredictSettings(instances=True), **part))


@pytest.mark.parametrize("normalisation", [Normalisation("none"), Normalisation()])
@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize(("dims", "axis"), KINDS)
def test_from_dask_into_zarr(dims, axis, spacing, normalisation, tmp_path):
    model = model_of(dims, axis, spacing, normalisation=normalisation)
    volume = image()
    whole = run(predicting(volume, model, TORCH, keep_probabilities=True))
    lazy = Volume(da.from_array(volume.data, chunks=(1, 5, 6, 7)), volume.grid)
    out = zarr.create_array(tmp_path / "labels", shape=SHAPE, chunks=(4, 5, 6), dtype="uint16")
    found = run(predicting(lazy, model, TORCH, out=out, keep_probabilities=True))
    assert found.labels is out
    assert np.array_equal(out[:], whole.labels)
    assert np.array_equal(found.probabilities, whole.probabilities)


def test_a_plane_into_zarr(tmp_path):
    model, volume = model_of(2), image((20, 30))
    out = zarr.create_array(tmp_path / "labels", shape=(20, 30), chunks=(7, 9), dtype="uint16")
    whole = run(predicting(volume, model, TORCH)).labels
    boxes, _, _ = finals(predicting(volume, model, TORCH, out=out))
    assert np.array_equal(out[:], whole)
    out[:] = 999
    run(predicting(volume, model, TORCH, out=out, done=boxes[:2]))
    assert (out[place(boxes[0])] == 999).all()
    assert np.array_equal(out[place(boxes[-1])], whole[place(boxes[-1])])


@pytest.mark.parametrize("target", ["classes", "instances"])
def test_objects_into_zarr(target, tmp_path):
    model = model_of(target=target, classes=CLASSES[:2])
    settings = PredictSettings(backend="torch", instances=True)
    whole = run(predicting(image(), model, settings)).labels
    out = zarr.create_array(tmp_path / "labels", shape=SHAPE, chunks=(7, 9, 9), dtype="uint32")
    run(predicting(image(), model, settings, out=out))
    assert np.array_equal(out[:], whole)


def test_large_probabilities_lie_in_a_file(monkeypatch):
    whole = run(predicting(image(), model_of(), TORCH, keep_probabilities=True)).probabilities
    monkeypatch.setattr("napari_unet.engine.canvas._IN_MEMORY", 1000)
    found = run(predicting(image(), model_of(), TORCH, keep_probabilities=True)).probabilities
    assert np.array_equal(found, whole)


class Bright(Model):
    """A model whose network calls foreground what is brighter than one half."""

    def build(self):
        network = torch.nn.Conv3d(1, 2, 1)
        with torch.no_grad():
            network.weight.copy_(torch.tensor([-1.0, 1.0]).reshape(2, 1, 1, 1, 1))
            network.bias.copy_(torch.tensor([0.5, -0.5]))
        return network.eval()


BRIGHT = Bright(ModelSpec(features=(1, 1), tile=(8,) * 3, normalisation=Normalisation("none")), {})


def blobs(*places) -> Volume:
    """Noise with bright cubes of 6 voxels."""
    data = np.random.default_rng(0).uniform(0, 0.2, (1, 48, 40, 44)).astype(np.float32)
    for corner in places:
        data[0][tuple(slice(p, p + 6) for p in corner)] = 1
    return Volume(data, Grid(data.shape[1:], (1.0,) * 3))


@pytest.mark.parametrize("settings", [{"skip_below": 0.5}, {"coarse": True}])
@pytest.mark.parametrize("places", [(), ((3, 3, 3),), ((3, 3, 3), (40, 30, 30))])
def test_little_is_run_where_little_is(places, settings):
    volume = blobs(*places)
    whole = run(predicting(volume, BRIGHT, TORCH))
    assert (whole.labels > 0).sum() == 216 * len(places)
    chosen = PredictSettings(backend="torch", **settings)
    boxes, _, found = finals(predicting(volume, BRIGHT, chosen))
    assert np.array_equal(found.labels, whole.labels)
    assert found.tiles["run"] < 0.6 * whole.tiles["run"]
    assert sum(np.prod(np.subtract(b, a)) for a, b in boxes) == whole.labels.size
    if "skip_below" in settings:
        assert (found.tiles["run"] == 0) == (not places)


def test_a_coarse_look_at_a_part_finds_what_one_at_the_whole_finds():
    volume, model = blobs((3, 3, 3), (20, 30, 30)), BRIGHT
    settings = PredictSettings(backend="torch", coarse=True)
    whole = run(predicting(volume, model, settings)).labels
    view = View(volume, model.spec)
    edges = image_edges(view, plan_tiles(view, model.spec, 0.25))[0]
    for a, b in ((0, 4), (4, len(edges) - 1)):
        box = ((int(edges[a]), 0, 0), (int(edges[b]), 40, 44))
        part = run(predicting(volume, model, settings, within=box)).labels
        assert np.array_equal(part, whole[place(box)])


def test_stopping_while_looking_coarsely_leaves_nothing():
    volume = blobs((3, 3, 3))
    job = predicting(volume, BRIGHT, PredictSettings(backend="torch", coarse=True))
    stages = [next(job).stage]
    while stages[-1] != "look coarsely":
        stages.append(next(job).stage)
    with pytest.raises(StopIteration) as end:
        job.send(True)
    assert not end.value.value.complete
    assert not end.value.value.labels.any()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_refuses_an_intensity_that_is_none(value):
    with pytest.raises(SpecError, match="skip below"):
        PredictSettings(skip_below=value)
