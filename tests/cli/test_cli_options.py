from argparse import ArgumentParser
from dataclasses import fields

import pytest

from napari_unet.cli.options import add_axes, add_settings, read_settings
from napari_unet.core.settings import PredictSettings, TrainSettings

PARSED = {
    # name: (settings, arguments, the field, its value)
    "choice": (PredictSettings, ["--device", "cpu"], "device", "cpu"),
    "number": (PredictSettings, ["--overlap", "0.5"], "overlap", 0.5),
    "switch": (PredictSettings, ["--tta"], "tta", True),
    "switch that is on": (TrainSettings, ["--no-rehearse"], "rehearse", False),
    "number or nothing": (TrainSettings, ["--steps", "7"], "steps", 7),
    "choice of numbers and a word": (TrainSettings, ["--dims", "2"], "dims", 2),
    "two words": (TrainSettings, ["--learning-rate", "1e-3"], "learning_rate", 1e-3),
}


def parser(settings):
    made = ArgumentParser(exit_on_error=False)
    add_axes(made)
    add_settings(made, settings)
    return made


@pytest.mark.parametrize("case", PARSED.values(), ids=PARSED)
def test_an_option_becomes_its_field(case):
    settings, words, name, value = case
    assert read_settings(settings, parser(settings).parse_args(words)) == settings(**{name: value})


@pytest.mark.parametrize("settings", [PredictSettings, TrainSettings])
def test_without_arguments_every_field_keeps_its_default(settings):
    args = parser(settings).parse_args([])
    assert {field.name for field in fields(settings)} <= set(vars(args))
    assert read_settings(settings, args) == settings()


@pytest.mark.parametrize(
    ("settings", "words", "says"),
    [
        (PredictSettings, ["--overlap", "many"], "no number"),
        (PredictSettings, ["--overlap", "nan"], "outside"),
        (PredictSettings, ["--backend", "tf"], "auto, torch, openvino"),
        (TrainSettings, ["--steps", "1.5"], "no number"),
        (TrainSettings, ["--holdout", "0.9"], "0.0 to 0.5"),
    ],
)
def test_what_does_not_fit_is_refused(settings, words, says):
    with pytest.raises(Exception, match=says):
        parser(settings).parse_args(words)


def test_a_field_that_is_left_out_keeps_its_default():
    made = ArgumentParser()
    add_settings(made, TrainSettings, leave_out=("minutes",))
    assert read_settings(TrainSettings, made.parse_args([])).minutes == TrainSettings().minutes
