"""Set up napari-unet in a virtual environment of its own, then run its demo or its tests.

    python tools/bootstrap.py demo [arguments of `napari-unet demo`]
    python tools/bootstrap.py test [--slow] [arguments of pytest]

Needs Python 3.11 or later and nothing else: this file uses the standard library alone. The first
run takes some minutes and downloads about 0.5 GB with a CPU build of PyTorch (2.2 GB on disk), and
several GB more with the CUDA build, which is what Linux gets by default. Later runs start at once.

Environment variables
---------------------
NAPARI_UNET_VENV
    Where the virtual environment lies; `.venv` in this checkout otherwise.
NAPARI_UNET_TORCH
    What pip is asked for instead of the pinned PyTorch: another version, a file, or a requirement
    with options, such as `torch --index-url https://download.pytorch.org/whl/cpu` for the CPU build
    on Linux. A PyTorch that the environment already has is kept as it is.
CI
    When set, `test` runs the slow tests too.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain, count
from pathlib import Path

if sys.version_info < (3, 11):  # noqa: UP036 - this file meets the Pythons that pip would refuse
    sys.exit(f"napari-unet needs Python 3.11 or later, and {sys.executable} is older: use another.")

import tomllib

ROOT = Path(__file__).resolve().parents[1]
VENV = Path(os.environ.get("NAPARI_UNET_VENV") or ROOT / ".venv").absolute()
PROGRAMS, SUFFIX = (VENV / "Scripts", ".exe") if os.name == "nt" else (VENV / "bin", "")
PYTHON = PROGRAMS / f"python{SUFFIX}"
NAPARI_UNET = PROGRAMS / f"napari-unet{SUFFIX}"
STAMP = VENV / "napari-unet.stamp"

TORCH = "torch==2.13.0"
EXTRAS = ("pyqt6", "test")
STOPPED = 130

# What a bare Debian or Ubuntu lacks before Qt can open a window (docs/architecture.md).
WINDOW_PACKAGES = (
    "libgl1 libegl1 libglib2.0-0 libfontconfig1 libdbus-1-3 libxkbcommon-x11-0 libxcb-cursor0 "
    "libxcb-icccm4 libxcb-keysyms1 libxcb-shape0"
)


def main(arguments: Sequence[str]) -> int:
    """Run one of the two commands; return the exit code of what it ran."""
    if not arguments or arguments[0] not in ("demo", "test"):
        print(__doc__)
        return 0 if {"-h", "--help"} & set(arguments) else 2
    command, *rest = arguments
    screen = has_screen(os.environ)
    if command == "demo":
        rest = demo_arguments(rest, screen)
    window = command == "test" or "--headless" not in rest
    install_system_packages(window, screen)
    set_up()
    with display(screen or not window) as environment:
        if command == "demo":
            return run(NAPARI_UNET, "demo", *rest, environment=environment)
        return test(rest, environment)


def demo_arguments(given: Sequence[str], screen: bool) -> list[str]:
    """Complete the arguments of `napari-unet demo`: without a screen it runs headless."""
    if screen or "--headless" in given:
        return list(given)
    return ["--headless", *(given or ["--minutes", "2", "-o", demo_folder()])]


def demo_folder() -> str:
    """Name a folder that is not there yet: the demo replaces nothing."""
    names = chain(("demo-output",), (f"demo-output-{n}" for n in count(2)))
    return next(name for name in names if not (ROOT / name).exists())


def test(given: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run lint, format, types, manifest and tests in this order; stop at the first that fails."""
    slow = "--slow" in given or bool(environment.get("CI"))
    chosen = [argument for argument in given if argument != "--slow"]
    steps = (
        ["ruff", "check", "."],
        ["ruff", "format", "--check", "."],
        ["mypy"],
        ["npe2", "validate", "--imports", "napari-unet"],
        ["pytest", *([] if slow else ["-m", "not slow"]), *chosen],
    )
    for step in steps:
        code = run(PYTHON, "-m", *step, environment=environment)
        if code:
            return code
    return 0


def set_up() -> None:
    """Make the virtual environment with PyTorch and this checkout in it, unless it is all there."""
    if STAMP.is_file() and STAMP.read_text() == fingerprint():
        return
    say(f"Setting up {VENV}: minutes, and 0.5 GB of downloads or more, the first time.")
    if not answers("-m", "pip", "--version"):
        require(run(sys.executable, "-m", "venv", VENV))
    pip = (PYTHON, "-m", "pip", "install", "--disable-pip-version-check")
    # PyTorch goes first: the project is content with this one, and pip looks for no newer build.
    wanted = os.environ.get("NAPARI_UNET_TORCH")
    if wanted or not answers("-c", "import importlib.metadata as m; m.version('torch')"):
        require(run(*pip, *shlex.split(wanted or TORCH, posix=os.name != "nt")))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [extra for extra in EXTRAS if extra in project["optional-dependencies"]]
    require(run(*pip, "--editable", f".[{','.join(extras)}]"))
    STAMP.write_text(fingerprint())


def fingerprint() -> str:
    """Digest of all that the set-up depends on, and of the manifest that it copies."""
    digest = hashlib.sha256(f"{ROOT} {os.environ.get('NAPARI_UNET_TORCH', TORCH)}".encode())
    for name in ("pyproject.toml", "napari.yaml", "src/napari_unet/napari.yaml"):
        file = ROOT / name
        digest.update(file.read_bytes() if file.is_file() else b"missing")
    return digest.hexdigest()


def install_system_packages(window: bool, screen: bool) -> None:
    """Install what Debian and Ubuntu lack when we are root; say the one command otherwise.

    Raises
    ------
    SystemExit
        When something is missing and could not be installed.
    """
    if not shutil.which("apt-get"):
        return
    needed = WINDOW_PACKAGES.split() if window else []
    if window and not screen:
        needed.append("xvfb")
    if not PYTHON.exists() and importlib.util.find_spec("ensurepip") is None:
        needed.append(f"python3.{sys.version_info.minor}-venv")
    present = installed_packages()
    missing = [package for package in needed if package not in present]
    if not missing:
        return
    install = ["apt-get", "install", "-y", "--no-install-recommends", *missing]
    if os.geteuid() != 0:
        raise SystemExit(f"System packages are missing; run\n  sudo {shlex.join(install)}")
    say("Installing system packages, as root.")
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    run("apt-get", "update", environment=environment)
    if run(*install, environment=environment):
        raise SystemExit(f"apt-get failed, see above: install by hand {' '.join(missing)}")


def installed_packages() -> set[str]:
    """Names of Debian's installed packages and of all that they provide.

    Provided names count: Ubuntu 24.04 has libglib2.0-0 under the name libglib2.0-0t64.
    """
    form = "${db:Status-Status}, ${Package}, ${Provides}\n"
    listing = subprocess.run(["dpkg-query", "-W", "-f", form], capture_output=True, check=True)
    rows = (line.split(", ") for line in listing.stdout.decode().splitlines())
    present = (names for state, *names in rows if state == "installed")
    return {name.split()[0] for names in present for name in names if name}


def has_screen(environment: Mapping[str, str]) -> bool:
    """Tell whether Qt finds a display: always on macOS and Windows."""
    if not sys.platform.startswith("linux"):
        return True
    return bool(environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY"))


@contextmanager
def display(screen: bool) -> Iterator[dict[str, str]]:
    """Yield an environment in which Qt can open windows, on a virtual screen if there is no other.

    Raises
    ------
    SystemExit
        When Xvfb is needed and is missing or does not start.
    """
    if screen:
        yield dict(os.environ)
        return
    xvfb = shutil.which("Xvfb")
    if xvfb is None:
        raise SystemExit("There is no display, and Xvfb, a virtual one, is missing: install Xvfb.")
    read, write = os.pipe()
    server = subprocess.Popen(
        [xvfb, "-displayfd", str(write), "-screen", "0", "1600x1000x24", "-nolisten", "tcp"],
        pass_fds=[write],
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl+C is for the program on the screen, which still needs it
    )
    os.close(write)
    try:
        with os.fdopen(read) as pipe:
            number = pipe.readline().strip()  # Xvfb picks a free display and says it when ready
        if not number:
            raise SystemExit("Xvfb, the virtual display, did not start: run `Xvfb :99` to see why.")
        yield os.environ | {"DISPLAY": f":{number}"}
    finally:
        server.terminate()
        server.wait()


def run(*command: str | Path, environment: Mapping[str, str] | None = None) -> int:
    """Say and run a command in the checkout; return its exit code as a shell would."""
    parts = [str(part) for part in command]
    say(f"$ {shlex.join(parts)}")
    with subprocess.Popen(parts, cwd=ROOT, env=environment) as process:
        try:
            code = process.wait()
        except KeyboardInterrupt:
            # The program got Ctrl+C as well: it ends in its own way, the demo with its best so far.
            code = process.wait() or STOPPED
    return code if code >= 0 else 128 - code


def answers(*arguments: str) -> bool:
    """Tell whether the environment's Python exists and runs these arguments without an error."""
    if not PYTHON.exists():
        return False
    return not subprocess.run([PYTHON, *arguments], capture_output=True, check=False).returncode


def require(code: int) -> None:
    """Leave with a failed command's exit code."""
    if code:
        raise SystemExit(code)


def say(text: str) -> None:
    """Print at once, so that our lines stand before those of what we run."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(STOPPED)
