"""What a user may choose, declared once: the window's forms and the command line are built from it.

The dictionaries in the annotations are plain data: limits, label and tooltip of each field.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal, get_args, get_origin, get_type_hints

from napari_unet.errors import SpecError

Device = Literal["auto", "cpu", "cuda", "mps"]
Backend = Literal["auto", "torch", "openvino"]
NetworkChoice = Literal["auto", "unet", "original", "unetpp", "attention", "residual", "r2"]
Loss = Literal["auto", "dice_ce", "focal", "tversky", "border"]


@dataclass(frozen=True)
class PredictSettings:
    """How a model is run over an image.

    Raises
    ------
    SpecError
        When the overlap is outside 0..0.9, or a choice is none of those there are.
    """

    device: Annotated[
        Device, {"tooltip": "Where the network runs; auto takes a GPU where there is one."}
    ] = "auto"
    backend: Annotated[
        Backend, {"tooltip": "What runs the network; auto takes the fastest that is installed."}
    ] = "auto"
    overlap: Annotated[
        float,
        {
            "min": 0.0,
            "max": 0.9,
            "step": 0.05,
            "tooltip": "Share of a tile that it has in common with its neighbour. More is smoother "
            "and slower: 0.5 computes about 3 times as many 3D tiles as 0.25.",
        },
    ] = 0.25
    tta: Annotated[
        bool,
        {
            "label": "mirror",
            "tooltip": "Average the prediction over mirrored copies: 4 (2D) or 8 (3D) times slower. Only for "
            "models that learned from mirrored images, as of cells; others become worse.",
        },
    ] = False
    instances: Annotated[
        bool, {"tooltip": "Give every object an id of its own, instead of its class."}
    ] = False
    skip_below: Annotated[
        float | None,
        {
            "tooltip": "Take tiles in which nothing is brighter than this intensity of the image for "
            "background, without running the network; labels near the edge of such a tile may change.",
        },
    ] = None
    coarse: Annotated[
        bool,
        {
            "label": "look coarsely first",
            "tooltip": "Look at half the resolution first, and closely only where something was found: "
            "faster where little is; small things may be missed.",
        },
    ] = False
    compile: Annotated[
        bool,
        {
            "tooltip": "Let PyTorch compile the network first, on an NVIDIA GPU: takes up to minutes, "
            "and pays for many images."
        },
    ] = False

    def __post_init__(self) -> None:
        _require_choices(self)
        if self.skip_below is not None and not math.isfinite(self.skip_below):
            raise SpecError(f"An intensity to skip below is a number, not {self.skip_below}.")
        if not 0 <= self.overlap <= 0.9:
            raise SpecError(f"Overlap is a share from 0 to 0.9 of a tile, not {self.overlap}.")


@dataclass(frozen=True)
class TrainSettings:
    """How a model is trained or fine-tuned.

    Raises
    ------
    SpecError
        For a budget, learning rate, batch or share that is impossible, or a choice that is none of those
        there are.
    """

    minutes: Annotated[
        float,
        {
            "min": 0.1,
            "max": 1440.0,
            "step": 0.5,
            "tooltip": "Time to learn, in minutes; reading the images and measuring the base come before.",
        },
    ] = 3.0
    steps: Annotated[
        int | None, {"min": 1, "tooltip": "Train so many steps instead of so many minutes."}
    ] = None
    network: Annotated[
        NetworkChoice,
        {
            "tooltip": "Architecture of a new model; auto decides from the data. Fine-tuning keeps the "
            "base model's."
        },
    ] = "auto"
    dims: Annotated[
        Literal["auto", 2, 3],
        {"tooltip": "2: slice by slice; 3: whole blocks; auto decides from what is annotated."},
    ] = "auto"
    context: Annotated[
        int | None,
        {
            "min": 0,
            "max": 16,
            "tooltip": "Neighbouring slices that a 2D network sees on each side; empty: auto.",
        },
    ] = None
    planes: Annotated[
        Literal["auto", 1, 3],
        {
            "tooltip": "Orientations of the slices that a 2D network sees in a volume: 3 learns more from "
            "few slices, and takes three times as long to predict; auto takes it for small volumes with "
            "voxels about as long as wide, of objects up to three times as long."
        },
    ] = "auto"
    resolution: Annotated[
        Literal["auto", "full"],
        {
            "tooltip": "Of a new model. full: the pixels of the images; auto takes coarser ones for a 2D "
            "network on a CPU where they show what is annotated as well: it learns faster then."
        },
    ] = "auto"
    instances: Annotated[
        bool, {"tooltip": "Label values are objects, not classes: learn to tell objects apart."}
    ] = False
    loss: Annotated[
        Loss,
        {
            "tooltip": "auto is Dice + cross-entropy; focal and Tversky favour rare, small structures; "
            "border is that of the U-Net of 2015, which minds the gaps between objects that nearly touch."
        },
    ] = "auto"
    learning_rate: Annotated[
        float | None,
        {"min": 1e-6, "max": 0.1, "tooltip": "Of AdamW at the start; empty: auto."},
    ] = None
    batch: Annotated[
        int | None, {"min": 1, "max": 256, "tooltip": "Patches a step; empty: auto."}
    ] = None
    holdout: Annotated[
        float | None,
        {
            "min": 0.0,
            "max": 0.5,
            "tooltip": "Share of the annotated slices kept aside to measure the model on, rounded up; "
            "empty: a sixth, or for a model from scratch a fifteenth, if that is three slices or more. "
            "What the base kept aside stays so.",
        },
    ] = None
    rehearse: Annotated[
        bool,
        {
            "label": "rehearse the old task",
            "tooltip": "Also learn from the patches that the base model carries, half of each step, so "
            "that it is not forgotten what it was made for.",
        },
    ] = True
    exemplars: Annotated[
        bool,
        {
            "label": "keep exemplars",
            "tooltip": "Put up to 16 patches of these images with their labels (2 MB at most) into the "
            "model file, for later rounds to rehearse. Whoever gets the file can see them: not "
            "for images of patients that may not travel.",
        },
    ] = False
    seed: Annotated[int, {"min": 0, "max": 2**31 - 1, "tooltip": "Makes a run repeatable."}] = 0
    device: Annotated[
        Device, {"tooltip": "Where the network learns; auto takes a GPU where there is one."}
    ] = "auto"

    def __post_init__(self) -> None:
        _require_choices(self)
        if self.steps is None and not self.minutes > 0:
            raise SpecError(f"Training needs more than 0 minutes, not {self.minutes}.")
        if self.steps is not None and self.steps < 1:
            raise SpecError(f"Training needs at least one step, not {self.steps}.")
        if self.batch is not None and self.batch < 1:
            raise SpecError(f"A step learns from at least one patch (batch), not {self.batch}.")
        if self.learning_rate is not None and not 0 < self.learning_rate <= 1:
            raise SpecError(f"A learning rate lies between 0 and 1, not {self.learning_rate}.")
        if self.holdout is not None and not 0 <= self.holdout <= 0.5:
            raise SpecError(f"The held-out share lies between 0 and 0.5, not {self.holdout}.")
        if self.seed < 0:
            raise SpecError(f"A seed is 0 or more, not {self.seed}.")


def _require_choices(settings: PredictSettings | TrainSettings) -> None:
    """Refuse a word that is none of a field's choices: it would be taken for the default."""
    for name, hint in get_type_hints(type(settings)).items():
        chosen = getattr(settings, name)
        if get_origin(hint) is Literal and chosen not in get_args(hint):
            choices = ", ".join(map(str, get_args(hint)))
            raise SpecError(f"{name} is one of {choices}, not {chosen!r}.")
