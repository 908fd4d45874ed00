"""The report itself, section by section."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from napari_unet.atomic import write_whole
from napari_unet.core.channels import channels_for
from napari_unet.core.classes import LabelClass
from napari_unet.core.correction import Correction, rounds
from napari_unet.core.grid import size_in_words
from napari_unet.core.model_header import ModelHeader
from napari_unet.core.versions import versions
from napari_unet.engine.ledger import Ledger
from napari_unet.report.examples import Example, Ground, Plane, agreement, planes
from napari_unet.report.figures import bars_svg, curve_svg, slice_png
from napari_unet.report.markup import Html, document, figures, paragraph, section, table, text
from napari_unet.report.past import Held, Run, runs

PACKAGES = ("napari", "torch", "monai", "openvino", "numpy")

LOSS_COLOUR, DICE_COLOUR, OWN_COLOUR = "#b06a00", "#0072b2", "#59616b"

MEASURED_ON = (
    "Measured on {slices} ({voxels:,} voxels) that were held out: they taught neither this model nor "
    "any that it comes of, but chose among the states of its own training. Brackets are 95 % intervals by "
    "bootstrap over these slices; slices of one volume resemble each other, so expect less on other volumes."
)
SHORT = {
    Ground.HELD_OUT: "held out",
    Ground.TAUGHT: "taught this model",
    Ground.NEITHER: "neither taught nor held out",
}
OWN_CURVE = (
    "What each model had said of slices before it learned from them, against what a person left there. "
    "These slices were not chosen at random, and a person who corrects a prediction is led by it."
)


def write_report(
    path: Path,
    header: ModelHeader,
    *,
    example: Example | None = None,
    corrections: Sequence[Correction] = (),
    files: Sequence[Path] = (),
) -> list[Plane]:
    """Write a page about a model, whole or not at all.

    Parameters
    ----------
    path : Path
        Where it goes; an older file is replaced.
    header : ModelHeader
        Of the model.
    example : Example, optional
        An image to show it on.
    corrections : sequence of Correction
        Of a person at the window.
    files : sequence of Path
        What went into the page; it tells their hashes.

    Returns
    -------
    list of Plane
        The slices shown.

    Raises
    ------
    WriteError
        When it can't be written.
    ModelFileError
        When the model's history can't be understood.
    """
    ledger = Ledger.of(header.history)
    shown: list[Plane] = []
    if example is not None:
        channels = channels_for(example.volume, header.spec) or (0,)
        shown = planes(example, ledger, channel=channels[0])
    now = datetime.now(UTC).astimezone()
    past = runs(header.history)
    hashes = [(file.name, _sha256(file)) for file in files]
    page = document(
        f"{header.name}: report",
        Html(f"<h1>{text(header.name)}</h1>"),
        paragraph(f"Report of {now:%d %B %Y, %H:%M %Z} by napari-unet", "soft"),
        _model(header),
        _classes(header.spec.classes),
        _held_out(past, header),
        _history(header, past),
        _own_curve(corrections),
        "" if example is None else _pictures(example, shown, ledger),
        section("Made with", table(("", ""), versions(*PACKAGES).items())),
        section("Files", table(("", "sha256"), hashes) if hashes else ""),
    )
    write_whole(path, lambda new: new.write_text(page, encoding="utf-8"))
    return shown


def _model(header: ModelHeader) -> Html:
    spec = header.spec
    context = f", {2 * spec.context + 1} slices at once" if spec.context else ""
    spacing = "as the image comes"
    if spec.spacing is not None:
        spacing = size_in_words(spec.spacing, spec.unit)
    facts = {
        "Network": f"{spec.dims}D {spec.network}{context}, {header.parameters:,} parameters",
        "Tells apart": "single objects" if spec.target == "instances" else "classes",
        "Channels": ", ".join(spec.channels),
        "Voxel size (z, y, x)": spacing,
        "sha256": header.sha256,
        "Comes of": header.parent or "nothing: trained from scratch",
        **{f"Card: {key}": _plain(value) for key, value in header.card.items()},
    }
    rows = ((key, Html(f'<span class="wrap">{text(value)}</span>')) for key, value in facts.items())
    return section("The model", table(("", ""), rows))


def _classes(classes: Sequence[LabelClass]) -> Html:
    rows = []
    told = any(one.description for one in classes)
    for one in classes:
        colour = ", ".join(str(round(255 * min(max(c, 0.0), 1.0))) for c in one.color)
        swatch = f'<span class="swatch" style="background: rgb({colour})"></span>'
        rows.append((one.id, Html(swatch + text(one.name)), one.description))
    return section("Classes", table(("Label", "Class", "What counts as it" * told), rows, (0,)))


def _held_out(past: Sequence[Run | None], header: ModelHeader) -> Html:
    """Say how good the model was on what it never learned from: in its last training, if in any."""
    title = "How good it is"
    trained = [run for run in past if run is not None and run.steps is not None]
    held = trained[-1].held_out if trained else None
    if held is None or not held.slices or held.mean_dice is None:
        return section(title, paragraph("Nothing was held out, so it was not measured."))
    slices = f"{held.slices} slice{'s' * (held.slices != 1)}"
    if not held.enough:
        return section(
            title, paragraph(f"Not known: {slices} held out, and 3 are needed to tell anything.")
        )
    names = {c.id: c.name for c in header.spec.classes}
    rows: list[tuple[object, ...]] = [
        (
            names.get(i, f"class {i}"),
            f"{c.dice:.3f}",
            _between(c.interval),
            _count(c.slices),
            _count(c.voxels),
        )
        for i, c in held.classes.items()
    ]
    rows.append(
        ("mean", f"{held.mean_dice:.3f}", _between(held.interval), held.slices, _count(held.voxels))
    )
    heads = ("Class", "Dice", "95 %", "Slices that show it", "Its voxels there")
    return section(
        title,
        table(heads, rows, range(1, 5)),
        paragraph(MEASURED_ON.format(slices=slices, voxels=held.voxels)),
        paragraph(_against(held)) if held.base_dice is not None else "",
    )


def _against(held: Held) -> str:
    """Compare with the base, on the same slices."""
    gain = f"; verdict: {held.verdict}" if held.verdict else ""
    if held.difference is not None:
        low, high = held.difference
        gain = f". The gain has a 90 % interval of {low:+.3f} to {high:+.3f}{gain}"
    return f"The model it comes of had a mean Dice of {held.base_dice:.3f} there{gain}."


def _history(header: ModelHeader, past: Sequence[Run | None]) -> Html:
    """List what it learned from, and draw the curves of the last training."""
    rows = []
    for run, entry in zip(past, header.history, strict=True):
        if run is None:
            rows.append(("?", _plain(entry)[:200], "", "", ""))
        elif run.steps is None:
            rows.append(
                (_day(run.date), f"classes: {run.classes}" if run.classes else "", "", "", "")
            )
        else:
            images = f"{_count(run.cases)} image{'s' * (run.cases != 1)}"
            ground = f"{_count(run.known_voxels)} known voxels of {images}"
            time = (
                "" if run.seconds is None else f"{run.seconds / 60:.1f} min on {run.device or '?'}"
            )
            rows.append((_day(run.date), ground, _count(run.steps), time, _dice(run.held_out)))
    heads = ("Date", "Learned from", "Steps", "Time", "Held-out Dice")
    drawn = []
    curves = next((run.curve for run in reversed(past) if run is not None and run.curve), None)
    if curves is not None and curves.loss:
        svg = curve_svg("Loss", curves.loss, LOSS_COLOUR, "steps")
        drawn.append((svg, "Loss on what was learned, last training"))
    if curves is not None and curves.dice:
        svg = curve_svg("Held-out Dice", curves.dice, DICE_COLOUR, "steps", 1.0)
        drawn.append((svg, "Mean Dice on the held-out slices, last training"))
    listed = table(heads, rows, (2,)) if rows else paragraph("Its file does not tell.")
    return section("What it learned from", listed, figures(drawn) if drawn else "")


def _own_curve(corrections: Sequence[Correction]) -> Html:
    """Draw how right the models of a session were on slices that a person then corrected."""
    scored = [c for c in corrections if c.mean_dice is not None]
    if not scored:
        return Html()
    bars = [(str(i), c.mean_dice or 0.0) for i, c in enumerate(scored, start=1)]
    rows = [
        (r.model, r.slices, "–" if r.mean_dice is None else f"{r.mean_dice:.3f}")
        for r in rounds(corrections)
    ]
    return section(
        "Predictions and their corrections",
        figures(
            [
                (
                    bars_svg("Dice of each slice", bars[-24:], OWN_COLOUR),
                    "Slices in the order marked done",
                )
            ]
        ),
        table(("Model", "Slices", "Mean Dice"), rows, (1, 2)),
        paragraph(OWN_CURVE),
    )


def _pictures(example: Example, shown: Sequence[Plane], ledger: Ledger) -> Html:
    """Show slices, with the person's outlines beside the model's."""
    volume = example.volume
    colours = None if example.instances else {c.id: c.color for c in example.classes}
    upright = volume.grid.affine is not None and volume.grid.unit == "mm"
    drawn = []
    for plane in shown:
        sides = [("labels", plane.labels), ("prediction", plane.prediction)]
        sides = [side for side in sides if side[1] is not None] or [("image", None)]
        uris = (
            slice_png(plane.grey, ids, plane.spacing, colours, upright=upright) for _, ids in sides
        )
        art = "".join(f'<img alt="" src="{uri}">' for uri in uris)
        place = [f"{'zyx'[plane.axis]} = {plane.index}"] if volume.grid.ndim == 3 else []
        drawn.append(
            (art, "; ".join([*place, " | ".join(n for n, _ in sides), *_told(plane, example)]))
        )
    names = {c.id: c.name for c in example.classes}
    rows = [
        (ground, slices, f"{voxels:,}", _listed(scores, names))
        for ground, (scores, slices, voxels) in agreement(example, ledger).items()
    ]
    heads = (
        "What the slices are to the model",
        "How many",
        "Voxels",
        "Dice of prediction and labels, all of them together",
    )
    return section(f"On {volume.name}", table(heads, rows, (1, 2)) if rows else "", figures(drawn))


def _told(plane: Plane, example: Example) -> list[str]:
    """Say how well both sides of a slice agree, and what it has been to the model."""
    if plane.labels is None or plane.prediction is None:
        return []
    names = {c.id: c.name for c in example.classes}
    scores = f"Dice {_listed(plane.dice, names)}" if plane.dice else "nothing on either side"
    return [scores, SHORT[plane.ground]]


def _listed(scores: Mapping[int, float], names: Mapping[int, str]) -> str:
    return ", ".join(f"{names.get(i, i)} {value:.3f}" for i, value in scores.items()) or "–"


def _dice(held: Held | None) -> str:
    if held is None or held.mean_dice is None:
        return "not measured"
    if not held.enough:
        return f"too few slices to tell ({held.slices})"
    return f"{held.mean_dice:.3f} {_between(held.interval)} on {held.slices} slices"


def _between(interval: tuple[float, float] | None) -> str:
    return "" if interval is None else f"({interval[0]:.3f} to {interval[1]:.3f})"


def _count(number: int | None) -> str:
    return "?" if number is None else f"{number:,}"


def _day(date: str) -> str:
    return date[:16].replace("T", " ") or "?"


def _sha256(path: Path) -> str:
    """Hash a file; a folder such as a Zarr has too many of them."""
    if path.is_dir():
        return "a folder, not hashed"
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
