"""A model: a network's spec and its weights, and the one file that holds both."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from napari_unet.atomic import write_whole
from napari_unet.core.exemplar import PREFIX, Exemplar, packed, unpacked
from napari_unet.core.model_header import ModelHeader, dump_model_header, read_model_header
from napari_unet.core.spec import ModelSpec
from napari_unet.engine.blueprint import weight_shapes
from napari_unet.errors import ModelFileError

if TYPE_CHECKING:
    from torch import Tensor, nn

Weights = Mapping[str, NDArray[np.floating[Any]]]
"""Arrays under the names that they have in the network's state dict."""


def from_torch(state: Mapping[str, Tensor]) -> Weights:
    """Copy a network's state dict to where torch is not needed."""
    return {name: tensor.detach().cpu().numpy().copy() for name, tensor in state.items()}


@dataclass(frozen=True, eq=False)
class Model:
    """A network with its weights and its past.

    Parameters
    ----------
    spec : ModelSpec
        Network and preprocessing.
    weights : mapping of str to ndarray of float
        State dict of the network.
    name : str
        What people call it.
    parent : str, optional
        sha256 of the model it was fine-tuned from.
    history : tuple of dict
        One entry a training run, oldest first.
    card : dict
        Free facts: data, licence, split, test score, the command that reproduces it.
    exemplars : tuple of Exemplar
        Pieces of annotated images that it learned from, to be rehearsed. They are no part of what the
        model is: its hash is of spec and weights.
    """

    spec: ModelSpec
    weights: Weights
    name: str = "model"
    parent: str | None = None
    history: tuple[dict[str, Any], ...] = ()
    card: dict[str, Any] = field(default_factory=dict)
    exemplars: tuple[Exemplar, ...] = ()

    @cached_property
    def sha256(self) -> str:
        """Identity of the model: hash of its spec and of every weight."""
        # What is at its default is left out, so that a field added later changes no old model.
        plain = asdict(ModelSpec())
        chosen = {k: v for k, v in asdict(self.spec).items() if v != plain[k]}
        for one in chosen.get("classes", ()):
            if not one["description"]:
                del one["description"]
        digest = hashlib.sha256(json.dumps(chosen, sort_keys=True).encode())
        for key in sorted(self.weights):
            array = self.weights[key]
            digest.update(f"{key} {array.dtype} {array.shape}".encode())
            digest.update(array.tobytes())
        return digest.hexdigest()

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return sum(array.size for array in self.weights.values())

    def build(self) -> nn.Module:
        """Return the network with these weights, in evaluation mode, on the CPU in float32."""
        import torch  # only here: a model can be read, and run by OpenVINO, without it

        from napari_unet.engine.networks import build_network

        network = build_network(self.spec)
        weights = {k: torch.from_numpy(v.astype(np.float32)) for k, v in self.weights.items()}
        network.load_state_dict(weights)
        return network.eval()

    def header(self) -> ModelHeader:
        """Return all but the weights."""
        return ModelHeader(
            spec=self.spec,
            sha256=self.sha256,
            name=self.name,
            parent=self.parent,
            history=self.history,
            card=self.card,
            parameters=self.parameters,
            exemplars=tuple(one.note for one in self.exemplars),
        )


def save_model(model: Model, path: str | Path) -> Path:
    """Write a model file whole, read it back, and only then put it in place.

    Raises
    ------
    WriteError
        When it can't be written.
    """
    weights = {k: np.ascontiguousarray(v) for k, v in model.weights.items()}
    metadata = dump_model_header(model.header())
    tensors = {**weights, **packed(model.exemplars)}
    return write_whole(path, lambda p: p.write_bytes(save(tensors, metadata)), load_model)


def load_model(path: str | Path) -> Model:
    """Read a model file; nothing in it is executed.

    Raises
    ------
    ModelFileError
        When the file is damaged or foreign, when its weights do not fit the network it names,
        are not finite, or are not the ones it was saved with.
    """
    header = read_model_header(path)
    try:
        # Read, not mapped: a file cut short later by another program must not end this process.
        tensors = load(Path(path).read_bytes())
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise ModelFileError(f"{path} is damaged ({error}): get the file again.") from error
    weights = {name: t for name, t in tensors.items() if not name.startswith(PREFIX)}
    _check_shapes(path, header.spec, weights)
    for name, array in weights.items():
        if not np.issubdtype(array.dtype, np.floating):
            raise ModelFileError(
                f"{path}: weights {name} are {array.dtype}; save the model in float32."
            )
        if not np.isfinite(array).all():
            raise ModelFileError(f"{path}: weights {name} are not finite; train the model again.")
        if name.endswith("running_var") and (array < 0).any():
            raise ModelFileError(f"{path}: variances {name} are negative; train the model again.")
    try:
        exemplars = unpacked(header.exemplars, tensors)
    except ModelFileError as error:
        raise ModelFileError(f"{path}: {error}") from None
    model = Model(
        header.spec,
        weights,
        header.name,
        header.parent,
        header.history,
        header.card,
        exemplars,
    )
    if model.sha256 != header.sha256:
        raise ModelFileError(
            f"{path}: weights and hash disagree; the file is damaged, get it again."
        )
    return model


def _check_shapes(path: str | Path, spec: ModelSpec, weights: Weights) -> None:
    """Compare with what the spec needs, before anything of its size is made."""
    wanted = weight_shapes(spec)
    found = {k: v.shape for k, v in weights.items()}
    for name in sorted(wanted.keys() | found.keys()):
        if wanted.get(name) != found.get(name):
            raise ModelFileError(
                f"{path}: {name} has shape {found.get(name, 'none')} but a {spec.network} of this "
                f"spec needs {wanted.get(name, 'none')}; the file is damaged or of another version."
            )
