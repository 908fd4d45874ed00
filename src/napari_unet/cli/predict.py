"""``napari-unet predict``: label images with a model."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
import psutil

from napari_unet.cli.background import Behind, begin, ready
from napari_unet.cli.command import DONE, STOPPED, Outcome, UsageError
from napari_unet.cli.console import Console
from napari_unet.cli.inputs import image_files, is_folder_of_images, require_images
from napari_unet.cli.options import add_axes, add_settings, read_settings
from napari_unet.cli.outputs import image_file, label_files, require_folders
from napari_unet.cli.places import Place, open_place
from napari_unet.cli.tally import Tally
from napari_unet.cli.work import Wanted, Work
from napari_unet.core.prediction import Prediction
from napari_unet.core.progress import Progress, passing_on
from napari_unet.core.settings import PredictSettings
from napari_unet.core.volume import Volume
from napari_unet.io import write_probabilities

HELP = "label images with a model"

_FILE_HELP = (
    "A file (ending in .ome.zarr it may be larger than memory, and the same command goes on after an "
    "interruption), or a folder for several images."
)


def add_arguments(parser: ArgumentParser) -> None:
    """Declare its arguments."""
    parser.add_argument(
        "images",
        nargs="+",
        type=Path,
        metavar="IMAGE",
        help="What to label: files, or a folder for all images in it but for earlier results.",
    )
    parser.add_argument(
        "-m", "--model", required=True, help="A .safetensors file, or a name that `models` lists."
    )
    parser.add_argument("-o", "--output", required=True, metavar="OUT", help=_FILE_HELP)
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="Replace labels that are in the folder already. A file that -o names itself always is.",
    )
    add_settings(parser, PredictSettings)
    parser.add_argument(
        "--probabilities", type=Path, metavar="FILE", help="Also write each class's probability."
    )
    parser.add_argument(
        "--uncertainty",
        type=Path,
        metavar="FILE",
        help="Also write how unsure the model is of each voxel: entropy, 0 to 1.",
    )
    add_axes(parser)
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--workers",
        type=_count,
        metavar="N",
        help="Share the work among so many processes here; needs Dask distributed.",
    )
    where.add_argument(
        "--scheduler",
        metavar="tcp://HOST:PORT",
        help="Share the work among the workers of this Dask cluster, which must be trusted.",
    )


def run(args: Namespace, console: Console) -> Outcome:
    """Predict the images one after the other; the first that fails ends it, and is named.

    The next image is read and the one before written while one is computed. Those before the one
    that failed, or that Ctrl+C interrupted, are written.
    """
    images = image_files(args.images)
    many = len(images) > 1 or any(map(is_folder_of_images, args.images))
    beside = {"--probabilities": args.probabilities, "--uncertainty": args.uncertainty}
    wanted = {name: file for name, file in beside.items() if file is not None}
    for name in wanted:
        if len(images) > 1:
            raise UsageError(f"{name} takes one image at a time.")
        if args.workers is not None or args.scheduler is not None:
            raise UsageError(f"{name} is for one process: leave --workers or --scheduler out.")
    targets = label_files(images, args.output, many=many, overwrite=args.overwrite)
    _check_files_beside(wanted, images, targets)
    settings = read_settings(PredictSettings, args)
    spreads = args.workers is not None or args.scheduler is not None

    from napari_unet.engine.model import load_model  # only once there is work for it
    from napari_unet.engine.starters import resolve

    file = resolve(args.model)
    require_images(images)
    model = load_model(file)
    require_folders([*targets, *wanted.values()])
    axes = {"channel_axis": args.channel_axis, "time": args.time}
    cases = tuple(zip(images, targets, strict=True))
    work = Work(cases, file, model, settings, axes, *beside.values())
    tally = Tally()
    try:
        with console.interruptible():
            if spreads:
                from napari_unet.cli import spread

                with spread.connected(args.workers, args.scheduler) as client:
                    spread.predict(work, client, console, tally)
            else:
                _one_by_one(work, console, tally)
    except Exception:
        if tally.count:
            console.say(f"{tally.count} of {len(cases)} images were done before and are written.")
        raise
    return Outcome(tally.result(), tally.text, STOPPED if console.stopped else DONE)


def _check_files_beside(
    wanted: Mapping[str, Path], images: list[Path], targets: list[Path]
) -> None:
    """See that the files beside the labels can be written where they are wanted."""
    taken = {targets[0].resolve(): "-o"}
    for name, file in wanted.items():
        image_file(file, images)
        other = taken.setdefault(file.resolve(), name)
        if other != name:
            raise UsageError(f"{name} and {other} name one file: give each its own.")


def _one_by_one(work: Work, console: Console, tally: Tally) -> None:
    """Predict in this process; one image is being read and one written beside it."""

    def get(image: Path) -> Volume:
        with tally.measure("read"):
            return work.read(image)

    writing = Behind()
    coming = begin(get, work.cases[0][0])
    try:
        for i, (image, target) in enumerate(work.cases):
            if not ready(coming, lambda: console.stopped):
                break
            volume = coming.result()
            if len(work.cases) > 1:
                console.say(f"{image} ({i + 1} of {len(work.cases)})")
            following = work.cases[i + 1][0] if i + 1 < len(work.cases) else None
            if following is not None and _leaves_room(volume):
                coming, following = begin(get, following), None
            place = open_place(Wanted(work, image, target, volume.grid))
            prediction = _fill(place, volume, work, console, tally)
            if not prediction.complete:
                console.say(place.keep())
                break
            writing(partial(_finish, place, target, prediction, work, tally))
            del volume, prediction, place  # the next image may need their memory
            if following is not None:
                writing.wait()
                coming = begin(get, following)
    finally:
        writing.wait()


def _fill(place: Place, volume: Volume, work: Work, console: Console, tally: Tally) -> Prediction:
    """Compute what a place lacks."""
    from napari_unet.engine.blocks import Layout
    from napari_unet.engine.canvas import room
    from napari_unet.engine.doubt import Watch
    from napari_unet.engine.predict import predicting

    if place.done:
        parts = Layout(volume, work.model.spec, work.settings.overlap).parts
        console.say(f"It goes on: {len(place.done)} of {parts} parts were there.")
        tally.resumed += len(place.done)
    watch = None if work.uncertainty is None else Watch(uncertainty=room(volume.grid.shape))
    job = predicting(
        volume,
        work.model,
        work.settings,
        out=place.out,
        done=place.done,
        keep_probabilities=work.probabilities is not None,
        watch=watch,
    )

    def note(report: Progress) -> Progress:
        if report.box is not None:
            place.commit(report.box)
        return report

    try:
        prediction = console.drive(passing_on(job, note))
    except BaseException:
        place.keep()
        raise
    seconds = prediction.seconds["network"]
    tally.ran(prediction.device, prediction.backend, seconds, prediction.tiles)
    return prediction


def _finish(place: Place, target: Path, prediction: Prediction, work: Work, tally: Tally) -> None:
    """Write the files of an image."""
    with tally.measure("write"):
        place.finish()
        if work.probabilities is not None and prediction.probabilities is not None:
            write_probabilities(work.probabilities, prediction.probabilities, prediction.grid)
        if work.uncertainty is not None and prediction.uncertainty is not None:
            write_probabilities(work.uncertainty, prediction.uncertainty[None], prediction.grid)
    tally.wrote(target, prediction.grid.size)


def _leaves_room(volume: Volume) -> bool:
    """Whether another image of this size fits into memory beside it; a lazy one takes none."""
    if not isinstance(volume.data, np.ndarray):
        return True
    return bool(2 * volume.data.nbytes < psutil.virtual_memory().available)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is no number of processes")
    return int(text)
