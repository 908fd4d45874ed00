"""What a command is, and how it ends."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from dataclasses import dataclass
from typing import Any, Protocol

from napari_unet.cli.console import Console

DONE, FAILED, WRONG_USAGE, STOPPED = 0, 1, 2, 130
"""The exit codes; 130 is what a shell expects of a program that Ctrl+C ended."""


class UsageError(Exception):
    """The command was called with arguments that do not go together."""


@dataclass(frozen=True)
class Outcome:
    """What a command has to say at its end.

    Parameters
    ----------
    result : dict
        What ``--json`` prints.
    text : str
        What is printed for people instead.
    code : int
        Exit code.
    """

    result: dict[str, Any]
    text: str
    code: int = DONE


class Command(Protocol):
    """A module that is one command."""

    HELP: str

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare its arguments."""

    def run(self, args: Namespace, console: Console) -> Outcome:
        """Do its work; raise `UNetError` where that fails."""
