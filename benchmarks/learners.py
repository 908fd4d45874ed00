"""The sides of `learning.py` that are told in a few lines: ours, a random forest, MONAI's tutorial.

    python learners.py {ours,ours-3d,NETWORK,forest,monai} FOLDER

Reads ``task.json``, ``train/*.{image,target,ids}.npy`` and ``test/*.image.npy`` of the folder, learns,
writes the labels of each test image to ``FOLDER/LEARNER/CASE.npy``, where the task asks for it how likely
each voxel is the first class to ``CASE.first.npy``, and prints one line of JSON. Each imports only what it
uses: the forest runs in an environment without this package.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

UNKNOWN = 255
Array = np.ndarray[Any, Any]


def images(folder: Path, part: str) -> Iterator[tuple[str, Array]]:
    """Yield name and image, shape (C, Z, Y, X), of each case."""
    for path in sorted((folder / part).glob("*.image.npy")):
        yield path.name.removesuffix(".image.npy"), np.load(path)


def right(folder: Path, case: str, what: str = "target") -> Array:
    """Read the right channels, shape (Z, Y, X), or the objects' ids, of a training case."""
    found: Array = np.load(folder / "train" / f"{case}.{what}.npy")
    return found


def answer(folder: Path, case: str, labels: Array, first: Array | None) -> None:
    """Write the labels of a test image and, where it is given, how likely each voxel is the first class."""
    np.save(folder / f"{case}.npy", labels)
    if first is not None:
        np.save(folder / f"{case}.first.npy", first.reshape(labels.shape).astype(np.float16))


def ours(task: dict[str, Any], folder: Path, name: str = "ours") -> dict[str, float]:
    """Learn with this package, all settings on auto but what the learner's name says."""
    import napari_unet as nu
    from napari_unet.core.grid import Grid

    def volume(image: Array) -> nu.Volume:
        flat = image.shape[1] == 1
        shape = image.shape[2:] if flat else image.shape[1:]
        grid = Grid(shape, tuple(task["spacing"][1 if flat else 0 :]), task["unit"])
        return nu.Volume(image.reshape(len(image), *shape), grid)

    choices: dict[str, Any] = {} if name == "ours" else {"network": name}
    if name == "ours-3d":
        choices = {"dims": 3}
    cases = []
    for case, image in images(folder, "train"):
        seen = volume(image)
        target = right(folder, case)
        labels = (
            right(folder, case, "ids")
            if task["objects"]
            else np.where(target == UNKNOWN, 0, target)
        )
        known = (target != UNKNOWN).reshape(seen.grid.shape)
        cases.append((seen, nu.Annotation(labels.reshape(seen.grid.shape), known)))
    began = time.perf_counter()
    model = nu.finetune(
        cases,
        minutes=task["minutes"],
        seed=task["seed"],
        instances=task["objects"],
        **choices,
    )
    learned = time.perf_counter() - began
    for case, image in images(folder, "test"):
        found = nu.predict(
            volume(image), model, instances=task["objects"], keep_probabilities=task["first"]
        )
        labels = found.labels.reshape(image.shape[1:])
        first = None if found.probabilities is None else np.asarray(found.probabilities)[0]
        answer(folder / name, case, labels, first)
    return {"steps": model.history[-1]["steps"], "learned": learned}


def forest(task: dict[str, Any], folder: Path) -> dict[str, float]:
    """Classify pixels as ilastik does: multi-scale features, and in volumes where a voxel lies."""
    from skimage.feature import multiscale_basic_features
    from sklearn.ensemble import RandomForestClassifier

    most = 300_000  # voxels; more would not fit the time

    def features(image: Array) -> Array:
        low, high = np.percentile(image, (0.5, 99.5))
        scaled = (np.clip(image, low, high) - low) / max(high - low, 1e-6)
        flat = image.shape[1] == 1
        each = [
            multiscale_basic_features(c[0] if flat else c, sigma_min=0.7, sigma_max=8).reshape(
                *image.shape[1:], -1
            )
            for c in scaled.astype(np.float32)
        ]
        if not flat:
            z, y, x = np.meshgrid(*(np.linspace(0, 1, n) for n in image.shape[1:]), indexing="ij")
            each.append(np.stack([z, y, x], axis=-1))
        return np.concatenate(each, axis=-1).astype(np.float32)

    began = time.perf_counter()
    seen, answers = [], []
    for case, image in images(folder, "train"):
        target = right(folder, case)
        known = target != UNKNOWN
        seen.append(features(image)[known])
        answers.append(target[known])
    x, y = np.concatenate(seen), np.concatenate(answers)
    chosen = np.random.default_rng(task["seed"]).permutation(len(y))[:most]
    trees = RandomForestClassifier(
        200,
        min_samples_leaf=4,
        n_jobs=-1,
        random_state=task["seed"],
        class_weight="balanced_subsample",
    ).fit(x[chosen], y[chosen])
    learned = time.perf_counter() - began
    for case, image in images(folder, "test"):
        likely = trees.predict_proba(features(image).reshape(-1, x.shape[1]))
        labels = trees.classes_[likely.argmax(axis=1)].reshape(image.shape[1:])
        answer(folder / "forest", case, labels, likely[:, 0] if task["first"] else None)
    return {"steps": len(trees.estimators_), "learned": learned}


def monai(task: dict[str, Any], folder: Path) -> dict[str, float]:
    """Learn as MONAI's tutorials ``2d_segmentation`` and ``3d_segmentation`` do (unet_training_dict.py).

    The same UNet, patches, crops, turns and Adam at 1e-3, with DiceCE for several classes. It knows no
    unknown voxels, so where only slices are annotated these are its planes.
    """
    import torch
    from monai.inferers import sliding_window_inference
    from monai.losses import DiceCELoss
    from monai.networks.nets import UNet
    from monai.utils import set_determinism

    set_determinism(task["seed"])
    data = _scaled(folder)
    dims = data[0]["label"].ndim - 1
    longest = max(np.median([d["label"].shape[1:] for d in data], axis=0))
    patch = (min(96, int(-(-longest // 16) * 16)),) * dims
    widths, strides = (16, 32, 64, 128, 256), (2,) * 4
    network = UNet(dims, len(data[0]["image"]), task["classes"], widths, strides, num_res_units=2)
    loss = DiceCELoss(to_onehot_y=True, softmax=True)
    optimiser = torch.optim.Adam(network.parameters(), 1e-3)
    began, steps = time.perf_counter(), 0
    for batch in _batches(data, patch):
        optimiser.zero_grad()
        loss(network(batch["image"].as_tensor()), batch["label"].as_tensor()).backward()
        optimiser.step()
        steps += 1
        if time.perf_counter() - began > 60 * task["minutes"]:
            break
    learned = time.perf_counter() - began
    network.eval()
    with torch.inference_mode():
        for case, image in images(folder, "test"):
            seen = torch.from_numpy(_unit(image))
            parts = seen.movedim(1, 0)[:, None] if dims == 2 else seen[None, None]
            found = [sliding_window_inference(p, patch, 4, network)[0] for p in parts]
            logits = torch.stack(found, 1) if dims == 2 else found[0]
            first = logits.softmax(0)[0].numpy() if task["first"] else None
            answer(folder / "monai", case, logits.argmax(0).numpy().astype(np.uint8), first)
    return {"steps": steps, "learned": learned}


def _unit(image: Array) -> Array:
    """Scale intensities to 0..1, as the tutorials do."""
    low, high = float(image.min()), float(image.max())
    return np.asarray((image - low) / max(high - low, 1e-6), np.float32)


def _scaled(folder: Path) -> list[dict[str, Array]]:
    """Volumes that are known in full, or else the planes that are."""
    data = []
    for case, image in images(folder, "train"):
        seen, target = _unit(image), right(folder, case)
        if image.shape[1] > 1 and (target != UNKNOWN).all():
            data.append({"image": seen, "label": target[None]})
            continue
        heights = np.flatnonzero((target != UNKNOWN).all(axis=(1, 2)))
        data += [{"image": seen[:, z], "label": target[None, z]} for z in heights]
    return data


def _batches(data: list[dict[str, Array]], patch: tuple[int, ...]) -> Iterator[dict[str, Any]]:
    """Yield the tutorials' batches for ever: four crops of each of two images."""
    from monai.data import CacheDataset, DataLoader, list_data_collate
    from monai.transforms import Compose, RandCropByPosNegLabeld, RandRotate90d, SpatialPadd

    both = ["image", "label"]
    crop = RandCropByPosNegLabeld(both, "label", patch, pos=1, neg=1, num_samples=4)
    turn = RandRotate90d(both, prob=0.5, spatial_axes=(0, len(patch) - 1))
    cached = CacheDataset(data, Compose([SpatialPadd(both, patch), crop, turn]), progress=False)
    loader = DataLoader(cached, batch_size=2, shuffle=True, collate_fn=list_data_collate)
    while True:
        yield from loader


if __name__ == "__main__":
    name, home = sys.argv[1], Path(sys.argv[2])
    terms = json.loads((home / "task.json").read_text(encoding="utf-8"))
    learners = {"forest": forest, "monai": monai}
    learner = learners.get(name) or partial(ours, name=name)
    print(json.dumps(learner(terms, home)))
