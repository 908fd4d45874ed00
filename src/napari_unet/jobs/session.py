"""A session as a folder of ordinary files, and the state that its `session.json` holds.

::

    my-session/
      session.json   which images, what is marked, which model, how the window stood
      log.txt        who did what and when, in words
      labels/        one label image per image, in the format that fits it; beside it what was painted
      models/        models that were in use, unless they are starters

Images stay where they are: they are known by path and fingerprint. Nothing in the folder is ever executed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError

from napari_unet.atomic import write_whole
from napari_unet.core.classes import LabelClass
from napari_unet.core.correction import Correction
from napari_unet.core.grid import UNITS, Grid
from napari_unet.errors import ReadError, UNetError
from napari_unet.jobs.recovery import fingerprint
from napari_unet.jobs.wire import CONFIG

SESSION, LOG, LABELS, MODELS = "session.json", "log.txt", "labels", "models"

_MOST = 1 << 24
"""Bytes read of a `session.json`; a longer one is something else."""

_NEWER = re.compile(rb'"version"\s*:\s*([2-9]|[1-9]\d+)\b')


def _inside(name: str) -> str:
    """Accept only names that can't lead out of the session's folder, on any system."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or re.search(r"[\\:\0]", name):
        raise ValueError("a file outside the session's folder")
    return name


Inside = Annotated[str, AfterValidator(_inside)]
Index = Annotated[int, Field(ge=0)]
ByAxis = dict[Annotated[int, Field(ge=0, le=2)], tuple[Index, ...]]
Point = tuple[int, float]


@dataclass(frozen=True)
class DrawnLabels:
    """Labels on an image, less their voxels.

    Parameters
    ----------
    name : str
        Of the layer.
    file : str
        Label image inside the folder, ``labels/t1.nii.gz``.
    painted : str
        Image of which voxels a person painted; empty where nobody has.
    classes : tuple of LabelClass
        Names and colours, background first.
    done, held_out : dict of int to tuple of int
        Axis to the slices along it that are marked done, or kept aside to measure on.
    locked : tuple of int
        Ids that neither brush nor edits change.
    merged : tuple of (int, int)
        Classes that became part of others.
    instances : bool
        Whether ids are objects.
    model : str
        Name of the model that predicted last.
    touched : tuple of int
        Slices along axis 0 in which a person has painted.
    journal : str
        Name of the journal's generation that keeps the strokes since.
    corrections : tuple of Correction
        What models had said on slices that a person then corrected.
    asked : int
        How many changes the journal had been asked for by the time of saving; the file holds them all.
    ahead : bool
        Whether they were predicted before the image was opened, and nobody has changed them since.
    """

    name: str
    file: Inside
    painted: Inside = ""
    classes: tuple[LabelClass, ...] = ()
    done: ByAxis = field(default_factory=dict)
    held_out: ByAxis = field(default_factory=dict)
    locked: tuple[Index, ...] = ()
    merged: tuple[tuple[int, int], ...] = ()
    instances: bool = False
    model: str = ""
    touched: tuple[Index, ...] = ()
    journal: str = ""
    corrections: tuple[Correction, ...] = ()
    asked: Index = 0
    ahead: bool = False


@dataclass(frozen=True)
class SessionImage:
    """One image of a session.

    Parameters
    ----------
    path : str
        Relative to the folder where the image lies in it, absolute elsewhere.
    fingerprint : str
        Of its file when it was last open; empty before.
    labels : tuple of DrawnLabels
        The lowest layer first.
    open : bool
        Whether it is in the viewer.
    finished : bool
        Whether the user is through with it.
    dice : float, optional
        Mean over the classes, of the prediction that it opened with against what the user made of it.
    measured : str
        What that was measured on.
    spacing : tuple of float
        Voxel size that a person gave it in place of the file's, along its axes; empty where nobody has.
    unit : str
        Of that.
    """

    path: str
    fingerprint: str = ""
    labels: tuple[DrawnLabels, ...] = ()
    open: bool = True
    finished: bool = False
    dice: float | None = None
    measured: str = ""
    spacing: tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...] = ()
    unit: Annotated[str, Field(pattern=f"^({'|'.join(UNITS)})$")] = "pixel"

    def placed(self, grid: Grid) -> Grid:
        """Return the grid of its file, with the voxel size that a person gave it."""
        given = len(self.spacing) == grid.ndim
        return grid.respaced(self.spacing, self.unit) if given else grid

    @property
    def stage(self) -> str:
        """How far it is: ``"done"``, ``"in work"``, ``"predicted"`` or ``"new"``."""
        if self.finished:
            return "done"
        if any(one.touched or any(one.done.values()) for one in self.labels):
            return "in work"
        return "predicted" if any(one.model for one in self.labels) else "new"

    @property
    def name(self) -> str:
        """The file's name."""
        return re.split(r"[/\\]", self.path.rstrip("/\\"))[-1]


@dataclass(frozen=True)
class SessionModel:
    """The model in use.

    Parameters
    ----------
    name : str
        What people call it.
    sha256 : str
        The model's identity.
    file : str
        Model file inside the folder; empty for a starter, which everybody has.
    """

    name: str
    sha256: str
    file: Inside = ""


@dataclass(frozen=True)
class Rival:
    """One of the two models that a training left side by side, for the user to choose.

    Parameters
    ----------
    model : SessionModel
        Which.
    told : str
        Its held-out Dice as the window told it; empty where too few slices were held out.
    """

    model: SessionModel
    told: str = ""


@dataclass(frozen=True)
class Round:
    """What came of one training.

    Parameters
    ----------
    model : str
        Name of the new model.
    steps : int
        How many it took.
    dice : float, optional
        Mean on the held-out slices; None where none could be held out.
    slices, voxels : int
        What that was measured on.
    used : bool
        Whether the new model replaced the one before.
    words : str
        The outcome as the window told it.
    """

    model: str
    steps: int = 0
    dice: float | None = None
    slices: int = 0
    voxels: int = 0
    used: bool = False
    words: str = ""


@dataclass(frozen=True)
class WindowView:
    """How the window stood.

    Parameters
    ----------
    order : tuple of int
        The viewer's axes, those displayed last.
    ndisplay : int
        2 or 3.
    point : tuple of float
        World coordinates of the sliders.
    suggested : tuple of (int, int, str)
        Slices suggested next, as axis, index and why.
    suggested_by : str
        Identity of the model that suggested them; empty where none did.
    """

    order: tuple[Index, ...] = ()
    ndisplay: Literal[2, 3] = 2
    point: tuple[float, ...] = ()
    suggested: tuple[tuple[int, int, str], ...] = ()
    suggested_by: str = ""


@dataclass(frozen=True)
class Session:
    """All that a session remembers beside the voxels.

    Parameters
    ----------
    images : tuple of SessionImage
        In the order of the work.
    current : str
        Path of the image in front, as in `images`.
    model : SessionModel, optional
        In use; None for a new one.
    rounds : tuple of Round
        Trainings, oldest first.
    losses, dices : tuple of (int, float)
        The last training's curves: step and value.
    view : WindowView
        How the window stood.
    verdict : str
        What the last training brought, as the window told it.
    rivals : tuple of Rival, optional
        The model before and the new one, while the user may choose; None without a choice.
    version : int
        Of this form.
    """

    images: tuple[SessionImage, ...] = ()
    current: str = ""
    model: SessionModel | None = None
    rounds: tuple[Round, ...] = ()
    losses: tuple[Point, ...] = ()
    dices: tuple[Point, ...] = ()
    view: WindowView = field(default_factory=WindowView)
    verdict: str = ""
    rivals: tuple[Rival, Rival] | None = None
    version: Literal[1] = 1

    def image(self, path: str) -> SessionImage | None:
        """Return the image of that path, if the session has it."""
        return next((one for one in self.images if one.path == path), None)


# A tuple of one, because pydantic takes no config beside a dataclass of somebody else's.
_FILE: TypeAdapter[tuple[Session]] = TypeAdapter(tuple[Session], config=CONFIG)


def is_session(folder: Path) -> bool:
    """Tell whether a folder holds a session."""
    return (folder / SESSION).is_file()


def read_session(folder: Path) -> Session:
    """Read and check what a folder says; no image, label or model is touched.

    Raises
    ------
    ReadError
        When there is no session, or it is damaged, hostile or of a later version.
    """
    path = folder / SESSION
    if not path.is_file():
        raise ReadError(f"{folder} holds no session: choose a folder with a {SESSION} in it.")
    try:
        with path.open("rb") as file:
            text = file.read(_MOST + 1)
    except OSError as error:
        raise ReadError(f"{path} can't be read ({error.strerror}): check its rights.") from error
    if len(text) > _MOST:
        raise ReadError(f"{path} is too long for a session: choose another folder.")
    try:
        # The file holds the session itself, which people read; the adapter asks for a tuple of it.
        (session,) = _FILE.validate_json(b"[" + text + b"]")
    except ValidationError as error:
        if _NEWER.search(text):
            raise ReadError(f"{path} is of a later version: update napari-unet.") from None
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"][1:])
        raise ReadError(
            f"{path} is damaged or no session ({place or 'JSON'}: {first['msg'][:200]}): "
            "take a copy of it from before."
        ) from None
    except UNetError as error:
        raise ReadError(f"{path} is damaged: {error}") from None
    return session


def write_session(folder: Path, session: Session) -> None:
    """Write `session.json`, whole or not at all.

    Raises
    ------
    WriteError
        When it could not be written; an older one still stands.
    """
    text = _FILE.dump_json((session,), indent=1)[1:-1].strip() + b"\n"
    write_whole(
        folder / SESSION,
        lambda new: new.write_bytes(text),
        lambda new: _FILE.validate_json(b"[" + new.read_bytes() + b"]"),
    )


def path_in(folder: Path, image: Path) -> str:
    """Return how a session tells where an image is: relative inside its folder, else absolute."""
    there, home = image.absolute(), folder.absolute()
    return there.relative_to(home).as_posix() if there.is_relative_to(home) else str(there)


def find_image(folder: Path, image: SessionImage) -> Path | None:
    """Return where an image is: where the session says, else in its folder or the one around it.

    A file found elsewhere than told must be the same file, as far as that is known.
    """
    told = folder / image.path  # an absolute one stands for itself
    if _is_there(told):
        return told
    for near in (folder / image.name, folder.parent / image.name):
        if _is_there(near) and image.fingerprint in ("", fingerprint(str(near))):
            return near
    return None


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # such as a name that is too long, which no file has
        return False


def require_inside(folder: Path, name: str) -> Path:
    """Return a file of a session, refusing one that a link leads out of its folder.

    Raises
    ------
    ReadError
        Naming the file.
    """
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ReadError(
            f"{path} leads out of the session's folder, so it is left alone: put the file itself there."
        )
    return path
