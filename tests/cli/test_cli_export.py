import pytest
import torch

from napari_unet.core.export_formats import EXPORT_FORMATS
from napari_unet.engine.export import FORMATS


def test_every_format_has_a_name():
    assert list(EXPORT_FORMATS) == list(FORMATS)


def test_a_model_is_exported_and_its_ends_are_told(run, model, tmp_path):
    out = tmp_path / "net.pt"
    done = run("export", model, "--to", "torchscript", "-o", out, "--json")
    assert done.code == 0
    assert done.json["output"] == str(out) and done.json["outputs"] == ["background", "ball"]
    seen = torch.zeros(1, done.json["channels"], *done.json["tile"])
    assert torch.jit.load(out)(seen).shape[1] == 2


def test_a_bundle_is_a_new_folder(run, model, tmp_path):
    out = tmp_path / "bundle"
    assert run("export", model, "--to", "monai-bundle", "-o", out).code == 0
    assert (out / "configs" / "inference.json").exists()
    again = run("export", model, "--to", "monai-bundle", "-o", out)
    assert again.code == 1 and "exists and would be replaced" in again.err


WRONG = {
    "ending": (["--to", "onnx", "-o", "net.pt"], 1, "end it in .onnx"),
    "format": (["--to", "keras", "-o", "net.h5"], 2, "onnx"),
    "input": (
        ["--to", "monai-bundle", "-o", "here.safetensors"],
        1,
        "exists and would be replaced",
    ),
    "folder": (["--to", "onnx", "-o", "no/where/net.onnx"], 1, "choose another folder"),
}


@pytest.mark.parametrize(("words", "code", "message"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_said_before_any_work(
    run, model, tmp_path, monkeypatch, words, code, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here.safetensors").write_bytes(b"mine")
    done = run("export", model, *words)
    assert done.code == code and message in done.err
    assert [p.name for p in tmp_path.iterdir()] == ["here.safetensors"]
