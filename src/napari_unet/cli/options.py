"""Command-line options from the settings classes: declared once, in `core.settings`."""

from __future__ import annotations

import types
from argparse import ArgumentParser, ArgumentTypeError, Namespace, _ArgumentGroup
from collections.abc import Callable, Collection, Mapping
from dataclasses import Field, fields
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

Settings = TypeVar("Settings")


def add_axes(parser: ArgumentParser) -> None:
    """Add the choices that a file with more than one image needs."""
    parser.add_argument("--channel-axis", type=int, metavar="N", help="Axis that holds channels.")
    parser.add_argument("--time", type=int, metavar="N", help="Time point to take of a series.")


def add_settings(
    parser: ArgumentParser, settings: type[Any], leave_out: Collection[str] = ()
) -> None:
    """Add an option for each field of a settings class; its tooltip becomes the help.

    Fields named in `leave_out` get none; `read_settings` leaves them at their default.
    """
    hints = get_type_hints(settings, include_extras=True)
    for field in fields(settings):
        if field.name not in leave_out:
            add_field(parser, field, hints[field.name])


def add_field(parser: ArgumentParser | _ArgumentGroup, field: Field[Any], hint: object) -> None:
    """Add the option of one field."""
    kind, facts = get_args(hint)
    flag = "--" + field.name.replace("_", "-")
    text = facts["tooltip"].replace("%", "%%")
    if kind is bool and field.default:
        parser.add_argument(
            "--no-" + flag[2:], dest=field.name, action="store_false", help=f"Don't: {text}"
        )
        return
    if kind is bool:
        parser.add_argument(flag, action="store_true", help=text)
        return
    shown = "" if field.default is None else f" Default: {field.default}."
    if get_origin(kind) is Literal:
        choices = get_args(kind)
        parser.add_argument(
            flag,
            type=_choice(choices),
            default=field.default,
            metavar="{" + ",".join(map(str, choices)) + "}",
            help=text + shown,
        )
    else:
        number = _number(_required(kind), facts)
        letter = field.name[0].upper()
        parser.add_argument(
            flag, type=number, default=field.default, metavar=letter, help=text + shown
        )


def read_settings(settings: type[Settings], args: Namespace) -> Settings:
    """Build a settings value from what was parsed."""
    names = {field.name for field in fields(settings)}  # type: ignore[arg-type]
    return settings(**{name: value for name, value in vars(args).items() if name in names})


def _required(kind: object) -> Callable[[str], float]:
    """Take ``int`` out of ``int | None``."""
    if get_origin(kind) in (Union, types.UnionType):
        kind = next(part for part in get_args(kind) if part is not type(None))
    return int if kind is int else float


def _choice(choices: tuple[object, ...]) -> Callable[[str], object]:
    by_name = {str(choice): choice for choice in choices}

    def choose(text: str) -> object:
        if text not in by_name:
            raise ArgumentTypeError(f"{text!r} is none of {', '.join(by_name)}")
        return by_name[text]

    return choose


def _number(kind: Callable[[str], float], facts: Mapping[str, Any]) -> Callable[[str], float]:
    low, high = facts.get("min", float("-inf")), facts.get("max", float("inf"))

    def read(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            raise ArgumentTypeError(f"{text!r} is no number") from None
        if not low <= value <= high:
            raise ArgumentTypeError(f"{text} lies outside {low} to {high}")
        return value

    return read
