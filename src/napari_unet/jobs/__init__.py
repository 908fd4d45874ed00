"""Work in a process of its own, arrays both sides see, and labels that survive a crash.

Importing this imports neither torch nor Qt.
"""

from napari_unet.jobs.journal import Journal
from napari_unet.jobs.process import Child
from napari_unet.jobs.recovery import JournalEntry, JournalState, unfinished
from napari_unet.jobs.requests import (
    AnyVolume,
    Event,
    Failed,
    FileVolume,
    Finished,
    JobRequest,
    PredictRequest,
    PredictResult,
    ProbeRequest,
    ProbeResult,
    SharedCase,
    SharedVolume,
    SharedWatch,
    SurveyRequest,
    SurveyResult,
    TrainRequest,
    TrainResult,
    ValidationResult,
)
from napari_unet.jobs.shared import SharedArray

__all__ = [
    "AnyVolume",
    "Child",
    "Event",
    "Failed",
    "FileVolume",
    "Finished",
    "JobRequest",
    "Journal",
    "JournalEntry",
    "JournalState",
    "PredictRequest",
    "PredictResult",
    "ProbeRequest",
    "ProbeResult",
    "SharedArray",
    "SharedCase",
    "SharedVolume",
    "SharedWatch",
    "SurveyRequest",
    "SurveyResult",
    "TrainRequest",
    "TrainResult",
    "ValidationResult",
    "unfinished",
]
