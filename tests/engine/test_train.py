from dataclasses import replace

import numpy as np
import pytest

from napari_unet.api import predict
from napari_unet.core.annotation import Annotation
from napari_unet.core.bundled import sample
from napari_unet.core.classes import BACKGROUND, LabelClass
from napari_unet.core.grid import Grid
from napari_unet.core.progress import run
from napari_unet.core.scores import dice
from napari_unet.core.settings import TrainSettings
from napari_unet.core.spec import NETWORKS
from napari_unet.core.volume import Volume
from napari_unet.engine.predict import predicting
from napari_unet.engine.train import training
from napari_unet.errors import AnnotationError, SpecError, StoppedError
from napari_unet.io import read, read_labels


@pytest.fixture(scope="module")
def hippocampus():
    """The bundled MR volume and its reference labels."""
    found = sample("hippocampus")
    volume = read(found.image)
    return volume, read_labels(found.labels, volume.grid)[0]


def blob(shape=(16, 24, 24), seed=0):
    """A bright ball in noise: learned in a few steps."""
    rng = np.random.default_rng(seed)
    grid = np.indices(shape)
    centre = np.array(shape) / 2 + rng.uniform(-2, 2, len(shape))
    radius = np.sqrt(sum((g - c) ** 2 for g, c in zip(grid, centre, strict=True)))
    labels = (radius < 7).astype(np.uint8)
    image = labels * 100 + rng.normal(0, 20, shape)
    return Volume(image[None].astype(np.float32), Grid(shape, (1.0,) * len(shape))), labels


def dice_of(model, volume, labels):
    return dice(run(predicting(volume, model)).labels, labels, [1])[1]


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("dims", [2, 3])
def test_every_network_learns_on_real_data(hippocampus, network, dims):
    volume, labels = hippocampus
    crop = (slice(None), slice(8, 24), slice(16, 40), slice(8, 32))
    small = Volume(volume.array()[crop], volume.grid.crop((8, 16, 8), (24, 40, 32)))
    annotation = Annotation.full(labels[crop[1:]])
    losses = []
    settings = TrainSettings(network=network, dims=dims, steps=6, batch=2, holdout=0)
    result = run(training([(small, annotation)], settings), lambda p: losses.append(p.loss))
    assert result.steps == 6
    assert result.model.spec.network == network
    assert run(predicting(small, result.model)).labels.shape == small.grid.shape
    longer = run(training([(small, annotation)], replace(settings, steps=1)))
    assert longer.model.sha256 != result.model.sha256


def test_learns_from_three_slices_and_measures_on_another():
    volume, labels = blob()
    annotation = Annotation.from_slices(labels, 0, [4, 6, 8, 11])
    reports = []
    settings = TrainSettings(steps=40, batch=4, holdout=0.25)
    result = run(training([(volume, annotation)], settings), reports.append)
    assert result.validation.slices == 1
    assert result.validation.voxels == 24 * 24
    assert result.validation.mean_dice > 0.8
    assert dice_of(result.model, volume, labels) > 0.7
    assert any(r.dice for r in reports)
    assert any("2D" in r.message for r in reports)
    assert result.promoted


def test_fine_tuning_names_its_parent_and_is_measured_beside_it():
    cases = [(v, Annotation.from_slices(n, 0, [4, 7, 10])) for v, n in map(blob_of, range(3))]
    first = run(training(cases[:2], TrainSettings(steps=30, batch=4))).model
    second = run(training(cases[2:], TrainSettings(steps=5, batch=4), base=first))
    assert second.model.parent == first.sha256
    assert len(second.model.history) == 2
    assert second.base_dice > 0.5
    assert second.verdict.reason == "too few"
    assert not second.promoted
    assert second.model.spec == first.spec


@pytest.mark.parametrize("unit", ["mm", "nm"])
def test_a_model_is_fine_tuned_on_voxels_of_quite_another_size(unit):
    volume, labels = blob()
    case = (volume, Annotation.full(labels))
    settings = TrainSettings(steps=2, batch=2, dims=2, planes=1, holdout=0.2)
    base = run(training([(resized(volume, "um"), case[1])], settings)).model
    other = resized(volume, unit)
    with pytest.raises(SpecError, match="fine-tune"):
        run(predicting(other, base))
    tuned = run(training([(other, case[1])], settings, base))
    assert tuned.base_dice is not None
    assert run(predicting(other, tuned.model)).labels.shape == labels.shape


def resized(volume, unit):
    """Return an image whose voxels are one unit long."""
    return replace(volume, grid=Grid(volume.grid.shape, (1.0, 1.0, 1.0), unit))


def blob_of(seed):
    return blob(seed=seed)


def test_a_worse_model_is_not_promoted():
    volume, labels = blob()
    good = run(
        training([(volume, Annotation.full(labels))], TrainSettings(dims=2, steps=60, batch=4))
    ).model
    spoiled = TrainSettings(steps=1, learning_rate=1.0)
    volume, labels = blob(seed=1)  # another image: the base has learned from no slice of it
    annotation = Annotation.from_slices(1 - labels, 0, [4, 7])
    mixed = (
        volume,
        Annotation(np.where(annotation.known, 1 - labels, labels), np.ones_like(labels, bool)),
    )
    result = run(training([mixed], spoiled, base=good))
    assert result.verdict.reason == "not better"
    assert result.verdict.difference[0] < 0
    assert result.base_dice > result.validation.mean_dice


def test_a_better_model_is_promoted_and_its_history_says_on_what_ground():
    (first, full), (volume, labels) = map(blob_of, range(2))
    early = TrainSettings(dims=2, steps=2, batch=2)
    base = run(training([(first, Annotation.full(full))], early)).model
    annotated = (volume, Annotation.from_slices(labels, 0, range(1, 16, 2)))
    result = run(training([annotated], TrainSettings(steps=60, batch=4, holdout=0.45), base))
    assert result.verdict.reason == "better"
    assert result.promoted
    entry = result.model.history[-1]["held_out"]
    assert entry["slices"] == result.validation.slices == 4
    assert entry["interval"][0] <= entry["mean_dice"] <= entry["interval"][1]
    assert (entry["verdict"], entry["difference"]) == ("better", result.verdict.difference)
    assert entry["base_dice"] < entry["mean_dice"]
    curve = result.model.history[-1]["curve"]
    assert curve["loss"][-1][0] == curve["dice"][-1][0] == result.steps == 60
    assert all(0 <= dice <= 1 for _, dice in curve["dice"])


def test_all_that_is_annotated_may_not_be_held_out():
    volume, labels = blob()
    annotated = [(volume, Annotation.from_slices(labels, 0, [4, 8, 12]))]
    first = run(training(annotated, TrainSettings(steps=1, batch=2, holdout=0.3))).model
    (page,) = first.history[-1]["split"]
    (start, _) = page["held"][0]
    alone = [(volume, Annotation.from_slices(labels, 0, [start[0]]))]
    with pytest.raises(AnnotationError, match="annotate at least one more"):
        run(training(alone, TrainSettings(steps=1), first))


def test_weights_are_stored_in_one_layout_whatever_they_were_learned_in():
    volume, labels = blob()
    settings = TrainSettings(steps=1, batch=2, dims=3, holdout=0)
    weights = run(training([(volume, Annotation.full(labels))], settings)).model.weights
    assert {w.ndim for w in weights.values()} >= {5}
    assert all(w.flags.c_contiguous for w in weights.values())


def test_what_lies_outside_of_what_an_image_shows_teaches_nothing():
    shown = (slice(3, 10), slice(4, 28), slice(4, 28))
    image, labels = np.zeros((12, 32, 32), np.float32), np.zeros((12, 32, 32), np.uint8)
    image[shown] = np.random.default_rng(0).random((7, 24, 24)) + 1
    labels[4:9, 10:20, 10:20] = 1
    volume = Volume.from_array(image, (1.0, 1.0, 1.0), "mm")
    settings = TrainSettings(steps=1, planes=1, holdout=0.3)
    first = run(training([(volume, Annotation.from_slices(labels, 0, [4, 6, 8]))], settings))
    held = first.model.history[-1]["split"][0]["held"][0][0][0]
    outside = Annotation.from_slices(labels, 0, [held, 0])
    with pytest.raises(AnnotationError, match="lies outside of what the images show"):
        run(training([(volume, outside)], settings, first.model))
    air = (volume, Annotation.from_slices(labels, 0, [0]))
    inside = (volume, Annotation.from_slices(labels, 0, [4, 6, 8]))
    assert run(training([inside], settings, replay=[air])).model.sha256 == first.model.sha256


def test_new_classes_get_a_new_head_and_keep_the_rest():
    volume, labels = blob()
    settings = TrainSettings(steps=2, batch=2, holdout=0.1)
    base = run(training([(volume, Annotation.full(labels))], settings)).model
    more = labels.astype(int)
    more[:4] = 5
    result = run(training([(volume, Annotation.full(more))], TrainSettings(steps=1, batch=2), base))
    assert [c.id for c in result.model.spec.classes] == [0, 1, 5]
    assert set(result.base.per_class) == {1}
    assert result.verdict.reason == "other classes"
    names = (BACKGROUND, LabelClass(1, "ball"), LabelClass(5, "lid"))
    kept = [result.model.weights["head.bias"], base.weights["head.bias"]]
    assert np.allclose(kept[0][:2], kept[1], atol=0.01)  # what it knew of the first two classes
    named = run(
        training([(volume, Annotation.full(more))], TrainSettings(steps=1, batch=2), base, names)
    )
    assert named.model.spec.classes == names


def test_renamed_classes_are_still_compared_with_the_base():
    volume, labels = blob()
    case = (volume, Annotation.from_slices(labels, 0, [3, 6, 9, 12]))
    base = run(training([case], TrainSettings(steps=2, batch=2, holdout=0.25))).model
    renamed = (BACKGROUND, LabelClass(1, "my ball"))
    result = run(training([case], TrainSettings(steps=2, batch=2), base, renamed))
    assert result.base_dice is not None
    assert result.model.spec.classes == renamed


def test_a_base_of_objects_can_learn_classes():
    volume, labels = blob()
    case = (volume, Annotation.full(labels))
    settings = TrainSettings(steps=2, batch=2)
    base = run(training([case], replace(settings, instances=True))).model
    result = run(training([case], settings, base))
    assert result.verdict.reason == "other classes"
    assert result.model.spec.target == "classes"
    assert [c.id for c in result.model.spec.classes] == [0, 1]
    assert result.base_dice is None


def test_a_base_gets_the_tile_and_the_axis_of_the_new_images():
    plane, ids = blob((64, 64))
    base = run(training([(plane, Annotation.full(ids))], TrainSettings(steps=1, batch=2))).model
    volume, labels = blob((20, 24, 28))
    sliced = (volume, Annotation.from_slices(labels, 1, [8, 12]))
    spec = run(training([sliced], TrainSettings(steps=1, batch=2), base)).model.spec
    assert (spec.axis, spec.tile) == (1, (32, 32))


def test_objects_are_learned_as_objects():
    volume, labels = blob((64, 64))
    ids = labels.astype(np.int32) * 9
    settings = TrainSettings(steps=3, batch=2, instances=True)
    result = run(training([(volume, Annotation.full(ids))], settings))
    assert result.model.spec.target == "instances"
    assert result.model.spec.out_channels == 3


def stacked(seed):
    """Two objects that touch along z, where a slice shows one of them at most; between them it is dimmer."""
    rng = np.random.default_rng(seed)
    y, x = rng.integers(2, 12, 2)
    ids = np.zeros((32, 32, 32), np.int32)
    ids[3:15, y : y + 16, x : x + 16], ids[15:29, y : y + 16, x : x + 16] = 1, 2
    image = (ids > 0) + rng.normal(0, 0.05, ids.shape)
    image[14:16] -= 0.5 * (ids[14:16] > 0)
    return Volume(image[None].astype(np.float32), Grid(ids.shape, (1.0,) * 3, "um")), ids


def test_objects_above_each_other_come_apart_though_slices_alone_are_annotated():
    (volume, ids), (other, truth) = stacked(0), stacked(1)
    case = (volume, Annotation.from_slices(ids, 0, [1, 6, 10, 14, 18, 24, 30]))
    settings = TrainSettings(instances=True, steps=60, batch=4, holdout=0)
    model = run(training([case], settings)).model
    assert model.spec.block is not None
    found = predict(other, model, instances=True).labels
    lower, upper = (np.bincount(found[truth == i]).argmax() for i in (1, 2))
    assert 0 < lower != upper > 0


@pytest.mark.parametrize("loss", ["auto", "border"])
def test_replayed_cases_take_part(loss):
    volume, labels = blob()
    case = (volume, Annotation.full(labels))
    settings = TrainSettings(steps=2, batch=2, holdout=0, loss=loss)
    alone = run(training([case], settings)).model
    mixed = run(training([case], settings, replay=[case])).model
    assert alone.sha256 != mixed.sha256


def test_what_was_replayed_has_taught_and_is_never_measured_on():
    first, second = (
        (v, Annotation.from_slices(ids, 0, [2, 6, 10])) for v, ids in map(blob_of, (0, 1))
    )
    settings = TrainSettings(dims=2, planes=1, steps=1, batch=2)
    base = run(training([first], settings, replay=[second])).model
    result = run(training([second], replace(settings, holdout=0.4), base))
    assert result.validation.slices == 0
    assert run(training([second], replace(settings, holdout=0.4))).validation.slices == 2


def test_slices_of_all_orientations_are_replayed_beside_the_new_ones():
    """Their patches are of one shape in a batch, whatever orientation is drawn."""
    volume, labels = blob((12, 16, 24))
    case = (volume, Annotation.full(labels))
    settings = TrainSettings(dims=2, planes=3, steps=4, batch=2, holdout=0, exemplars=True)
    base = run(training([case], settings, replay=[case])).model
    assert len(set(base.spec.block)) > 1
    assert run(training([case], settings, base)).recall.rehearsed == 1


def test_exemplars_are_taken_along_only_where_asked_for():
    volume, labels = blob()
    case = (volume, Annotation.from_slices(labels, 0, [4, 6, 8, 11]))
    settings = TrainSettings(steps=1, batch=2, planes=1, holdout=0.25)
    plain = run(training([case], settings)).model
    assert plain.exemplars == ()
    model = run(training([case], replace(settings, exemplars=True))).model
    assert model.exemplars
    (page,) = model.history[-1]["split"]
    held = volume.array()[0, page["held"][0][0][0]]
    scaled = (held - held.mean()) / held.std()
    for one in model.exemplars:
        shown, drawn = one.case()
        slices = shown.array()[0][drawn.known.any(axis=(1, 2))]
        assert len(slices) == 1
        assert np.corrcoef(slices.ravel(), scaled.ravel())[0, 1] < 0.9  # not what measures
    assert model.sha256 == plain.sha256


def test_the_old_task_is_rehearsed_and_measured_before_and_after():
    (first, full), (second, others), (third, more) = map(blob_of, range(3))
    early = TrainSettings(dims=2, steps=40, batch=4, exemplars=True, holdout=0)
    old = [(first, Annotation.full(full)), (second, Annotation.full(others))]
    base = run(training(old, early)).model
    inverse = Volume(-third.array(), third.grid)  # dark balls: what was bright is background now
    new = [(inverse, Annotation.from_slices(1 - more, 0, [4, 7, 10]))]
    settings = TrainSettings(steps=80, batch=4, learning_rate=2e-3, holdout=0)
    said = []
    kept = run(training(new, settings, base), lambda r: said.append(r.message))
    lost = run(training(new, replace(settings, rehearse=False), base))
    assert any("rehearses" in words for words in said)
    assert kept.recall.patches == lost.recall.patches == len(base.exemplars) // 3
    assert (kept.recall.rehearsed, lost.recall.rehearsed) == (
        len(base.exemplars) - kept.recall.patches,
        0,
    )
    assert kept.recall.before == lost.recall.before > 0.7
    assert kept.recall.after > lost.recall.after + 0.1
    assert kept.model.history[-1]["old_task"]["after"] == kept.recall.after
    assert kept.model.exemplars == base.exemplars  # a descendant hands them on


def test_what_a_base_carries_is_left_behind_where_it_makes_no_sense():
    volume, labels = blob()
    case = (volume, Annotation.full(labels))
    base = run(training([case], TrainSettings(steps=1, batch=2, exemplars=True))).model
    assert base.exemplars
    objects = run(training([case], TrainSettings(steps=1, batch=2, instances=True), base))
    assert objects.recall is None
    assert objects.model.exemplars == ()


def test_a_new_class_is_learned_at_the_rate_of_a_new_model():
    """At the rate of fine-tuning, a row that begins as background stays background for long."""
    volume, labels = blob()
    settings = TrainSettings(dims=2, steps=60, batch=4, holdout=0)
    base = run(training([(volume, Annotation.full(labels))], settings)).model
    both = labels.copy()
    both[:, :, 18:] = 2  # what was background
    image = volume.array() + (both == 2) * 200
    case = (Volume(image.astype(np.float32), volume.grid), Annotation.full(both))
    model = run(training([case], replace(settings, steps=40), base)).model
    found = dice(run(predicting(case[0], model)).labels, both, [1, 2])
    assert found[2] > 0.5
    assert found[1] > 0.5


def test_a_budget_is_for_learning_however_long_the_reading_takes():
    volume, labels = blob()
    reports = []
    settings = TrainSettings(minutes=1e-9, batch=2, dims=2, planes=1)
    result = run(training([(volume, Annotation.full(labels))], settings), reports.append)
    assert result.steps == 1
    assert {r.seconds_left for r in reports if r.stage == "prepare"} == {None}


def measured_at(settings):
    """Return the steps at which a training on 17 slices was measured."""
    volume, labels = blob((17, 24, 24))
    reports = []
    run(training([(volume, Annotation.full(labels))], settings), reports.append)
    return [r.done for r in reports if r.dice]


def test_a_budget_of_steps_is_measured_at_fixed_ones():
    settings = TrainSettings(steps=30, batch=1, dims=2, planes=1, holdout=0.3)
    assert measured_at(settings) == [20, 30]  # 6 slices of a tile each, a step costs 3 of them


def test_a_budget_of_minutes_is_not_measured_away():
    settings = TrainSettings(minutes=0.002, batch=1, dims=2, planes=1, holdout=0.3)
    assert len(measured_at(settings)) == 1


def test_stopping_early_gives_the_best_so_far():
    volume, labels = blob()
    job = training([(volume, Annotation.full(labels))], TrainSettings(steps=100_000))
    report = next(job)
    while report.stage != "train":
        report = job.send(None)
    with pytest.raises(StopIteration) as end:
        job.send(True)
    assert 1 <= end.value.value.steps < 1000
    assert dice_of(end.value.value.model, volume, labels) >= 0


def test_channels_that_are_not_taken_as_they_come_are_told():
    volume, labels = blob()
    three = np.concatenate([volume.data * 0, volume.data, volume.data])
    both = Volume(three[:2], volume.grid, ("DAPI", "GFP"), name="two")
    more = Volume(three, volume.grid, ("GFP", "phase", "DAPI"), name="three")
    settings = TrainSettings(steps=1, holdout=0, dims=2, device="cpu")
    told = []
    cases = [(one, Annotation.full(labels)) for one in (both, more)]
    run(training(cases, settings), lambda p: told.append(p.message))
    assert "read two" in told
    assert "read three, channels by name: DAPI, GFP" in told


@pytest.mark.parametrize("said", ["read ball 0", "learning begins"])
@pytest.mark.parametrize("based", [False, True])
def test_stopped_before_the_first_step_there_is_no_new_model(said, based):
    made = [blob(seed=seed) for seed in range(3)]
    cases = [(replace(v, name=f"ball {i}"), Annotation.full(n)) for i, (v, n) in enumerate(made)]
    settings = TrainSettings(steps=1, batch=2, dims=2, planes=1)
    base = run(training(cases[:1], settings)).model if based else None
    job = training(cases, settings, base)
    report = next(job)
    while report.message != said:
        report = job.send(None)
    with pytest.raises(StoppedError, match="no new model"):
        job.send(True)


def test_the_same_seed_gives_the_same_model():
    volume, labels = blob()
    case = (volume, Annotation.full(labels))
    one, two = (run(training([case], TrainSettings(steps=3, batch=2))).model for _ in range(2))
    assert one.sha256 == two.sha256


@pytest.mark.parametrize(
    ("cases", "settings", "error", "words"),
    [
        ([], TrainSettings(steps=1), AnnotationError, "nothing to learn"),
        ([blob()], TrainSettings(steps=1, network="residual"), SpecError, "base model is a unet"),
        ([blob()], TrainSettings(steps=1, dims=2), SpecError, "dims 3"),
    ],
)
def test_refuses_the_impossible(cases, settings, error, words):
    volume, labels = blob()
    base = run(
        training([(volume, Annotation.full(labels))], TrainSettings(steps=1, batch=2, dims=3))
    ).model
    made = [(v, Annotation.full(n)) for v, n in cases]
    with pytest.raises(error, match=words):
        run(training(made, settings, base))
