"""What a model file says about itself, read without its weights and without torch.

A model file is one ``.safetensors``: eight bytes with the length of a JSON header, the header, the
weights. The header's ``__metadata__`` holds one entry, ``napari_unet``, which is the JSON of a
`ModelHeader`. Nothing in it is ever executed; names come from closed lists.
"""

from __future__ import annotations

import json
import math
import struct
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from napari_unet.core.classes import printable
from napari_unet.core.exemplar import PREFIX, ExemplarNote, check_table
from napari_unet.core.spec import ModelSpec
from napari_unet.errors import ModelFileError, UNetError

HEADER_LIMIT = 1 << 23
"""Longest header accepted, in bytes: a hostile file can ask for no more memory than that. Each image
that a model has learned from takes a hundred of them."""

KEY = "napari_unet"


@dataclass(frozen=True)
class ModelHeader:
    """A model less its weights.

    Parameters
    ----------
    spec : ModelSpec
        Network and preprocessing.
    sha256 : str
        Of spec and weights, 64 hex digits: the model's identity.
    name : str
        What people call it.
    parent : str, optional
        sha256 of the model it was fine-tuned from.
    history : tuple of dict
        One entry a training run, oldest first: steps, seconds, held-out Dice and its ground.
    card : dict
        Free facts: data, licence, split, test score, the command that reproduces it.
    parameters : int
        Number of weights.
    exemplars : tuple of ExemplarNote
        Pieces of annotated images that the file carries.
    version : int
        Of this header's form.
    """

    spec: ModelSpec
    sha256: str
    name: str = "model"
    parent: str | None = None
    history: tuple[dict[str, Any], ...] = ()
    card: dict[str, Any] = field(default_factory=dict)
    parameters: int = 0
    exemplars: tuple[ExemplarNote, ...] = ()
    version: Literal[1] = 1


_ADAPTER = TypeAdapter(ModelHeader)


def dump_model_header(header: ModelHeader) -> dict[str, str]:
    """Return the safetensors metadata that holds a header."""
    # A model is named after its file, whose name need not be Unicode.
    return {KEY: _ADAPTER.dump_json(replace(header, name=printable(header.name))).decode()}


def read_model_header(path: str | Path) -> ModelHeader:
    """Read a model file's header.

    Raises
    ------
    ModelFileError
        When the file is missing, is not a model of this package, or lies about its size.
    """
    tensors, metadata = _read_table(Path(path))
    try:
        header = _ADAPTER.validate_json(metadata[KEY])
        json.dumps(_ADAPTER.dump_python(header), allow_nan=False)
    except KeyError:
        raise ModelFileError(
            f"{path} is a safetensors file of another program: choose a napari-unet model."
        ) from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(p) for p in first["loc"])
        raise ModelFileError(f"{path} has a wrong header ({place}: {first['msg']}).") from None
    except ValueError:  # of the second line: pydantic takes NaN where anything may stand
        raise ModelFileError(
            f"{path} has a wrong header (a number in it is infinite or none): get the file again."
        ) from None
    except UNetError as error:
        raise ModelFileError(f"{path} describes what can't be: {error}") from None
    shown = {name: t for name, t in tensors.items() if name.startswith(PREFIX)}
    try:
        counted = sum(math.prod(t["shape"]) for n, t in tensors.items() if n not in shown)
        check_table(header.exemplars, shown)
    except (KeyError, TypeError, ValueError) as error:
        raise ModelFileError(f"{path} has a damaged table of tensors: get it again.") from error
    except UNetError as error:
        raise ModelFileError(f"{path}: {error}") from None
    if counted != header.parameters:
        raise ModelFileError(
            f"{path} holds {counted} weights where its header promises {header.parameters}: "
            "the file is damaged, get it again."
        )
    return header


def _read_table(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the tensor table and the metadata of a safetensors file, sizes checked."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(8)
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
            if not 2 <= length <= min(HEADER_LIMIT, size - 8):
                raise ModelFileError(
                    f"{path} is not a model file (or is cut off): choose a .safetensors model."
                )
            table = json.loads(file.read(length))
        metadata = table.pop("__metadata__", {})
        end = max((t["data_offsets"][1] for t in table.values()), default=0)
    except OSError as error:
        raise ModelFileError(f"{path} can't be read ({error.strerror}): check the path.") from error
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise ModelFileError(f"{path} has a damaged header: get the file again.") from error
    if not isinstance(metadata, dict) or not all(isinstance(t, str) for t in metadata.values()):
        raise ModelFileError(f"{path} has a damaged header: get the file again.")
    if end != size - 8 - length:
        raise ModelFileError(f"{path} is cut off or padded: get the file again.")
    return table, metadata
