import json
import os
import subprocess
import sys

import pytest

from napari_unet.cli import models
from napari_unet.cli.command import Outcome
from napari_unet.cli.program import COMMANDS
from napari_unet.core.threads import PATIENT

WRONG_USAGE = {
    # name: (arguments, what the message must say)
    "no command": ([], "COMMAND"),
    "unknown command": (["segment"], "'segment'"),
    "no image": (["predict", "-m", "a", "-o", "b.tif"], "IMAGE"),
    "overlap": (["predict", "a", "-m", "m", "-o", "b.tif", "--overlap", "3"], "0.0 to 0.9"),
    "device": (["predict", "a", "-m", "m", "-o", "b.tif", "--device", "tpu"], "auto, cpu"),
    "several probabilities": (
        ["predict", "a", "b", "-m", "m", "-o", "d", "--probabilities", "p.tif"],
        "one image at a time",
    ),
    "several images in one file": (["predict", "a", "b", "-m", "m", "-o", "c.tif"], "a folder"),
    "budget twice": (
        ["train", "--image", "a", "--labels", "b", "-o", "c", "--minutes", "1", "--steps", "2"],
        "not allowed",
    ),
    "slices": (
        ["train", "--image", "a", "--labels", "b", "-o", "c", "--slices", "t:3"],
        "z:3,17,40",
    ),
    "fewer slices": (
        ["train", "--image", "a", "b", "--labels", "c", "d", "--slices", "z:3", "-o", "e"],
        "1 --slices",
    ),
    "fewer labels": (["train", "--image", "a", "b", "--labels", "c", "-o", "e"], "1 label files"),
    "replay": (
        ["train", "--image", "a", "--labels", "b", "--replay", "nothing", "-o", "m.safetensors"],
        "IMAGE=LABELS",
    ),
    "fewer references": (["evaluate", "a", "b", "--reference", "c"], "1 references"),
}


@pytest.mark.parametrize("case", WRONG_USAGE.values(), ids=WRONG_USAGE)
def test_wrong_usage_ends_with_2(run, case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words, says = case
    done = run(*words)
    assert (done.code, done.out) == (2, "")
    assert says in done.err
    if words:
        told = run(*words, "--json")
        assert told.code == 2
        assert says in told.json["error"]
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("words", [["--help"], ["--version"], *([c, "--help"] for c in COMMANDS)])
def test_help(run, words):
    done = run(*words)
    assert done.code == 0
    assert "napari-unet" in done.out


@pytest.fixture
def command(run, monkeypatch):
    """Run a function as if it were a command."""

    def call(function, *words):
        monkeypatch.setattr(models, "run", function)
        return run("models", *words)

    return call


def divide(args, console):
    return 1 / 0


def interrupt(args, console):
    raise KeyboardInterrupt


def chat(args, console):
    sys.stdout.write("chatter")
    return Outcome({"a": 1}, "one")


def test_a_surprise_is_one_sentence_without_a_traceback(command):
    done = command(divide, "--json")
    assert done.code == 1
    assert "division by zero" in done.json["error"]
    assert "--debug" in done.json["error"]
    assert "Traceback" not in done.err
    assert "Traceback" in command(divide, "--debug").err


def test_ctrl_c_ends_with_130(command):
    assert command(interrupt).code == 130


def test_ctrl_c_while_it_still_imports_ends_with_130_too():
    code = (
        "import signal, sys\n"
        "class Pressed:\n"
        "    def find_spec(self, name, *more):\n"
        "        if name == 'numpy': signal.raise_signal(signal.SIGINT)\n"
        "sys.meta_path.insert(0, Pressed())\n"
        "from napari_unet.cli import main\n"
        "sys.exit(main(['models', '--json']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "Stopped.\n")
    assert json.loads(done.stdout) == {"error": "Stopped."}


def test_what_libraries_print_does_not_reach_standard_output(command):
    done = command(chat, "--json")
    assert done.json == {"a": 1}
    assert done.err == "chatter"
    assert command(chat).out == "one\n"


def test_wrong_usage_is_told_without_loading_torch():
    code = (
        "import sys\n"
        "from napari_unet.cli import main\n"
        "assert main(['predict', 'a']) == 2\n"
        "heavy = {'torch', 'monai', 'napari', 'qtpy'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


@pytest.mark.parametrize(("before", "after"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_waiting_threads_do_not_spin_unless_somebody_wants_them_to(before, after):
    """Beside one busy process a training takes sixteen times as long with threads that spin."""
    inherited = {k: v for k, v in os.environ.items() if k not in PATIENT}
    inherited |= {"OMP_WAIT_POLICY": before} if before else {}
    code = (
        "import os; from napari_unet.cli import main; "
        "main(['models']); print(os.environ['OMP_WAIT_POLICY'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=inherited, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == after


@pytest.mark.parametrize(
    ("words", "code"), [(["models", "--json"], 0), (["info", "a", "--json"], 1)]
)
def test_a_reader_that_has_gone_is_no_failure(words, code):
    command = [sys.executable, "-m", "napari_unet", *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.close()
    err = process.stderr.read()
    assert process.wait() == code
    assert "BrokenPipe" not in err
    assert "Traceback" not in err
