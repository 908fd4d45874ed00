"""nnU-Net's side of `against_nnunet.py`; runs in nnU-Net's own environment, which lacks this package.

    python nnunet_side.py build SETTING.json WEIGHTS.pt FOLDER      make a model folder by hand
    python nnunet_side.py predict FOLDER INPUT OUTPUT STEP          label one image

`build` writes what nnU-Net's training would have left: plans, dataset and checkpoint of a
PlainConvUNet that holds the weights of our `unet`, and its logits of one tile, to compare.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from torch import Tensor, nn

_TRAINER, _CONFIGURATION = "nnUNetTrainer", "3d_fullres"


def build(setting: dict[str, Any], weights: dict[str, Tensor], folder: Path) -> None:
    """Write the model folder, and `logits.pt` of the tile that the weights come with."""
    levels = len(setting["features"])
    kwargs = {
        "n_stages": levels,
        "features_per_stage": setting["features"],
        "conv_op": "torch.nn.modules.conv.Conv3d",
        "kernel_sizes": setting["kernels"],
        "strides": [[1, 1, 1], *setting["strides"]],
        "n_conv_per_stage": [2] * levels,
        "n_conv_per_stage_decoder": [2] * (levels - 1),
        "conv_bias": False,
        "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
        "norm_op_kwargs": {"eps": 1e-05, "affine": True},
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    }
    real = kwargs | {
        "conv_op": nn.Conv3d,
        "norm_op": nn.InstanceNorm3d,
        "nonlin": nn.LeakyReLU,
    }
    classes = setting["classes"]
    network = PlainConvUNet(input_channels=1, num_classes=classes, deep_supervision=False, **real)
    tile = weights.pop("tile")
    fill(network, weights)
    with torch.inference_mode():
        torch.save(network.eval()(tile), folder / "logits.pt")

    resampling = {"is_seg": False, "order": 1, "order_z": 0, "force_separate_z": None}
    configuration = {
        "data_identifier": "nnUNetPlans_3d_fullres",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": setting["tile"],
        "median_image_size_in_voxels": setting["tile"],
        "spacing": setting["spacing"],
        "normalization_schemes": ["ZScoreNormalization"],
        "use_mask_for_norm": [False],
        "resampling_fn_data": "resample_data_or_seg_to_shape",
        "resampling_fn_data_kwargs": resampling | {"order": 3},
        "resampling_fn_seg": "resample_data_or_seg_to_shape",
        "resampling_fn_seg_kwargs": resampling | {"is_seg": True},
        "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
        "resampling_fn_probabilities_kwargs": resampling,
        "batch_dice": False,
        "architecture": {
            "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
            "arch_kwargs": kwargs,
            "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
        },
    }
    plans = {
        "dataset_name": "Dataset001_Same",
        "plans_name": "nnUNetPlans",
        "original_median_spacing_after_transp": setting["spacing"],
        "original_median_shape_after_transp": setting["tile"],
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {"0": {}},
        "configurations": {_CONFIGURATION: configuration},
    }
    labels = {"background": 0} | {f"class {i}": i for i in range(1, classes)}
    dataset = {
        "channel_names": {"0": "image"},
        "labels": labels,
        "numTraining": 1,
        "file_ending": ".nii.gz",
    }
    (folder / "plans.json").write_text(json.dumps(plans), encoding="utf-8")
    (folder / "dataset.json").write_text(json.dumps(dataset), encoding="utf-8")
    (folder / "fold_all").mkdir()
    checkpoint = {
        "network_weights": network.state_dict(),
        "trainer_name": _TRAINER,
        "init_args": {"configuration": _CONFIGURATION},
        "inference_allowed_mirroring_axes": (0, 1, 2),
    }
    torch.save(checkpoint, folder / "fold_all" / "checkpoint_final.pth")


@torch.no_grad()
def fill(network: Any, weights: dict[str, Tensor]) -> None:  # noqa: ANN401
    """Give a PlainConvUNet the weights of our `unet`; every one of them must find its place."""
    left = dict(weights)

    def copy(parameter: Tensor, name: str) -> None:
        found = left.pop(name)
        if found.shape != parameter.shape:
            raise ValueError(f"{name}: {tuple(found.shape)} is not {tuple(parameter.shape)}.")
        parameter.copy_(found)

    def block(stacked: Any, name: str) -> None:  # noqa: ANN401
        for i, part in enumerate(stacked.convs):
            copy(part.conv.weight, f"{name}.{i}.conv.weight")
            copy(part.norm.weight, f"{name}.{i}.adn.N.weight")
            copy(part.norm.bias, f"{name}.{i}.adn.N.bias")

    for level, stage in enumerate(network.encoder.stages):
        block(stage[0], f"encoder.{level}")
    deepest = len(network.decoder.stages) - 1
    for i, stage in enumerate(network.decoder.stages):  # from the bottom up
        block(stage, f"decoder.{deepest - i}")
        copy(network.decoder.transpconvs[i].weight, f"ups.{deepest - i}.weight")
    head = network.decoder.seg_layers[-1]
    copy(head.weight, "head.weight")
    copy(head.bias, "head.bias")
    if left:
        raise ValueError(f"No place for {', '.join(left)}.")


class Timed(nnUNetPredictor):  # type: ignore[misc]
    """nnU-Net's predictor, with a clock for the sliding window alone and a count of its tiles."""

    network_seconds = 0.0
    tiles = 0

    def _internal_get_sliding_window_slicers(self, image_size: tuple[int, ...]) -> list[Any]:
        slicers: list[Any] = super()._internal_get_sliding_window_slicers(image_size)
        self.tiles += len(slicers)
        return slicers

    def predict_logits_from_preprocessed_data(self, data: Tensor) -> Tensor:
        """Run the network over a preprocessed image."""
        began = time.perf_counter()
        logits: Tensor = super().predict_logits_from_preprocessed_data(data)
        self.network_seconds += time.perf_counter() - began
        return logits


def predict(folder: str, source: str, target: str, step: float) -> None:
    """Label the images of a folder without mirroring; print the network's seconds and tiles as JSON."""
    predictor = Timed(
        tile_step_size=step,
        use_mirroring=False,
        device=torch.device("cpu"),
        allow_tqdm=False,
    )
    predictor.initialize_from_trained_model_folder(folder, ("all",))
    # For one image this is its fastest way: the other one starts processes, each importing torch.
    predictor.predict_from_files_sequential(source, target)
    print(json.dumps({"network": predictor.network_seconds, "tiles": predictor.tiles}))


if __name__ == "__main__":
    order, *words = sys.argv[1:]
    if order == "build":
        build(
            json.loads(Path(words[0]).read_text(encoding="utf-8")),
            torch.load(words[1], weights_only=True),
            Path(words[2]),
        )
    else:
        source, target, step = words[1:]
        predict(words[0], source, target, float(step))
