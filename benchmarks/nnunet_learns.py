"""nnU-Net's side of `learning.py`; runs in nnU-Net's own environment, which lacks this package.

    python nnunet_learns.py nnunet FOLDER

Plans, preprocesses and trains as ``nnUNetv2_train`` does, with the ignore label for what nobody annotated and
fold "all", and stops when the minutes are over. One thing is changed in its favour: its learning rate falls
over these minutes by its own rule, in place of 1000 epochs of which it would see a part of the first.
No validation takes of its time. Volumes: 3d_fullres; planes: 2d.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

HOME = Path(sys.argv[2])
for _part in ("raw", "preprocessed", "results"):
    os.environ[f"nnUNet_{_part}"] = str(HOME / "nnunet" / _part)
os.environ |= {"nnUNet_n_proc_DA": "1", "nnUNet_compile": "f", "nnUNet_def_n_proc": "2"}

import numpy as np  # noqa: E402
import SimpleITK as sitk  # noqa: E402, N813
import torch  # noqa: E402
from nnunetv2.experiment_planning.plan_and_preprocess_api import (  # noqa: E402
    extract_fingerprints,
    plan_experiments,
    preprocess,
)
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor  # noqa: E402
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer  # noqa: E402

UNKNOWN = 255
NAME = "Dataset001_Task"


class _Over(Exception):  # noqa: N818 - nothing went wrong
    """The minutes are spent."""


class Timed(nnUNetTrainer):  # type: ignore[misc]
    """nnU-Net's trainer with a clock."""

    minutes = 1.0
    began = 0.0
    steps = 0

    def train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Make one step, at the learning rate of the moment."""
        self.began = self.began or time.perf_counter()
        share = (time.perf_counter() - self.began) / (60 * self.minutes)
        if share >= 1:
            raise _Over
        for group in self.optimizer.param_groups:
            group["lr"] = self.initial_lr * (1 - share) ** 0.9
        self.steps += 1
        done: dict[str, Any] = super().train_step(batch)
        return done


def main() -> dict[str, float]:
    """Learn, label the test images, and say how many steps there were."""
    terms = json.loads((HOME / "task.json").read_text(encoding="utf-8"))
    torch.manual_seed(terms["seed"])
    np.random.seed(terms["seed"])  # noqa: NPY002 - nnU-Net draws from it
    write(terms)
    flat = terms["spacing"][0] == 1.0 and min(s[1] for s in shapes()) == 1
    configuration = "2d" if flat else "3d_fullres"
    began = time.perf_counter()
    extract_fingerprints([1], num_processes=2, show_progress_bar=False)
    plan_experiments([1])
    preprocess([1], configurations=(configuration,), num_processes=(2,), show_progress_bar=False)
    prepared = time.perf_counter() - began
    base = Path(os.environ["nnUNet_preprocessed"]) / NAME  # noqa: SIM112
    plans = json.loads((base / "nnUNetPlans.json").read_text(encoding="utf-8"))
    plans["continue_training"] = False
    dataset = json.loads((base / "dataset.json").read_text(encoding="utf-8"))
    trainer = Timed(plans, configuration, "all", dataset, torch.device("cpu"))
    trainer.minutes = terms["minutes"]
    trainer.num_iterations_per_epoch = 10**9
    with contextlib.suppress(_Over):
        trainer.run_training()
    learned = time.perf_counter() - trainer.began
    predictor = nnUNetPredictor(use_mirroring=False, device=torch.device("cpu"), allow_tqdm=False)
    trainer.set_deep_supervision_enabled(False)
    predictor.manual_initialization(
        trainer.network,
        trainer.plans_manager,
        trainer.configuration_manager,
        [trainer.network.state_dict()],
        dataset,
        "nnUNetTrainer",
        trainer.inference_allowed_mirroring_axes,
    )
    for path in sorted((HOME / "test").glob("*.image.npy")):
        image = np.load(path)
        spacing = {"spacing": terms["spacing"]}
        labels, likely = predictor.predict_single_npy_array(
            image, spacing, save_or_return_probabilities=True
        )
        answer = HOME / "nnunet" / path.name.replace(".image", "")
        np.save(answer, labels.astype(np.uint8))
        if terms["first"]:
            np.save(answer.with_suffix(".first.npy"), likely[0].astype(np.float16))
    return {"steps": trainer.steps, "learned": learned, "prepared": prepared}


def shapes() -> list[tuple[int, ...]]:
    """Shapes (C, Z, Y, X) of the training images."""
    return [np.load(p, mmap_mode="r").shape for p in (HOME / "train").glob("*.image.npy")]


def write(terms: dict[str, Any]) -> None:
    """Write the training cases in nnU-Net's raw format."""
    raw = Path(os.environ["nnUNet_raw"]) / NAME  # noqa: SIM112
    for part in ("imagesTr", "labelsTr"):
        (raw / part).mkdir(parents=True)
    classes = terms["classes"]
    paths = sorted((HOME / "train").glob("*.image.npy"))
    unknown = False
    for path in paths:
        case = path.name.removesuffix(".image.npy")
        target = np.load(path.with_name(f"{case}.target.npy"))
        unknown |= bool((target == UNKNOWN).any())
        target[target == UNKNOWN] = classes
        for channel, image in enumerate(np.load(path)):
            put(image, raw / "imagesTr" / f"{case}_{channel:04}.nii.gz", terms)
        put(target, raw / "labelsTr" / f"{case}.nii.gz", terms)
    labels = {"background": 0} | {f"class {i}": i for i in range(1, classes)}
    dataset = {
        "channel_names": {str(i): "image" for i in range(len(np.load(paths[0])))},
        "labels": labels | ({"ignore": classes} if unknown else {}),
        "numTraining": len(paths),
        "file_ending": ".nii.gz",
    }
    (raw / "dataset.json").write_text(json.dumps(dataset), encoding="utf-8")


def put(array: Any, path: Path, terms: dict[str, Any]) -> None:  # noqa: ANN401
    """Write one array as NIfTI."""
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(tuple(terms["spacing"][::-1]))
    sitk.WriteImage(image, str(path))


if __name__ == "__main__":
    print(json.dumps(main()))
