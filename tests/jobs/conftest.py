import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from napari_unet.core.annotation import Annotation
from napari_unet.core.grid import Grid
from napari_unet.core.progress import Progress
from napari_unet.core.volume import Volume
from napari_unet.jobs import Child, Failed, Finished

End = Finished | Failed


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep logs, journals and shared arrays out of the user's folders (logs, data: on Linux)."""
    for name in ("XDG_STATE_HOME", "XDG_DATA_HOME", "TMPDIR"):
        folder = tmp_path / name.lower()
        folder.mkdir()
        monkeypatch.setenv(name, str(folder))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmpdir"))


@pytest.fixture
def child() -> Iterator[Child]:
    with Child() as started:
        yield started


@pytest.fixture
def until() -> Callable[..., tuple[list[Progress], list[End]]]:
    """Return a function that polls a child until its job has ended, or `enough` of it was seen."""

    def wait(
        child: Child, enough: Callable[[Progress], bool] = lambda _: False
    ) -> tuple[list[Progress], list[End]]:
        reports: list[Progress] = []
        ends: list[End] = []
        while not ends:
            for event in child.poll():
                (reports if isinstance(event, Progress) else ends).append(event)
            if any(enough(report) for report in reports):
                break
            time.sleep(0.01)
        return reports, ends

    return wait


@pytest.fixture(scope="session")
def ball() -> tuple[Volume, Annotation]:
    """A bright ball in noise, (16, 40, 40), every other slice of it annotated."""
    z, y, x = np.ogrid[:16, :40, :40]
    labels = ((z - 8) ** 2 * 4 + (y - 20) ** 2 + (x - 18) ** 2 < 144).astype(np.uint8)
    noise = np.random.default_rng(0).normal(0, 0.2, labels.shape)
    grid = Grid(labels.shape, (2.0, 1.0, 1.0), "mm", header=b"\xff\x00 not text")
    volume = Volume((labels + noise).astype(np.float32)[None], grid, name="ball")
    return volume, Annotation.from_slices(labels, 0, range(0, 16, 2))
