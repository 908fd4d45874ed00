"""How messages look in the pipe: one a line, its kind, a blank, its fields as JSON.

Kinds come from a closed list, every field is checked against its type on arrival, and nothing is
ever unpickled.
"""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from napari_unet.core.progress import Progress
from napari_unet.errors import ChildError
from napari_unet.jobs.lessons import (
    ChangeRequest,
    Followed,
    FollowRequest,
    GlanceRequest,
    HeldOut,
    LeaveRequest,
    Left,
    Published,
)
from napari_unet.jobs.requests import (
    ExportRequest,
    Failed,
    Finished,
    PredictRequest,
    ProbeRequest,
    StopRequest,
    SurveyRequest,
    TrainRequest,
)

HELLO = b"napari-unet 1\n"
"""The child's first line. What stands before it was printed by Python's own start-up files."""

Message = (
    PredictRequest
    | SurveyRequest
    | GlanceRequest
    | TrainRequest
    | ExportRequest
    | ProbeRequest
    | StopRequest
    | FollowRequest
    | ChangeRequest
    | LeaveRequest
    | Progress
    | Finished
    | Failed
    | Followed
    | HeldOut
    | Published
    | Left
)

CONFIG = ConfigDict(
    ser_json_bytes="base64",  # a grid carries its file's own header
    val_json_bytes="base64",
    ser_json_inf_nan="constants",  # the Dice of a class that is nowhere is not a number
)

# A tuple of one, because pydantic takes no config beside a dataclass of somebody else's.
_ADAPTERS: dict[str, TypeAdapter[tuple[Any]]] = {
    kind.__name__: TypeAdapter(tuple[kind], config=CONFIG)  # type: ignore[arg-type, valid-type]
    for kind in Message.__args__
}


def encode(message: Message) -> bytes:
    """Turn a message into one line.

    Raises
    ------
    ChildError
        When a name in it is not valid text.
    """
    kind = type(message).__name__
    try:
        return kind.encode() + b" " + _ADAPTERS[kind].dump_json((message,)) + b"\n"
    except PydanticSerializationError as error:
        raise ChildError(
            f"The name of a file or layer is no valid text ({error}): rename it."
        ) from error


def decode(line: bytes) -> Message:
    """Turn a line back into the message.

    Raises
    ------
    ChildError
        When it is none, or its fields are not what its kind asks for.
    """
    kind, _, fields = line.partition(b" ")
    try:
        (message,) = _ADAPTERS[kind.decode()].validate_json(fields)
    except (KeyError, UnicodeDecodeError, ValidationError) as error:
        raise ChildError(
            f"The two processes of napari-unet do not understand each other ({line[:60]!r}): "
            "if it was updated while napari ran, start napari again."
        ) from error
    found: Message = message
    return found
