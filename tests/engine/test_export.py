"""What other programs get computes what the model does."""

import hashlib
import json
import sys
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser

import napari_unet as nu
from napari_unet.core.classes import LabelClass, default_classes
from napari_unet.core.grid import Grid
from napari_unet.core.spec import ModelSpec, Normalisation
from napari_unet.engine.backends.openvino_cpu import load_openvino
from napari_unet.engine.export import FORMATS, export
from napari_unet.engine.export.network import in_words
from napari_unet.engine.export.torchscript import NOTE
from napari_unet.engine.model import Model, from_torch
from napari_unet.engine.networks import build_network
from napari_unet.engine.planes import slices
from napari_unet.engine.sizes import input_tile
from napari_unet.errors import SpecError, WriteError

CLASSES = (
    *default_classes([]),
    LabelClass(1, "cell", (1, 0, 0)),
    LabelClass(4, "vessel", (0, 1, 0)),
)
FLAT = ModelSpec(dims=2, features=(4, 8), tile=(16, 24), classes=CLASSES, norm="batch")
SOLID = ModelSpec(features=(4, 8), tile=(8, 12, 16), classes=CLASSES, norm="batch")

SPECS = {
    "planes": FLAT,
    "slices with neighbours": replace(FLAT, context=1, axis=1, channels=("a", "b")),
    "blocks": SOLID,
    "objects": replace(FLAT, target="instances", classes=CLASSES[:2]),
    "2015": replace(FLAT, network="original", features=(4, 8), tile=(28, 28)),
    "nested": replace(FLAT, network="unetpp", features=(4, 8, 8), tile=(16, 16), strides=(), kernels=()),
    "gates": replace(SOLID, network="attention"),
    "recurrent": replace(SOLID, network="r2", norm="instance"),
}  # fmt: skip

PRECISE = {"INFERENCE_PRECISION_HINT": "f32"}


def model_of(spec, **more):
    """Make a model with random weights, whose averages of batch norm are not those of the start."""
    torch.manual_seed(0)
    network = build_network(spec)
    answer = network(torch.randn(2, spec.in_channels, *input_tile(spec)) * 2 + 1)
    if "head.bias" in network.state_dict():  # no class everywhere
        network.head.bias.data -= answer.detach().mean((0, *range(2, answer.ndim)))
    return Model(spec, from_torch(network.state_dict()), "tiny", **more)


def tiles(spec, longer=0):
    """Make two tiles, longer than those by default by so many steps."""
    shape = (n + longer * step for n, step in zip(input_tile(spec), spec.divisor, strict=True))
    return torch.randn(2, spec.in_channels, *shape, generator=torch.Generator().manual_seed(1))


def wanted(model, seen):
    """Return probabilities as PyTorch computes them from the model."""
    with torch.inference_mode():
        return torch.softmax(model.build()(seen), 1).numpy()


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_torchscript_answers_as_the_model(spec, tmp_path):
    model, file = model_of(spec), tmp_path / "m.pt"
    export(model, file, "torchscript")
    note = {NOTE: ""}
    script = torch.jit.load(file, _extra_files=note)
    for longer in (0, 2):
        seen = tiles(spec, longer)
        assert np.allclose(script(seen).detach().numpy(), wanted(model, seen), atol=1e-5)
    assert json.loads(note[NOTE])["sha256"] == model.sha256


@pytest.mark.parametrize("name", ["slices with neighbours", "blocks", "2015"])
def test_onnx_answers_as_the_model_for_any_number_and_length_of_tiles(name, tmp_path):
    spec = SPECS[name]
    model, file = model_of(spec), tmp_path / "m.onnx"
    export(model, file, "onnx")
    graph = load_openvino().Core().compile_model(str(file), "CPU", PRECISE)
    for seen in (tiles(spec)[:1], tiles(spec, 1)):
        assert np.allclose(graph(seen.numpy())[0], wanted(model, seen), atol=1e-4)
    import onnx

    (entry,) = onnx.load(file).metadata_props
    assert entry.key == "napari_unet" and json.loads(entry.value)["sha256"] == model.sha256


HOW = {
    "percentiles": Normalisation(low=1.0, high=99.0),
    "a window": Normalisation("window", -100.0, 300.0),
    "nothing": Normalisation("none"),
}


@pytest.mark.parametrize("how", HOW.values(), ids=HOW)
def test_bioimageio_holds_its_own_proof(how, tmp_path):
    spec = replace(FLAT, normalisation=how, spacing=(2.0, 0.5, 0.25), unit="um")
    model = model_of(spec, card={"data": "Cells (Someone 2020), CC BY 4.0", "title": "Cells"})
    export(model, tmp_path / "m.zip", "bioimageio")
    with zipfile.ZipFile(tmp_path / "m.zip") as archive:
        archive.extractall(tmp_path)
    rdf = json.loads((tmp_path / "rdf.yaml").read_text())
    (image,), (answer,) = rdf["inputs"], rdf["outputs"]
    for part in (image["test_tensor"], answer["test_tensor"], *rdf["weights"].values()):
        assert (
            hashlib.sha256((tmp_path / part["source"]).read_bytes()).hexdigest() == part["sha256"]
        )
    assert (rdf["license"], rdf["description"]) == ("CC-BY-4.0", "Cells")
    assert [a.get("id", a["type"]) for a in image["axes"]] == ["batch", "channel", "y", "x"]
    assert [(a["scale"], a["unit"]) for a in image["axes"][2:]] == [
        (0.5, "micrometer"),
        (0.25, "micrometer"),
    ]
    assert image["axes"][3]["size"] == {"min": 24, "step": 2}
    assert answer["axes"][1]["channel_names"] == ["background", "cell", "vessel"]
    seen = torch.from_numpy(preprocessed(np.load(tmp_path / "input.npy"), image["preprocessing"]))
    found = torch.jit.load(tmp_path / "weights.pt")(seen).detach().numpy()
    assert np.allclose(found, np.load(tmp_path / "output.npy"), atol=1e-5)
    graph = load_openvino().Core().compile_model(str(tmp_path / "weights.onnx"), "CPU", PRECISE)
    assert np.allclose(graph(seen.numpy())[0], found, atol=1e-4)


def preprocessed(image, steps):
    """Do what the form says of each step, in numpy."""
    for step in steps:
        kwargs, inside = step["kwargs"], tuple(range(2, image.ndim))
        if step["id"] == "clip":
            ends = [kwargs.get("min"), kwargs.get("max")]
            if "min_percentile" in kwargs:
                percentiles = (kwargs["min_percentile"], kwargs["max_percentile"])
                ends = np.percentile(image, percentiles, axis=inside, keepdims=True)
            image = np.clip(image, *ends)
        elif step["id"] == "scale_linear":
            image = image * kwargs["gain"] + kwargs["offset"]
        else:
            assert step["id"] == "zero_mean_unit_variance"
            mean, std = image.mean(inside, keepdims=True), image.std(inside, keepdims=True)
            image = (image - mean) / (std + 1e-6)
    return image.astype(np.float32)


def test_bioimageio_of_2015_is_smaller_by_what_it_loses(tmp_path):
    export(model_of(SPECS["2015"]), tmp_path / "m.zip", "bioimageio")
    with zipfile.ZipFile(tmp_path / "m.zip") as archive:
        rdf = json.loads(archive.read("rdf.yaml"))
    assert "license" not in rdf
    (y, _) = rdf["outputs"][0]["axes"][2:]
    assert y["size"]["offset"] == 28 - input_tile(SPECS["2015"])[0] and "halo" not in y


MM = {"spacing": (1.0, 2.0, 3.0), "unit": "mm", "orientation": "SAR"}
BUNDLED = {
    "blocks": replace(SOLID, **MM),
    "slices with neighbours": replace(FLAT, context=2, axis=1, **MM),
    "slices of all orientations": replace(
        FLAT, tile=(16, 16), block=(16, 16, 16), context=1, **MM | {"spacing": (1.0, 1.0, 1.0)}
    ),
}


@pytest.mark.parametrize("spec", BUNDLED.values(), ids=BUNDLED)
def test_a_bundle_labels_a_file_as_we_do(spec, tmp_path):
    model = model_of(spec)
    folder = tmp_path / "bundle"
    export(model, folder, "monai-bundle")
    rng = np.random.default_rng(0)
    shape = (17, 15, 20)
    affine = np.diag([*spec.spacing, 1.0])
    pixels = (rng.random(shape) * 50 + 100 * (np.indices(shape).sum(0) % 12 > 6)).astype(np.float32)
    volume = nu.Volume(pixels[None], Grid(shape, spec.spacing, "mm", tuple(map(tuple, affine))))
    nu.write_labels(tmp_path / "image.nii.gz", pixels.astype(np.uint16), volume.grid)
    volume = nu.read(tmp_path / "image.nii.gz")

    config = ConfigParser()
    config.read_config(folder / "configs" / "inference.json")
    config["bundle_root"], config["device"] = str(folder), "$torch.device('cpu')"
    config["inferer"]["overlap"] = 0.25
    case = config.get_parsed_content("preprocessing")({"image": str(tmp_path / "image.nii.gz")})
    network = config.get_parsed_content("network")
    with torch.inference_mode():
        case["pred"] = config.get_parsed_content("inferer")(case["image"][None], network)[0]
    steps = config.get_parsed_content("postprocessing").transforms[:-1]  # all but writing a file
    for step in steps:
        case = step(case)
    ours = nu.predict(volume, model, device="cpu").labels
    theirs = np.asarray(case["pred"][0]).transpose(2, 1, 0)
    assert set(np.unique(theirs)) <= {0, 1, 4} and len(np.unique(ours)) > 1
    inner = tuple(slice(3, -3) for _ in range(3))
    # What lies beyond a volume is another thing to a sliding window of MONAI's.
    assert (theirs[inner] == ours[inner]).mean() > 0.97


def test_a_bundle_goes_through_a_volume_as_we_do(tmp_path):
    spec = BUNDLED["slices with neighbours"]
    model = model_of(spec)
    export(model, tmp_path / "b", "monai-bundle")
    volume = torch.randn(1, 1, 10, 16, 12, generator=torch.Generator().manual_seed(1))  # z, y, x
    c = spec.context
    padded = np.pad(volume[0].numpy(), ((0, 0), (c, c), (c, c), (c, c)), "edge")
    with torch.inference_mode():
        stacks = [model.build()(torch.from_numpy(s)) for s in slices(padded, spec.axis, c, 4)]
        found = torch.jit.load(tmp_path / "b/models/model.ts")(volume.permute(0, 1, 4, 3, 2))
    ours = torch.cat(stacks).movedim(0, spec.axis + 1).numpy()
    assert np.allclose(found[0].permute(0, 3, 2, 1).numpy(), ours, atol=1e-5)


def test_a_bundle_of_a_planar_model_reads_planes(tmp_path):
    model = model_of(SPECS["objects"])
    export(model, tmp_path / "b", "monai-bundle")
    config = json.loads((tmp_path / "b/configs/inference.json").read_text())
    assert config["inferer"]["roi_size"] == [24, 16]
    seen = tiles(model.spec)
    with torch.inference_mode():
        found = torch.softmax(torch.jit.load(tmp_path / "b/models/model.ts")(seen.mT), 1).mT
    assert np.allclose(found.numpy(), wanted(model, seen), atol=1e-5)
    facts = json.loads((tmp_path / "b/configs/metadata.json").read_text())
    outputs = facts["network_data_format"]["outputs"]["pred"]["channel_def"]
    assert outputs == {"0": "background", "1": "interior", "2": "border"}


def test_a_bundle_of_2015_is_refused_with_another_way(tmp_path):
    with pytest.raises(SpecError, match="export it as onnx, torchscript or bioimageio"):
        export(model_of(SPECS["2015"]), tmp_path / "b", "monai-bundle")
    assert not list(tmp_path.iterdir())


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(
        WriteError, match=r"package onnxscript: pip install 'napari-unet\[export\]'"
    ):
        export(model_of(FLAT), tmp_path / "m.onnx", "onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("to", FORMATS)
def test_a_place_that_can_not_be_written_is_said_so(to, tmp_path):
    with pytest.raises(WriteError, match="could not be written"):
        export(model_of(FLAT), tmp_path / "nowhere" / "m", to)


def test_words_tell_what_is_read_and_how_well_it_did():
    held = {"held_out": {"mean_dice": 0.9, "slices": 3}}
    spec = replace(SPECS["slices with neighbours"], spacing=(1.0, 2.0, 3.0), unit="mm")
    text = in_words(model_of(spec, history=(held,)))
    assert (
        "2 channel(s): a, b; of each the slice and its 1 neighbours on each side, 3 in all" in text
    )
    assert "1 x 2 x 3 mm" in text and "Dice 0.900 on 3 slices" in text
    assert "## Validation\nNothing was held out" in in_words(model_of(FLAT))


@pytest.mark.parametrize(
    ("dice", "slices", "enough", "told"),
    [
        (None, 0, False, "Nothing was held out"),
        (0.9, 2, False, "Too few slices were held out to tell how good it is: 2"),
        (None, 3, True, "Too few slices"),
    ],
)
def test_a_model_that_was_not_measured_is_written_and_says_so(dice, slices, enough, told, tmp_path):
    """As most first models: nothing is held out of a few slices."""
    held = {"held_out": {"mean_dice": dice, "slices": slices, "enough": enough}}
    model = model_of(FLAT, history=(held,))
    assert f"## Validation\n{told}" in in_words(model)
    export(model, tmp_path / "bundle", "monai-bundle")
    assert told in (tmp_path / "bundle" / "docs" / "README.md").read_text(encoding="utf-8")
