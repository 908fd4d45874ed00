"""``napari-unet predict``: label images with a model."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import psutil

from napari_unet.cli.background import Behind, begin, ready
from napari_unet.cli.command import DONE, FAILED, STOPPED, Outcome, UsageError
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
from napari_unet.errors import UNetError
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
    there = parser.add_mutually_exclusive_group()
    there.add_argument(
        "--overwrite",
        action="store_true",
        help="Replace labels that are in the folder already. A file that -o names itself always is.",
    )
    there.add_argument(
        "--skip-existing",
        action="store_true",
        help="Leave images alone whose labels are there already, and predict the others.",
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
    """Predict the images one after the other.

    The next image is read and the one before written while one is computed. Of several images one
    that can't be predicted is named and left out. Those before the one that Ctrl+C interrupted are
    written.
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
    targets = label_files(
        images, args.output, many=many, overwrite=args.overwrite or args.skip_existing
    )
    _check_files_beside(wanted, images, targets)
    settings = read_settings(PredictSettings, args)
    tally = Tally()
    cases = tuple(zip(images, targets, strict=True))
    if args.skip_existing:
        cases = tuple((image, target) for image, target in cases if not target.exists())
        console.say(f"{len(images) - len(cases)} of {len(images)} images have labels already.")
    if not cases:
        return Outcome(tally.result(), tally.text)
    spreads = args.workers is not None or args.scheduler is not None

    from napari_unet.engine.model import load_model  # only once there is work for it
    from napari_unet.engine.starters import resolve

    file = resolve(args.model)
    # A broken link in a folder is one of many: it is left out when its turn comes.
    require_images([image for image, _ in cases if image in args.images])
    model = load_model(file)
    require_folders([*(target for _, target in cases), *wanted.values()])
    axes = {"channel_axis": args.channel_axis, "time": args.time}
    work = Work(cases, file, model, settings, axes, args.probabilities, args.uncertainty, many)
    try:
        with console.interruptible():
            if spreads:
                from napari_unet.cli import spread

                with spread.connected(args.workers, args.scheduler) as client:
                    spread.predict(work, client, console, tally)
            else:
                _Here(work, console, tally).predict()
    except Exception:
        if tally.count:
            console.say(f"{tally.count} of {len(cases)} images were done before and are written.")
        raise
    return Outcome(tally.result(), tally.text, _code(tally, console, len(cases)))


def _code(tally: Tally, console: Console, count: int) -> int:
    """Decide the exit code, and say again what happened long ago."""
    if tally.failed:
        console.say(
            f"{len(tally.failed)} of {count} images left out, see above: add --skip-existing "
            "to predict these alone once they are mended."
        )
    if console.stopped:
        return STOPPED
    return FAILED if tally.failed else DONE


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


@dataclass(eq=False)
class _Here:
    """The images of one run in this process; one is being read and one written beside it."""

    work: Work
    console: Console
    tally: Tally
    _coming: Future[Volume] | None = None
    _writing: Behind = field(default_factory=Behind)

    def predict(self) -> None:
        """Predict one after the other.

        Raises
        ------
        UNetError
            What an image met, unless the others are predicted without it; what writing met.
        """
        try:
            for i, (image, _) in enumerate(self.work.cases):
                if self._coming is None:  # the image before left no room for this one
                    self._writing.wait()
                    self._coming = begin(self._read, image)
                if not ready(self._coming, lambda: self.console.stopped):
                    break
                read, self._coming = self._coming, None
                try:
                    finish = self._compute(i, read)
                except UNetError as error:
                    if not self.work.goes_on_after(error):
                        raise
                    self.console.say(self.tally.missed(image, error))
                    continue
                if finish is None:
                    break
                self._writing(finish)
                del finish  # the next image may need its memory
        finally:
            self._writing.wait()

    def _read(self, image: Path) -> Volume:
        with self.tally.measure("read"):
            return self.work.read(image)

    def _compute(self, i: int, read: Future[Volume]) -> Callable[[], None] | None:
        """Predict an image that has been read; give what writes it, or nothing when told to stop."""
        work, (image, target) = self.work, self.work.cases[i]
        following = work.cases[i + 1][0] if i + 1 < len(work.cases) else None
        volume = read.result()
        if len(work.cases) > 1:
            self.console.say(f"{image} ({i + 1} of {len(work.cases)})")
        if following is not None and _leaves_room(volume):
            self._coming = begin(self._read, following)
        place = open_place(Wanted(work, image, target, volume.grid))
        prediction = _fill(place, volume, work, self.console, self.tally)
        if not prediction.complete:
            self.console.say(place.keep())
            return None
        return partial(_finish, place, target, prediction, work, self.tally)


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
