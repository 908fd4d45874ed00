"""Models by name: the bundled starters and the user's own."""

from __future__ import annotations

from pathlib import Path

from napari_unet.core.bundled import model_paths
from napari_unet.engine.model import Model, load_model
from napari_unet.errors import ModelFileError


def resolve(reference: str | Path) -> Path:
    """Turn a path, a starter's name or the name of one of the user's models into a path.

    Raises
    ------
    ModelFileError
        When it is none of them, with the names there are.
    """
    path = Path(reference)
    if path.is_file():
        return path
    known = model_paths()
    if str(reference) in known:
        return known[str(reference)]
    raise ModelFileError(
        f"There is no model {str(reference)!r}: give a .safetensors file or one of "
        f"{', '.join(known) or '(no starter is installed)'}."
    )


def starter(name: str) -> Model:
    """Load a bundled starter or one of the user's models by name."""
    return load_model(resolve(name))
