"""What runs a network on tiles: PyTorch anywhere, OpenVINO on the CPU."""

from napari_unet.engine.backends.choice import Forward, Loaded, load_backend, on_torch
from napari_unet.engine.backends.pytorch import OnTorch

__all__ = ["Forward", "Loaded", "OnTorch", "load_backend", "on_torch"]
