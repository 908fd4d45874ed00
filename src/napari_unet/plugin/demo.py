"""The main job in a window: a sample, the dock and a starter, ready to begin."""

import napari

from napari_unet.core.bundled import sample
from napari_unet.plugin.contributions import PLUGIN
from napari_unet.plugin.dock import Dock

SAMPLE = "ovules"
WINDOW = (1400, 900)


def show_demo(minutes: float = 3.0) -> tuple[napari.Viewer, Dock]:
    """Open napari with the sample that its starter is not good at yet, and with the dock.

    Parameters
    ----------
    minutes : float
        Time that the fine-tune step starts out with.
    """
    viewer = napari.Viewer(title="napari-unet demo")
    _, dock = viewer.window.add_plugin_dock_widget(PLUGIN)
    dock.opening.sample(sample(SAMPLE))
    dock.tune.form.fields["minutes"].value = minutes
    viewer.window.resize(*WINDOW)
    return viewer, dock


def open_demo(minutes: float = 3.0) -> None:
    """Show the demo until its window is closed."""
    show_demo(minutes)
    napari.run()
