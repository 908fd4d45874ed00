"""Which process a file or folder belongs to, and whether that process still lives."""

from __future__ import annotations

import hashlib
import os
import platform
from dataclasses import dataclass

import psutil


@dataclass(frozen=True)
class Owner:
    """One process on one machine, told apart from a later one that got the same number.

    Parameters
    ----------
    pid : int
        Its number.
    started : int
        When it began, in whole seconds since 1970.
    machine : str
        Eight hex digits made of the computer's name, so that it fits into a file's name.
    """

    pid: int
    started: int
    machine: str

    @classmethod
    def here(cls) -> Owner:
        """Return this process."""
        return cls(os.getpid(), int(psutil.Process().create_time()), _machine())

    @classmethod
    def parse(cls, text: str) -> Owner | None:
        """Read what `str` of an owner gave; None for anything else."""
        match text.strip().split("."):
            case [pid, started, machine] if pid.isdecimal() and started.isdecimal():
                return cls(int(pid), int(started), machine)
        return None

    def __str__(self) -> str:
        return f"{self.pid}.{self.started}.{self.machine}"

    @property
    def local(self) -> bool:
        """Whether it is a process of this machine; another's can't be asked if it lives."""
        return self.machine == _machine()

    def alive(self) -> bool:
        """Tell whether this process of this machine still runs."""
        try:
            started: float = psutil.Process(self.pid).create_time()
        except psutil.NoSuchProcess:
            return False
        except psutil.AccessDenied:
            return True
        # The system's idea of when it was booted, on which this rests, may shift by a second.
        return abs(started - self.started) < 3


def _machine() -> str:
    return hashlib.sha256(platform.node().encode()).hexdigest()[:8]
