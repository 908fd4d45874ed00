"""From the axes of a file to channels first, then (z, y, x) or (y, x)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.errors import ReadError

NAMELESS = "Q"
"""Letter of an axis whose meaning the file does not tell."""


@dataclass(frozen=True)
class Choice:
    """What is wanted of a file that holds more than one image.

    Parameters
    ----------
    channel_axis : int, optional
        Axis of the stored array that holds channels.
    time : int, optional
        Time point.
    level : int
        Resolution level, 0 the finest.
    """

    channel_axis: int | None = None
    time: int | None = None
    level: int = 0

    def require_one_level(self, name: str) -> None:
        """Refuse a level other than 0 for a file without a pyramid."""
        if self.level != 0:
            raise ReadError(f"{name} has one resolution level: use level=0, not {self.level}.")


def arrange(array: Any, axes: str, choice: Choice, name: str) -> tuple[Any, str]:  # noqa: ANN401
    """Bring an array, in memory or lazy, to channels first.

    Parameters
    ----------
    array : array-like
        As stored.
    axes : str
        One letter an axis: ``T`` time, ``C`` channels, ``S`` colour samples, ``Z``, ``Y``, ``X``;
        any other has no meaning yet and becomes the depth, height or width that is still missing.
    choice : Choice
        What the caller asked for.
    name : str
        The file, for messages.

    Returns
    -------
    array : array-like
        Shape (C, Z, Y, X) or (C, Y, X).
    axes : str
        Its letters, ``"CZYX"`` or ``"CYX"``.

    Raises
    ------
    ReadError
        When axes are left over, naming them and what to ask for.
    """
    _require_real(array.dtype, name)
    if choice.channel_axis is not None:
        axes = _with_channels(axes, choice.channel_axis, name)
    array, axes = _at_time(array, axes, choice.time, name)
    while (index := _spare(axes, array.shape)) is not None:
        array, axes = _take(array, axes, index, 0)
    axes = _named(axes, array.shape, name)
    letters = [letter for letter in "CSZYX" if letter in axes]
    # A tuple: dask knows by it alone that nothing is turned, and still reads slices then.
    array = array.transpose(tuple(axes.index(letter) for letter in letters))
    if "C" in axes and "S" in axes:
        array = array.reshape((-1, *array.shape[2:]))
    elif "C" not in axes and "S" not in axes:
        array = array[None]
    if array.dtype == bool:
        array = array.astype(np.uint8)
    return array, "C" + "".join(letter for letter in letters if letter in "ZYX")


def without_constant_alpha(samples: NDArray[Any]) -> NDArray[Any]:
    """Drop the last of 2 or 4 colour samples (S, Y, X) where it is one value: it is no signal."""
    constant = len(samples) in (2, 4) and np.ptp(samples[-1]) == 0
    return samples[:-1] if constant else samples


def colour_names(samples: int) -> tuple[str, ...]:
    """Names of the channels of a colour image; empty for any other number than 3 or 4."""
    return ("red", "green", "blue", "alpha")[:samples] if samples in (3, 4) else ()


def _require_real(dtype: np.dtype[Any], name: str) -> None:
    if dtype.kind not in "buif":
        raise ReadError(
            f"{name} holds values of type {dtype}, which are no grey values: "
            "save real numbers, such as the magnitude of complex ones."
        )


def _with_channels(axes: str, channel_axis: int, name: str) -> str:
    if not -len(axes) <= channel_axis < len(axes):
        raise ReadError(
            f"{name} has {len(axes)} axes ({axes}): "
            f"channel_axis (--channel-axis) is 0 to {len(axes) - 1}, not {channel_axis}."
        )
    index = channel_axis % len(axes)
    if axes[index] in "YX":  # then the file named none of its axes rightly
        axes = "".join(NAMELESS if letter in "ZYX" else letter for letter in axes)
    others = axes[:index] + axes[index + 1 :]
    if "C" in others:
        raise ReadError(
            f"{name} already names axis {axes.index('C')} as its channels: "
            f"leave channel_axis={channel_axis} (--channel-axis) out."
        )
    return axes[:index] + "C" + axes[index + 1 :]


def _at_time(array: Any, axes: str, time: int | None, name: str) -> tuple[Any, str]:  # noqa: ANN401
    if "T" not in axes:
        if time:
            raise ReadError(f"{name} has no time axis: leave time={time} (--time) out.")
        return array, axes
    index = axes.index("T")
    count = array.shape[index]
    if time is None and count > 1:
        raise ReadError(
            f"{name} holds {count} time points or volumes: choose one with time=0 to "
            f"{count - 1} (--time), or take them as channels with channel_axis={index} "
            "(--channel-axis); for the window, save the one you want as a file of its own."
        )
    if not 0 <= (time or 0) < count:
        raise ReadError(
            f"{name} has time points 0 to {count - 1}: there is no time={time} (--time)."
        )
    return _take(array, axes, index, time or 0)


def _take(array: Any, axes: str, index: int, position: int) -> tuple[Any, str]:  # noqa: ANN401
    part = array[(slice(None),) * index + (position,)]
    return part, axes[:index] + axes[index + 1 :]


def _spare(axes: str, shape: tuple[int, ...]) -> int | None:
    """Return the first axis of length 1 that no spatial letter is left for."""
    nameless = sum(letter not in "CSZYX" for letter in axes)
    crowded = nameless > sum(letter not in axes for letter in "ZYX")
    for index, letter in enumerate(axes):
        if shape[index] == 1 and (letter == "S" or (letter not in "CZYX" and crowded)):
            return index
    return None


def _named(axes: str, shape: tuple[int, ...], name: str) -> str:
    """Give nameless axes, from the last, the spatial letters that are missing."""
    letters = list(axes)
    for index in reversed(range(len(letters))):
        if letters[index] not in "CSZYX":
            missing = [letter for letter in "XYZ" if letter not in letters]
            if not missing:
                raise ReadError(
                    f"{name} has shape {tuple(shape)} and does not say what axis {index} is: "
                    "choose the one that holds channels with channel_axis "
                    "(--channel-axis), or split the file."
                )
            letters[index] = missing[0]
    if not {"Y", "X"} <= set(letters):
        raise ReadError(f"{name} has axes {axes} and no plane (y, x) to show: it is no image.")
    return "".join(letters)
