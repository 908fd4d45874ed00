"""What the tour shows: one round on the sample, from an image to a model of one's own."""

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QWidget

from napari_unet.plugin.tour import Step

if TYPE_CHECKING:
    from napari_unet.plugin.dock import Dock

SAMPLE = "hippocampus"
ENOUGH = 3
"""Slices marked done before the tour goes on to learning."""


def steps(dock: "Dock") -> list[Step]:
    """Return the steps, which point at the dock's own controls."""

    def sample_button() -> QWidget:
        openers = {sample.name: opener for sample, opener in dock.start.samples}
        return openers.get(SAMPLE, dock.start.open)

    return [
        Step(
            "Open the hippocampus sample, or an image of your own.",
            sample_button,
            lambda: dock.target.image is not None,
        ),
        Step(
            "A model that suits the sample is chosen. Press Predict: labels appear where you look first.",
            lambda: dock.predict.go,
            lambda: dock.target.labels is not None and not dock.predict.running,
        ),
        Step(
            "Is this slice right? Mend it with the brush (2) and eraser (1), then press D: done. "
            "Done means every voxel of it is right.",
            lambda: dock.correct.done,
            lambda: bool(dock.slices.done()),
        ),
        Step(
            f"N goes to the next slice. Mark {ENOUGH} of them, far apart, one beyond each end of the "
            "structure too: these are what the model learns from.",
            lambda: dock.correct.next,
            lambda: len(dock.slices.done()) >= ENOUGH,
        ),
        Step(
            "Now let the model learn from them. You can go on painting meanwhile.",
            lambda: dock.tune.go,
            lambda: dock.tune.running or bool(dock.tune.curve.losses),
        ),
        Step(
            "The curve shows how it learns. Export the labels here, and keep all of it with "
            "Session ▸ Save session as a folder…",
            lambda: dock.export.go,
            lambda: False,
        ),
    ]
