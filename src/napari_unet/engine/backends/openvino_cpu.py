"""A network on OpenVINO, for CPUs, built from its blueprint: no torch, and nothing to convert.

From weights to a network that runs takes a few tenths of a second, so nothing is kept on disk;
the last networks stay in memory.
"""

from __future__ import annotations

import importlib
import os
import sys
from functools import lru_cache
from importlib.util import find_spec
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from napari_unet.engine.backends.stepping import Stepping
from napari_unet.engine.blueprint import EPSILON, draw
from napari_unet.engine.model import Model
from napari_unet.engine.sizes import Lengths

_SLOPE = 0.01
"""Of the leaky ReLU."""


def installed() -> bool:
    """Whether OpenVINO is there."""
    return find_spec("openvino") is not None


class OnOpenVINO(Stepping):
    """A network on OpenVINO, in float32 on the CPU.

    Parameters
    ----------
    model : Model
        The model.
    shape : tuple of int
        Of one tile as it will come, (C, ...); how many come at once is free. Other shapes may come
        too, each of which takes some tenths of a second the first time.
    """

    def __init__(self, model: Model, shape: Lengths) -> None:
        super().__init__()
        self._model = model
        self._ready: dict[Lengths, tuple[Any, Lengths]] = {}
        self._request(shape)

    def run(self, tiles: NDArray[np.float32]) -> NDArray[np.float32]:
        """Run tiles at once."""
        openvino = load_openvino()
        request, shape = self._request(tiles.shape[1:])
        logits = np.empty((len(tiles), *shape), np.float32)
        given = openvino.Tensor(np.ascontiguousarray(tiles), shared_memory=True)
        request.set_input_tensor(0, given)
        request.set_output_tensor(0, openvino.Tensor(logits, shared_memory=True))
        request.infer()
        return logits

    def _request(self, shape: Lengths) -> tuple[Any, Lengths]:
        """Return what runs tiles of a shape, and the shape of their logits.

        All but the number of tiles is known beforehand, so that the logits need no copy.
        """
        if shape not in self._ready:
            compiled = _compiled(self._model, shape, _threads())
            lengths = list(compiled.output(0).partial_shape)[1:]
            out = tuple(length.get_length() for length in lengths)
            self._ready[shape] = compiled.create_infer_request(), out
        return self._ready[shape]

    def lower(self, why: str) -> None:  # noqa: ARG002
        """Have no other way: it is on the CPU."""
        return


@lru_cache(maxsize=4)
def _compiled(model: Model, shape: Lengths, threads: int | None) -> Any:  # noqa: ANN401
    openvino = load_openvino()
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
    return openvino.Core().compile_model(_graph(model, shape), "CPU", settings)


def _graph(model: Model, shape: Lengths) -> Any:  # noqa: ANN401 - openvino.Model
    openvino = load_openvino()
    ops = _Nodes(model)
    image = ops.set.parameter([-1, *shape], np.float32)
    return openvino.Model([draw(model.spec, image, ops)], [image], model.spec.network)


class _Nodes:
    """The operations of a blueprint as nodes of a graph."""

    def __init__(self, model: Model) -> None:
        load_openvino()
        self.set = importlib.import_module("openvino.opset13")
        self._weights, self._dims, self._norm = model.weights, model.spec.dims, model.spec.norm

    def convolution(
        self,
        x: Any,  # noqa: ANN401
        name: str,
        features: int,  # noqa: ARG002 - the weights know
        kernel: Lengths,
        stride: Lengths,
        *,
        padded: bool = True,
        bias: bool = False,
    ) -> Any:  # noqa: ANN401
        pads = [n // 2 if padded else 0 for n in kernel]
        found = self.set.convolution(
            x, self._weight(f"{name}.weight"), stride, pads, pads, [1] * self._dims
        )
        return self._shifted(found, name) if bias else found

    def up(self, x: Any, name: str, features: int, stride: Lengths, *, bias: bool) -> Any:  # noqa: ANN401, ARG002
        found = self.set.convolution_backprop_data(x, self._weight(f"{name}.weight"), stride)
        return self._shifted(found, name) if bias else found

    def norm(self, x: Any, name: str) -> Any:  # noqa: ANN401
        if self._norm == "batch":
            return self._folded(x, name)
        axes = np.arange(2, 2 + self._dims)
        found = self.set.mvn(x, axes, normalize_variance=True, eps=EPSILON, eps_mode="inside_sqrt")
        found = self.set.multiply(found, self._column(f"{name}.weight"))
        return self._shifted(found, name)

    def leaky(self, x: Any) -> Any:  # noqa: ANN401
        return self.set.prelu(x, np.array([_SLOPE], np.float32))

    def relu(self, x: Any) -> Any:  # noqa: ANN401
        return self.set.relu(x)

    def sigmoid(self, x: Any) -> Any:  # noqa: ANN401
        return self.set.sigmoid(x)

    def max_pool(self, x: Any, stride: Lengths) -> Any:  # noqa: ANN401
        none = [0] * self._dims
        return self.set.max_pool(x, stride, [1] * self._dims, none, none, stride).output(0)

    def add(self, a: Any, b: Any) -> Any:  # noqa: ANN401
        return self.set.add(a, b)

    def multiply(self, x: Any, gate: Any) -> Any:  # noqa: ANN401
        return self.set.multiply(x, gate)

    def join(self, *parts: Any) -> Any:  # noqa: ANN401
        return self.set.concat(list(parts), 1)

    def crop(self, x: Any, lost: Lengths) -> Any:  # noqa: ANN401
        first, axes = np.array(lost), np.arange(2, 2 + self._dims)
        last = np.where(first > 0, -first, np.iinfo(np.int64).max)
        return self.set.slice(x, first, last, np.ones_like(first), axes)

    def _folded(self, x: Any, name: str) -> Any:  # noqa: ANN401
        """Apply batch norm, which by now is one factor and one shift a channel."""
        weight, bias, mean, variance = (
            self._weights[f"{name}.{part}"].astype(np.float64)
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        factor = weight / np.sqrt(variance + EPSILON)
        found = self.set.multiply(x, self._along(factor))
        return self.set.add(found, self._along(bias - factor * mean))

    def _shifted(self, x: Any, name: str) -> Any:  # noqa: ANN401
        return self.set.add(x, self._column(f"{name}.bias"))

    def _column(self, name: str) -> Any:  # noqa: ANN401
        return self._along(self._weights[name])

    def _along(self, channels: NDArray[np.floating[Any]]) -> Any:  # noqa: ANN401
        """Make a constant that has one number a channel."""
        return self.set.constant(channels.astype(np.float32).reshape(1, -1, *(1,) * self._dims))

    def _weight(self, name: str) -> Any:  # noqa: ANN401
        return self.set.constant(self._weights[name].astype(np.float32))


def load_openvino() -> Any:  # noqa: ANN401 - a module
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
    """Return the limit that somebody set for OpenMP, as for PyTorch; None leaves OpenVINO all cores."""
    limit = os.environ.get("OMP_NUM_THREADS", "")
    cores = psutil.cpu_count(logical=False) or 1
    return int(limit) if limit.isdecimal() and 0 < int(limit) < cores else None
