"""The model in use is written for other programs from the window."""

import numpy as np
import pytest
from qtpy.QtWidgets import QFileDialog

from conftest import CHILD_MS
from napari_unet.core.bundled import user_models_folder


def written(qtbot, dock):
    """Wait for the child, and return what the window says."""
    qtbot.waitUntil(lambda: not dock.runner.busy, timeout=CHILD_MS)
    return dock.model_export.status.text()


@pytest.mark.parametrize(
    ("name", "chosen", "file"),
    [
        ("cells", "TorchScript (*.pt)", "cells.pt"),
        ("CELLS.PT", "ONNX (*.onnx)", "CELLS.PT"),
        ("cells v1.2", "MONAI bundle, a folder (*)", "cells v1.2/models/model.ts"),
    ],
    ids=["by its format", "by its name", "a folder"],
)
def test_the_chosen_model_is_exported(
    qtbot, dock, hippocampus, model, monkeypatch, tmp_path, name, chosen, file
):
    import torch

    dock.model.choose(model)
    asked = str(tmp_path / name), chosen
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: asked)
    dock.model_export.go.click()
    assert not dock.model_export.go.isEnabled() and "running" in dock.model_export.go.toolTip()
    place = tmp_path / file
    assert f"Saved {tmp_path / file.partition('/')[0]}" == written(qtbot, dock)
    script = torch.jit.load(place)
    tile = (1, 1, 32, 32, 16) if "/" in file else (1, 1, 16, 32, 32)
    assert np.isfinite(script(torch.zeros(tile)).numpy()).all()
    assert dock.model_export.go.isEnabled()


def test_nothing_is_replaced_that_nobody_was_asked_about(qtbot, dock, hippocampus, model, tmp_path):
    dock.model.choose(model)
    there = tmp_path / "cells.pt"
    there.write_text("mine")
    dock.model_export.write(tmp_path / "cells", "torchscript")
    assert written(qtbot, dock) == f"{there} exists: to replace it, choose it by its whole name."
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    (bundle / "notes.txt").write_text("mine")
    dock.model_export.write(bundle, "monai-bundle")
    assert "exists and would be replaced" in written(qtbot, dock)
    assert there.read_text() == (bundle / "notes.txt").read_text() == "mine"


def test_a_new_model_cannot_be_exported(dock, hippocampus):
    dock.model.choose(None)
    assert not dock.model_export.go.isEnabled()
    assert dock.model_export.go.toolTip() == "Choose a model first."
    assert not any(user_models_folder().glob("*"))
