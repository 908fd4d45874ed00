"""No test touches the user's own napari settings, models or journals."""

import os
import tempfile
from pathlib import Path

# Threads that wait must not spin, or a busy machine stretches a training step sevenfold.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "0")

_HOME = Path(tempfile.mkdtemp(prefix="napari-unet-tests-"))

# Before anything imports napari or platformdirs, and for every child process too.
os.environ["NAPARI_CONFIG"] = str(_HOME / "napari" / "settings.yaml")
os.environ["XDG_DATA_HOME"] = os.environ["WIN_PD_OVERRIDE_LOCAL_APPDATA"] = str(_HOME / "data")
os.environ["XDG_STATE_HOME"] = os.environ["XDG_CACHE_HOME"] = str(_HOME / "state")
