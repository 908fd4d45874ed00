"""Every error this package raises on purpose, in one tree.

::

    UNetError                 the work could not be done; the message names thing, cause and remedy
     ├── ReadError            a file can't be read: missing, damaged, foreign or ambiguous
     ├── WriteError           a file can't be written; nothing was left half-written
     ├── GridError            two things that must share a voxel grid do not
     ├── AnnotationError      labels that can't be learned from
     ├── SpecError            an impossible network, shape or setting
     ├── ModelFileError       a model file that is damaged, foreign or hostile
     ├── DeviceError          a device or backend that is not there or does not compute rightly
     ├── StoppedError         told to stop before there was anything to give
     └── ChildError           the child process died or answered nonsense

None of them is a ``RuntimeError``: Qt workers and torch both use that one for themselves.
"""

from __future__ import annotations

__all__ = [
    "AnnotationError",
    "ChildError",
    "DeviceError",
    "GridError",
    "ModelFileError",
    "ReadError",
    "SpecError",
    "StoppedError",
    "UNetError",
    "WriteError",
]


class UNetError(Exception):
    """Root of the tree. Its text is one sentence for the user."""


class ReadError(UNetError):
    """A file can't be read: missing, damaged, foreign, or its axes need an explicit choice."""


class WriteError(UNetError):
    """A file can't be written. What stood at the target before still stands there."""


class GridError(UNetError):
    """Two things that must share one voxel grid do not."""


class AnnotationError(UNetError):
    """Labels that can't be learned from, such as an annotation with no known voxel."""


class SpecError(UNetError):
    """An impossible network, shape or setting; the message gives the nearest possible one."""


class ModelFileError(UNetError):
    """A model file that is damaged, foreign or hostile."""


class DeviceError(UNetError):
    """A device or backend that is not there, or that does not compute rightly."""


class StoppedError(UNetError):
    """Work that was told to stop before there was anything that it could give."""


class ChildError(UNetError):
    """The child process died or answered nonsense. Nothing in the window is lost."""
