"""A MONAI bundle: a folder that ``python -m monai.bundle run inference`` and MONAI Label take.

Form of https://docs.monai.io/en/stable/bundle_intro.html. MONAI reads volumes as (x, y, z), so the network in
it does, too; and where ours goes through a volume slice by slice, it does that inside.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from napari_unet.atomic import write_whole
from napari_unet.core.spec import ModelSpec
from napari_unet.core.versions import version_of
from napari_unet.engine.export import torchscript
from napari_unet.engine.export.network import facts, in_words, outputs, quiet
from napari_unet.engine.export.stacked import scripted, stacked
from napari_unet.engine.model import Model
from napari_unet.engine.sizes import input_tile
from napari_unet.errors import SpecError, WriteError


def write(model: Model, path: Path) -> None:
    """Write a bundle whose network maps (batch, channels, x, y[, z]) to logits.

    Raises
    ------
    SpecError
        For the network of 2015, whose answers are smaller than what it reads: MONAI's sliding window
        would take them for coarser.
    WriteError
        Where something is already.
    """
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise WriteError(f"{path} exists and would be replaced: choose another folder.")
    if model.spec.network == "original":
        raise SpecError(
            f"{model.name} is a U-Net of 2015, whose answer is smaller than what it reads; MONAI's sliding "
            "window takes no such network: export it as onnx, torchscript or bioimageio."
        )
    with quiet():
        script = scripted(model)
        write_whole(path, lambda folder: _write(model, script, folder), _check)


def _write(model: Model, script: Any, folder: Path) -> None:  # noqa: ANN401
    for part in (folder, folder / "configs", folder / "models", folder / "docs"):
        part.mkdir()
    torchscript.save(script, folder / "models" / "model.ts", facts(model))
    for name, config in (("metadata", metadata(model)), ("inference", inference(model.spec))):
        text = json.dumps(config, indent=2, ensure_ascii=False)
        (folder / "configs" / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    (folder / "docs" / "README.md").write_text(in_words(model) + _USE, encoding="utf-8")


def _check(folder: Path) -> None:
    torchscript.read(folder / "models" / "model.ts")


def metadata(model: Model) -> dict[str, Any]:
    """Return ``configs/metadata.json``."""
    spec = model.spec
    title = str(model.card.get("title") or f"A {spec.network} made with napari-unet")
    names = outputs(spec)
    image = {
        "type": "image",
        "format": "magnitude",
        "num_channels": len(spec.channels),
        "spatial_shape": _roi(spec),
        "dtype": "float32",
        "value_range": [],
        "is_patch_data": True,
        "channel_def": dict(enumerate(spec.channels)),
    }
    answer = {
        "type": "probabilities",
        "format": "segmentation",
        "num_channels": len(names),
        "spatial_shape": _roi(spec),
        "dtype": "float32",
        "value_range": [],
        "is_patch_data": True,
        "channel_def": dict(enumerate(names)),
    }
    return {
        "schema": "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json",
        "version": "0.1.0",
        "changelog": {"0.1.0": "exported"},
        "monai_version": version_of("monai"),
        "pytorch_version": torch.__version__.partition("+")[0],
        "numpy_version": version_of("numpy"),
        "required_packages_version": {"nibabel": version_of("nibabel"), "pytorch-ignite": "0.5.3"},
        "name": model.name,
        "task": title,
        "description": title,
        "authors": "",
        "copyright": "",
        "data_source": str(model.card.get("data", "")),
        "exported": datetime.now(UTC).date().isoformat(),
        "network_data_format": {"inputs": {"image": image}, "outputs": {"pred": answer}},
    }


def inference(spec: ModelSpec) -> dict[str, Any]:
    """Return ``configs/inference.json``: files of a folder in, label files out."""
    ids = [c.id for c in spec.classes] if spec.target == "classes" else [0, 1, 2]
    named: list[dict[str, Any]] = []
    if ids != list(range(len(ids))):
        renamed = {"orig_labels": list(range(len(ids))), "target_labels": ids}
        named = [{"_target_": "MapLabelValued", "keys": "pred", **renamed}]
    return {
        "imports": ["$import glob", "$import os", "$import torch"],
        "bundle_root": ".",
        "dataset_dir": "$@bundle_root + '/images'",
        "output_dir": "$@bundle_root + '/labels'",
        "files": "*.nii*" if spec.dims == 3 or stacked(spec) else "*.*",
        "device": "$torch.device('cuda' if torch.cuda.is_available() else 'cpu')",
        "data": "$[{'image': i} for i in sorted(glob.glob(os.path.join(@dataset_dir, @files)))]",
        "network_def": "$torch.jit.load(@bundle_root + '/models/model.ts', map_location=@device)",
        "network": "$@network_def.to(@device)",
        "preprocessing": {"_target_": "Compose", "transforms": _preprocessing(spec)},
        "dataset": {"_target_": "Dataset", "data": "@data", "transform": "@preprocessing"},
        "dataloader": {
            "_target_": "DataLoader",
            "dataset": "@dataset",
            "batch_size": 1,
            "num_workers": 0,
        },
        "inferer": {
            "_target_": "SlidingWindowInferer",
            "roi_size": _roi(spec),
            "sw_batch_size": 1,
            "overlap": 0.25,
            "mode": "gaussian",
        },
        "postprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": "Activationsd", "keys": "pred", "softmax": True},
                {
                    "_target_": "Invertd",
                    "keys": "pred",
                    "transform": "@preprocessing",
                    "orig_keys": "image",
                    "nearest_interp": False,
                    "to_tensor": True,
                },
                {"_target_": "AsDiscreted", "keys": "pred", "argmax": True},
                *named,
                {
                    "_target_": "SaveImaged",
                    "keys": "pred",
                    "output_dir": "@output_dir",
                    "output_postfix": "labels",
                    "output_dtype": "$__import__('numpy').uint16",
                    "resample": False,
                    "separate_folder": False,
                },
            ],
        },
        "evaluator": {
            "_target_": "SupervisedEvaluator",
            "device": "@device",
            "val_data_loader": "@dataloader",
            "network": "@network",
            "inferer": "@inferer",
            "postprocessing": "@postprocessing",
        },
        "run": ["$@evaluator.run()"],
    }


def _roi(spec: ModelSpec) -> list[int]:
    """Return a window in MONAI's order; -1 for the whole length of the axis that slices lie along."""
    if spec.dims == 3 or not stacked(spec):
        return list(reversed(input_tile(spec)))
    if spec.block is not None:
        return list(reversed(spec.block))
    sides = list(input_tile(spec))
    sides.insert(spec.axis, -1)
    return list(reversed(sides))


def _preprocessing(spec: ModelSpec) -> list[dict[str, Any]]:
    image = {"keys": "image"}
    steps: list[dict[str, Any]] = [
        {"_target_": "LoadImaged", **image, "image_only": True},
        {"_target_": "EnsureChannelFirstd", **image},
        {"_target_": "EnsureTyped", **image, "dtype": "$torch.float32"},
    ]
    if spec.orientation:
        steps.append({"_target_": "Orientationd", **image, "axcodes": spec.orientation[::-1]})
    if spec.spacing is not None:
        sliced = spec.axis if spec.dims == 2 and spec.block is None else None
        sizes = [-1.0 if i == sliced else s for i, s in enumerate(spec.spacing)]
        if spec.dims == 2 and not stacked(spec):
            sizes = [s for i, s in enumerate(sizes) if i != spec.axis]
        steps.append({"_target_": "Spacingd", **image, "pixdim": sizes[::-1], "mode": "bilinear"})
    how = spec.normalisation
    if how.kind == "window":
        steps.append(
            {
                "_target_": "ScaleIntensityRanged",
                **image,
                "a_min": how.low,
                "a_max": how.high,
                "b_min": -1.0,
                "b_max": 1.0,
                "clip": True,
            }
        )
    elif how.kind == "zscore":
        clip = {"lower": how.low, "upper": how.high, "channel_wise": True}
        steps.append({"_target_": "ClipIntensityPercentilesd", **image, **clip})
        steps.append({"_target_": "NormalizeIntensityd", **image, "channel_wise": True})
    return steps


_USE = """
## How to run it
```bash
pip install monai nibabel pytorch-ignite
python -m monai.bundle run --config_file configs/inference.json --dataset_dir IMAGES --output_dir LABELS
```
Voxel sizes are taken as the files write them: millimetres in NIfTI. Constant surroundings are not left out as
napari-unet may do, and beyond the first and last slice these stand for what is not there.
"""
