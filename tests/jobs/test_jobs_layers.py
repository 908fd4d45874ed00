import subprocess
import sys

CODE = """
import sys
import napari_unet.jobs
heavy = {"torch", "monai", "napari", "qtpy", "PyQt6", "PySide6", "magicgui", "dask", "scipy"}
print(sorted(heavy & {name.partition(".")[0] for name in sys.modules}))
"""


def test_the_parents_side_imports_neither_torch_nor_qt():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
