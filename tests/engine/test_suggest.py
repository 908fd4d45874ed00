import numpy as np
import pytest
import torch

from napari_unet.core.annotation import Annotation
from napari_unet.core.classes import BACKGROUND, LabelClass
from napari_unet.core.grid import Grid
from napari_unet.core.progress import run
from napari_unet.core.settings import PredictSettings
from napari_unet.core.spec import ModelSpec, Normalisation
from napari_unet.core.volume import Volume
from napari_unet.engine.doubt import Watch
from napari_unet.engine.model import Model, from_torch
from napari_unet.engine.networks import build_network
from napari_unet.engine.predict import predicting
from napari_unet.engine.suggest import suggesting, surveying
from napari_unet.errors import GridError, SpecError

SHAPE = (12, 16, 20)
CLASSES = (BACKGROUND, LabelClass(4, "left"), LabelClass(7, "right"))
TORCH = PredictSettings(backend="torch")


def model_of(seed=0, **choices) -> Model:
    """A network that was never trained."""
    dims = choices.setdefault("dims", 3)
    plain = {
        "classes": CLASSES,
        "features": (2, 4),
        "tile": (8,) * dims,
        "normalisation": Normalisation("none"),
    }
    spec = ModelSpec(**(plain | choices))
    torch.manual_seed(seed)
    return Model(spec, from_torch(build_network(spec).state_dict()))


def image(shape=SHAPE, **grid) -> Volume:
    data = np.random.default_rng(1).normal(size=(1, *shape)).astype(np.float32)
    spacing = grid.pop("spacing", (2.0, 1.0, 0.5)[-len(shape) :])
    return Volume(data, Grid(shape, spacing, grid.pop("unit", "mm")))


def known(*done, axis=0) -> Annotation:
    return Annotation.from_slices(np.zeros(SHAPE, np.uint8), axis, done)


def known_box() -> Annotation:
    return Annotation.from_parts(np.zeros(SHAPE, np.uint8), boxes=[(slice(2, 5),) * 3])


AXES = {
    # name: (model, annotation, axis that slices are counted along)
    "the annotation's": (model_of(dims=2, axis=1), known(3, axis=2), 2),
    "the model's": (model_of(dims=2, axis=1), None, 1),
    "the first": (model_of(), None, 0),
    "the model's, of a box": (model_of(dims=2, axis=1), known_box(), 1),
    "the annotation's, of a 3D model": (model_of(), known(3, 9, axis=1), 1),
}


@pytest.mark.parametrize("case", AXES.values(), ids=AXES)
def test_slices_are_counted_along_the_axis_that_they_are_annotated_along(case):
    model, annotation, axis = case
    found = run(suggesting(image(), model, annotation, TORCH, count=4))
    assert (found.axis, found.unit, found.complete) == (axis, "mm", True)
    done = () if annotation is None else annotation.done(axis)
    indices = [s.index for s in found.slices]
    assert len(set(indices)) == 4
    assert not set(indices) & set(done)
    for s in found.slices:
        step = (2.0, 1.0, 0.5)[axis]
        away = min((abs(s.index - d) for d in done), default=None)
        assert s.distance == (None if away is None else away * step)
        assert 0 <= s.score <= 1
        assert 0 <= s.uncertainty <= 1


@pytest.mark.parametrize("shape", [(1, 16, 20), (16, 1, 20)])
@pytest.mark.parametrize("model", [model_of(), model_of(dims=2), model_of(dims=2, axis=1)])
def test_of_an_image_of_one_slice_that_one_is_suggested(shape, model):
    """Along another axis each row of its pixels would be a slice."""
    found = run(suggesting(image(shape), model, settings=TORCH))
    assert found.axis == shape.index(1)
    assert [s.index for s in found.slices] == [0]


@pytest.mark.parametrize("tta", [False, True])
@pytest.mark.parametrize("target", ["classes", "instances"])
def test_uncertainty_is_the_entropy_of_what_prediction_says(target, tta):
    classes = CLASSES if target == "classes" else CLASSES[:2]
    model = model_of(target=target, classes=classes, features=(4, 8))
    settings = PredictSettings(backend="torch", tta=tta, overlap=0.5)
    whole = np.zeros(SHAPE, np.float16)
    found = run(suggesting(image(), model, settings=settings, count=99, uncertainty=whole))
    likely = run(predicting(image(), model, settings, keep_probabilities=True)).probabilities
    likely = likely.astype(float)
    entropy = -(likely * np.log(likely)).sum(axis=0) / np.log(3)
    assert whole == pytest.approx(entropy, abs=5e-3)
    sums = (likely * entropy).sum(axis=(2, 3))
    mean = (sums / sums.max(axis=1, keepdims=True)).mean(axis=0)
    expected = mean / mean.max()
    assert len(found.slices) == SHAPE[0]
    by_index = [s.uncertainty for s in sorted(found.slices, key=lambda s: s.index)]
    assert by_index == pytest.approx(expected, abs=5e-3)


def test_what_is_known_counts_no_more():
    """A slice of which half is known may be chosen, but for its other half only."""
    model, half = model_of(), np.zeros(SHAPE, bool)
    plain = {s.index: s for s in run(suggesting(image(), model, settings=TORCH, count=99)).slices}
    half[5, :8] = half[0] = True
    annotation = Annotation(np.zeros(SHAPE, np.uint8), half)
    found = run(suggesting(image(), model, annotation, TORCH, count=99))
    assert {s.index for s in found.slices} == set(range(1, SHAPE[0]))
    by_index = {s.index: s for s in found.slices}
    ratio = {i: s.uncertainty / plain[i].uncertainty for i, s in by_index.items()}
    others = [r for i, r in ratio.items() if i != 5]
    assert max(others) / min(others) < 1.2
    assert 0.3 < ratio[5] / np.mean(others) < 0.7
    assert by_index[5].distance == 10


def test_known_slices_are_not_computed():
    annotation = known(*range(1, 12))
    annotation.known[0, 0] = True
    reports = []
    model = model_of(dims=2, tile=(16, 24), features=(2, 2))
    found = run(suggesting(image(), model, annotation, TORCH), reports.append)
    assert [s.index for s in found.slices] == [0]
    assert reports[-1].total == 1
    whole = np.zeros(SHAPE, np.float16)
    run(suggesting(image(), model, annotation, TORCH, uncertainty=whole))
    assert (whole > 0).all()


def test_all_known_is_nothing_to_suggest():
    found = run(suggesting(image(), model_of(), known(*range(12)), TORCH))
    assert (found.slices, found.complete) == ((), True)


def test_what_the_model_before_said_otherwise_is_worth_more():
    model = model_of(dims=2, features=(2, 2))
    same = run(suggesting(image(), model, settings=TORCH, before=model, count=99)).slices
    assert {s.change for s in same} == {0.0}
    assert not any("changed" in s.reason for s in same)
    before = model_of(dims=2, features=(2, 2), classes=(*CLASSES[:2], LabelClass(300, "new")))
    before.weights["head.weight"][:] = 0
    before.weights["head.bias"][:] = [0, 0, 9]
    other = run(suggesting(image(), model, settings=TORCH, before=before, count=99)).slices
    assert max(s.change for s in other) == 1
    told = [s for s in other if s.change > s.uncertainty]
    assert told
    for s, plain in zip(
        sorted(other, key=lambda s: s.index), sorted(same, key=lambda s: s.index), strict=True
    ):
        assert s.uncertainty == pytest.approx(plain.uncertainty)


def test_reasons_name_a_class_and_the_distance():
    found = run(suggesting(image(), model_of(), known(4), TORCH, count=99))
    for s in found.slices:
        cause, where = s.reason.split("; ")
        assert cause in {"unsure about left", "unsure about right"}
        assert where == f"{abs(s.index - 4) * 2} mm from the nearest annotated slice"
    bare = run(suggesting(image(unit="pixel", spacing=(1, 1, 1)), model_of(), settings=TORCH))
    assert bare.slices[0].reason.endswith("; no slice is annotated yet")
    objects = model_of(target="instances", classes=CLASSES[:2])
    told = run(suggesting(image(), objects, known(4), TORCH, count=99)).slices
    assert {s.reason.split(";")[0] for s in told} <= {
        "unsure where left is",
        "unsure about borders of left",
    }


def test_stopped_early_only_whole_slices_are_chosen_among():
    job = suggesting(image((40, 16, 16)), model_of(), settings=TORCH, count=99)
    seen, stop = np.zeros((40, 16, 16), bool), None
    try:
        while True:
            report = job.send(stop)
            if report.box:
                seen[tuple(map(slice, *report.box))] = True
            stop = bool(seen[:10].all())
    except StopIteration as end:
        found = end.value
    assert not found.complete
    assert {s.index for s in found.slices} == set(np.flatnonzero(seen.all(axis=(1, 2))).tolist())
    assert 10 <= len(found.slices) < 40


def test_stopped_during_the_comparison_nothing_is_suggested():
    job = suggesting(image(), model_of(), settings=TORCH, before=model_of(1))
    assert next(job).stage == "compare"
    with pytest.raises(StopIteration) as end:
        while True:
            assert job.send(True).box is None
    assert (end.value.value.slices, end.value.value.complete) == ((), False)


def test_the_seed_decides_the_share_of_chance():
    def indices(seed):
        found = run(suggesting(image(), model_of(), settings=TORCH, count=99, seed=seed))
        return [s.index for s in found.slices]

    assert indices(1) == indices(1)
    assert len({tuple(indices(seed)) for seed in range(5)}) > 1


REFUSED = {
    # name: (arguments, error, what it says)
    "a plane": ((image((16, 16)), model_of(dims=2)), {}, SpecError, "is a plane"),
    "no slice": ((image(), model_of()), {"count": 0}, SpecError, "not 0"),
    "labels of another image": (
        (image((12, 16, 21)), model_of(), known(3)),
        {},
        GridError,
        r"\(12, 16, 20\) but image has \(12, 16, 21\)",
    ),
    "a map of another shape": (
        (image(), model_of()),
        {"uncertainty": np.zeros((12, 16), np.float16)},
        GridError,
        "array for the uncertainty",
    ),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_refuses_what_it_can_not_rank(case):
    arguments, choices, error, says = case
    with pytest.raises(error, match=says):
        run(suggesting(*arguments, **choices))


@pytest.mark.parametrize("shape", [SHAPE, SHAPE[1:]])
@pytest.mark.parametrize("target", ["classes", "instances"])
def test_a_prediction_that_is_watched_says_what_a_survey_says(target, shape):
    classes = CLASSES if target == "classes" else CLASSES[:2]
    model = model_of(dims=2, target=target, classes=classes, features=(4, 8))
    maps = [np.zeros(shape, np.float16) for _ in range(2)]
    watched = run(predicting(image(shape), model, TORCH, watch=Watch(uncertainty=maps[0])))
    survey, complete = run(surveying(image(shape), model, Watch(uncertainty=maps[1]), TORCH))
    assert complete
    assert watched.survey == survey
    assert (maps[0] == maps[1]).all()
    assert (maps[0] > 0).all()
    assert run(predicting(image(shape), model, TORCH)).survey is None
