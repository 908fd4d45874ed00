"""The engine: networks, prediction and training, on torch and MONAI, without a window."""
