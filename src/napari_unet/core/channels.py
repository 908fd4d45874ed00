"""Which channels of an image a model reads: by name where names say anything, else in the order they come."""

from __future__ import annotations

import re
from dataclasses import replace

from napari_unet.core.spec import ModelSpec
from napari_unet.core.volume import Pixels, Volume

_NUMBERED = re.compile(r"(c|ch|chan|channel|image)?[\W_]*\d*([\W_]+\d+)*")
"""Names that only count, in lower case: channel 1, Channel:0:1, ch00, C=2."""


def channels_for(volume: Volume, spec: ModelSpec) -> tuple[int, ...] | None:
    """Return which channels of an image a model reads, in its order; None where it can't be told.

    Channels that both name, such as DAPI and GFP, are taken by name, in whatever order the image has them and
    whatever others it has. Without such names there must be as many, and they are taken as they come, unless
    one is what the model knows as another. A model of one channel also reads a grey image saved in colour.
    """
    own, wanted = (tuple(map(_plain, names)) for names in (volume.channels, spec.channels))
    if named(wanted) and all(own.count(name) == 1 for name in wanted):
        return tuple(map(own.index, wanted))
    if len(own) == len(wanted):
        pairs = list(zip(own, wanted, strict=True))
        crossed = any(a != b and a in wanted and named((a,)) for a, b in pairs)
        return None if crossed else tuple(range(len(own)))
    return (0,) if len(wanted) == 1 and volume.is_grey else None


def as_read(volume: Volume, spec: ModelSpec) -> Volume:
    """Return an image with the channels that a model reads by name, in its order, and no others.

    The image itself where these are all that it has, or where they can't be told.
    """
    channels, own = channels_for(volume, spec), volume.channels
    whole = channels == tuple(range(len(own)))
    if channels is None or whole or (len(own) > len(channels) and volume.is_grey):
        return volume
    names = tuple(own[i] for i in channels)
    return replace(volume, data=picked(volume.data, channels), channels=names)


def named(channels: tuple[str, ...]) -> bool:
    """Whether each channel has a name of its own that says more than a number."""
    plain = tuple(map(_plain, channels))
    return len(set(plain)) == len(plain) and not any(map(_NUMBERED.fullmatch, plain))


def picked(data: Pixels, channels: tuple[int, ...]) -> Pixels:
    """Return some channels of data (C, ...), without a copy where they lie at regular distances."""
    if channels == tuple(range(data.shape[0])):
        return data
    step = channels[1] - channels[0] if len(channels) > 1 else 1
    last = channels[0] + step * len(channels)
    if step and channels == tuple(range(channels[0], last, step)):
        part: Pixels = data[channels[0] : last if last >= 0 else None : step]
        return part
    some: Pixels = data[list(channels)]
    return some


def _plain(name: str) -> str:
    return name.strip().lower()
