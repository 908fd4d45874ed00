"""Tests of what napari's canvas does while layers come and go."""

import subprocess
import sys
from pathlib import Path

from napari_unet.core.bundled import sample


def test_labels_made_after_others_were_deleted_are_drawn():
    script = Path(__file__).with_name("deleter.py")
    command = [sys.executable, "-X", "faulthandler", str(script), str(sample("nuclei-2d").image)]
    napari = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert napari.stdout.endswith("drawn\n"), napari.stderr[-2000:]
    assert napari.returncode == 0
