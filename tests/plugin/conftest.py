"""A real viewer with the dock in it, and a real, tiny model."""

import gc

import pytest
from qtpy.QtCore import QElapsedTimer, QTimer
from qtpy.QtWidgets import QApplication
from superqt.utils import WorkerBase

from napari_unet.core.bundled import sample, user_models_folder
from napari_unet.core.classes import LabelClass, default_classes
from napari_unet.core.spec import ModelSpec

CLASSES = (
    *default_classes([]),
    LabelClass(1, "anterior", (0.9, 0.62, 0.0)),
    LabelClass(2, "posterior", (0.34, 0.71, 0.91)),
)
CHILD_MS = 180_000
"""A child process on a busy machine may take this long to load torch and do something tiny."""


@pytest.fixture(autouse=True)
def workers_end():
    """Leave no thread of one test running into the next."""
    yield
    if WorkerBase._worker_set:
        WorkerBase.await_workers(10_000)
        QApplication.processEvents()
    gc.collect()


@pytest.fixture(autouse=True)
def fresh_home(tmp_path, monkeypatch):
    """Give each test its own models and journals."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("WIN_PD_OVERRIDE_LOCAL_APPDATA", str(tmp_path / "home"))


@pytest.fixture
def viewer(make_napari_viewer):
    """Make a viewer."""
    return make_napari_viewer()


@pytest.fixture
def dock(viewer):
    """Open the dock as the Plugins menu does, and let go of it in the end."""
    _, widget = viewer.window.add_plugin_dock_widget("napari-unet")
    yield widget
    widget.release()


@pytest.fixture
def hippocampus(dock):
    """Open the hippocampus sample in the dock."""
    dock.opening.sample(sample("hippocampus"))
    return sample("hippocampus")


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    """Save tiny untrained models: two for the same classes, one for objects."""
    import torch

    from napari_unet.engine.model import Model, from_torch, save_model
    from napari_unet.engine.networks import build_network

    folder = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    flat = ModelSpec(dims=2, features=(4, 8), tile=(64, 64), target="instances")
    deep = ModelSpec(
        features=(4, 8), tile=(16, 32, 32), classes=CLASSES, spacing=(1.0, 1.0, 1.0), unit="mm"
    )
    specs = {"classes": deep, "objects": flat, "other": deep}
    return {
        name: save_model(
            Model(spec, from_torch(build_network(spec).state_dict()), name=name),
            folder / f"{name}.safetensors",
        )
        for name, spec in specs.items()
    }


@pytest.fixture
def model(weights):
    """Put the model for classes among the user's own."""
    path = user_models_folder() / "tiny.safetensors"
    path.write_bytes(weights["classes"].read_bytes())
    return path


def crash(dock):
    """Leave the journals as a killed process leaves them: written, open, never marked saved."""
    dock.safety._stroke.stop()
    dock.safety._sweep.stop()
    for _, journal in dock.safety._journals:
        journal.flush()
        journal.close(clean=False)
    dock.safety._journals.clear()


class Heartbeat:
    """A 10-ms timer that remembers how long the event loop kept it waiting."""

    def __init__(self) -> None:
        self.gaps: list[float] = []
        self._clock = QElapsedTimer()
        self._timer = QTimer(interval=10)
        self._timer.timeout.connect(self._beat)

    def __enter__(self) -> "Heartbeat":
        self._clock.start()
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.stop()

    def report(self, during: str) -> str:
        """Say how the loop did."""
        gaps = sorted(self.gaps)
        p99 = gaps[int(0.99 * (len(gaps) - 1))]
        return f"event loop during {during}: p99 {p99:.0f} ms, longest stall {gaps[-1]:.0f} ms"

    def _beat(self) -> None:
        self.gaps.append(self._clock.nsecsElapsed() / 1e6 - 10)
        self._clock.restart()


@pytest.fixture
def heartbeat():
    """Return a maker of heartbeats."""
    return Heartbeat
