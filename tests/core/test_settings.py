from dataclasses import FrozenInstanceError, fields, replace
from typing import Annotated, get_args, get_origin, get_type_hints

import pytest

from napari_unet.core.settings import PredictSettings, TrainSettings
from napari_unet.errors import SpecError

SETTINGS = (PredictSettings, TrainSettings)

REFUSED = {
    "negative overlap": (PredictSettings, {"overlap": -0.1}),
    "whole overlap": (PredictSettings, {"overlap": 0.95}),
    "no time": (TrainSettings, {"minutes": 0}),
    "no steps": (TrainSettings, {"steps": 0}),
    "no learning": (TrainSettings, {"learning_rate": 0.0}),
    "wild learning": (TrainSettings, {"learning_rate": 2.0}),
    "nothing to train on": (TrainSettings, {"holdout": 0.6}),
    "negative seed": (TrainSettings, {"seed": -1}),
    "no patches": (TrainSettings, {"batch": 0}),
    "negative patches": (TrainSettings, {"batch": -1}),
    "a loss misspelled": (TrainSettings, {"loss": "bordr"}),
    "an unknown network": (TrainSettings, {"network": "resnet"}),
    "four dimensions": (TrainSettings, {"dims": 4}),
    "dimensions in words": (TrainSettings, {"dims": "2"}),
    "two orientations": (TrainSettings, {"planes": 2}),
    "half a resolution": (TrainSettings, {"resolution": "half"}),
    "an unknown device": (TrainSettings, {"device": "gpu"}),
    "an unknown backend": (PredictSettings, {"backend": "onnx"}),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_impossible_settings_are_refused(case):
    settings, changes = case
    with pytest.raises(SpecError) as caught:
        settings(**changes)
    assert str(next(iter(changes.values()))) in str(caught.value)
    with pytest.raises(SpecError):
        replace(settings(), **changes)


def test_a_word_that_is_no_choice_is_answered_with_those_there_are():
    words = "loss is one of auto, dice_ce, focal, tversky, border, not 'bordr'"
    with pytest.raises(SpecError, match=words):
        TrainSettings(loss="bordr")


def test_steps_take_the_place_of_minutes():
    assert TrainSettings(minutes=0, steps=5).steps == 5


@pytest.mark.parametrize("settings", SETTINGS)
def test_settings_are_frozen(settings):
    with pytest.raises(FrozenInstanceError):
        settings().device = "cpu"


@pytest.mark.parametrize("settings", SETTINGS)
def test_every_setting_tells_what_it_does(settings):
    hints = get_type_hints(settings, include_extras=True)
    for field in fields(settings):
        hint = hints[field.name]
        assert get_origin(hint) is Annotated, field.name
        assert get_args(hint)[1]["tooltip"].endswith("."), field.name
