"""ONNX: a graph that ONNX Runtime, OpenVINO, TensorRT and others run."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch

from napari_unet.atomic import write_whole
from napari_unet.engine.backends.openvino_cpu import installed, load_openvino
from napari_unet.engine.export.network import (
    Probabilities,
    agree,
    example,
    facts,
    probabilities_of,
    quiet,
    required,
)
from napari_unet.engine.model import Model

INPUT, OUTPUT = "image", "probabilities"
"""Names of the graph's ends."""


def write(model: Model, path: Path) -> None:
    """Write a graph that maps (batch, channels, ...) to probabilities (batch, outputs, ...).

    How many tiles come at once and how long they are is free.
    """
    network, seen = probabilities_of(model), example(model.spec, 2)
    with quiet():
        program, wanted = graph(network, seen), network(seen)

        def check(file: Path) -> None:
            required("onnx").checker.check_model(str(file))
            if installed():
                agree(_answer(file, seen.numpy()), wanted, "The ONNX graph")

        write_whole(path, lambda file: save(program, file, facts(model)), check)


def graph(network: Probabilities, seen: torch.Tensor) -> Any:  # noqa: ANN401 - torch.onnx.ONNXProgram
    """Translate a network; `seen` has two tiles at least, for one would be taken for always one."""
    for package in ("onnx", "onnxscript"):
        required(package)
    free = {axis: torch.export.Dim.DYNAMIC for axis in range(seen.ndim) if axis != 1}
    talk = logging.getLogger("torch.onnx")
    level = talk.level
    talk.setLevel(logging.ERROR)  # it lists what it has no use for
    try:
        return torch.onnx.export(
            network,
            (seen,),
            dynamo=True,
            dynamic_shapes=(free,),
            input_names=[INPUT],
            output_names=[OUTPUT],
            verbose=False,
        )
    finally:
        talk.setLevel(level)


def save(program: Any, file: Path, note: str) -> None:  # noqa: ANN401
    """Write a graph, weights and all in one file, with what the model is."""
    program.model.metadata_props["napari_unet"] = note
    program.save(str(file), external_data=False)


def opset_of(file: Path) -> int:
    """Return which version of ONNX's operations a graph is made of."""
    graph = required("onnx").load(str(file), load_external_data=False)
    return int(graph.opset_import[0].version)


def _answer(file: Path, seen: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Run a graph on OpenVINO."""
    precise = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = load_openvino().Core().compile_model(str(file), "CPU", precise)
    return np.asarray(compiled(seen)[0])
