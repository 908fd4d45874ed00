"""Where the files that come with the package lie, and where the user's own models do."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from napari_unet.errors import ReadError, WriteError


@dataclass(frozen=True)
class Sample:
    """One small real image that comes with the package.

    Parameters
    ----------
    name : str
        Such as ``"nuclei-3d"``.
    title : str
        One line for a menu.
    image, labels : Path
        The files; `labels` is the reference annotation.
    starter : str
        Name of the starter model that suits it.
    licence, origin : str
        Under what terms, and from whom.
    """

    name: str
    title: str
    image: Path
    labels: Path
    starter: str
    licence: str
    origin: str


def folder() -> Path:
    """Return `sample_data`: inside an installed package, at the top of a checkout otherwise."""
    package = Path(__file__).resolve().parents[1]
    for candidate in (package / "sample_data", package.parents[1] / "sample_data"):
        if candidate.is_dir():
            return candidate
    raise ReadError(f"The bundled sample_data folder is missing beside {package}: install again.")


def samples() -> tuple[Sample, ...]:
    """Return the samples that `sample_data/samples.json` lists."""
    home = folder()
    rows = json.loads((home / "samples.json").read_text(encoding="utf-8"))
    return tuple(
        Sample(**{**row, "image": home / row["image"], "labels": home / row["labels"]})
        for row in rows
    )


def sample(name: str) -> Sample:
    """Return one sample by name.

    Raises
    ------
    ReadError
        For an unknown name, with the known ones.
    """
    known = {s.name: s for s in samples()}
    if name not in known:
        raise ReadError(f"There is no sample {name!r}; choose one of {', '.join(known)}.")
    return known[name]


def starter_paths() -> dict[str, Path]:
    """Return the starter models by name: every ``.safetensors`` file in `sample_data`."""
    return {p.stem: p for p in sorted(folder().glob("*.safetensors"))}


def user_models_folder() -> Path:
    """Return the folder of the user's own models, made when missing: for a model to be put there.

    Raises
    ------
    WriteError
        When it can't be made.
    """
    home = _user_models()
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WriteError(
            f"The folder of your models, {home}, can't be made ({error.strerror}): see that your "
            "data folder exists and may be written to."
        ) from error
    return home


def model_paths() -> dict[str, Path]:
    """Return every model that has a name: the starters, then the user's own, newest last.

    Where the user's own can't be read, nothing is said: the others do without them.
    """
    own: list[tuple[float, Path]] = []
    with suppress(OSError):  # a folder that can't be listed
        for path in _user_models().glob("*.safetensors"):
            with suppress(OSError):  # such as a link to a file that is gone
                own.append((path.stat().st_mtime, path))
    return starter_paths() | {path.stem: path for _, path in sorted(own)}


def _user_models() -> Path:
    return platformdirs.user_data_path("napari-unet", appauthor=False) / "models"
