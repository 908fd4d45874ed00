from dataclasses import replace

import dask.array
import numpy as np
import pytest
import torch

from napari_unet.core.classes import BACKGROUND, LabelClass
from napari_unet.core.grid import Grid
from napari_unet.core.progress import run
from napari_unet.core.settings import PredictSettings
from napari_unet.core.spec import ModelSpec
from napari_unet.core.volume import Volume
from napari_unet.engine.blocks import Layout
from napari_unet.engine.model import Model, from_torch
from napari_unet.engine.networks import build_network
from napari_unet.engine.predict import predicting

CLASSES = (BACKGROUND, LabelClass(1, "one", (1, 0, 0)), LabelClass(5, "five", (0, 1, 0)))
SETTINGS = PredictSettings(device="cpu", backend="torch")

CASES = {
    # name: (shape, spacing, spec, overlap, blocks wished for)
    "slabs": ((40, 12, 12), 1.0, {"tile": (8, 8, 8)}, 0.25, 3),
    "half overlap": ((30, 20, 9), 1.0, {"tile": (8, 8, 8)}, 0.5, 4),
    "no overlap": ((20, 20, 20), 1.0, {"tile": (8, 8, 8)}, 0.0, 5),
    "more blocks than tiles": ((12, 12, 12), 1.0, {"tile": (8, 8, 8)}, 0.25, 99),
    "smaller than a tile": ((5, 30, 7), 1.0, {"tile": (8, 8, 8)}, 0.25, 2),
    "resampled": ((33, 21, 15), 1.3, {"tile": (8, 8, 8), "spacing": (1.0, 1.0, 1.0)}, 0.25, 4),
    "coarser than the model": (
        (9, 15, 12),
        4.0,
        {"tile": (8, 8, 8), "spacing": (1.0,) * 3},
        0.25,
        6,
    ),
    "slices": ((23, 14, 12), 1.0, {"dims": 2, "tile": (8, 8), "context": 1}, 0.25, 3),
    "slices of x": ((10, 14, 21), 1.0, {"dims": 2, "tile": (8, 8), "axis": 2}, 0.25, 4),
}


def make(shape, spacing, spec):
    torch.manual_seed(0)
    unit = "mm" if "spacing" in spec else "pixel"
    chosen = ModelSpec(features=(4, 8), classes=CLASSES, unit=unit, **spec)
    network = build_network(chosen)
    values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    volume = Volume(values[None], Grid(shape, (spacing,) * len(shape), unit))
    return volume, Model(chosen, from_torch(network.state_dict()))


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_blocks_computed_alone_are_the_whole_to_the_last_bit(case):
    shape, spacing, spec, overlap, count = case
    volume, model = make(shape, spacing, spec)
    settings = replace(SETTINGS, overlap=overlap)
    whole = run(predicting(volume, model, settings))
    layout = Layout(volume, model.spec, overlap)
    blocks = layout.blocks(count)
    assert len(blocks) >= min(count, layout.tiles) or spacing != 1.0
    put_together = np.full(shape, 255, np.uint8)
    visits = np.zeros(shape, int)
    for block in blocks:
        part = run(predicting(volume, model, settings, within=block.box))
        place = tuple(slice(a, b) for a, b in zip(*block.box, strict=True))
        put_together[place] = part.labels
        visits[place] += 1
        assert part.tiles["run"] == block.tiles
    assert (visits == 1).all()
    assert np.array_equal(put_together, whole.labels)
    assert whole.tiles["total"] == layout.tiles
    assert len(np.unique(whole.labels)) > 1


def test_a_plane_is_cut_too():
    volume, model = make((30, 26), 1.0, {"dims": 2, "tile": (8, 8)})
    whole = run(predicting(volume, model, SETTINGS))
    blocks = Layout(volume, model.spec, 0.25).blocks(3)
    assert len(blocks) >= 3
    for block in blocks:
        part = run(predicting(volume, model, SETTINGS, within=block.box))
        place = tuple(slice(a, b) for a, b in zip(*block.box, strict=True))
        assert np.array_equal(part.labels, whole.labels[place])


def test_parts_are_what_a_run_reports():
    for shape, spacing, spec, overlap, _ in CASES.values():
        volume, model = make(shape, spacing, spec)
        boxes = []
        run(
            predicting(volume, model, replace(SETTINGS, overlap=overlap)),
            lambda report, boxes=boxes: boxes.append(report.box),
        )
        assert len({b for b in boxes if b}) == Layout(volume, model.spec, overlap).parts


def test_a_long_volume_becomes_slabs_and_a_cube_does_not():
    spec = ModelSpec(tile=(16, 16, 16))

    def faces(shape, count):
        pixels = dask.array.zeros((1, *shape), chunks=(1, 64, 64, 64))
        blocks = Layout(Volume(pixels, Grid(shape, (1.0,) * 3)), spec, 0.25).blocks(count)
        return [len({b.box[0][axis] for b in blocks}) for axis in range(3)]

    assert faces((32, 32, 256), 4) == [1, 1, 4]
    assert faces((128, 128, 128), 8) == [2, 2, 2]


def test_one_block_is_the_volume():
    volume, model = make((12, 14, 16), 1.0, {"tile": (8, 8, 8)})
    layout = Layout(volume, model.spec, 0.25)
    (block,) = layout.blocks(1)
    assert block.box == ((0, 0, 0), (12, 14, 16))
    assert block.tiles == layout.tiles
