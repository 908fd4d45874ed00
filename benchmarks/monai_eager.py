"""The usual way to run a network over a volume: nibabel, PyTorch and MONAI's sliding window, eager.

    python benchmarks/monai_eager.py IMAGE.nii.gz MODEL.safetensors LABELS.nii.gz

The contestant of `inference.py`, a process of its own. It gets the same network, weights,
normalisation, tile, overlap and Gaussian weights, and prints its seconds as JSON.
"""

from __future__ import annotations

import json
import sys
import time

import nibabel
import numpy as np
import torch
from monai.inferers import sliding_window_inference

from napari_unet.engine.model import load_model
from napari_unet.engine.view import measure


def main(image: str, file: str, labels: str) -> None:
    """Label one single-channel image at the model's own spacing."""
    began = time.perf_counter()
    model = load_model(file)
    network = model.build()
    found = nibabel.load(image)
    data = np.asarray(found.dataobj).T[None]  # (x, y, z) on disk, (z, y, x) in the model
    scaled = measure(data, model.spec.normalisation)[0].apply(data[0])
    read = time.perf_counter()
    with torch.inference_mode():
        logits = sliding_window_inference(
            torch.from_numpy(scaled)[None, None],
            roi_size=model.spec.tile,
            sw_batch_size=1,
            predictor=network,
            overlap=0.25,
            mode="gaussian",
        )
        winner = logits[0].argmax(dim=0).numpy()
    computed = time.perf_counter()
    ids = np.array([c.id for c in model.spec.classes], np.uint8)
    nibabel.save(nibabel.Nifti1Image(ids[winner].T, found.affine), labels)
    written = time.perf_counter()
    parts = {"read": read - began, "network": computed - read, "write": written - computed}
    print(json.dumps(parts))


if __name__ == "__main__":
    main(*sys.argv[1:])
