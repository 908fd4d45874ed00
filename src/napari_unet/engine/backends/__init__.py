"""What runs a network: PyTorch on any device, OpenVINO on a CPU. Neither is imported before its use."""

from napari_unet.engine.backends.choice import Forward, Loaded, load_backend, on_torch

__all__ = ["Forward", "Loaded", "load_backend", "on_torch"]
