"""What a user gets from pip: built from a clean copy, installed beside nothing of this checkout."""

import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

import napari_unet

ROOT = Path(__file__).resolve().parents[1]
MANIFEST = ROOT / "napari.yaml"
SOURCES = ("src", "tools", "tests", "sample_data", "pyproject.toml", "napari.yaml", ".gitignore")
TEXTS = ("README.md", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md")


def python(*arguments, cwd, **environment):
    run = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout.strip()


def test_the_version_is_stated_once_for_all():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == napari_unet.__version__
    assert f"## [{project['version']}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Folder with the sdist and the wheel of a copy of the checkout, as git would give it."""
    home = tmp_path_factory.mktemp("build")
    copy = home / "copy"
    copy.mkdir()
    for name in (*SOURCES, *TEXTS):
        source = ROOT / name
        if source.is_dir():
            unwanted = shutil.ignore_patterns("__pycache__", "*.egg-info")
            shutil.copytree(source, copy / name, ignore=unwanted)
        else:
            shutil.copyfile(source, copy / name)
    (copy / "src" / "napari_unet" / "napari.yaml").unlink(missing_ok=True)
    python("-m", "hatchling", "build", "-t", "sdist", "-t", "wheel", "-d", home, cwd=copy)
    return home


@pytest.fixture(scope="module")
def site(built, tmp_path_factory):
    """Folder into which pip installed the sdist, so by way of a wheel made from the sdist."""
    folder = tmp_path_factory.mktemp("site")
    (sdist,) = built.glob("*.tar.gz")
    options = ("--quiet", "--no-deps", "--no-build-isolation", "--no-index")
    python("-m", "pip", "install", *options, "--target", folder, sdist, cwd=built)
    return folder


def test_the_package_has_the_manifest_of_the_checkout():
    copy = ROOT / "src" / "napari_unet" / "napari.yaml"
    assert copy.read_bytes() == MANIFEST.read_bytes(), (
        "napari.yaml was edited: run `python -m pip install --no-deps --editable .` again"
    )


def test_the_wheel_holds_what_runs_and_no_more(built):
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        assert archive.read("napari_unet/napari.yaml") == MANIFEST.read_bytes()
    assert "napari_unet/py.typed" in names
    for sample in (ROOT / "sample_data").iterdir():
        assert f"napari_unet/sample_data/{sample.name}" in names
    tops = {name.split("/")[0] for name in names}
    assert {top.split("-")[0] for top in tops} == {"napari_unet"}
    assert not [name for name in names if "/tests/" in name or "conftest" in name]


def test_the_sdist_holds_what_is_needed_to_work_on_it(built):
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {"pyproject.toml", "napari.yaml", "tools/bootstrap.py", "tests/test_packaging.py"}
    assert wanted | set(TEXTS) <= names
    assert "src/napari_unet/napari.yaml" not in names


def test_napari_finds_the_manifest_of_an_installed_package(site, tmp_path):
    code = (
        "from npe2 import PluginManifest as M; m = M.from_distribution('napari-unet');"
        "print(m.name, len(m.contributions.commands) > 0)"
    )
    assert python("-c", code, cwd=tmp_path, PYTHONPATH=str(site)) == "napari-unet True"


def test_an_installed_package_finds_its_samples(site, tmp_path):
    code = (
        "from napari_unet.core import bundled; print(bundled.folder());"
        "print(all(s.image.is_file() and s.labels.is_file() for s in bundled.samples()))"
    )
    folder, complete = python("-c", code, cwd=tmp_path, PYTHONPATH=str(site)).splitlines()
    assert Path(folder) == site / "napari_unet" / "sample_data"
    assert complete == "True"
