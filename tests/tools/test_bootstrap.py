import importlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parents[2] / "tools"

needs_xvfb = pytest.mark.skipif(shutil.which("Xvfb") is None, reason="Xvfb is Linux's alone")


@pytest.fixture
def bootstrap(monkeypatch):
    monkeypatch.syspath_prepend(TOOLS)
    return importlib.import_module("bootstrap")


@pytest.mark.parametrize(("arguments", "code"), [([], 2), (["frobnicate"], 2), (["--help"], 0)])
def test_usage_is_shown_for_anything_but_the_two_commands(arguments, code):
    run = subprocess.run(
        [sys.executable, TOOLS / "bootstrap.py", *arguments], capture_output=True, check=False
    )
    assert run.returncode == code
    assert b"bootstrap.py demo" in run.stdout


@pytest.mark.parametrize(
    ("given", "screen", "completed"),
    [
        ([], True, []),
        ([], False, ["--headless", "--minutes", "2", "-o", "demo-output"]),
        (["--minutes", "1"], True, ["--minutes", "1"]),
        (["--minutes", "1"], False, ["--headless", "--minutes", "1"]),
        (["--headless"], True, ["--headless"]),
        (["--headless"], False, ["--headless"]),
    ],
)
def test_without_a_screen_the_demo_is_headless(
    bootstrap, monkeypatch, tmp_path, given, screen, completed
):
    monkeypatch.setattr(bootstrap, "ROOT", tmp_path)
    assert bootstrap.demo_arguments(given, screen) == completed


def test_each_demo_has_a_folder_of_its_own(bootstrap, monkeypatch, tmp_path):
    monkeypatch.setattr(bootstrap, "ROOT", tmp_path)
    for name in ("demo-output", "demo-output-2", "demo-output-3"):
        assert bootstrap.demo_arguments([], False)[-1] == name
        (tmp_path / name).mkdir()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere there is a screen")
@pytest.mark.parametrize(
    ("environment", "screen"),
    [
        ({}, False),
        ({"DISPLAY": ""}, False),
        ({"DISPLAY": ":0"}, True),
        ({"WAYLAND_DISPLAY": "wayland-0"}, True),
    ],
)
def test_a_screen_is_known_by_its_variable(bootstrap, environment, screen):
    assert bootstrap.has_screen(environment) is screen


@pytest.mark.skipif(shutil.which("dpkg-query") is None, reason="Debian and Ubuntu alone")
def test_provided_packages_count_as_installed(bootstrap):
    names = bootstrap.installed_packages()
    assert {"dpkg", "base-files"} <= names
    assert "awk" in names  # what mawk and gawk provide


@pytest.mark.parametrize(
    ("code", "expected"),
    [("raise SystemExit(0)", 0), ("raise SystemExit(3)", 3)],
)
def test_exit_codes_pass_through(bootstrap, code, expected):
    assert bootstrap.run(sys.executable, "-c", code) == expected


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_a_killed_program_gives_the_shells_code(bootstrap):
    kill = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    assert bootstrap.run(sys.executable, "-c", kill) == 128 + signal.SIGKILL


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_ctrl_c_lets_the_program_end_in_its_own_way(tmp_path):
    program = (
        "import pathlib, time\n"
        "try:\n    print('ready', flush=True); time.sleep(60)\n"
        "except KeyboardInterrupt:\n    pathlib.Path('best').write_text('so far')\n"
    )
    code = f"import os, sys; import bootstrap as b; b.ROOT = {str(tmp_path)!r}; "
    code += f"sys.exit(b.run(sys.executable, '-c', {program!r}))"
    terminal = subprocess.Popen(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(TOOLS)},
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    with terminal:
        assert terminal.stdout.readline() == b"ready\n"
        os.killpg(terminal.pid, signal.SIGINT)
        assert terminal.wait(timeout=60) == 130
    assert (tmp_path / "best").read_text() == "so far"


@needs_xvfb
def test_a_virtual_screen_starts_and_ends(bootstrap):
    with bootstrap.display(screen=False) as environment:
        socket = Path("/tmp/.X11-unix") / f"X{environment['DISPLAY'].removeprefix(':')}"  # noqa: S108
        assert socket.is_socket()
    assert not socket.exists()


def test_the_fingerprint_follows_the_files_and_the_wish_for_a_torch(
    bootstrap, tmp_path, monkeypatch
):
    monkeypatch.setattr(bootstrap, "ROOT", tmp_path)
    monkeypatch.delenv("NAPARI_UNET_TORCH", raising=False)
    seen = {bootstrap.fingerprint()}
    for name in ("pyproject.toml", "napari.yaml"):
        (tmp_path / name).write_text("a")
        seen.add(bootstrap.fingerprint())
    monkeypatch.setenv("NAPARI_UNET_TORCH", "torch==2.12.0")
    seen.add(bootstrap.fingerprint())
    assert len(seen) == 4
    assert bootstrap.fingerprint() in seen
