"""A package of bioimage.io: network, test tensors and preprocessing for ilastik, deepImageJ and others.

A zip with ``rdf.yaml`` in the form 0.5 of https://github.com/bioimage-io/spec-bioimage-io. It is written as
JSON, which is YAML, since the form's own library (0.5.12) does not work beside pydantic 2.14.
"""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import torch
from numpy.typing import NDArray

from napari_unet.atomic import write_whole
from napari_unet.core.spec import ModelSpec
from napari_unet.engine.export import onnx, torchscript
from napari_unet.engine.export.network import (
    example,
    facts,
    in_words,
    outputs,
    probabilities_of,
    quiet,
)
from napari_unet.engine.model import Model
from napari_unet.engine.sizes import input_tile, margin
from napari_unet.engine.view import measure
from napari_unet.errors import WriteError

_FORM = "0.5.4"
_UNITS = {
    "m": "meter", "cm": "centimeter", "mm": "millimeter", "um": "micrometer", "nm": "nanometer"
}  # fmt: skip
_HALO = 8
"""A tile's side over what is not trusted at each of its ends: half of our own overlap of a quarter."""
_LICENCES = (
    "CC0-1.0",
    "CC-BY-4.0",
    "CC-BY-SA-4.0",
    "CC-BY-NC-4.0",
    "CC-BY-NC-SA-4.0",
    "BSD-3-Clause",
    "MIT",
)
"""SPDX ids that a card may name."""


def write(model: Model, path: Path) -> None:
    """Write a package with the network as TorchScript and as ONNX."""
    with tempfile.TemporaryDirectory() as place, quiet():
        folder = Path(place)
        _parts(model, folder)
        opset = onnx.opset_of(folder / "weights.onnx")
        text = json.dumps(described(model, folder, opset), indent=2, ensure_ascii=False)
        (folder / "rdf.yaml").write_text(text + "\n", encoding="utf-8")
        names = sorted(part.name for part in folder.iterdir())

        def zip_(file: Path) -> None:
            with ZipFile(file, "w", ZIP_DEFLATED) as archive:
                for name in names:
                    archive.write(folder / name, name)

        write_whole(path, zip_, _require_whole)


def described(model: Model, folder: Path, opset: int) -> dict[str, Any]:
    """Return what ``rdf.yaml`` says of the parts in a folder."""
    spec = model.spec
    found = {
        "type": "model",
        "format_version": _FORM,
        "name": f"napari-unet {_plain(model.name)}"[:64].rstrip(),
        "description": str(model.card.get("title") or f"A {spec.network} made with napari-unet")[
            :512
        ],
        "authors": [{"name": "the users of napari-unet"}],
        "cite": [
            {
                "text": "Ronneberger et al. 2015, U-Net, MICCAI",
                "doi": "10.1007/978-3-319-24574-4_28",
            }
        ],
        "documentation": "README.md",
        "attachments": [_file(folder / torchscript.NOTE)],
        "tags": ["napari-unet", "unet", "segmentation", f"{spec.dims}d"],
        "timestamp": datetime.now(UTC).isoformat(),
        "inputs": [
            {
                "id": "image",
                "axes": [*_ends(_seen(spec)), *_read(spec)],
                "test_tensor": _file(folder / "input.npy"),
                "data": {"type": "float32"},
                "preprocessing": list(_preprocessing(spec)),
            }
        ],
        "outputs": [
            {
                "id": "probabilities",
                "axes": [*_ends(outputs(spec)), *_answered(spec)],
                "test_tensor": _file(folder / "output.npy"),
                "data": {"type": "float32", "range": [0.0, 1.0]},
            }
        ],
        "weights": {
            "torchscript": {
                **_file(folder / "weights.pt"),
                "pytorch_version": torch.__version__.partition("+")[0],
            },
            "onnx": {
                **_file(folder / "weights.onnx"),
                "opset_version": opset,
                "parent": "torchscript",
            },
        },
    }
    licence = str(model.card.get("data", "")).rpartition(", ")[2].replace(" ", "-")
    return found | ({"license": licence} if licence in _LICENCES else {})


def _parts(model: Model, folder: Path) -> None:
    """Write all that ``rdf.yaml`` names."""
    spec = model.spec
    network, raw = probabilities_of(model), example(spec, 1)
    seen = torch.from_numpy(_normalised(spec, raw.numpy()))
    np.save(folder / "input.npy", raw.numpy())
    np.save(folder / "output.npy", network(seen).numpy())
    torchscript.save(torchscript.trace(network, seen), folder / "weights.pt", facts(model))
    onnx.save(onnx.graph(network, torch.cat([seen, seen])), folder / "weights.onnx", facts(model))
    (folder / "README.md").write_text(in_words(model), encoding="utf-8")
    (folder / torchscript.NOTE).write_text(facts(model), encoding="utf-8")


def _require_whole(file: Path) -> None:
    with ZipFile(file) as archive:
        if (broken := archive.testzip()) is not None:
            raise WriteError(f"{broken} in it is damaged: check the disk.")


def _file(path: Path) -> dict[str, str]:
    return {"source": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def _ends(names: tuple[str, ...]) -> list[dict[str, Any]]:
    """Return the axes that are not in space."""
    return [{"type": "batch"}, {"type": "channel", "channel_names": [_plain(n) for n in names]}]


def _read(spec: ModelSpec) -> Iterator[dict[str, Any]]:
    for axis, side, step in zip(_axes(spec), input_tile(spec), spec.divisor, strict=True):
        yield axis | {"size": {"min": side, "step": step}}


def _answered(spec: ModelSpec) -> Iterator[dict[str, Any]]:
    """Yield the output's axes; a padded network is not trusted at the ends of a tile."""
    for axis, side, lost in zip(_axes(spec), spec.tile, margin(spec), strict=True):
        size = {"tensor_id": "image", "axis_id": axis["id"], "offset": -2 * lost}
        halo = 0 if lost else side // _HALO
        yield axis | {"size": size} | ({"halo": halo} if halo else {})


def _axes(spec: ModelSpec) -> list[dict[str, Any]]:
    """Name the network's axes in space, with the length of a voxel where it is known."""
    inside = [i for i in range(3) if spec.dims == 3 or i != spec.axis]
    axes: list[dict[str, Any]] = []
    for name, i in zip("zyx"[3 - spec.dims :], inside, strict=True):
        size = {}
        if spec.spacing is not None and spec.unit in _UNITS:
            size = {"scale": spec.spacing[i], "unit": _UNITS[spec.unit]}
        axes.append({"type": "space", "id": name, **size})
    return axes


def _preprocessing(spec: ModelSpec) -> Iterator[dict[str, Any]]:
    how, inside = spec.normalisation, list("zyx"[3 - spec.dims :])
    if how.kind == "window":
        gain = 2 / (how.high - how.low)
        yield {"id": "clip", "kwargs": {"min": how.low, "max": how.high}}
        yield {"id": "scale_linear", "kwargs": {"gain": gain, "offset": -1 - how.low * gain}}
    elif how.kind == "zscore":
        ends = {"min_percentile": how.low, "max_percentile": how.high}
        yield {"id": "clip", "kwargs": {**ends, "axes": inside}}
        yield {"id": "zero_mean_unit_variance", "kwargs": {"axes": inside}}


def _normalised(spec: ModelSpec, raw: NDArray[np.float32]) -> NDArray[np.float32]:
    """Do to an example what is done to an image, each channel by itself."""
    stack = raw[0] if spec.dims == 3 else raw[0][:, None]
    scalings = measure(stack, spec.normalisation)
    return np.stack([s.apply(c) for s, c in zip(scalings, raw[0], strict=True)])[None]


def _seen(spec: ModelSpec) -> tuple[str, ...]:
    """Name the network's input channels: each of the image's with its neighbours."""
    if not spec.context:
        return spec.channels
    near = range(-spec.context, spec.context + 1)
    return tuple(f"{name} slice {n:+d}" for name in spec.channels for n in near)


def _plain(text: str) -> str:
    """Keep the letters that names may have there."""
    return re.sub(r"[^0-9A-Za-z_+\- ]", "_", text)
