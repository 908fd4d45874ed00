"""The model that an image opens with, and what is said where one has nothing to say about it."""

import numpy as np
import pytest

from napari_unet.core.bundled import sample, starter_paths, user_models_folder
from napari_unet.core.spec import ModelSpec
from napari_unet.engine.model import Model
from napari_unet.plugin.model_section import describe

IMAGES = {
    "MR in millimetres": ((24, 40, 40), (1, 1, 1), "mm", False, "hippocampus-mr"),
    "a stack in micrometres": ((24, 40, 40), (1, 0.5, 0.5), "um", False, "nuclei-3d"),
    "a stack of unknown size": ((24, 40, 40), (1, 1, 1), "pixel", False, "nuclei-2d"),
    "a plane": ((64, 64), (0.3, 0.3), "um", False, "nuclei-2d"),
    "grey saved in colour": ((64, 64), (1, 1), "pixel", "grey", "nuclei-2d"),
    "colour": ((64, 64), (1, 1), "pixel", "colour", "New model (learn from scratch)"),
}


def open_image(dock, shape, scale, unit, rgb=False, seed=0):
    """Add an image as napari's own readers do."""
    pixels = np.random.default_rng(seed).integers(0, 255, (*shape, 3) if rgb else shape, np.uint8)
    if rgb == "grey":
        pixels[:] = pixels[..., :1]
    layer = dock.viewer.add_image(pixels, rgb=bool(rgb), scale=scale, units=(unit,) * len(shape))
    dock.target.choose_image(layer)
    return layer


@pytest.mark.parametrize(("shape", "scale", "unit", "rgb", "chosen"), IMAGES.values(), ids=IMAGES)
def test_an_image_opens_with_a_model_that_suits_it(dock, shape, scale, unit, rgb, chosen):
    open_image(dock, shape, scale, unit, rgb)
    assert dock.model.list.currentText() == chosen
    assert not dock.model.misfit
    assert dock.predict.go.isEnabled() == (rgb != "colour")


def test_another_image_of_the_same_size_but_other_channels_chooses_anew(dock):
    open_image(dock, (64, 64), (1, 1), "pixel")
    assert dock.model.list.currentText() == "nuclei-2d"
    open_image(dock, (64, 64), (1, 1), "pixel", "colour")
    assert dock.model.path is None and not dock.model.misfit


def test_a_model_of_ones_own_comes_before_a_starter(dock, weights):
    mine = user_models_folder() / "mine.safetensors"
    mine.parent.mkdir(parents=True, exist_ok=True)
    mine.write_bytes(weights["classes"].read_bytes())
    dock.model.refresh()
    open_image(dock, (24, 40, 40), (1, 1, 1), "mm")
    assert dock.model.path == mine


def test_what_somebody_chose_stays_and_says_why_it_can_not_predict(dock):
    dock.model.choose(starter_paths()["hippocampus-mr"])
    layer = open_image(dock, (24, 40, 40), (1, 0.5, 0.5), "um")
    assert dock.model.list.currentText() == "hippocampus-mr"
    assert "correct the voxel size of the image" in dock.model.about.text()
    assert not dock.predict.go.isEnabled()
    assert dock.predict.go.toolTip() == dock.model.misfit == dock.model.about.text()
    layer.units = ("mm",) * 3  # as the sentence says
    assert not dock.model.misfit and dock.predict.go.isEnabled()
    assert "hippocampus" in dock.model.about.text()


@pytest.mark.parametrize(
    ("channels", "said"),
    [(("DAPI", "GFP"), "reads DAPI, GFP"), (("channel 1", "channel 2"), "")],
    ids=["names", "numbers"],
)
def test_a_model_of_stains_names_them(channels, said):
    spec = ModelSpec(dims=2, tile=(32, 32), channels=channels)
    assert ("reads" in describe(Model(spec, {}).header())) == bool(said)
    assert said in describe(Model(spec, {}).header())


def test_a_new_model_that_somebody_chose_stays(dock):
    dock.model.choose(None)
    dock.model.refresh()
    open_image(dock, (24, 40, 40), (1, 1, 1), "mm")
    assert dock.model.path is None


def test_a_sample_and_then_an_image_of_another_kind(dock):
    dock.opening.sample(sample("hippocampus"))
    assert dock.model.list.currentText() == "hippocampus-mr"
    open_image(dock, (64, 64), (1, 1), "pixel")
    assert dock.model.list.currentText() == "nuclei-2d"


def test_a_damaged_model_is_passed_over(dock):
    broken = user_models_folder() / "broken.safetensors"
    broken.parent.mkdir(parents=True, exist_ok=True)
    broken.write_bytes(b"no model")
    dock.model.refresh()
    open_image(dock, (24, 40, 40), (1, 1, 1), "mm")
    assert dock.model.list.currentText() == "hippocampus-mr"
