import json
import struct
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.numpy import save
from safetensors.torch import load, save_file

from napari_unet.core.annotation import Annotation
from napari_unet.core.bundled import starter_paths
from napari_unet.core.exemplar import Exemplar
from napari_unet.core.grid import Grid
from napari_unet.core.model_header import KEY, dump_model_header, read_model_header
from napari_unet.core.spec import NETWORKS, ModelSpec, Normalisation
from napari_unet.engine.ledger import Ledger
from napari_unet.engine.model import Model, from_torch, load_model, save_model
from napari_unet.engine.networks import build_network
from napari_unet.errors import ModelFileError, WriteError


def tiny(network="unet", dims=2) -> Model:
    spec = ModelSpec(network=network, dims=dims, features=(2, 4), tile=(4,) * dims)
    torch.manual_seed(0)
    weights = from_torch(build_network(spec).state_dict())
    return Model(spec, weights, "tiny", "ab" * 32, ({"steps": 3},), {"data": "made up"})


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("dims", [2, 3])
def test_a_file_alone_rebuilds_the_model(tmp_path, network, dims):
    model = tiny(network, dims)
    path = save_model(model, tmp_path / "m.safetensors")
    again = load_model(path)
    assert (again.spec, again.sha256, again.parent) == (model.spec, model.sha256, model.parent)
    assert (again.name, again.history, again.card) == (model.name, model.history, model.card)
    for name, tensor in again.build().state_dict().items():
        assert np.array_equal(tensor.numpy(), model.weights[name])
    assert read_model_header(path) == model.header()


def test_a_model_of_many_images_can_be_saved(tmp_path):
    """Its history says of each whether it taught or was held out."""
    box = ((0, 0, 0), (1, 512, 512))
    pages = [
        {"image": f"{i:016x}", "taught": [box], "held": [], "freed": False} for i in range(20_000)
    ]
    model = replace(tiny(), history=({"steps": 3, "split": pages},))
    again = load_model(save_model(model, tmp_path / "m.safetensors"))
    assert len(Ledger.of(again.history).pages) == len(pages)


def carrying(model, count=2):
    """Give a model exemplars, as if it had learned from them."""
    rng = np.random.default_rng(0)
    grid = Grid((4,) * model.spec.dims, (1.0,) * model.spec.dims)
    made = [
        Exemplar.of(
            rng.normal(0, 1, (1, *grid.shape)).astype(np.float32),
            Annotation.full(rng.integers(0, 2, grid.shape)),
            grid,
            (0, 1),
        )
        for _ in range(count)
    ]
    return replace(model, exemplars=tuple(made))


@pytest.mark.parametrize("dims", [2, 3])
def test_exemplars_come_back_to_the_bit_and_are_no_part_of_the_hash(tmp_path, dims):
    plain, model = tiny(dims=dims), carrying(tiny(dims=dims))
    path = save_model(model, tmp_path / "m.safetensors")
    again = load_model(path)
    assert again.sha256 == plain.sha256
    assert read_model_header(path) == model.header()
    assert read_model_header(path).parameters == plain.parameters
    for one, other in zip(again.exemplars, model.exemplars, strict=True):
        assert one.note == other.note
        assert np.array_equal(one.image, other.image)
        assert np.array_equal(one.labels, other.labels)


@pytest.mark.parametrize(
    "kind", ["flipped voxel", "one missing", "floats", "promised only", "vast", "not told of"]
)
def test_damaged_and_hostile_exemplars_are_refused_in_one_sentence(tmp_path, kind):
    path = save_model(carrying(tiny()), tmp_path / "m.safetensors")
    raw = path.read_bytes()
    length = struct.unpack("<Q", raw[:8])[0]
    tensors = load(raw)
    header = json.loads(json.loads(raw[8 : 8 + length])["__metadata__"][KEY])
    if kind == "flipped voxel":
        tensors["exemplar.0.image"] ^= 1
    elif kind == "one missing":
        del tensors["exemplar.1.labels"]
    elif kind == "floats":
        tensors["exemplar.0.image"] = tensors["exemplar.0.image"].float()
    elif kind == "promised only":
        header["exemplars"] *= 40
    elif kind == "vast":
        vast = torch.zeros(1, 2100, 2100, dtype=torch.uint8)
        tensors |= {"exemplar.0.image": vast, "exemplar.0.labels": vast[0].clone()}
    elif kind == "not told of":
        header["exemplars"] = []
    save_file(tensors, path, metadata={KEY: json.dumps(header)})
    with pytest.raises(ModelFileError, match=r"m\.safetensors.*exemplar") as caught:
        load_model(path)
    assert "\n" not in str(caught.value)


def test_the_hash_is_of_spec_and_weights_alone():
    model = tiny()
    assert replace(model, name="other", card={}).sha256 == model.sha256
    assert replace(model, spec=replace(model.spec, unit="mm")).sha256 != model.sha256
    nudged = {k: v + 1e-3 for k, v in model.weights.items()}
    background, one = model.spec.classes[:2]
    told = replace(model.spec, classes=(background, replace(one, description="round ones")))
    assert replace(model, spec=told).sha256 != model.sha256
    assert replace(model, weights=nudged).sha256 != model.sha256


def test_files_without_descriptions_are_read_as_ever(tmp_path):
    """As versions before descriptions wrote them, hash included."""
    model = tiny()
    header = json.loads(dump_model_header(model.header())[KEY])
    for one in header["spec"]["classes"]:
        del one["description"]
    path = tmp_path / "m.safetensors"
    path.write_bytes(save(dict(model.weights), {KEY: json.dumps(header)}))
    assert load_model(path).spec == model.spec
    for starter in starter_paths().values():
        load_model(starter)  # their hashes are older than descriptions


def broken(path, kind):
    """Damage a model file in one way."""
    raw = path.read_bytes()
    length = struct.unpack("<Q", raw[:8])[0]
    weights = load(raw)
    meta = json.loads(raw[8 : 8 + length])["__metadata__"]
    header = json.loads(meta[KEY])
    name = next(k for k, v in weights.items() if v.ndim > 1)
    if kind == "cut off":
        path.write_bytes(raw[:-10])
    elif kind == "header cut off":
        path.write_bytes(raw[:100])
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "header of 100 MB":
        path.write_bytes(struct.pack("<Q", 100 << 20) + raw[8:])
    elif kind == "text":
        path.write_text("hello, this is not a model at all")
    elif kind == "pickle":
        torch.save(weights, path)
    elif kind == "foreign":
        save_file(weights, path)
    elif kind == "flipped bit":
        flipped = bytearray(raw)
        flipped[-3] ^= 0x10
        path.write_bytes(flipped)
    else:
        if kind == "wrong shape":
            weights[name] = weights[name].reshape(-1)
        elif kind == "another kind of number":
            weights[name] = weights[name].bfloat16()
        elif kind == "not finite":
            weights[name] = weights[name] * np.nan
        elif kind == "missing weight":
            header["parameters"] -= weights.pop(name).numel()
        elif kind == "network of another name":
            header["spec"]["network"] = "os.system"
        elif kind == "spec that would fill the machine":
            header["spec"]["features"] = [4096] * 8
            header["spec"]["kernels"] = header["spec"]["strides"] = []
            header["spec"]["tile"] = [128, 128]
        elif kind == "later version":
            header["version"] = 99
        elif kind == "no number in the card":
            header["card"]["score"] = float("nan")
        elif kind == "no number for a colour":
            header["spec"]["classes"][1]["color"] = [float("nan"), 0, 0]
        elif kind == "an id that is too large":
            header["spec"]["classes"][1]["id"] = 2**64
        save_file(weights, path, metadata={KEY: json.dumps(header)})


@pytest.mark.parametrize(
    "kind",
    [
        "cut off",
        "header cut off",
        "empty",
        "header of 100 MB",
        "text",
        "pickle",
        "foreign",
        "flipped bit",
        "wrong shape",
        "another kind of number",
        "not finite",
        "missing weight",
        "network of another name",
        "spec that would fill the machine",
        "later version",
        "no number in the card",
        "no number for a colour",
        "an id that is too large",
    ],
)
def test_damaged_and_hostile_files_are_refused_in_one_sentence(tmp_path, kind):
    path = save_model(tiny(), tmp_path / "m.safetensors")
    broken(path, kind)
    with pytest.raises(ModelFileError, match=r"m\.safetensors") as caught:
        load_model(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("metadata", [[], None, "text", 5, {KEY: 5}, {KEY: None}])
def test_metadata_that_is_no_text_by_name_is_refused(tmp_path, metadata):
    path = tmp_path / "m.safetensors"
    text = json.dumps({"__metadata__": metadata}).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text)
    with pytest.raises(ModelFileError, match=r"m\.safetensors has a damaged header"):
        read_model_header(path)


def test_negative_variances_are_refused(tmp_path):
    spec = replace(tiny().spec, norm="batch")
    model = replace(tiny(), spec=spec, weights=from_torch(build_network(spec).state_dict()))
    path = save_model(model, tmp_path / "m.safetensors")
    assert load_model(path).spec.norm == "batch"
    name = next(k for k in model.weights if k.endswith("running_var"))
    weights = {**model.weights, name: -model.weights[name]}
    bad = replace(model, weights=weights)
    path.write_bytes(save(weights, dump_model_header(bad.header())))
    with pytest.raises(ModelFileError, match=r"m\.safetensors: variances .* are negative"):
        load_model(path)


def test_files_from_before_batch_norm_have_instance_norm(tmp_path):
    model = tiny()
    header = json.loads(dump_model_header(model.header())[KEY])
    del header["spec"]["norm"]
    path = tmp_path / "m.safetensors"
    path.write_bytes(save(dict(model.weights), {KEY: json.dumps(header)}))
    assert load_model(path).spec.norm == "instance"


def test_a_name_that_is_no_unicode_costs_no_model(tmp_path):
    path = save_model(replace(tiny(), name="mine\udcff"), tmp_path / "mine.safetensors")
    assert load_model(path).name == "mine?"


@pytest.mark.parametrize(
    "told",
    [{"spacing": (1, 2, 3), "unit": "mm"}, {"normalisation": Normalisation("window", -100, 400)}],
)
def test_whole_numbers_are_numbers(tmp_path, told):
    spec = ModelSpec(dims=2, features=(4, 6), tile=(4, 4), **told)
    model = Model(spec, from_torch(build_network(spec).state_dict()))
    assert load_model(save_model(model, tmp_path / "m.safetensors")).sha256 == model.sha256


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ModelFileError, match=r"gone\.safetensors"):
        load_model(tmp_path / "gone.safetensors")


def test_a_failed_save_leaves_the_old_model(tmp_path):
    path = save_model(tiny(), tmp_path / "m.safetensors")
    before = path.read_bytes()
    bad = tiny()
    bad.weights[next(iter(bad.weights))][:] = np.nan
    with pytest.raises(WriteError):
        save_model(bad, path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["m.safetensors"]
