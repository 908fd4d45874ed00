"""Work in a process of its own, arrays both sides see, and labels that survive a crash.

Importing this imports neither torch nor Qt.
"""

from napari_unet.jobs.journal import Journal
from napari_unet.jobs.process import Child
from napari_unet.jobs.recent import recent_sessions, remember_session
from napari_unet.jobs.recovery import JournalEntry, JournalState, fingerprint, unfinished
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
from napari_unet.jobs.session import (
    DrawnLabels,
    Point,
    Round,
    Session,
    SessionImage,
    SessionModel,
    WindowView,
    find_image,
    is_session,
    path_in,
    read_session,
)
from napari_unet.jobs.session_labels import Drawing, Drawn, label_file, painted_file, read_drawing
from napari_unet.jobs.session_writer import SessionWriter
from napari_unet.jobs.shared import SharedArray

__all__ = [
    "AnyVolume",
    "Child",
    "Drawing",
    "Drawn",
    "DrawnLabels",
    "Event",
    "Failed",
    "FileVolume",
    "Finished",
    "JobRequest",
    "Journal",
    "JournalEntry",
    "JournalState",
    "Point",
    "PredictRequest",
    "PredictResult",
    "ProbeRequest",
    "ProbeResult",
    "Round",
    "Session",
    "SessionImage",
    "SessionModel",
    "SessionWriter",
    "SharedArray",
    "SharedCase",
    "SharedVolume",
    "SharedWatch",
    "SurveyRequest",
    "SurveyResult",
    "TrainRequest",
    "TrainResult",
    "ValidationResult",
    "WindowView",
    "find_image",
    "fingerprint",
    "is_session",
    "label_file",
    "painted_file",
    "path_in",
    "read_drawing",
    "read_session",
    "recent_sessions",
    "remember_session",
    "unfinished",
]
