"""Settings become forms and come back the same."""

import dataclasses

import pytest

from napari_unet.core.settings import PredictSettings, TrainSettings
from napari_unet.errors import SpecError
from napari_unet.plugin.forms import SettingsForm


@pytest.mark.parametrize("kind", [PredictSettings, TrainSettings])
def test_an_untouched_form_gives_the_defaults(qtbot, kind):
    form = SettingsForm(kind)
    qtbot.addWidget(form)
    assert form.value() == kind()


def test_every_field_is_there_and_in_its_place(qtbot):
    form = SettingsForm(TrainSettings, front=("minutes",), hidden=("instances",))
    qtbot.addWidget(form)
    names = set(form.fields)
    assert names == {f.name for f in dataclasses.fields(TrainSettings)} - {"instances"}
    assert form.fields["minutes"].native.isVisibleTo(form)
    assert not form.fields["loss"].native.isVisibleTo(form)


@pytest.mark.parametrize(
    ("field", "entered", "value"),
    [
        ("minutes", 0.5, 0.5),
        ("steps", "20", 20),
        ("steps", " ", None),
        ("learning_rate", "1e-3", 1e-3),
        ("loss", "focal", "focal"),
        ("dims", 2, 2),
    ],
)
def test_what_is_entered_arrives(qtbot, field, entered, value):
    form = SettingsForm(TrainSettings)
    qtbot.addWidget(form)
    form.fields[field].value = entered
    assert getattr(form.value(), field) == value


def test_what_is_no_number_is_named(qtbot):
    form = SettingsForm(TrainSettings)
    qtbot.addWidget(form)
    form.fields["learning_rate"].value = "fast"
    with pytest.raises(SpecError, match="Learning rate is a number or empty, not 'fast'"):
        form.value()
