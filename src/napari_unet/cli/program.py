"""From arguments to an exit code, whatever happens in between."""

from __future__ import annotations

import json
import os
import sys
import traceback
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from contextlib import redirect_stdout
from importlib import import_module
from typing import NoReturn, cast

from napari_unet import __version__
from napari_unet.cli.command import DONE, FAILED, STOPPED, WRONG_USAGE, Command, UsageError
from napari_unet.cli.console import Console
from napari_unet.core.threads import PATIENT
from napari_unet.errors import StoppedError, UNetError

COMMANDS = (
    "demo", "predict", "train", "evaluate", "suggest", "info", "report", "classes", "export", "models",
    "doctor",
)  # fmt: skip
"""Each is a module beside this one, and only the one that is asked for is imported."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments; those of the process when not given.

    Returns
    -------
    int
        0 done, 1 the work failed, 2 wrong usage, 130 stopped by the user.
    """
    for name, value in PATIENT.items():
        os.environ.setdefault(name, value)
    words = list(sys.argv[1:] if argv is None else argv)
    # Looked up in the words themselves, since wrong ones are to be answered in the same way.
    as_json, debug = "--json" in words, "--debug" in words
    try:
        return _run(_parser(words).parse_args(words))
    except SystemExit:  # --help and --version have said all there is to say
        return DONE
    except UsageError as error:
        return _fail(str(error), WRONG_USAGE, as_json)
    except KeyboardInterrupt:
        return _fail("Stopped.", STOPPED, as_json)
    except StoppedError as error:
        return _fail(str(error), STOPPED, as_json)
    except Exception as error:
        if debug:
            traceback.print_exc()
        expected = isinstance(error, UNetError)
        return _fail(str(error) if expected else _surprise(error), FAILED, as_json)


def _run(args: Namespace) -> int:
    command = _command(args.command)
    console = Console()
    # Libraries print what they like; standard output belongs to the result alone.
    with redirect_stdout(sys.stderr), console.warnings():
        outcome = command.run(args, console)
    console.close()
    _answer(json.dumps(outcome.result, allow_nan=False) if args.json else outcome.text)
    return outcome.code


def _answer(text: str) -> None:
    """Print the result; whoever reads it may have gone, as ``head`` does, and that is no failure."""
    try:
        print(text, flush=True)
    except BrokenPipeError:  # nor is what Python itself flushes at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(message: str, code: int, as_json: bool) -> int:
    print(message, file=sys.stderr)
    if as_json:
        _answer(json.dumps({"error": message}))
    return code


def _surprise(error: Exception) -> str:
    return (
        f"Unexpected {type(error).__name__}: {error} "
        "(run the same command with --debug for where it came from)."
    )


class _Parser(ArgumentParser):
    """A parser whose errors are `UsageError`, so that ``--json`` answers them too."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{self.format_usage()}{self.prog}: {message}")


def _command(name: str) -> Command:
    return cast(Command, import_module(f"napari_unet.cli.{name}"))


def _parser(words: Sequence[str]) -> ArgumentParser:
    """Make the parser of these words: of their command alone, if they begin with one."""
    parser = _Parser(prog="napari-unet", description="Your own U-Net: predict, correct, fine-tune.")
    parser.add_argument("--version", action="version", version=f"napari-unet {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in words[:1] if words and words[0] in COMMANDS else COMMANDS:
        command = _command(name)
        own = commands.add_parser(name, help=command.HELP, description=command.HELP)
        command.add_arguments(own)
        own.add_argument(
            "--json", action="store_true", help="Print one JSON object on standard output."
        )
        own.add_argument("--debug", action="store_true", help="Show where an error came from.")
    return parser
