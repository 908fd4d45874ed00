"""A model says the same of a body whichever way the axes of its image run."""

import nibabel as nib
import numpy as np
import pytest
import torch

from napari_unet import io
from napari_unet.core.annotation import Annotation
from napari_unet.core.bundled import sample
from napari_unet.core.classes import default_classes
from napari_unet.core.progress import run
from napari_unet.core.scores import dice
from napari_unet.core.settings import PredictSettings, TrainSettings
from napari_unet.core.spec import ModelSpec
from napari_unet.engine.blocks import Layout
from napari_unet.engine.cases import prepare
from napari_unet.engine.doubt import Watch
from napari_unet.engine.model import Model
from napari_unet.engine.networks import build_network
from napari_unet.engine.predict import predicting
from napari_unet.engine.starters import starter
from napari_unet.engine.train import training

CODES = ["LPS", "RIA", "ASR", "PIL"]
TORCH = PredictSettings(device="cpu", backend="torch")
CLASSES = default_classes([1, 2])


@pytest.fixture
def stored(tmp_path):
    """Store the hippocampus in another orientation; return its volume, labels, and how to turn arrays."""
    image = nib.load(sample("hippocampus").image)
    labels = nib.load(sample("hippocampus").labels)

    def store(code):
        way = nib.orientations.ornt_transform(
            nib.io_orientation(image.affine), nib.orientations.axcodes2ornt(code)
        )
        for one, name in ((image, "image"), (labels, "labels")):
            nib.save(one.as_reoriented(way), tmp_path / f"{code}-{name}.nii.gz")
        volume = io.read(tmp_path / f"{code}-image.nii.gz")
        found = io.read_labels(tmp_path / f"{code}-labels.nii.gz", volume.grid)[0]

        def turned(array):
            """Bring an array of the first volume into the axes of this one."""
            return nib.orientations.apply_orientation(array.T, way).T

        return volume, found, turned

    return store


def model_of(**choices):
    dims = choices.get("dims", 3)
    spec = ModelSpec(
        classes=CLASSES, unit="mm", features=(4, 8), tile=(16,) * dims, orientation="SAR", **choices
    )
    torch.manual_seed(0)
    weights = build_network(spec).state_dict()
    return Model(spec, {name: w.numpy().copy() for name, w in weights.items()})


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize(
    "choices",
    [
        {},
        {"spacing": (2.0, 1.0, 1.3)},
        {"dims": 2, "axis": 1, "context": 1},
        {"dims": 2, "block": (16, 16, 16), "spacing": (1.0, 1.0, 1.0)},
    ],
)
def test_predictions_are_turned_with_the_image(stored, code, choices):
    model = model_of(**choices)
    straight, labels, _ = stored("RAS")
    other, _, turned = stored(code)
    answers = []
    for volume, marks in ((straight, labels), (other, turned(labels))):
        doubts = np.zeros(volume.grid.shape, np.float16)
        watch = Watch(0, before=marks, uncertainty=doubts)
        answers.append(
            run(
                predicting(
                    volume, model, TORCH, keep_probabilities=True, watch=watch, near=(3, 4, 5)
                )
            )
        )
    first, second = answers
    # What lies at the seam of tiles is summed in another order, so that a draw may end otherwise.
    assert np.mean(turned(first.labels) == second.labels) > 0.999
    assert np.allclose(turned(first.uncertainty), second.uncertainty, atol=2e-2)
    for one, two in zip(first.probabilities, second.probabilities, strict=True):
        assert np.allclose(turned(one), two, atol=1e-2)
    assert second.grid.shape == other.grid.shape


@pytest.mark.parametrize("code", CODES)
def test_slices_are_told_in_the_order_of_the_image(stored, code):
    model = model_of()
    straight, labels, _ = stored("RAS")
    other, _, turned = stored(code)
    moved = turned(np.broadcast_to(np.arange(straight.grid.shape[0])[:, None, None], labels.shape))
    along = int(np.argmax([np.ptp(moved, axis=axis).max() for axis in range(3)]))
    surveys = [
        run(predicting(volume, model, TORCH, watch=Watch(axis))).survey
        for volume, axis in ((straight, 0), (other, along))
    ]
    backwards = moved.take(0, along).max() > moved.take(-1, along).max()
    expected = surveys[0].uncertainty[::-1] if backwards else surveys[0].uncertainty
    assert np.allclose(expected, surveys[1].uncertainty, rtol=1e-2)


@pytest.mark.parametrize("code", CODES)
def test_parts_are_parts_of_the_image(stored, code):
    model, (volume, _, _) = model_of(spacing=(2.0, 1.0, 1.3)), stored(code)
    whole = run(predicting(volume, model, TORCH)).labels
    covered = np.zeros(volume.grid.shape, int)
    for block in Layout(volume, model.spec, TORCH.overlap).blocks(4):
        at = tuple(map(slice, *block.box))
        covered[at] += 1
        part = run(predicting(volume, model, TORCH, within=block.box))
        assert np.array_equal(part.labels, whole[at])
    assert (covered == 1).all()


@pytest.mark.parametrize("code", ["RAS", *CODES])
def test_the_starter_sees_a_hippocampus_in_any_orientation(stored, code):
    volume, labels, _ = stored(code)
    found = run(predicting(volume, starter("hippocampus-mr"))).labels
    assert np.mean([*dice(found, labels, [1, 2]).values()]) > 0.85


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("dims", [2, 3])
def test_lessons_are_the_same_in_any_orientation(stored, code, dims):
    spec = model_of(dims=dims, axis=2 if dims == 2 else 0, spacing=(1.5, 1.0, 1.0)).spec
    straight, labels, _ = stored("RAS")
    other, also, _ = stored(code)
    one, two = (
        prepare((v, Annotation.full(n)), spec) for v, n in ((straight, labels), (other, also))
    )
    assert torch.allclose(one.image, two.image, atol=1e-4)
    assert (one.target == two.target).float().mean() > 0.999  # between two voxels either is nearest


def test_a_new_model_knows_its_orientation_and_learns_from_others(stored):
    cases = [(v, Annotation.full(n)) for v, n, _ in (stored("LPS"), stored("ASR"))]
    how = TrainSettings(minutes=None, steps=2, holdout=0.0, network="unet")
    model = run(training(cases, how)).model
    assert model.spec.orientation == "SPL"
    again = run(training(cases[::-1], how, base=model)).model
    assert again.spec.orientation == "SPL"
    assert again.spec.axis == model.spec.axis
