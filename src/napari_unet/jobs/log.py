"""Where the child process leaves its words: a file of its own in the app's log folder."""

from __future__ import annotations

import contextlib
import os
import tempfile
from datetime import datetime
from pathlib import Path

import platformdirs

_KEPT = 10
"""Logs of earlier processes that stay for a bug report."""


def child_log() -> Path:
    """Make an empty log file for a new child process, and delete the oldest ones.

    Raises
    ------
    OSError
        When the log folder can't be made or written to.
    """
    folder = platformdirs.user_log_path("napari-unet", appauthor=False, ensure_exists=True)
    for old in sorted(folder.glob("child-*.log"))[: 1 - _KEPT]:
        with contextlib.suppress(OSError):
            old.unlink()
    descriptor, name = tempfile.mkstemp(
        prefix=f"child-{datetime.now():%Y%m%d-%H%M%S}-", suffix=".log", dir=folder
    )
    os.close(descriptor)
    return Path(name)


def last_lines(log: Path) -> str:
    """Return what a log says last, on one line for a message; empty when it says nothing.

    Where the interpreter itself died, its cause of death comes first.
    """
    try:
        text = log.read_text(encoding="utf-8", errors="replace")[-65536:]
    except OSError:
        return ""
    lines = [line.strip()[:200] for line in text.splitlines() if line.strip()]
    fatal = [line for line in lines if line.startswith("Fatal Python error")]
    told = [line for line in lines if not line.startswith(("Extension modules:", *fatal))]
    return " | ".join([*fatal[-1:], *told[-3:]])
