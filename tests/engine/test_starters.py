import pytest
import torch

from napari_unet.core.bundled import starter_paths, user_models_folder
from napari_unet.core.spec import ModelSpec
from napari_unet.engine.model import Model, from_torch, save_model
from napari_unet.engine.networks import build_network
from napari_unet.engine.starters import resolve, starter
from napari_unet.errors import ModelFileError


@pytest.fixture
def mine():
    """Save a tiny model among the user's own, for the time of a test."""
    spec = ModelSpec(dims=2, features=(2, 4), tile=(4, 4))
    torch.manual_seed(0)
    model = Model(spec, from_torch(build_network(spec).state_dict()), "mine")
    path = save_model(model, user_models_folder() / "mine.safetensors")
    yield path
    path.unlink()


def test_a_model_goes_by_its_path_or_its_name(mine):
    for reference in (mine, str(mine), "mine"):
        assert resolve(reference) == mine
    assert starter("mine").name == "mine"


@pytest.mark.parametrize("name", starter_paths())
def test_every_bundled_starter_loads_and_says_where_it_comes_from(name):
    model = starter(name)
    assert model.card
    assert starter_paths()[name].stat().st_size < 10_000_000
    assert len(model.spec.classes) > 1
    assert model.exemplars
    assert all(e.note.source and e.note.licence for e in model.exemplars)


@pytest.mark.parametrize("reference", ["nobody", "nobody.safetensors", "."])
def test_an_unknown_name_is_answered_with_those_there_are(reference, mine):
    with pytest.raises(ModelFileError, match=r"no model.*mine"):
        resolve(reference)
