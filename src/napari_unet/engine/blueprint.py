"""What each network computes, step by step and without torch.

The networks that learn are PyTorch modules (`networks/`). This is the same six written against a
handful of operations, so that a model file can be checked (`weight_shapes`) and run by OpenVINO
(`backends/openvino_cpu.py`) while PyTorch, seconds to import, is not even loaded. Names of weights
are those of the modules' state dicts; tests compare both, shape by shape and logit by logit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from napari_unet.core.spec import ModelSpec, NormName
from napari_unet.engine.sizes import Lengths, lost_below

EPSILON = 1e-5
"""Added to a variance by every norm, as PyTorch does."""

Maps = TypeVar("Maps")
"""Feature maps (batch, features, ...), or whatever stands for them."""


class Operations(Protocol[Maps]):
    """What a network is made of; weights are known by their names."""

    def convolution(
        self,
        x: Maps,
        name: str,
        features: int,
        kernel: Lengths,
        stride: Lengths,
        *,
        padded: bool = True,
        bias: bool = False,
    ) -> Maps:
        """Convolve; padded, the result has the size of `x` divided by `stride`."""

    def up(self, x: Maps, name: str, features: int, stride: Lengths, *, bias: bool) -> Maps:
        """Transposed convolution whose kernel is its stride."""

    def norm(self, x: Maps, name: str) -> Maps:
        """Normalise as the spec says, with scale and shift, as torch with its default epsilon."""

    def leaky(self, x: Maps) -> Maps:
        """Leaky ReLU of slope 0.01."""

    def relu(self, x: Maps) -> Maps:
        """ReLU."""

    def sigmoid(self, x: Maps) -> Maps:
        """Sigmoid."""

    def max_pool(self, x: Maps, stride: Lengths) -> Maps:
        """Greatest of each window of `stride`."""

    def add(self, a: Maps, b: Maps) -> Maps:
        """Sum of two maps of one shape."""

    def multiply(self, x: Maps, gate: Maps) -> Maps:
        """Product of maps and a gate of one feature."""

    def join(self, *parts: Maps) -> Maps:
        """Features of all parts, one after the other."""

    def crop(self, x: Maps, lost: Lengths) -> Maps:
        """`x` without so many voxels on each side."""


Block = Callable[[Maps, str, Lengths, Lengths, Lengths], Maps]
"""(x, name, (features in, features out), kernel, stride) to maps."""

RECURRENCES = 2
"""t of R2U-Net (Alom 2018): how often a convolution sees its own output again."""


def draw(spec: ModelSpec, inputs: Maps, ops: Operations[Maps]) -> Maps:
    """Apply a network's operations, as in evaluation mode, to an image; return the logits.

    Parameters
    ----------
    spec : ModelSpec
        The network.
    inputs
        Stands for an image of `spec.in_channels` features and of the size `sizes.input_tile`.
    ops : Operations
        What the operations do.
    """
    return _Drawing(spec, ops).draw(inputs, spec.depth or len(spec.features) - 1)


def weight_shapes(spec: ModelSpec) -> dict[str, Lengths]:
    """Return the shape of every weight of a network, by its name in the state dict."""
    shapes = _Shapes(spec.norm)
    drawing = _Drawing(spec, shapes)
    # A pruned U-Net++ keeps the weights of the whole one, and each depth has a head of its own.
    deepest = len(spec.features) - 1
    for depth in range(1 if spec.network == "unetpp" else deepest, deepest + 1):
        drawing.draw(spec.in_channels, depth)
    return shapes.found


class _Drawing(Generic[Maps]):
    """The networks of one spec, drawn with some operations."""

    def __init__(self, spec: ModelSpec, ops: Operations[Maps]) -> None:
        self._spec, self._ops = spec, ops
        self._one: Lengths = (1,) * spec.dims

    def draw(self, x: Maps, depth: int) -> Maps:
        """Draw the network; only U-Net++ has another depth than that of its levels."""
        match self._spec.network:
            case "unetpp":
                return self._nested(x, depth)
            case "original":
                return self._u(x, self._unpadded, self._cropped)
            case "attention":
                return self._u(x, self._plain, self._gated)
            case "residual":
                return self._u(x, self._residual)
            case "r2":
                return self._u(x, self._recurrent)
            case _:
                return self._u(x, self._plain)

    def _u(
        self,
        x: Maps,
        block: Block[Maps],
        through: Callable[[Maps, Maps, int], Maps] | None = None,
    ) -> Maps:
        """Draw the U: a path down, a path up, and skips between them."""
        spec, ops = self._spec, self._ops
        inputs, strides = (spec.in_channels, *spec.features), (self._one, *spec.strides)
        levels: list[Maps] = []
        for level, width in enumerate(spec.features):
            widths = inputs[level], width
            x = block(x, f"encoder.{level}", widths, spec.kernels[level], strides[level])
            levels.append(x)
        for level in reversed(range(len(spec.strides))):
            width, skip = spec.features[level], levels[level]
            bias = spec.network == "original"
            x = ops.up(x, f"ups.{level}", width, spec.strides[level], bias=bias)
            x = ops.join(x, skip if through is None else through(x, skip, level))
            x = block(x, f"decoder.{level}", (2 * width, width), spec.kernels[level], self._one)
        return self._head(x, "head")

    def _nested(self, x: Maps, depth: int) -> Maps:
        """Draw U-Net++ as far as its head of this depth needs it."""
        spec, ops = self._spec, self._ops
        maps: dict[tuple[int, int], Maps] = {}
        for i, j in ((total - j, j) for total in range(depth + 1) for j in range(total + 1)):
            width, inputs = spec.features[i], (spec.in_channels, *spec.features)[i]
            if j > 0:
                inputs, stride = (j + 1) * width, spec.strides[i]
                below = ops.up(maps[i + 1, j - 1], f"ups.{i}_{j}", width, stride, bias=False)
                x = ops.join(*(maps[i, earlier] for earlier in range(j)), below)
            elif i > 0:
                x = ops.max_pool(maps[i - 1, 0], spec.strides[i - 1])
            name, kernel = f"nodes.{i}_{j}", spec.kernels[i]
            maps[i, j] = self._plain(x, name, (inputs, width), kernel, self._one)
        return self._head(maps[0, depth], f"heads.0_{depth}")

    def _head(self, x: Maps, name: str) -> Maps:
        return self._mixed(x, name, self._spec.out_channels)

    def _mixed(self, x: Maps, name: str, width: int) -> Maps:
        """Convolve voxel by voxel."""
        return self._ops.convolution(x, name, width, self._one, self._one, bias=True)

    def _normed(self, x: Maps, name: str, width: int, kernel: Lengths, stride: Lengths) -> Maps:
        """Convolution and norm."""
        x = self._ops.convolution(x, f"{name}.conv", width, kernel, stride)
        return self._ops.norm(x, f"{name}.adn.N")

    def _plain(self, x: Maps, name: str, widths: Lengths, kernel: Lengths, stride: Lengths) -> Maps:
        """Two convolutions, the first of which strides."""
        x = self._ops.leaky(self._normed(x, f"{name}.0", widths[1], kernel, stride))
        return self._ops.leaky(self._normed(x, f"{name}.1", widths[1], kernel, self._one))

    def _unpadded(
        self, x: Maps, name: str, widths: Lengths, kernel: Lengths, stride: Lengths
    ) -> Maps:
        """Pooling where it strides, then two unpadded convolutions with ReLU (Ronneberger 2015)."""
        ops, pools = self._ops, max(stride) > 1
        x = ops.max_pool(x, stride) if pools else x
        for place in (int(pools), int(pools) + 2):  # the ReLU between them counts, too
            x = ops.convolution(
                x, f"{name}.{place}.conv", widths[1], kernel, self._one, padded=False, bias=True
            )
            x = ops.relu(x)
        return x

    def _cropped(self, x: Maps, skip: Maps, level: int) -> Maps:  # noqa: ARG002
        """Crop a skip to what came up."""
        return self._ops.crop(skip, lost_below(self._spec, level))

    def _gated(self, x: Maps, skip: Maps, level: int) -> Maps:
        """Weigh a skip, voxel by voxel, by what came up (Oktay 2018)."""
        ops, gate, half = self._ops, f"gates.{level}", max(1, self._spec.features[level] // 2)
        come, here = (
            self._mixed(x, f"{gate}.W_g.0.conv", half),
            self._mixed(skip, f"{gate}.W_x.0.conv", half),
        )
        psi = self._mixed(ops.relu(ops.add(come, here)), f"{gate}.psi.0.conv", 1)
        return ops.multiply(skip, ops.sigmoid(psi))

    def _residual(
        self, x: Maps, name: str, widths: Lengths, kernel: Lengths, stride: Lengths
    ) -> Maps:
        """Two convolutions beside a shortcut."""
        ops, width = self._ops, widths[1]
        inner = ops.leaky(self._normed(x, f"{name}.conv1", width, kernel, stride))
        inner = self._normed(inner, f"{name}.conv2", width, kernel, self._one)
        same = widths[0] == width and set(stride) == {1}
        shortcut = x if same else self._normed(x, f"{name}.shortcut", width, self._one, stride)
        return ops.leaky(ops.add(inner, shortcut))

    def _recurrent(
        self, x: Maps, name: str, widths: Lengths, kernel: Lengths, stride: Lengths
    ) -> Maps:
        """Pooling where it strides, then recurrent convolutions beside a shortcut (Alom 2018)."""
        ops, width = self._ops, widths[1]
        x = ops.max_pool(x, stride) if max(stride) > 1 else x
        x = inner = self._normed(x, f"{name}.widen", width, self._one, self._one)
        for unit in range(2):
            here = f"{name}.recurrent.{unit}.convolution"
            state = ops.leaky(self._normed(inner, here, width, kernel, self._one))
            for _ in range(RECURRENCES):
                again = self._normed(ops.add(inner, state), here, width, kernel, self._one)
                state = ops.leaky(again)
            inner = state
        return ops.add(x, inner)


class _Shapes:
    """Operations on numbers of features alone, which note the weights that they need."""

    def __init__(self, norm: NormName) -> None:
        self.found: dict[str, Lengths] = {}
        self._norm = norm

    def convolution(
        self,
        x: int,
        name: str,
        features: int,
        kernel: Lengths,
        stride: Lengths,  # noqa: ARG002
        *,
        padded: bool = True,  # noqa: ARG002
        bias: bool = False,
    ) -> int:
        return self._needs(name, (features, x, *kernel), features, bias=bias)

    def up(self, x: int, name: str, features: int, stride: Lengths, *, bias: bool) -> int:
        return self._needs(name, (x, features, *stride), features, bias=bias)

    def norm(self, x: int, name: str) -> int:
        if self._norm == "batch":
            self.found |= {f"{name}.running_mean": (x,), f"{name}.running_var": (x,)}
        return self._needs(name, (x,), x, bias=True)

    def leaky(self, x: int) -> int:
        return x

    relu = sigmoid = leaky

    def max_pool(self, x: int, stride: Lengths) -> int:  # noqa: ARG002
        return x

    crop = max_pool

    def add(self, a: int, b: int) -> int:  # noqa: ARG002
        return a

    multiply = add

    def join(self, *parts: int) -> int:
        return sum(parts)

    def _needs(self, name: str, shape: Lengths, features: int, *, bias: bool) -> int:
        self.found[f"{name}.weight"] = shape
        if bias:
            self.found[f"{name}.bias"] = (features,)
        return features
