"""Real Dask clusters, their workers in processes of their own."""

import os
import shutil
import signal
import sys
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import distributed
import numpy as np
import psutil
import pytest
import torch

from napari_unet.cli import main
from napari_unet.cli.places import open_place
from napari_unet.cli.work import Wanted, Work
from napari_unet.core.classes import BACKGROUND, LabelClass
from napari_unet.core.grid import Grid
from napari_unet.core.progress import run
from napari_unet.core.settings import PredictSettings
from napari_unet.core.spec import ModelSpec, Normalisation
from napari_unet.engine.blocks import Layout
from napari_unet.engine.model import Model, from_torch, load_model, save_model
from napari_unet.engine.networks import build_network
from napari_unet.engine.predict import predicting
from napari_unet.errors import ChildError, DeviceError, ModelFileError, ReadError
from napari_unet.io import read, read_labels, write_probabilities
from napari_unet.jobs.cluster import computing, existing_cluster, local_cluster
from napari_unet.jobs.cluster_worker import Task
from napari_unet.jobs.requests import FileVolume

SETTINGS = PredictSettings(device="cpu", backend="torch")
SHAPE = (40, 64, 64)

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Make a folder with a tiny model and an image, as NIfTI and as OME-Zarr."""
    place = tmp_path_factory.mktemp("shared")
    torch.manual_seed(0)
    spec = ModelSpec(
        features=(4, 8),
        tile=(8, 16, 16),
        classes=(BACKGROUND, LabelClass(1, "one", (0.9, 0.6, 0.0))),
    )
    save_model(
        Model(spec, from_torch(build_network(spec).state_dict()), "tiny"),
        place / "tiny.safetensors",
    )
    values = np.random.default_rng(0).standard_normal((1, *SHAPE), np.float32)
    grid = Grid(SHAPE, (1.0, 1.0, 1.0), "mm")
    write_probabilities(place / "image.nii.gz", values, grid)
    write_probabilities(place / "image.ome.zarr", values, grid)
    return place


@pytest.fixture(scope="module")
def whole(folder):
    """Predict the image here."""
    volume, model = read(folder / "image.nii.gz"), load_model(folder / "tiny.safetensors")
    return run(predicting(volume, model, SETTINGS)).labels


@pytest.fixture(scope="module")
def address():
    """Start a scheduler with one worker, in a process of its own.

    Inside this one its tasks would make their client the default, and dask would go on sending all
    it computes here to a cluster that is gone.
    """
    with cluster_of(threads=1, processes=True) as cluster:
        yield cluster.scheduler_address


def cluster_of(threads, processes):
    return distributed.LocalCluster(
        n_workers=1,
        threads_per_worker=threads,
        processes=processes,
        protocol="tcp",
        dashboard_address=None,
        silence_logs=False,
    )


def task_of(folder, name="image.nii.gz"):
    model = folder / "tiny.safetensors"
    return Task(FileVolume(folder / name), model, load_model(model).sha256, SETTINGS)


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_lost_worker_loses_nothing(folder, whole):
    task = task_of(folder)
    model = load_model(task.model)
    blocks = Layout(read(task.image.path), model.spec, SETTINGS.overlap).blocks(8)
    assert len(blocks) >= 8
    labels = np.full(SHAPE, 255, np.uint8)
    killed = None
    with local_cluster(2) as client:
        workers = client.run(os.getpid)
        assert len(workers) == 2
        with closing(computing(client, [replace(task, box=b.box) for b in blocks])) as job:
            for found in job:
                if found is not None:
                    done, part = found
                    assert set(part.boxes)
                    labels[tuple(map(slice, *done.box))] = part.labels
                if found is not None and killed is None:
                    busy = next(address for address, keys in client.processing().items() if keys)
                    killed = workers[busy]
                    os.kill(killed, signal.SIGKILL)
        pids = set(client.run(os.getpid).values())
    assert killed is not None
    assert killed not in pids
    assert np.array_equal(labels, whole)
    assert not any(psutil.pid_exists(pid) for pid in pids)


def test_it_ends_when_told(folder, address):
    with existing_cluster(address) as client:
        job = computing(client, [task_of(folder)] * 50)
        next(job)
        with pytest.raises(StopIteration):
            job.send(True)


WRONG = {
    # name: (what is different, the error, what it says)
    "another version": ({"version": "0.0.0"}, ChildError, "install one version everywhere"),
    "another model": ({"sha256": "0" * 64}, ModelFileError, "is another model than here"),
    "no image there": (
        {"image": FileVolume(Path("/nowhere/x.nii.gz"))},
        ReadError,
        "must lie where all workers can read them",
    ),
    "no model there": ({"model": Path("/nowhere/m.safetensors")}, ModelFileError, "must lie where"),
}


@pytest.mark.parametrize("case", WRONG.values(), ids=WRONG)
def test_what_a_worker_refuses(folder, address, case):
    change, error, says = case
    task = replace(task_of(folder), run="wrong", **change)
    with existing_cluster(address) as client:
        (found,) = filter(None, computing(client, [task]))
    assert found[0] is task
    assert type(found[1]) is error
    assert says in str(found[1])


@dataclass(frozen=True)
class Shaky(FileVolume):
    """An image in a shared folder that fails a few times before it can be read."""

    notes: Path = Path()
    failures: int = 1

    def open(self):
        self.notes.write_text(f"{self.notes.read_text()}.")
        if len(self.notes.read_text()) <= self.failures:
            raise KeyError("stale")
        return super().open()


@pytest.mark.parametrize("failures", [1, 2])
def test_a_block_that_fails_is_tried_once_more(folder, address, whole, tmp_path, failures):
    notes = tmp_path / "notes"
    notes.touch()
    image = Shaky(folder / "image.nii.gz", notes=notes, failures=failures)
    task = replace(task_of(folder), image=image, run=f"shaky {failures}")
    with existing_cluster(address) as client:
        ((_, part),) = filter(None, computing(client, [task]))
    assert notes.read_text() == ".."
    if failures == 1:
        assert np.array_equal(part.labels, whole)
    else:
        assert type(part) is ChildError
        assert "image.nii.gz failed twice on a worker (KeyError: 'stale'): look" in str(part)


def test_a_worker_does_one_task_at_a_time(folder):
    with (
        cluster_of(threads=2, processes=False) as cluster,  # no task ever runs there
        existing_cluster(cluster.scheduler_address) as client,
        pytest.raises(DeviceError, match="--nthreads 1"),
    ):
        list(computing(client, [task_of(folder)]))


def test_a_scheduler_that_is_none_is_named():
    with (
        pytest.raises(DeviceError, match="No Dask scheduler answers at nonsense://here"),
        existing_cluster("nonsense://here"),
    ):
        pass


def test_without_distributed_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with (
        pytest.raises(DeviceError, match=r'pip install "napari-unet\[cluster\]"'),
        local_cluster(1),
    ):
        pass


SPREAD = {
    # name: (image, output)
    "a file into a file": ("image.nii.gz", "out.nii.gz"),
    "a zarr into a zarr": ("image.ome.zarr", "out.ome.zarr"),
}


@pytest.mark.parametrize("case", SPREAD.values(), ids=SPREAD)
def test_the_command_line_spreads_blocks(folder, address, whole, tmp_path, capsys, case):
    image, out = folder / case[0], tmp_path / case[1]
    words = ["predict", image, "-m", folder / "tiny.safetensors", "-o", out, "--backend", "torch"]
    assert main([*map(str, words), "--scheduler", address, "--json"]) == 0
    assert "2 blocks" in capsys.readouterr().err
    assert np.array_equal(read_labels(out)[0], whole)


def test_what_one_process_began_a_cluster_ends(folder, address, whole, tmp_path, capsys):
    image, out, file = folder / "image.nii.gz", tmp_path / "o.ome.zarr", folder / "tiny.safetensors"
    axes = {"channel_axis": None, "time": None}
    work = Work(((image, out),), file, load_model(file), SETTINGS, axes)
    volume = work.read(image)
    place = open_place(Wanted(work, image, out, volume.grid))
    committed = 0
    with closing(predicting(volume, work.model, SETTINGS, out=place.out)) as job:
        for report in job:
            if report.box:
                place.commit(report.box)
                committed += 1
            if report.done > report.total / 2:
                break
    place.keep()

    words = ["predict", image, "-m", file, "-o", out, "--backend", "torch", "--json"]
    assert main([*map(str, words), "--scheduler", address]) == 0
    said = capsys.readouterr()
    assert f"goes on: {committed} of " in said.err
    assert f'"resumed": {committed}' in said.out
    assert np.array_equal(read_labels(out)[0], whole)


def test_many_images_and_one_that_fails(folder, address, whole, tmp_path, capsys):
    scans = [tmp_path / f"{i}.nii.gz" for i in range(3)]
    for scan in scans[::2]:
        scan.write_bytes((folder / "image.nii.gz").read_bytes())
    scans[1].write_text("no image", encoding="utf-8")
    words = ["predict", *scans, "-m", folder / "tiny.safetensors", "-o", tmp_path / "out"]
    words += ["--backend", "torch", "--scheduler", address]
    assert main([*map(str, words)]) == 1
    said = capsys.readouterr().err.splitlines()
    assert sum(line.startswith(f"{scans[1]} is left out: ") for line in said) == 1
    assert "1 of 3 images left out" in said[-1]
    for i in (0, 2):
        assert np.array_equal(read_labels(tmp_path / "out" / f"{i}_labels.nii.gz")[0], whole)


@pytest.fixture
def torn(folder, tmp_path):
    """Write a larger image, of whose three chunks the last one is damaged."""
    values = np.random.default_rng(0).standard_normal((1, 160, 32, 32), np.float32)
    image = write_probabilities(
        tmp_path / "torn.ome.zarr", values, Grid(values.shape[1:], (1.0,) * 3)
    )
    chunk = image / "0" / "c" / "0" / "2" / "0" / "0"
    chunk.rename(tmp_path / "chunk")
    chunk.write_text("rubbish")
    return image


@pytest.fixture
def windowed(folder, tmp_path):
    """Save a model that measures no intensities of the whole image."""
    model = load_model(folder / "tiny.safetensors")
    spec = replace(model.spec, normalisation=Normalisation("window", -3, 3))
    return save_model(replace(model, spec=spec), tmp_path / "windowed.safetensors")


def test_a_block_that_fails_costs_no_other_of_a_zarr(torn, windowed, address, tmp_path, capsys):
    words = ["predict", torn, "-m", windowed, "-o", tmp_path / "o.ome.zarr", "--backend", "torch"]
    words = [*map(str, words), "--scheduler", address]
    assert main(words) == 1
    said = capsys.readouterr().err.splitlines()
    assert any("torn.ome.zarr: the block " in line and "the others go on" in line for line in said)
    assert any("what is done is kept in" in line for line in said)
    assert "torn.ome.zarr can't be read" in said[-1]
    assert main([*words, "--json"]) == 1
    assert "goes on: " in capsys.readouterr().err


def test_a_block_that_fails_costs_no_other_image(torn, windowed, address, tmp_path, capsys):
    whole = tmp_path / "whole.ome.zarr"
    shutil.copytree(torn, whole)
    (tmp_path / "chunk").replace(whole / "0" / "c" / "0" / "2" / "0" / "0")
    words = ["predict", torn, whole, "-m", windowed, "-o", tmp_path / "out", "--backend", "torch"]
    assert main([*map(str, words), "--scheduler", address]) == 1
    said = capsys.readouterr().err.splitlines()
    assert sum(line.startswith(f"{torn} is left out: ") for line in said) == 1
    assert "1 of 2 images left out" in said[-1]
    assert [p.name for p in (tmp_path / "out").iterdir() if not p.name.endswith("partial")] == [
        "whole_labels.ome.zarr"
    ]


@pytest.mark.skipif(sys.platform == "win32", reason="links")
def test_two_names_of_one_file_are_two_images(folder, address, whole, tmp_path):
    names = [tmp_path / "a.nii.gz", tmp_path / "latest.nii.gz"]
    names[0].write_bytes((folder / "image.nii.gz").read_bytes())
    names[1].symlink_to(names[0])
    words = ["predict", *names, "-m", folder / "tiny.safetensors", "-o", tmp_path / "out"]
    assert main([*map(str, words), "--backend", "torch", "--scheduler", address]) == 0
    for name in ("a_labels.nii.gz", "latest_labels.nii.gz"):
        assert np.array_equal(read_labels(tmp_path / "out" / name)[0], whole)


def test_objects_are_found_in_whole_images(folder, address, tmp_path):
    words = ["predict", folder / "image.nii.gz", "-m", folder / "tiny.safetensors", "--instances"]
    words += ["--backend", "torch", "-o"]
    assert main([*map(str, words), str(tmp_path / "here.tif")]) == 0
    assert main([*map(str, words), str(tmp_path / "there.tif"), "--scheduler", address]) == 0
    here, there = (read_labels(tmp_path / f"{name}.tif")[0] for name in ("here", "there"))
    assert np.array_equal(here, there)
