"""Which sessions were open last, so that one click goes on with them."""

from __future__ import annotations

import contextlib
from pathlib import Path

import platformdirs

from napari_unet.atomic import write_whole
from napari_unet.errors import WriteError
from napari_unet.jobs.session import is_session

_KEPT = 5


def recent_sessions() -> list[Path]:
    """Return the folders of the sessions opened last that are still there, newest first."""
    try:
        lines = _file().read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return []
    return [Path(line) for line in lines[:_KEPT] if line and is_session(Path(line))]


def remember_session(folder: Path) -> None:
    """Put a session first; where that can't be written, nothing is lost but a click."""
    folder = folder.absolute()
    paths = [folder, *(one for one in recent_sessions() if one != folder)][:_KEPT]
    text = "".join(f"{one}\n" for one in paths)
    with contextlib.suppress(WriteError, OSError, UnicodeEncodeError):
        _file().parent.mkdir(parents=True, exist_ok=True)
        write_whole(_file(), lambda new: new.write_text(text, encoding="utf-8"))


def _file() -> Path:
    return platformdirs.user_data_path("napari-unet", appauthor=False) / "sessions.txt"
