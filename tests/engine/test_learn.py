"""What a training is planned from: labels that are no classes are told before it begins."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_unet.core.annotation import Annotation
from napari_unet.core.classes import BACKGROUND, LabelClass, default_classes
from napari_unet.core.settings import TrainSettings
from napari_unet.core.spec import ModelSpec
from napari_unet.core.volume import Volume
from napari_unet.engine.extent import patch_of
from napari_unet.engine.learn import batch_size, planned
from napari_unet.engine.model import Model, from_torch
from napari_unet.engine.networks import build_network
from napari_unet.errors import AnnotationError

OBJECTS = np.arange(1, 401).reshape(20, 20).repeat(2, 0).repeat(2, 1)
ONE = (OBJECTS == 1).astype(np.uint8)
EMPTY = np.zeros_like(ONE)
NAMED = (BACKGROUND, *(LabelClass(i, f"region {i}") for i in range(1, 401)))
PLANAR = ModelSpec(dims=2, features=(4, 8), tile=(16, 16), classes=default_classes([1]))
ATLAS = replace(PLANAR, classes=default_classes(range(1, 401)))
AS_OBJECTS = replace(PLANAR, target="instances", classes=(BACKGROUND, LabelClass(1, "object")))

CASES = {
    # name: (labels, base's spec, classes given, whether they are objects, what the new model tells or
    # what is said)
    "objects": (OBJECTS, None, (), False, "400 different values that have no name: if they are objects"),
    "objects, numbered": (OBJECTS, None, default_classes(range(1, 401)), False, "400 different"),
    "objects and a named one": (
        OBJECTS, None, (NAMED[0], NAMED[1], *default_classes(range(2, 401))[1:]), False, "399 different",
    ),
    "objects beside a base's class": (OBJECTS, PLANAR, (), False, "399 different"),
    "objects as classes of a base of objects": (OBJECTS, AS_OBJECTS, (), False, "400 different"),
    "a few objects for a base of objects": (
        OBJECTS * (OBJECTS < 4), AS_OBJECTS, (), False,
        "3 different .* names, in the window or in a table of 3D Slicer or ITK-SNAP beside the labels",
    ),
    "a class for a base of objects": (ONE, AS_OBJECTS, (), False, 2),
    "objects that are said to be objects": (OBJECTS, None, (), True, 2),
    "objects for a base of classes": (OBJECTS, ATLAS, (), True, 2),
    "many classes with names": (OBJECTS, None, NAMED, False, 401),
    "many classes of a base": (OBJECTS, ATLAS, (), False, 401),
    "no structure": (EMPTY, None, (), False, "Every known voxel is background"),
    "no object": (EMPTY, None, (), True, "Every known voxel is background"),
    "no object, from a base of classes": (EMPTY, PLANAR, (), True, "Every known voxel is background"),
    "no object where a base finds some": (EMPTY, AS_OBJECTS, (), True, 2),
    "one structure": (ONE, None, (), False, 2),
}  # fmt: skip


@pytest.mark.parametrize(
    ("labels", "spec", "classes", "objects", "wanted"), CASES.values(), ids=CASES
)
def test_labels_are_what_they_are_said_to_be(labels, spec, classes, objects, wanted):
    volume = Volume.from_array(np.zeros(labels.shape, np.float32))
    base = None if spec is None else Model(spec, from_torch(build_network(spec).state_dict()))
    arguments = (
        [(volume, Annotation.full(labels))],
        TrainSettings(instances=objects),
        base,
        classes,
    )
    if isinstance(wanted, str):
        with pytest.raises(AnnotationError, match=wanted):
            planned(*arguments, {}, torch.device("cpu"))
    else:
        assert len(planned(*arguments, {}, torch.device("cpu"))[0].classes) == wanted


FLAT = ModelSpec(dims=2, features=(4, 8, 16), tile=(192, 160))
STEPS = {
    # name: (spec, device, the patch that a step sees, how many of them)
    "planes": (FLAT, "cpu", (96, 96), 3),
    "planes on a GPU": (FLAT, "cuda", (192, 160), 16),
    "small planes": (replace(FLAT, tile=(64, 64)), "cpu", (64, 64), 6),
    "narrow planes": (replace(FLAT, tile=(256, 24)), "cpu", (96, 24), 6),
    "slices of all orientations": (replace(FLAT, block=(64, 64, 64)), "cpu", (192, 160), 4),
    "blocks": (ModelSpec(features=(4, 8), tile=(32, 64, 64)), "cpu", (32, 64, 64), 2),
    "2015": (
        replace(FLAT, network="original", features=(4, 8), tile=(164, 164), strides=(), kernels=()),
        "cpu",
        (164, 164),
        4,
    ),
}


@pytest.mark.parametrize(("spec", "device", "patch", "count"), STEPS.values(), ids=STEPS)
def test_a_step_on_a_cpu_sees_little_so_that_there_are_many(spec, device, patch, count):
    where = torch.device(device)  # a name is enough: nothing runs on it
    assert patch_of(spec, where).tile == patch
    assert batch_size(spec, TrainSettings(), where) == count
    assert batch_size(spec, TrainSettings(batch=5), where) == 5
    assert patch_of(spec, where) == replace(spec, tile=patch)
