"""Models of a session: the one in use, the two that the last training left to choose from, and back."""

from pathlib import Path

from napari_unet.core.bundled import model_paths, starter_paths
from napari_unet.core.model_header import read_model_header
from napari_unet.errors import ModelFileError
from napari_unet.jobs import Rival, Session, SessionModel, path_in
from napari_unet.plugin.finetune_section import FineTuneSection
from napari_unet.plugin.model_section import ModelSection


class SessionModels:
    """Tells a session which models the window shows, and shows them again.

    Parameters
    ----------
    model, tune
        The sections that show them.
    """

    def __init__(self, model: ModelSection, tune: FineTuneSection) -> None:
        self._model, self._tune = model, tune
        self._hashes: dict[tuple[Path, int], str] = {}

    def in_use(self, folder: Path) -> SessionModel | None:
        """Return the model in use; None for a new one."""
        path, header = self._model.path, self._model.header
        return None if path is None or header is None else told(path, header.sha256, folder)

    def rivals(self, folder: Path) -> tuple[Rival, Rival] | None:
        """Return the two models that the user may choose from; None without a choice."""
        try:
            found = [Rival(told(p, self._hash(p), folder), d) for p, d in self._tune.contest.rivals]
        except (ModelFileError, OSError):  # one of them was deleted
            return None
        return (found[0], found[1]) if found else None

    def files(self, session: Session) -> list[tuple[SessionModel, Path]]:
        """Return the models that a session names, as they are now, with their files."""
        rivals = zip(session.rivals or (), self._tune.contest.rivals, strict=False)
        files = [(one.model, path) for one, (path, _) in rivals]
        if session.model is not None and self._model.path is not None:
            files.append((session.model, self._model.path))
        return files

    def show(self, session: Session, folder: Path) -> str:
        """Choose the model of a session and show its last training; return what is missing."""
        problems = []
        if session.model is None:
            self._model.choose(None)
        else:
            path = find_model(session.model, folder)
            if path is None:
                problems.append(
                    f"The model {session.model.name} is not there any more: choose one."
                )
            else:
                self._model.choose(path)
        rivals: list[tuple[Path, str]] = []
        for one in session.rivals or ():
            path = find_model(one.model, folder)
            if path is None:
                problems.append(
                    f"The model {one.model.name}, one of the two to choose from, is not there any "
                    "more: train again to have a choice."
                )
            else:
                rivals.append((path, one.told))
        whole = session.rivals is not None and len(rivals) == len(session.rivals)
        self._tune.recall(session.losses, session.dices, session.verdict, rivals if whole else None)
        return " ".join(problems)

    def _hash(self, path: Path) -> str:
        """Return a model's hash; its file is read again only when it is another one."""
        key = path, path.stat().st_mtime_ns  # a training that goes on replaces its file
        if key not in self._hashes:
            self._hashes[key] = read_model_header(path).sha256
        return self._hashes[key]


def told(path: Path, sha256: str, folder: Path) -> SessionModel:
    """Return how a session tells which model a file holds."""
    file = f"models/{path.stem}-{sha256[:8]}.safetensors"
    if path in starter_paths().values():
        file = ""
    elif path.is_relative_to(folder):
        file = path_in(folder, path)
    return SessionModel(path.stem, sha256, file)


def find_model(model: SessionModel, folder: Path) -> Path | None:
    """Return the file of a session's model: the user's own or a starter, else the copy in the folder."""
    near = model_paths().get(model.name)
    for path in (near, folder / model.file if model.file else None):
        try:
            if path is not None and read_model_header(path).sha256 == model.sha256:
                return path
        except ModelFileError:
            continue
    return None
