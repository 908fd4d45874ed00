"""What has changed from one state of a session to the next, in words."""

from __future__ import annotations

import getpass
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path

from napari_unet.jobs.session import LOG, DrawnLabels, Session, SessionImage

_AXES = "zyx"


def append_log(folder: Path, lines: Iterable[str]) -> None:
    """Add lines to `log.txt`, each with the time and the login name.

    Raises
    ------
    OSError
        When the file can't be written.
    """
    text = "".join(f"{_now()}  {_who()}  {line}\n" for line in lines)
    if text:
        with (folder / LOG).open("a", encoding="utf-8") as file:
            file.write(text)


def changes(before: Session, after: Session) -> list[str]:
    """Say what is different, one sentence a thing."""
    lines = []
    for image in after.images:
        lines += [f"{image.name}: {what}" for what in _image(before.image(image.path), image)]
    gone = {i.path for i in before.images} - {i.path for i in after.images}
    lines += [f"{image.name}: taken out" for image in before.images if image.path in gone]
    for done in after.rounds[len(before.rounds) :]:
        lines.append(f"model {done.model} trained, {done.steps} steps: {done.words}")
    if after.model is not None and after.model != before.model:
        lines.append(f"model {after.model.name} in use ({after.model.sha256[:12]})")
    return [" ".join(line.split()) for line in lines]


def _image(before: SessionImage | None, after: SessionImage) -> Iterator[str]:
    if before is None and after.open:
        yield "taken in"
    old = {one.file: one for one in before.labels} if before is not None else {}
    for one in after.labels:
        yield from _labels(old.get(one.file), one)
    if before is not None and before.finished != after.finished:
        yield "done" if after.finished else "in work again"


def _labels(before: DrawnLabels | None, after: DrawnLabels) -> Iterator[str]:
    old = before or DrawnLabels(after.name, after.file)
    if after.model and after.model != old.model:
        yield f"predicted by {after.model}"
    if fresh := sorted(set(after.touched) - set(old.touched)):
        yield f"painted in slice{'s' * (len(fresh) != 1)} z {numbers(fresh)}"
    yield from _marks(old.done, after.done, "marked done", "no longer marked done")
    yield from _marks(old.held_out, after.held_out, "held out", "no longer held out")
    names = {c.id: c.name for c in old.classes}
    new = {c.id: c.name for c in after.classes}
    for number, name in new.items():
        if before is not None and number not in names:
            yield f"class {name} ({number}) added"
        elif names.get(number, name) != name:
            yield f"class {names[number]} ({number}) is now {name}"
    for number in names.keys() - new.keys():
        yield f"class {names[number]} ({number}) removed"


def _marks(
    before: Mapping[int, Iterable[int]], after: Mapping[int, Iterable[int]], come: str, go: str
) -> Iterator[str]:
    for axis in sorted({*before, *after}):
        old, new = set(before.get(axis, ())), set(after.get(axis, ()))
        for indices, what in ((new - old, come), (old - new, go)):
            if indices:
                slices = f"slice{'s' * (len(indices) != 1)} {_AXES[axis]}"
                yield f"{slices} {numbers(indices)} {what}"


def numbers(indices: Iterable[int]) -> str:
    """Write whole numbers with runs drawn together: ``"3, 7–9"``."""
    runs: list[list[int]] = []
    for index in sorted(indices):
        if runs and index == runs[-1][1] + 1:
            runs[-1][1] = index
        else:
            runs.append([index, index])
    return ", ".join(str(a) if a == b else f"{a}{'–' if b - a > 1 else ', '}{b}" for a, b in runs)


def _now() -> str:
    return datetime.now().astimezone().isoformat(" ", "seconds")


def _who() -> str:
    try:
        return getpass.getuser()
    except (OSError, ImportError, KeyError):  # a login without a name
        return "somebody"
