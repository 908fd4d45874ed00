"""Measure how fast a volume becomes labels, beside nnU-Net's predictor with the same weights.

    python benchmarks/against_nnunet.py --nnunet-python ~/nnunet/bin/python

nnU-Net needs an environment of its own with the same PyTorch: ``pip install torch==... nnunetv2``.
Two volumes: mni152 (random weights in the `unet` that `auto` makes for it on a CPU) and one of the
hippocampus set (the bundled starter). nnU-Net's 3d_fullres configuration is made by hand: the same
PlainConvUNet, weights, patch and z-score, no mirroring. Its logits of one tile must equal ours.

Every run is a fresh process from file to file, in turns: nnU-Net with our step of 0.75 of a tile, and
ours. nnU-Net at its default step of 0.5 runs once.

The network is the same, the work around it is not, so read times together with the tiles that each
ran. Both leave out the zeros around the head of mni152 (47 % of the voxels stay). nnU-Net spaces
tiles evenly where we shift the last one, and weighs them by a Gaussian with longer tails, in half
precision. An untrained network's labels depend on where its tiles lie: there "labels equal" tells
how far these rules reach, not who is right. That the networks are equal is told by "logits differ by".
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import torch
from contest import (
    Timed,
    alternate,
    command_seconds,
    machine,
    network_seconds,
    spread,
    table,
    timed,
)
from dataset import data_folder, rows
from untrained import chosen_spec, phantom, untrained

from napari_unet.core.annotation import Annotation
from napari_unet.core.spec import Normalisation
from napari_unet.engine.content import empty_outside
from napari_unet.engine.model import Model, save_model
from napari_unet.engine.starters import starter
from napari_unet.io import read, read_labels

COLUMNS = ("volume", "tile", "nnU-Net (s)", "ours (s)", "ratio", "tiles", "network alone (s)",
           "network, a tile (ms)", "nnU-Net, step 0.5 (s)", "labels equal", "logits differ by")  # fmt: skip
_SIDE = Path(__file__).with_name("nnunet_side.py")
_WHOLE_RANGE = Normalisation("zscore", 0.0, 100.0)
"""nnU-Net's z-score clips nothing."""


def main() -> None:
    """Print one row a volume."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nnunet-python", required=True, help="Interpreter that has nnunetv2.")
    parser.add_argument("--volumes", nargs="+", default=["mni152", "hippocampus"])
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    python = arguments.nnunet_python
    lines = [compare(name, python, arguments.rounds) for name in arguments.volumes]
    ask = "from importlib.metadata import version as v; print(v('nnunetv2'), 'with torch', v('torch'))"
    _, theirs = command_seconds([python, "-c", ask])
    print(f"{machine('openvino')} nnunetv2 {theirs.strip()}.\n")
    print(table(COLUMNS, lines))


def compare(name: str, python: str, rounds: int) -> tuple[object, ...]:
    """Run both over one volume."""
    if name == "mni152":
        source = data_folder() / "mni152" / "mni152_t1.nii.gz"
        volume = read(source)
        shape = volume.grid.shape
        tissue = read_labels(source.with_name("mni152_tissue_derived.nii.gz"), volume.grid)[0]
        spec = chosen_spec("unet", shape, normalisation=_WHOLE_RANGE)
        # As `auto` does with the labels of this image: what is around the head is left out.
        crop = bool(empty_outside([(volume, Annotation.full(tissue))]))
        model = untrained(replace(spec, crop=crop))
    else:
        source = next(rows("hippocampus", "test")).image
        found = starter("hippocampus-mr")
        model = replace(found, spec=replace(found.spec, normalisation=_WHOLE_RANGE))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for part in ("in", "out", "model"):
            (folder / part).mkdir()
        image, ours = folder / "in" / "case_0000.nii.gz", folder / "ours.nii.gz"
        image.write_bytes(source.read_bytes())
        file = save_model(model, folder / "model.safetensors")
        gap = hand_over(model, folder, python)
        line = contest(image, file, ours, python, rounds)
        grid = read(image).grid
        labels = [read_labels(path, grid)[0] for path in (ours, folder / "out" / "case.nii.gz")]
        same = float((labels[0] == labels[1]).mean())
    size = "x".join(map(str, shape if name == "mni152" else grid.shape))
    tile = "x".join(map(str, model.spec.tile))
    return f"{name} {size}", tile, *line, f"{same:.4%}", f"{gap:.1g}"


def hand_over(model: Model, folder: Path, python: str) -> float:
    """Let nnU-Net build its model; return the largest difference of the logits of one tile."""
    spec = model.spec
    tile = torch.from_numpy(phantom(spec.tile)).float()[None, None]
    tile = (tile - tile.mean()) / tile.std()
    weights = {k: torch.from_numpy(v).float() for k, v in model.weights.items()}
    torch.save({**weights, "tile": tile}, folder / "weights.pt")
    setting = {k: asdict(spec)[k] for k in ("features", "kernels", "strides", "tile", "spacing")}
    setting["classes"] = spec.out_channels
    (folder / "setting.json").write_text(json.dumps(setting), encoding="utf-8")
    words = [folder / "setting.json", folder / "weights.pt", folder / "model"]
    command_seconds([python, _SIDE, "build", *words])
    with torch.inference_mode():
        theirs = torch.load(folder / "model" / "logits.pt", weights_only=True)
        gap = float((model.build()(tile) - theirs).abs().max())
    if gap > 1e-3:
        raise SystemExit(f"The networks are not the same: their logits differ by {gap:.2g}.")
    return gap


def contest(image: Path, file: Path, ours: Path, python: str, rounds: int) -> list[str]:
    """Let them take turns; leave the labels of the last round."""
    home = file.parent
    predict = [sys.executable, "-m", "napari_unet", "predict", image]
    predict += ["-m", file, "-o", ours, "--json"]
    side = [python, _SIDE, "predict", home / "model", image.parent, home / "out"]
    default, _ = timed([*side, "0.5"])
    contestants: dict[str, Callable[[], Timed]] = {
        "nnU-Net": partial(timed, [*side, "0.75"]),
        "ours": partial(timed, predict),
    }
    results = alternate(contestants, rounds)
    whole = {name: [wall for wall, _ in runs] for name, runs in results.items()}
    middle = {name: statistics.median(walls) for name, walls in whole.items()}
    inner = {name: network_seconds(runs) for name, runs in results.items()}
    tiles = {
        "nnU-Net": results["nnU-Net"][-1][1]["tiles"],
        "ours": results["ours"][-1][1]["tiles"]["run"],
    }
    each = {name: 1000 * inner[name] / tiles[name] for name in tiles}
    return [
        *(spread(walls) for walls in whole.values()),
        f"{middle['nnU-Net'] / middle['ours']:.1f}",
        f"{tiles['nnU-Net']} / {tiles['ours']}",
        f"{inner['nnU-Net']:.1f} / {inner['ours']:.1f} = {inner['nnU-Net'] / inner['ours']:.1f}",
        f"{each['nnU-Net']:.0f} / {each['ours']:.0f} = {each['nnU-Net'] / each['ours']:.1f}",
        f"{default:.1f}",
    ]


if __name__ == "__main__":
    main()
