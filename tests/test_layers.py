"""The second law: imports go down only, and heavy libraries stay in the layers that own them."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "src" / "napari_unet"
FILES = {p.relative_to(PACKAGE).as_posix(): p for p in sorted(PACKAGE.rglob("*.py"))}

GROUND = {"errors", "atomic", "core"}
BELOW = {
    "errors": set(),
    "atomic": {"errors"},
    "core": {"errors", "atomic"},
    "engine": GROUND,
    "io": GROUND,
    "edit": GROUND,
    "report": GROUND | {"engine"},
    "jobs": GROUND | {"engine", "io"},
    "api": GROUND | {"engine", "io"},
    "__init__": GROUND | {"engine", "io", "api"},
    "cli": GROUND | {"engine", "io", "api", "jobs", "report"},
    "plugin": GROUND | {"engine", "io", "edit", "api", "jobs", "report"},
    "__main__": {"cli"},
}
"""What of the package each layer may import, itself apart."""

DOOR = {"cli/demo.py": {"plugin"}}
"""The one way up: `napari-unet demo` opens the window, and imports it only where it is wanted."""

LEARNING = {"torch", "monai", "openvino", "safetensors"}
WINDOW = {"napari", "npe2", "magicgui", "qtpy", "superqt", "pyqtgraph", "PyQt6", "PySide6", "vispy"}
FORBIDDEN = {
    "io": LEARNING | WINDOW,
    "edit": LEARNING | WINDOW,
    "engine": WINDOW,
    "report": LEARNING | WINDOW,
    "jobs": WINDOW,
    "api": WINDOW,
    "cli": WINDOW,
    "plugin": LEARNING,
    "__main__": LEARNING | WINDOW,
    "__init__": LEARNING | WINDOW,
}
"""Libraries that a layer must not name at all; the ground has its own, shorter list of allowed ones."""

ALLOWED_IN_GROUND = {"numpy", *sys.stdlib_module_names}
EXCEPTIONS = {
    "core/bundled.py": {"platformdirs"},
    "core/model_header.py": {"pydantic"},
    "core/scores.py": {"scipy"},
}


def imports(path: Path) -> Iterator[str]:
    """Yield every module that a file imports, at its top or inside a function, by its full name."""
    inside = path.relative_to(PACKAGE.parent).with_suffix("").parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(inside[: -node.level]) if node.level else ""
            module = ".".join(part for part in (base, node.module) if part)
            if module == "napari_unet":
                yield from (f"napari_unet.{alias.name}" for alias in node.names)
            else:
                yield module


def layer_of(file: str) -> str:
    return file.split("/")[0].removesuffix(".py")


def test_every_file_has_a_layer():
    assert {layer_of(file) for file in FILES} <= BELOW.keys()


@pytest.mark.parametrize("file", FILES)
def test_imports_go_down_only(file):
    layer = layer_of(file)
    own = {m.split(".")[1] for m in imports(FILES[file]) if m.startswith("napari_unet.")}
    wrong = (own & BELOW.keys()) - BELOW[layer] - {layer} - DOOR.get(file, set())
    assert not wrong, f"{file} imports from {wrong}"


@pytest.mark.parametrize("file", FILES)
def test_libraries_stay_where_they_belong(file):
    layer = layer_of(file)
    roots = {m.split(".")[0] for m in imports(FILES[file])} - {"napari_unet"}
    if layer in GROUND:
        wrong = roots - ALLOWED_IN_GROUND - EXCEPTIONS.get(file, set())
    else:
        wrong = roots & FORBIDDEN[layer]
    assert not wrong, f"{file} imports {wrong}"


HEAVY = sorted(LEARNING | WINDOW | {"scipy", "skimage", "nibabel", "zarr"})


@pytest.mark.parametrize(
    ("statement", "never"),
    [
        ("import napari_unet", HEAVY),
        ("import napari_unet.core.bundled", HEAVY),
        ("import napari_unet.io", sorted(LEARNING | WINDOW)),
        ("import napari_unet.edit", sorted(LEARNING | WINDOW)),
        ("import napari_unet.report", sorted(LEARNING | WINDOW)),
        ("import napari_unet.jobs", sorted(LEARNING | WINDOW)),
        ("import napari_unet.cli", sorted(LEARNING | WINDOW)),
        ("import napari_unet.plugin.dock", sorted(LEARNING)),
    ],
)
def test_a_fresh_interpreter_loads_no_more_than_it_needs(statement, never):
    code = f"{statement}; import sys; print(*(sys.modules.keys() & set({never})))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == []


def test_the_page_on_architecture_names_every_room_and_no_file_that_is_gone():
    root = PACKAGE.parents[1]
    page = (root / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([\w/]+\.py)`", page))
    there = [
        f"/{p.relative_to(root).as_posix()}"
        for top in ("src", "tests")
        for p in (root / top).rglob("*.py")
    ]
    assert named
    assert [one for one in sorted(named) if not any(p.endswith(f"/{one}") for p in there)] == []
    rooms = {file.split("/")[0] for file in FILES if "/" in file}
    assert [room for room in sorted(rooms) if f"  {room}/" not in page] == []
