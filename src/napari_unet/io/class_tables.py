"""Names and colours of classes as the files that ITK-SNAP and 3D Slicer read.

Neither has a place for descriptions; they stand in comments, which both programs pass over.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from napari_unet.atomic import write_whole
from napari_unet.core.classes import LabelClass, united
from napari_unet.errors import AnnotationError, ReadError, WriteError

SLICER, SNAP = ".ctbl", ".label.txt"
"""Endings of a 3D Slicer colour table and of an ITK-SNAP label description."""

_MOST = 1 << 20
"""Bytes read of a file that says it is a table; a longer one is something else."""

_SNAP_HEAD = """\
################################################
# ITK-SnAP Label Description File
# File format:
# IDX   -R-  -G-  -B-  -A--  VIS MSH  LABEL
################################################"""

_DESCRIBED = re.compile(r"#\s*description of (\d+): (.*)")


def write_class_table(path: Path, classes: tuple[LabelClass, ...]) -> Path:
    """Write a colour table for 3D Slicer (``.ctbl``) or a label description for ITK-SNAP (``.txt``).

    3D Slicer's tables have no spaces in names: they become underscores, and spaces again when read.

    Raises
    ------
    WriteError
        When the ending is another one, or nothing could be written.
    """
    if path.name.lower().endswith(SLICER):
        lines = [f"# Color table file {path.name}", f"# {len(classes)} values"]
        lines += _described(classes)
        lines += [_slicer_line(one) for one in classes]
        text = "\n".join(lines) + "\n"
    elif path.suffix.lower() in (".txt", ".label"):
        lines = [_SNAP_HEAD, *_described(classes), *map(_snap_line, classes)]
        text = "\n".join(lines) + "\n"
    else:
        raise WriteError(f"{path} can't be a table of classes; end its name in {SLICER} or {SNAP}.")
    write_whole(path, lambda new: new.write_text(text, encoding="utf-8"))
    return path


def read_class_table(path: Path) -> tuple[LabelClass, ...]:
    """Read the classes of such a file, background first, the others in the file's order.

    Raises
    ------
    ReadError
        When the file can't be read, or has a line that is no class.
    """
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(_MOST + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise ReadError(f"{path} can't be read as a table of classes ({error}).") from error
    if len(text) > _MOST:
        raise ReadError(f"{path} is too long for a table of classes: choose another file.")
    parse = _from_slicer if path.name.lower().endswith(SLICER) else _from_snap
    found: dict[int, LabelClass] = {}
    described: dict[int, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if comment := _DESCRIBED.match(line):
            described[int(comment[1])] = comment[2]
        if line.strip() and not line.lstrip().startswith("#"):
            try:
                one = parse(line)
            except (ValueError, IndexError, AnnotationError) as error:
                raise ReadError(
                    f"{path}, line {number} is no class ({line.strip()[:40]!r}): choose a colour "
                    "table of 3D Slicer or a label description of ITK-SNAP."
                ) from error
            found[one.id] = one
    return united(replace(c, description=described.get(c.id, "")) for c in found.values())


def class_table_beside(labels: Path, stem: str) -> tuple[LabelClass, ...]:
    """Return the classes of a table that lies beside labels under their name; none without one."""
    for name in (f"{stem}{SLICER}", f"{stem}_ColorTable{SLICER}", f"{stem}{SNAP}", f"{stem}.label"):
        path = labels.with_name(name)
        if path.is_file():
            try:
                return read_class_table(path)
            except ReadError:  # something else of that name; the labels are good without it
                continue
    return ()


def _described(classes: tuple[LabelClass, ...]) -> list[str]:
    return [f"# description of {c.id}: {c.description}" for c in classes if c.description]


def _slicer_line(one: LabelClass) -> str:
    red, green, blue = _bytes(one)
    name = "_".join(one.name.split())
    return f"{one.id} {name} {red} {green} {blue} {255 if one.id else 0}"


def _from_slicer(line: str) -> LabelClass:
    number, name, red, green, blue, *_ = line.split()
    return _class(number, name.replace("_", " "), red, green, blue)


def _snap_line(one: LabelClass) -> str:
    red, green, blue = _bytes(one)
    seen = int(one.id > 0)
    name = " ".join(one.name.split()).replace('"', "'")
    return f'{one.id:5d}  {red:4d} {green:4d} {blue:4d}  {seen:7d}  {seen}  {seen}    "{name}"'


def _from_snap(line: str) -> LabelClass:
    start, quoted = line.split('"', 1)
    number, red, green, blue, *_ = start.split()
    name = "background" if number == "0" else quoted.rsplit('"', 1)[0]
    return _class(number, name, red, green, blue)


def _class(number: str, name: str, *colour: str) -> LabelClass:
    red, green, blue = (min(max(int(c), 0), 255) / 255 for c in colour)
    return LabelClass(int(number), name, (red, green, blue))


def _bytes(one: LabelClass) -> tuple[int, int, int]:
    red, green, blue = (round(255 * c) for c in one.color)
    return red, green, blue
