from dataclasses import replace

import numpy as np
import pytest
import torch
from monai.inferers import sliding_window_inference

from napari_unet.core.classes import BACKGROUND, LabelClass
from napari_unet.core.grid import Grid
from napari_unet.core.progress import run
from napari_unet.core.settings import PredictSettings
from napari_unet.core.spec import NETWORKS, ModelSpec, Normalisation
from napari_unet.core.volume import Volume
from napari_unet.engine.blocks import Layout
from napari_unet.engine.model import Model, from_torch
from napari_unet.engine.networks import build_network
from napari_unet.engine.predict import predicting
from napari_unet.engine.sizes import nearest_tile
from napari_unet.engine.suggest import suggesting
from napari_unet.errors import GridError, SpecError

RAW = Normalisation("none")
CLASSES = (BACKGROUND, LabelClass(3, "a"), LabelClass(300, "b"))


def model_of(**choices) -> Model:
    dims = choices.setdefault("dims", 3)
    spec = ModelSpec(
        **{
            "classes": CLASSES,
            "features": (4, 8),
            "tile": (8,) * dims,
            "normalisation": RAW,
        }
        | choices
    )
    torch.manual_seed(0)
    return Model(spec, from_torch(build_network(spec).state_dict()))


def image(shape, channels=1, **grid) -> Volume:
    data = np.random.default_rng(1).normal(size=(channels, *shape)).astype(np.float32)
    return Volume(data, Grid(shape, grid.pop("spacing", (1.0,) * len(shape)), **grid))


@pytest.mark.parametrize("shape", [(19, 23, 17), (8, 8, 8), (30, 9, 11)])
@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5])
def test_equals_monai_in_3d(shape, overlap):
    model, volume = model_of(), image(shape)
    settings = PredictSettings(overlap=overlap, backend="torch")
    ours = run(predicting(volume, model, settings, keep_probabilities=True))
    with torch.no_grad():
        logits = sliding_window_inference(
            torch.from_numpy(volume.array())[None],
            (8, 8, 8),
            1,
            model.build(),
            overlap=overlap,
            mode="gaussian",
            sigma_scale=0.125,
        )[0]
    ids = np.array([0, 3, 300])
    assert np.array_equal(ours.labels, ids[logits.argmax(0).numpy()])
    assert np.allclose(ours.probabilities, logits.softmax(0).numpy(), atol=2e-3)


@pytest.mark.parametrize("shape", [(33, 21), (8, 40)])
def test_equals_monai_in_2d_and_slice_by_slice(shape):
    model = model_of(dims=2)
    volume = image((3, *shape))
    ours = run(predicting(volume, model, PredictSettings(backend="torch"))).labels
    plane = Volume(volume.array()[:, 1], Grid(shape, (1.0, 1.0)))
    alone = run(predicting(plane, model, PredictSettings(backend="torch"))).labels
    with torch.no_grad():
        logits = sliding_window_inference(
            torch.from_numpy(volume.array())[0][:, None],
            (8, 8),
            1,
            model.build(),
            overlap=0.25,
            mode="gaussian",
            sigma_scale=0.125,
        )
    expected = np.array([0, 3, 300])[logits.argmax(1).numpy()]
    assert np.array_equal(ours, expected)
    assert np.array_equal(alone, expected[1])


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("dims", [2, 3])
def test_every_network_fills_every_voxel(network, dims):
    features = (4, 8, 8) if network == "original" else (4, 8)
    draft = ModelSpec(network=network, dims=dims, features=features, tile=(4,) * dims)
    model = model_of(
        network=network, dims=dims, features=features, tile=nearest_tile(draft, (8,) * dims)
    )
    shape = (9, 15, 13)[-dims:]
    out = np.full(shape, 9, np.uint16)
    done = run(predicting(image(shape), model, out=out))
    assert done.complete
    assert set(np.unique(out)) <= {0, 3, 300}


def test_an_unpadded_network_leaves_no_seams():
    """It sees only real (or mirrored) image, so small tiles give the labels of one large one.

    Tiles start at multiples of its poolings here: a max pooling is not indifferent to its phase.
    """
    features = (4, 8, 8)
    draft = ModelSpec(network="original", dims=2, features=features, tile=(4, 4))
    tiles = [nearest_tile(draft, (n, n)) for n in (4, 40)]
    weights = model_of(network="original", dims=2, features=features, tile=tiles[0]).weights
    found = []
    for tile in tiles:
        model = Model(replace(draft, tile=tile, classes=CLASSES, normalisation=RAW), weights)
        found.append(run(predicting(image((40, 40)), model, PredictSettings(overlap=0))).labels)
    assert np.mean(found[0] == found[1]) > 0.999


@pytest.mark.parametrize("context", [0, 1, 2])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_2d_network_sees_its_neighbours_along_its_axis(context, axis):
    model = model_of(dims=2, context=context, axis=axis, channels=("r", "g"))
    volume = image((6, 7, 8), channels=2)
    labels = run(predicting(volume, model)).labels
    moved = Volume(
        np.moveaxis(volume.array(), axis + 1, 1),
        Grid(np.moveaxis(labels, axis, 0).shape, (1.0,) * 3),
    )
    straight = Model(replace(model.spec, axis=0), model.weights)
    assert np.array_equal(run(predicting(moved, straight)).labels, np.moveaxis(labels, axis, 0))


ALONG = {
    "a slice": {},
    "with its neighbours": {"context": 1},
    "of another spacing": {"spacing": (1.5, 0.8, 1.0), "unit": "mm"},
    "in three orientations": {"block": (8, 8, 8)},
}


@pytest.mark.parametrize("along", [0, 1, 2])
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("facts", ALONG.values(), ids=ALONG)
def test_a_volume_of_one_slice_is_that_slice_whatever_the_models_axis(facts, axis, along):
    model, plane = model_of(dims=2, axis=axis, **facts), image((19, 23), unit="mm")
    shape = np.insert(plane.grid.shape, along, 1).tolist()
    stack = Volume(np.expand_dims(plane.data, along + 1), Grid(tuple(shape), (1.0,) * 3, "mm"))
    labels = run(predicting(stack, model)).labels
    assert np.array_equal(np.squeeze(labels, along), run(predicting(plane, model)).labels)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.0, 0.7, 1.3), (0.5, 3.0, 3.0)])
def test_labels_come_back_on_the_images_own_grid(dims, spacing):
    model = model_of(dims=dims, spacing=(1.0, 1.0, 1.0), unit="mm")
    volume = image((11, 14, 9), spacing=spacing, unit="mm")
    done = run(predicting(volume, model))
    assert done.labels.shape == (11, 14, 9)
    assert set(np.unique(done.labels)) <= {0, 3, 300}


def test_resampling_moves_nothing():
    """A blob stays where it is when the model works at another spacing."""
    z, y, x = np.mgrid[:24, :24, :24]
    blob = ((z - 8) ** 2 + (y - 12) ** 2 + (x - 15) ** 2 < 36).astype(np.float32)
    spec = ModelSpec(
        features=(1, 1),
        kernels=((1,) * 3,) * 2,
        tile=(8, 8, 8),
        spacing=(1.0,) * 3,
        unit="mm",
        normalisation=RAW,
    )

    def threshold(tiles):
        return np.concatenate([0.5 - tiles, tiles - 0.5], axis=1)

    from napari_unet.engine.infer import infer, plan_tiles
    from napari_unet.engine.view import View

    volume = Volume(blob[None], Grid(blob.shape, (0.6, 0.7, 0.8), "mm"))
    view = View(volume, spec)
    plan = plan_tiles(view, spec, 0.25)
    found = np.zeros(blob.shape, bool)
    for cells in infer(view, spec, threshold, plan, plan.tiles()):
        for cell in cells:
            place = tuple(slice(a, b) for a, b in zip(cell.start, cell.stop, strict=True))
            found[place] = cell.logits.argmax(0)
    dice = 2 * (found & (blob > 0)).sum() / (found.sum() + blob.sum())
    assert dice > 0.95


def test_stop_keeps_what_is_finished():
    model, volume = model_of(), image((40, 16, 16))
    whole = run(predicting(volume, model)).labels
    out = np.full(volume.grid.shape, 77, np.uint16)
    job = predicting(volume, model, out=out, near=(0, 0, 0))
    boxes = [next(job).box]
    while len([b for b in boxes if b]) < 3:
        boxes.append(job.send(None).box)
    with pytest.raises(StopIteration) as end:
        while True:
            boxes.append(job.send(True).box)
    assert not end.value.value.complete
    finished = np.zeros(out.shape, bool)
    for low, high in filter(None, boxes):
        finished[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = True
    assert finished.any()
    assert not finished.all()
    assert np.array_equal(out[finished], whole[finished])
    assert (out[~finished] == 77).all()


def test_mirroring_averages_the_mirror_images():
    model, volume = model_of(), image((8, 8, 8))
    settings = PredictSettings(tta=True, backend="torch")
    mirrored = Volume(volume.array()[:, :, ::-1].copy(), volume.grid)
    one = run(predicting(volume, model, settings, keep_probabilities=True)).probabilities
    two = run(predicting(mirrored, model, settings, keep_probabilities=True)).probabilities
    assert np.allclose(one[:, :, ::-1], two, atol=2e-3)


@pytest.mark.parametrize(("order", "told"), [((1, 0), True), ((2, 1), True), ((0, 1), False)])
def test_channels_are_found_by_name_whatever_their_order(order, told):
    model, reports = model_of(channels=("DAPI", "GFP")), []
    whole = image((8, 8, 8), channels=2)
    data = np.zeros((1 + max(order), 8, 8, 8), np.float32)
    data[list(order)] = whole.data
    names = tuple(
        dict(zip(order, ("DAPI", "GFP"), strict=True)).get(i, "phase") for i in range(len(data))
    )
    moved = Volume(data, whole.grid, names)
    expected = run(predicting(whole, model, keep_probabilities=True)).probabilities
    found = run(predicting(moved, model, keep_probabilities=True), reports.append).probabilities
    assert np.array_equal(found, expected)
    assert any("channels by name: DAPI, GFP" in r.message for r in reports) == told


@pytest.mark.parametrize(
    ("mirrored", "said"),
    [(True, ""), (None, "nobody noted"), (False, "never learned from mirrored images")],
    ids=["learned so", "not noted", "not learned"],
)
def test_mirroring_is_doubted_where_it_was_not_learned(mirrored, said):
    model = model_of(mirrored=mirrored)
    reports = []
    run(predicting(image((8, 8, 8)), model, PredictSettings(tta=True)), reports.append)
    assert any("mirrored images" in r.message and said in r.message for r in reports) == bool(said)


def test_openvino_gives_the_same_labels():
    pytest.importorskip("openvino")
    model, volume = model_of(features=(8, 16, 16)), image((20, 20, 20))
    torch_labels = run(predicting(volume, model, PredictSettings(backend="torch"))).labels
    done = run(predicting(volume, model, PredictSettings(backend="openvino")))
    assert done.backend == "openvino"
    assert np.mean(done.labels == torch_labels) >= 0.9999


def test_refuses_another_number_of_channels():
    with pytest.raises(SpecError, match="2 channel"):
        run(predicting(image((8, 8, 8), channels=2), model_of()))


@pytest.mark.parametrize(
    "work",
    [
        lambda volume, model: run(predicting(volume, model)),
        lambda volume, model: run(predicting(volume, model, within=((0, 0, 0), (2, 2, 2)))),
        lambda volume, model: run(suggesting(volume, model)),
        lambda volume, model: Layout(volume, model.spec, 0.25),
    ],
    ids=["prediction", "glance", "suggestions", "blocks"],
)
def test_refuses_voxels_of_quite_another_size(work):
    """Or an image in millimetres keeps a model of micrometres busy for days, and says nothing."""
    model = model_of(spacing=(1.0, 1.0, 1.0), unit="um")
    with pytest.raises(SpecError, match="1,000 times less: correct the voxel size"):
        work(image((8, 8, 8), unit="mm"), model)


@pytest.mark.parametrize(
    ("out", "error", "words"),
    [
        (np.zeros((8, 8, 8), np.uint8), SpecError, "300 does not fit into uint8"),
        (np.zeros((8, 8, 9), np.uint16), GridError, r"shape \(8, 8, 9\)"),
    ],
    ids=["narrow", "another shape"],
)
def test_refuses_an_array_that_labels_do_not_fit_into(out, error, words):
    with pytest.raises(error, match=words):
        run(predicting(image((8, 8, 8)), model_of(), out=out))
    assert not out.any()


@pytest.mark.parametrize("instances", [False, True])
def test_stopping_leaves_no_object_where_nothing_was_computed(instances):
    """Seeds must not flood the part of the volume that no tile has reached."""
    model = model_of(target="instances", classes=CLASSES[:2])
    model.weights["head.bias"][:] = [-9, 9, -9]  # all is interior
    job = predicting(image((40, 16, 16)), model, PredictSettings(instances=instances, overlap=0))
    finished = np.zeros((40, 16, 16), bool)
    report = next(job)
    try:
        while True:
            if report.box:
                finished[tuple(map(slice, *report.box))] = True
            report = job.send(finished[:16].all())
    except StopIteration as end:
        prediction = end.value
    assert not prediction.complete
    assert prediction.labels[finished].any()
    assert not prediction.labels[~finished].any()


def test_refuses_more_objects_than_the_array_can_number():
    """Every other pixel is an object of its own: 512 of them, and 8 bits for their ids."""
    dots = np.zeros((1, 32, 32), np.float32)
    dots[:, ::2, ::2] = dots[:, 1::2, 1::2] = 1
    model = model_of(dims=2, features=(1, 1), kernels=((1, 1),) * 2)
    labels = np.zeros((32, 32), np.uint8)
    settings = PredictSettings(instances=True)
    with pytest.raises(SpecError, match="use uint16"):
        run(predicting(Volume(dots, Grid((32, 32), (1.0, 1.0))), model, settings, out=labels))
