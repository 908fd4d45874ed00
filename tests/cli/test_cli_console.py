import io
import signal
import warnings

import pytest

from napari_unet.cli.console import Console, clock, describe, table
from napari_unet.core import grid
from napari_unet.core.progress import Job, Progress

REPORTS = {
    "tiles": (Progress("predict", 3, 12, 61.0, 5.4), "predict  3/12  1:01  0:05 left"),
    "end unknown": (Progress("train", 7, seconds=1), "train  7  0:01"),
    "nothing yet": (Progress("prepare"), "prepare  0:00"),
    "loss": (Progress("train", 7, 9, loss=0.51234), "train  7/9  loss 0.512  0:00"),
    "Dice and its ground": (
        Progress("train", 7, dice={1: 0.5, 2: 1.0}, voxels=12000),
        "train  7  held-out Dice 0.750 on 12,000 voxels  0:00",
    ),
}


@pytest.mark.parametrize("case", REPORTS.values(), ids=REPORTS)
def test_a_report_is_one_line(case):
    report, line = case
    assert describe(report) == line


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (3725, "62:05")])
def test_clock(seconds, text):
    assert clock(seconds) == text


def test_table():
    rows = [("", "Dice"), ("brain", "0.9"), ("a", "")]
    assert table(rows) == "       Dice\nbrain   0.9\na"


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_rewrites_its_line():
    stream = Terminal()
    console = Console(stream)
    console.show(Progress("predict", 10, 12))
    console.show(Progress("predict", 1, 2))
    console.say("done")
    assert stream.getvalue() == "\rpredict  10/12  0:00\rpredict  1/2  0:00  \ndone\n"


def test_a_file_gets_a_line_now_and_then_and_every_message():
    stream = io.StringIO()
    console = Console(stream)
    for done in range(3):
        console.show(Progress("predict", done, 3))
        console.show(Progress("predict", done, 3, message=f"message {done}"))
    lines = stream.getvalue().splitlines()
    assert lines == ["predict  0/3  0:00", "message 0", "message 1", "message 2"]


def interrupted(times: int) -> Job[int]:
    """Press Ctrl+C `times` times, one a step; end when told to."""
    for done in range(5):
        if done < times:
            signal.raise_signal(signal.SIGINT)
        if (yield Progress("work", done, 5)):
            return done
    return 5


def test_ctrl_c_asks_the_job_to_stop(tmp_path):
    before = signal.getsignal(signal.SIGINT)
    path = tmp_path / "said.txt"
    with path.open("w") as stream:
        console = Console(stream)
        assert console.drive(interrupted(0)) == 5
        assert not console.stopped
        assert console.drive(interrupted(1)) == 0
    assert console.stopped
    assert "Ctrl+C again" in path.read_text()
    assert signal.getsignal(signal.SIGINT) is before


def deaf() -> Job[int]:
    """Go on whatever is said, and press Ctrl+C at every step."""
    for done in range(5):
        signal.raise_signal(signal.SIGINT)
        yield Progress("work", done, 5)
    return 5


class Interrupted(io.FileIO):
    """A file to which nothing is written without somebody pressing Ctrl+C meanwhile, once."""

    pressed = False

    def write(self, data):
        if not self.pressed:
            self.pressed = True
            signal.raise_signal(signal.SIGINT)
        return super().write(data)


def test_ctrl_c_while_a_line_is_printed_stops_the_job_and_breaks_nothing(tmp_path):
    """What is printed from within a print is a RuntimeError, which would have lost the work."""
    path = tmp_path / "said.txt"
    with io.TextIOWrapper(io.BufferedWriter(Interrupted(path, "w"))) as stream:
        console = Console(stream)
        with console.interruptible():
            console.say("read a.nii.gz")
        console.say("saved b.nii.gz")
    assert console.stopped
    lines = path.read_text().splitlines()
    assert sorted(lines)[0].startswith("Stopping with what is finished")
    assert sorted(lines)[1:] == ["read a.nii.gz", "saved b.nii.gz"]


def test_the_second_ctrl_c_ends_the_program():
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        Console(io.StringIO()).drive(deaf())
    assert signal.getsignal(signal.SIGINT) is before


def test_only_warnings_of_this_package_are_shown():
    stream = io.StringIO()
    with Console(stream).warnings():
        warnings.simplefilter("always")
        warnings.warn("of a test", stacklevel=1)
        warnings.warn_explicit("the spacing is a guess", UserWarning, grid.__file__, 1)
    assert stream.getvalue() == "the spacing is a guess\n"
