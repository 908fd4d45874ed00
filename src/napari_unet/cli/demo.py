"""``napari-unet demo``: the whole loop on a bundled volume: predict, correct, fine-tune, predict."""

from __future__ import annotations

import time
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.atomic import require_writable, write_whole
from napari_unet.cli import train
from napari_unet.cli.command import Outcome
from napari_unet.cli.console import Console, table
from napari_unet.cli.doctor import window_checks
from napari_unet.core.annotation import Annotation
from napari_unet.core.bundled import sample
from napari_unet.core.scores import Labels, average_precision, dice
from napari_unet.core.settings import PredictSettings, TrainSettings
from napari_unet.core.volume import Volume
from napari_unet.errors import DeviceError, WriteError
from napari_unet.io import read, read_labels, write_labels

if TYPE_CHECKING:
    from napari_unet.engine.model import Model

HELP = "run the whole loop on a bundled real volume, in a window or without one"

SAMPLE = "ovules"
"""Its starter has only seen another microscope and another organism: there is much to learn."""

CORRECTED = (5, 14, 23, 32, 41, 50)
"""Slices that are corrected, by the reference annotation in the place of a person."""

MEASURED = slice(64, None)
"""Slices that the models are measured on: no nucleus in them reaches down to a corrected slice."""

FILES = {
    "before": "before.nii.gz",
    "after": "after.nii.gz",
    "model": "ovules.safetensors",
    "picture": "demo.png",
}
"""What it leaves in the folder."""


def add_arguments(parser: ArgumentParser) -> None:
    """Declare its arguments."""
    parser.add_argument("--headless", action="store_true", help="No window: write files instead.")
    parser.add_argument(
        "--minutes", type=float, default=2.0, metavar="M", help="Time to fine-tune."
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("napari-unet-demo"),
        metavar="DIR",
        help="Where --headless writes its files, none of which may be there yet.",
    )


def run(args: Namespace, console: Console) -> Outcome:
    """Open the window, or go through the loop and write what it leaves."""
    if args.headless:
        return _headless(args, console)
    for check in window_checks():
        if not check.ok:
            raise DeviceError(
                f"No window can be opened ({check.name}: {check.detail}): {check.remedy}, "
                "or add --headless."
            )
    from napari_unet.plugin.demo import open_demo  # napari: only where a window is wanted

    open_demo(args.minutes)
    return Outcome({"sample": SAMPLE, "window": "closed"}, "The window was closed.")


def _headless(args: Namespace, console: Console) -> Outcome:
    from napari_unet.engine.model import load_model, save_model
    from napari_unet.engine.starters import resolve
    from napari_unet.engine.train import training

    began = time.perf_counter()
    settings = TrainSettings(minutes=args.minutes, instances=True)
    outputs = _outputs(args.output)
    chosen = sample(SAMPLE)
    volume = read(chosen.image)
    reference, _, _ = read_labels(chosen.labels, volume.grid)
    starter = load_model(resolve(chosen.starter))

    console.say(f"1. Predict {chosen.image.name} with the starter {chosen.starter}")
    before = _predict(volume, starter, console)
    write_labels(outputs["before"], before, volume.grid)
    console.say(
        f"2. Correct {len(CORRECTED)} slices (z = {', '.join(map(str, CORRECTED))}): "
        "the reference annotation plays the person"
    )
    annotation = Annotation.from_slices(reference, 0, CORRECTED)
    console.say(f"3. Fine-tune on these slices for {args.minutes:g} min")
    job = training([(volume, annotation)], settings, starter, name=outputs["model"].stem)
    trained = console.drive(job)
    save_model(trained.model, outputs["model"])
    console.say("4. Predict again with the fine-tuned model")
    after = _predict(volume, trained.model, console)
    console.say("5. Export")
    write_labels(outputs["after"], after, volume.grid)
    scores = {"before": _scores(before, reference), "after": _scores(after, reference)}
    _draw(outputs["picture"], volume, {"before": before, "after": after}, reference, scores)
    result = {
        "sample": SAMPLE,
        "starter": chosen.starter,
        "corrected": list(CORRECTED),
        "measured": list(range(volume.grid.shape[0]))[MEASURED],
        "voxels": reference[MEASURED].size,
        **scores,
        "train": train.summary(trained, outputs["model"]),
        "outputs": {name: str(path) for name, path in outputs.items()},
        "seconds": round(time.perf_counter() - began, 1),
    }
    return Outcome(result, _text(result))


def _outputs(folder: Path) -> dict[str, Path]:
    """Name the files, none of which may be there yet: nobody asked for theirs to be replaced."""
    outputs = {name: folder / file for name, file in FILES.items()}
    there = next((path for path in outputs.values() if path.exists()), None)
    if there is not None:
        raise WriteError(f"{there} exists and would be replaced: choose another folder with -o.")
    require_writable(folder)
    return outputs


def _predict(volume: Volume, model: Model, console: Console) -> Labels:
    from napari_unet.engine.predict import predicting

    prediction = console.drive(predicting(volume, model, PredictSettings(instances=True)))
    if not prediction.complete:
        raise KeyboardInterrupt
    return prediction.labels


def _scores(labels: Labels, reference: Labels) -> dict[str, float]:
    """Score the measured slices: all nuclei against background, and nucleus by nucleus."""
    pred, right = labels[MEASURED], reference[MEASURED]
    foreground = dice((pred > 0).astype(np.uint8), (right > 0).astype(np.uint8), (1,))
    return {"dice": foreground[1], "ap50": average_precision(pred, right, (0.5,))[0.5]}


def _draw(
    path: Path,
    volume: Volume,
    labels: dict[str, Labels],
    reference: Labels,
    scores: dict[str, dict[str, float]],
) -> None:
    """Show the measured slice in which there is most to see."""
    import imageio.v3 as imageio  # slow to import, and only this command draws

    from napari_unet.report.panels import Panel, side_by_side

    filled = np.count_nonzero(reference[MEASURED], axis=(1, 2))
    z = MEASURED.start + int(filled.argmax())
    panels = [Panel(f"image, z = {z}, never learned from")]
    panels += [
        Panel(f"{name} fine-tuning, Dice {scores[name]['dice']:.2f}", found[z])
        for name, found in labels.items()
    ]
    panels.append(Panel("truth", reference[z]))
    picture = side_by_side(np.asarray(volume.data[0, z]), panels)
    write_whole(path, lambda p: imageio.imwrite(p, picture), imageio.imread)


def _text(result: dict[str, Any]) -> str:
    measured = result["measured"]
    rows = [("", "Dice", "AP@0.5")]
    rows += [
        (name, f"{result[name]['dice']:.3f}", f"{result[name]['ap50']:.3f}")
        for name in ("before", "after")
    ]
    ground = (
        f"measured on slices {measured[0]} to {measured[-1]} ({result['voxels']:,} voxels), which "
        "took no part in the fine-tuning nor in the choice of the model"
    )
    return "\n".join([table(rows), ground, "", *result["outputs"].values()])
