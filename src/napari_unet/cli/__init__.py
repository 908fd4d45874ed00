"""The command line: one file a command, all of them driving the same engine as the window."""

from napari_unet.cli.program import main

__all__ = ["main"]
