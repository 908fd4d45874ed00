"""``napari-unet predict``: label images with a model."""

from __future__ import annotations

import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from napari_unet.cli.command import DONE, STOPPED, Outcome, UsageError
from napari_unet.cli.console import Console
from napari_unet.cli.options import add_axes, add_settings, read_settings
from napari_unet.cli.outputs import image_file, label_files
from napari_unet.core.settings import PredictSettings
from napari_unet.io import read, write_labels, write_probabilities

HELP = "label images with a model"


def add_arguments(parser: ArgumentParser) -> None:
    """Declare its arguments."""
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="What to label.")
    parser.add_argument(
        "-m", "--model", required=True, help="A .safetensors file, or a name that `models` lists."
    )
    parser.add_argument(
        "-o",
        "--output",
        required=True,
        metavar="OUT",
        help="A file, or a folder for several images.",
    )
    add_settings(parser, PredictSettings)
    parser.add_argument(
        "--probabilities", type=Path, metavar="FILE", help="Also write each class's probability."
    )
    add_axes(parser)


def run(args: Namespace, console: Console) -> Outcome:
    """Predict each image; one that Ctrl+C interrupts is not written."""
    clock = _Clock()
    if args.probabilities is not None and len(args.images) > 1:
        raise UsageError("--probabilities takes one image at a time.")
    targets = label_files(args.images, args.output)
    if args.probabilities is not None:
        image_file(args.probabilities, args.images)
        if args.probabilities.resolve() == targets[0].resolve():
            raise UsageError("--probabilities and -o name one file: give each its own.")
    settings = read_settings(PredictSettings, args)

    from napari_unet.engine.model import load_model  # torch: only once there is work for it
    from napari_unet.engine.predict import predicting
    from napari_unet.engine.starters import resolve

    model = load_model(resolve(args.model))
    voxels, written, where = 0, [], ("", "")
    for image, target in zip(args.images, targets, strict=True):
        with clock.measure("read"):
            volume = read(image, channel_axis=args.channel_axis, time=args.time)
        prediction = console.drive(
            predicting(volume, model, settings, keep_probabilities=args.probabilities is not None)
        )
        clock.seconds["network"] += prediction.seconds["network"]
        if not prediction.complete:
            console.say(f"{image} was not finished and is not written.")
            break
        where = (prediction.device, prediction.backend)
        # Object ids are no class ids: naming them after classes would be wrong.
        classes = () if prediction.instances else prediction.classes
        with clock.measure("write"):
            write_labels(target, prediction.labels, prediction.grid, classes)
            if prediction.probabilities is not None:
                write_probabilities(args.probabilities, prediction.probabilities, prediction.grid)
        voxels += volume.grid.size
        written.append(str(target))
    result = {
        "outputs": written,
        "voxels": voxels,
        "seconds": clock.read(),
        "device": where[0],
        "backend": where[1],
        "peak_rss_bytes": peak_memory(),
    }
    return Outcome(result, "\n".join(written), STOPPED if console.stopped else DONE)


class _Clock:
    """Seconds spent on each part of the work."""

    def __init__(self) -> None:
        self.seconds = {"read": 0.0, "network": 0.0, "write": 0.0}
        self._began = time.perf_counter()

    @contextmanager
    def measure(self, part: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.seconds[part] += time.perf_counter() - began

    def read(self) -> dict[str, float]:
        total = time.perf_counter() - self._began
        return {part: round(s, 3) for part, s in {"total": total, **self.seconds}.items()}


def peak_memory() -> int:
    """Return the most memory that this process has held at once, in bytes."""
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
