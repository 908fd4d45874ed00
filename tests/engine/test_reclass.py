from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_unet.core.annotation import Annotation
from napari_unet.core.bundled import sample
from napari_unet.core.classes import BACKGROUND, LabelClass
from napari_unet.core.grid import Grid
from napari_unet.core.progress import run
from napari_unet.core.scores import dice
from napari_unet.core.settings import TrainSettings
from napari_unet.core.spec import NETWORKS, ModelSpec
from napari_unet.core.volume import Volume
from napari_unet.engine.cases import relabelled
from napari_unet.engine.model import Model, from_torch, load_model, save_model
from napari_unet.engine.networks import build_network
from napari_unet.engine.predict import predicting
from napari_unet.engine.reclass import merged_before, reclassed
from napari_unet.engine.starters import starter
from napari_unet.engine.train import training
from napari_unet.errors import SpecError
from napari_unet.io import read, read_labels

GRID = Grid((3, 24, 24), (1.0, 1.0, 1.0), "mm")
A, B, C = LabelClass(1, "a"), LabelClass(2, "b"), LabelClass(5, "c")


@pytest.fixture(params=NETWORKS)
def model(request):
    torch.manual_seed(0)
    spec = ModelSpec(
        request.param, 2, classes=(BACKGROUND, A, B), features=(4, 8), kernels=(), strides=(),
        tile=(16, 16) if request.param != "original" else (4, 4),
    )  # fmt: skip
    return Model(spec, from_torch(build_network(spec).state_dict()))


def logits(model):
    """In double precision: kernels for another number of outputs round single precision otherwise."""
    network, side = model.build().double(), 20 if model.spec.network == "original" else 16
    torch.manual_seed(1)
    with torch.no_grad():
        out = network(torch.randn(2, 1, side, side, dtype=torch.float64))
    return out[0] if isinstance(out, list) else out


@pytest.mark.parametrize(
    ("classes", "merged", "kept"),
    [
        ((BACKGROUND, A, B, C), {}, [0, 1, 2]),
        ((BACKGROUND, replace(A, name="other"), B), {}, [0, 1, 2]),
        ((BACKGROUND, B), {}, [0, 2]),
        ((BACKGROUND, A), {2: 1}, [0]),
        ((BACKGROUND, B, C), {}, [0, 2]),
        ((BACKGROUND, B, A), {}, [0, 1, 2]),
    ],
)
def test_classes_that_stay_keep_their_weights_to_the_bit_and_their_logits(
    model, classes, merged, kept
):
    changed = reclassed(model, classes, merged)
    before, after = logits(model), logits(changed)
    rows = {c.id: i for i, c in enumerate(changed.spec.classes)}
    old = {c.id: i for i, c in enumerate(model.spec.classes)}
    for i in kept:
        assert torch.allclose(after[:, rows[i]], before[:, old[i]], rtol=0, atol=1e-12)
        for name in (n for n in model.weights if n.startswith("head")):
            assert np.array_equal(changed.weights[name][rows[i]], model.weights[name][old[i]])
    for name in (n for n in model.weights if not n.startswith("head")):
        assert np.array_equal(changed.weights[name], model.weights[name])
    assert changed.parent == model.sha256
    assert changed.sha256 != model.sha256
    assert changed.history[-1]["classes"]


def test_another_order_changes_no_label(model):
    labels = []
    for classes in ((BACKGROUND, A, B), (BACKGROUND, B, A)):
        volume = Volume(np.random.default_rng(0).normal(size=(1, 3, 24, 24)).astype("f4"), GRID)
        labels.append(run(predicting(volume, reclassed(model, classes))).labels)
    assert np.array_equal(*labels)
    assert len(np.unique(labels[0])) > 1


def test_a_new_class_never_wins_before_it_was_taught(model):
    changed = reclassed(model, (BACKGROUND, A, B, C))
    assert torch.equal(logits(changed).argmax(1), logits(model).argmax(1))


@pytest.mark.parametrize(
    ("classes", "merged"),
    [
        ((BACKGROUND, A), {7: 1}),
        ((BACKGROUND, A), {2: 5}),
        ((BACKGROUND, A, B), {2: 1}),
        ((BACKGROUND, A, C), {2: 5}),
    ],
)
def test_merges_that_make_no_sense_are_refused(model, classes, merged):
    with pytest.raises(SpecError, match="can't be merged"):
        reclassed(model, classes, merged)


def test_objects_can_only_be_renamed():
    spec = ModelSpec(target="instances", classes=(BACKGROUND, A), features=(2, 2), tile=(4, 4, 4))
    model = Model(spec, from_torch(build_network(spec).state_dict()))
    renamed = reclassed(model, (BACKGROUND, replace(A, name="nucleus")))
    assert all(np.array_equal(renamed.weights[k], v) for k, v in model.weights.items())
    with pytest.raises(SpecError, match="renamed"):
        reclassed(model, (BACKGROUND, A, B))


def test_it_is_a_model_file_like_any_other(model, tmp_path):
    changed = reclassed(model, (BACKGROUND, B, C))
    assert load_model(save_model(changed, tmp_path / "m.safetensors")).sha256 == changed.sha256


@pytest.fixture(scope="module")
def hippocampus():
    found = sample("hippocampus")
    volume = read(found.image)
    return volume, read_labels(found.labels, volume.grid)[0]


def scores(model, volume, truth, ids):
    return dice(run(predicting(volume, model)).labels, truth, ids)


def test_the_halves_of_a_real_organ_become_one(hippocampus):
    """Nothing is trained: the two rows' mean finds most of what both found."""
    volume, labels = hippocampus
    base = starter("hippocampus-mr")
    whole = (labels > 0).astype(int)
    merged = reclassed(base, base.spec.classes[:2], {2: 1})
    assert scores(merged, volume, whole, [1])[1] > 0.8


def test_after_learning_a_new_class_the_old_one_stays_good():
    """A bright ball is known; dark bars are new."""
    rng = np.random.default_rng(0)
    z, y, x = np.indices((12, 32, 32))
    ball = ((y - 12) ** 2 + (x - 12) ** 2 + (z - 6) ** 2 < 49).astype(np.uint8)
    both = np.where(y > 24, 5, ball)
    image = np.where(both == 5, -60, both * 100) + rng.normal(0, 15, ball.shape)
    volume = Volume(image[None].astype(np.float32), Grid(ball.shape, (1.0,) * 3))
    quick = TrainSettings(dims=2, context=0, steps=60, batch=4, learning_rate=5e-3, holdout=0)
    base = run(training([(volume, Annotation.full(ball))], quick)).model
    before = scores(base, volume, ball, [1])[1]
    image = image + rng.normal(
        0, 5, ball.shape
    )  # another image: the base has learned from no slice
    volume = Volume(image[None].astype(np.float32), Grid(ball.shape, (1.0,) * 3))
    annotated = (volume, Annotation.from_slices(both, 0, range(1, 12, 2)))
    classes = (*base.spec.classes, LabelClass(5, "bar"))
    tuned = run(training([annotated], replace(quick, holdout=0.5), base, classes))
    after = scores(tuned.model, volume, both, [1, 5])
    assert after[5] > 0.9
    assert after[1] > before - 0.02 > 0.8
    assert set(tuned.base.per_class) == {1}  # as far as it knows the classes


def test_merged_labels_may_use_either_id_and_the_base_is_compared(hippocampus):
    volume, labels = hippocampus
    base = starter("hippocampus-mr")
    case = (volume, Annotation.from_slices(labels, 0, range(1, 34, 2)))
    settings = TrainSettings(steps=2, batch=2)
    tuned = run(training([case], settings, base, merged={2: 1}))
    assert [c.id for c in tuned.model.spec.classes] == [0, 1]
    assert tuned.verdict.reason in ("better", "not better")
    assert tuned.base_dice > 0.7


def messages(job):
    """Drive a job; return what it says and its value."""
    told = []
    try:
        while True:
            told.append(next(job).message)
    except StopIteration as end:
        return told, end.value


def test_labels_from_before_a_merge_count_as_the_class_that_took_theirs(hippocampus):
    volume, labels = hippocampus
    base = starter("hippocampus-mr")
    merged = reclassed(base, base.spec.classes[:2], {2: 1})
    case = (volume, Annotation.from_slices(labels, 0, range(1, 34, 2)))
    settings = TrainSettings(steps=2, batch=2)
    told, tuned = messages(training([case], settings, merged))
    assert [c.id for c in tuned.model.spec.classes] == [0, 1]
    assert any(
        "label 2 counts as anterior hippocampus, which the base's class 2 is part of" in one
        for one in told
    )
    again = reclassed(tuned.model, (BACKGROUND, C), {})  # what took it is gone: it means itself
    assert merged_before(merged) == merged_before(tuned.model) == {2: 1}
    assert merged_before(again) == {}
    assert merged_before(merged, base.spec.classes) == {}  # a class again, and asked for

    tuned = run(training([case], settings, base, merged={2: 1})).model
    assert merged_before(tuned) == {2: 1}
    five = reclassed(reclassed(tuned, (BACKGROUND, A, C)), (BACKGROUND, C), {1: 5})
    assert merged_before(five) == {1: 5, 2: 5}


def test_labels_become_wide_enough_for_the_class_that_others_go_into():
    grid = Grid((2, 3), (1.0, 1.0))
    volume = Volume(np.zeros((1, 2, 3), np.float32), grid)
    for dtype in (np.uint8, np.int16, np.int32):
        case = (volume, Annotation.full(np.ones((2, 3), dtype)))
        [(_, found)] = relabelled([case], {1: 2**33})
        assert found.counts() == {2**33: 6}
