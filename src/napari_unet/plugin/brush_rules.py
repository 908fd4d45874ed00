"""What the brush may not change: locked classes, slices marked done, the wrong intensities."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray
from qtpy.QtWidgets import QCheckBox, QDoubleSpinBox, QLabel, QVBoxLayout, QWidget

from napari_unet.core.strokes import Region
from napari_unet.plugin import layers
from napari_unet.plugin.section import button, row
from napari_unet.plugin.slices import Slices
from napari_unet.plugin.target import Target

WITHIN = "Brush, fill and polygon then paint only voxels with these intensities; the eraser is free"

MIDDLE = (5, 95)
"""Percentiles of a class's intensities that "Like class" takes."""


class BrushRules(QWidget):
    """Two boxes to tick and a range; `allowed` answers the brush.

    Parameters
    ----------
    target, slices : Target, Slices
        What is painted on.
    refused : callable
        Told in a sentence why a stroke painted nothing.
    """

    def __init__(self, target: Target, slices: Slices, refused: Callable[[str], None]) -> None:
        super().__init__()
        self.setObjectName("unet-rows")
        self._target, self._slices, self._refused = target, slices, refused
        self.protect = QCheckBox("Protect slices marked done")
        self.protect.setToolTip("The brush then changes nothing on slices marked done or held out")
        self.within = QCheckBox("Paint only intensities from")
        self.low, self.high = QDoubleSpinBox(), QDoubleSpinBox()
        self.like = button(
            "Like class",
            "Take the range in which 90 % of the chosen class's voxels on this slice lie",
        )
        for box in (self.low, self.high):
            box.setDecimals(0)
            box.setRange(-1e9, 1e9)
            box.setButtonSymbols(QDoubleSpinBox.ButtonSymbols.NoButtons)
            box.setObjectName("unet-narrow")  # as wide as its widest number it would widen the dock
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addWidget(self.protect)
        column.addWidget(self.within)
        self.range = QWidget()
        self.range.setObjectName("unet-rows")
        self.range.setLayout(row(self.low, QLabel("to"), self.high, self.like))
        column.addWidget(self.range)
        self.range.hide()
        self.within.toggled.connect(self._toggled)
        self.like.clicked.connect(self.take_class)
        target.changed.connect(self.refresh)
        self.refresh()

    def refresh(self, *_: object) -> None:
        """Offer the range where the image has one intensity a voxel."""
        image = self._target.image
        fits = image is not None and not image.rgb
        self.within.setEnabled(fits)
        self.within.setToolTip(
            WITHIN if fits else "An image in colour has no one intensity a voxel."
        )
        if not fits:
            self.within.setChecked(False)
        else:
            self._fit()

    def allowed(
        self, at: Region, labels: NDArray[np.integer[Any]], label: int
    ) -> NDArray[np.bool_]:
        """Return which voxels of a box may be painted with a label."""
        layer = self._target.labels
        free = np.ones(labels.shape, dtype=bool)
        if layer is None:
            return free
        about = layers.about(layer)
        if label in about.locked:
            self._refused(f"{_name(layer, label)} is locked: unlock it in the table to paint it.")
            return ~free
        if about.locked:
            free &= ~np.isin(labels, list(about.locked))
        if self.protect.isChecked():
            for which in about.done | about.held_out:
                _clear(free, at, which)
            if not free.any():
                self._refused("This slice is done and protected: take its mark away to paint.")
        if self.within.isChecked() and label:
            free &= self._in_range(at)
        return free

    def take_class(self) -> None:
        """Take the range of intensities that the chosen class has on this slice."""
        labels, image, here = self._target.labels, self._target.image, self._slices.here
        if labels is None or image is None or here is None:
            return
        key = layers.slice_key(labels.ndim, here)
        mask = np.asarray(labels.data)[key] == labels.selected_label
        if not mask.any():
            self._refused("The chosen class has no voxel on this slice yet: paint a few first.")
            return
        values = np.asarray(layers.intensities(image)[key])[mask]
        low, high = np.percentile(values, MIDDLE)
        self.low.setValue(float(low))
        self.high.setValue(float(high))

    def _in_range(self, at: Region) -> NDArray[np.bool_]:
        image = self._target.image
        assert image is not None  # noqa: S101
        values = np.asarray(layers.intensities(image)[at])
        found: NDArray[np.bool_] = (values >= self.low.value()) & (values <= self.high.value())
        return found

    def _toggled(self, on: bool) -> None:
        image = self._target.image
        self.range.setVisible(on)
        self._fit()
        if on and image is not None and self.low.value() == self.high.value():
            low, high = image.contrast_limits
            self.low.setValue(float(low))
            self.high.setValue(float(high))

    def _fit(self) -> None:
        """Give the fields digits enough for the image's intensities, which may all be below 0.01."""
        image = self._target.image
        if image is None:
            return
        low, high = image.contrast_limits_range
        step = (high - low) / 100
        digits = 0 if step >= 1 else max(3, 1 - math.floor(math.log10(max(1e-12, step))))
        for box in (self.low, self.high):
            box.setDecimals(max(digits, box.decimals()))  # fewer would round what it holds
            box.setSingleStep(step)


def _clear(free: NDArray[np.bool_], at: Region, which: tuple[int, int]) -> None:
    """Take one slice out of a mask of a box."""
    axis, index = which
    if free.ndim == 2:
        free[...] = False
    elif at[axis].start <= index < at[axis].stop:
        free[layers.slice_key(3, (axis, index - at[axis].start))] = False


def _name(layer: Labels, label: int) -> str:
    classes = layers.about(layer).classes
    return next((c.name for c in classes if c.id == label), f"Label {label}").capitalize()
