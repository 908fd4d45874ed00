"""A network on OpenVINO, for CPUs; what was converted once is kept in memory and on disk.

Converting takes several times as long as compiling what was converted (about 0.2 s). So the
converted network is what is kept on disk: OpenVINO's IR, a graph in XML and its weights, which is
data. A compiled blob would save another 0.1 s, but it is bound to the CPU, and it is opaque and
would have to be trusted.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import sys
import tempfile
import warnings
from functools import lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
import psutil
import torch
from torch import Tensor, nn

from napari_unet import __version__
from napari_unet.engine import networks
from napari_unet.engine.backends.disk_cache import DiskCache
from napari_unet.engine.backends.stepping import Stepping

_COUNT = 8
"""Bytes of an entry that say how long the graph is; the weights follow it."""


def installed() -> bool:
    """Whether OpenVINO is there."""
    return find_spec("openvino") is not None


def is_kept(identity: str | None, example: Tensor) -> bool:
    """Whether a network was converted before, for tiles of this shape."""
    return identity is not None and installed() and _cache().has(_key(identity, example))


class OnOpenVINO(Stepping):
    """A network on OpenVINO, in float32 on the CPU.

    Parameters
    ----------
    network : Module
        On the CPU, in evaluation mode.
    example : Tensor
        Tiles of the shape that will come; their number is free.
    identity : str, optional
        Hash of the network and its weights, to keep it under; without it nothing is kept.
    """

    def __init__(self, network: nn.Module, example: Tensor, identity: str | None = None) -> None:
        super().__init__()
        compiled = _kept(network, example, identity)
        self._request = compiled.create_infer_request()
        # All but the number of tiles is known beforehand, so that the logits need no copy.
        self._shape = [dim.get_length() for dim in list(compiled.output(0).partial_shape)[1:]]

    def run(self, tiles: Tensor) -> Tensor:
        """Run tiles at once."""
        openvino = _openvino()
        logits = torch.empty(len(tiles), *self._shape)
        given = openvino.Tensor(tiles.contiguous().numpy(), shared_memory=True)
        self._request.set_input_tensor(0, given)
        self._request.set_output_tensor(0, openvino.Tensor(logits.numpy(), shared_memory=True))
        self._request.infer()
        return logits

    def lower(self, why: str) -> None:  # noqa: ARG002
        """Have no other way: it is on the CPU."""
        return


def _kept(network: nn.Module, example: Tensor, identity: str | None) -> Any:  # noqa: ANN401
    if identity is None:
        return _compile(_packed(_converted(network, example)), _threads())
    key, cache, content = _key(identity, example), _cache(), None
    if not cache.has(key):
        content = _packed(_converted(network, example))
        cache.put(key, content)
    try:
        return _compiled(key, _threads())
    except Exception:  # damaged, or not kept at all: made anew, and what that raises is meant
        cache.drop(key)
    if content is None:
        content = _packed(_converted(network, example))
        cache.put(key, content)
    return _compile(content, _threads())


@lru_cache(maxsize=2)
def _compiled(key: str, threads: int | None) -> Any:  # noqa: ANN401
    """Compile what is on disk; remembered by its content, so only the clock can tell."""
    content = _cache().get(key)
    if content is None:
        raise LookupError(key)
    return _compile(content, threads)


def _converted(network: nn.Module, example: Tensor) -> Any:  # noqa: ANN401 - openvino.Model
    """Convert a network by the frontend itself.

    ``openvino.convert_model`` would run it three times to check the trace (in turns beside other
    work 2.5 to 3.3 times as long for the starters), and change the level of the root logger.
    """
    openvino = _openvino()
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing is deprecated, and OpenVINO's way in
        traced = torch.jit.trace(network, example[:1], check_trace=False)  # type: ignore[no-untyped-call]
    frontend = FrontEndManager().load_by_framework("pytorch")
    decoder = TorchScriptPythonDecoder(traced)
    model = frontend.load(decoder)
    shape = openvino.PartialShape([-1, *example.shape[1:]])
    model.set_partial_shape(model.get_place_by_input_index(0), shape)
    converted = frontend.convert(model)
    converted.validate_nodes_and_infer_types()
    return converted


def _packed(model: Any) -> bytes:  # noqa: ANN401 - openvino.Model
    """Write a converted network as one piece: length of the graph, graph, weights."""
    openvino = _openvino()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.xml"
        openvino.save_model(model, path, compress_to_fp16=False)
        graph, weights = path.read_bytes(), path.with_suffix(".bin").read_bytes()
    return len(graph).to_bytes(_COUNT, "little") + graph + weights


def _compile(content: bytes, threads: int | None) -> Any:  # noqa: ANN401
    openvino = _openvino()
    end = _COUNT + int.from_bytes(content[:_COUNT], "little")
    # A tensor of one's own: the network goes on using it.
    weights = openvino.Tensor(np.frombuffer(content, np.uint8, offset=end).copy())
    core = openvino.Core()
    settings: dict[str, Any] = {
        # A CPU that offers bfloat16 would otherwise trade labels for speed unasked.
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
        # Pinned threads wait for whoever else runs on their core: a tile took 11 to 18 % less
        # without, in turns beside other work.
        "ENABLE_CPU_PINNING": False,
    }
    if threads is not None:
        settings["INFERENCE_NUM_THREADS"] = threads
    graph = content[_COUNT:end].decode()
    return core.compile_model(core.read_model(graph, weights), "CPU", settings)


def _openvino() -> Any:  # noqa: ANN401 - a module
    """Import OpenVINO, which is optional and slow to import, without its telemetry.

    That package tells Intel of every import unless the user has forbidden it; where it is missing,
    OpenVINO does without.
    """
    if "openvino" not in sys.modules and "openvino_telemetry" not in sys.modules:
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment] # "missing"
        try:
            return importlib.import_module("openvino")
        finally:
            del sys.modules["openvino_telemetry"]
    return importlib.import_module("openvino")


def _threads() -> int | None:
    """Return the limit somebody set on PyTorch's threads; None leaves OpenVINO all cores."""
    limit = torch.get_num_threads()
    return limit if limit < (psutil.cpu_count(logical=False) or 1) else None


def _key(identity: str, example: Tensor) -> str:
    """Name what a conversion depends on: weights, shape, and everybody's code."""
    facts = [identity, list(example.shape[1:]), __version__, _network_code()]
    facts += [version(package) for package in ("openvino", "torch", "monai")]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


@lru_cache(maxsize=1)
def _network_code() -> str:
    digest = hashlib.sha256()
    for path in sorted(Path(networks.__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _cache() -> DiskCache:
    folder = platformdirs.user_cache_path("napari-unet", appauthor=False) / "openvino"
    return DiskCache(folder, ".ir")
