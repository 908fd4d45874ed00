"""A page about a model: what it is, what it learned from, how good it is and on what, with pictures."""

from napari_unet.report.examples import Example, Plane
from napari_unet.report.page import write_report

__all__ = ["Example", "Plane", "write_report"]
