"""What is asked of a picture, as it stands in the log beside chat's commands.

``client_id`` of the three ends is made from the job, so that each can happen once. It
begins with a character that does not print, which no client id of a person may hold:
nobody can use up the key of another's picture.
"""

from typing import Annotated

import msgspec

from salon.chat.commands import Command
from salon.ids import FileId, JobId
from salon.pictures.jobs import NOTE_MAX, ONCE


class RequestPicture(Command, frozen=True, kw_only=True, tag="picture"):
    """Ask for a picture in a conversation.

    Attributes:
        steps: None leaves it to the model that will draw; ``guidance`` likewise.
        deadline: milliseconds since 1970 by which the job has ended.
    """

    job: JobId
    prompt: str
    negative: str
    seed: int
    steps: int | None
    guidance: float | None
    deadline: int

    def digest(self) -> bytes:
        """The deadline follows from the time of the try, and is as little asked.

        What is left to the model counts as what it was once filled in with: a request
        that is sent again across an upgrade is the same request.
        """
        steps, guidance = ONCE
        same = msgspec.structs.replace(
            self,
            deadline=0,
            steps=steps if self.steps is None else self.steps,
            guidance=guidance if self.guidance is None else self.guidance,
        )
        return Command.digest(same)


class PictureNote(msgspec.Struct, frozen=True):
    """What the model wants to tell who asked; see ``imaging.ports.Note``."""

    code: Annotated[str, msgspec.Meta(pattern=r"^[a-z_]{1,40}$")]
    message: Annotated[str, msgspec.Meta(min_length=1, max_length=NOTE_MAX)]
    params: Annotated[
        dict[
            Annotated[str, msgspec.Meta(pattern=r"^[a-z_]{1,20}$")],
            int | Annotated[str, msgspec.Meta(max_length=NOTE_MAX // 2)],
        ],
        msgspec.Meta(max_length=4),
    ] = msgspec.field(default_factory=dict)


class FinishPicture(Command, frozen=True, kw_only=True, tag="picture.done"):
    """A worker's result lies in ``media``; ``attempt`` is the lease it worked under.

    Attributes:
        steps: that it was drawn with, and ``guidance``; None if the worker does not
            say.
        drawn_as: what the model read the prompt as, where it had to read it as
            something else; None where it drew what was asked.
        notes: at most ``NOTES_MAX``.
    """

    job: JobId
    attempt: int
    file: FileId
    width: int
    height: int
    model: str
    elapsed_ms: int
    drawn_as: str | None = None
    steps: int | None = None
    guidance: float | None = None
    notes: tuple[PictureNote, ...] = ()


class FailPicture(Command, frozen=True, kw_only=True, tag="picture.failed"):
    """The job ended without a picture; ``code`` for translation, ``reason`` in words."""

    job: JobId
    code: str
    reason: str


class CancelPicture(Command, frozen=True, kw_only=True, tag="picture.cancelled"):
    """The one who asked (or an admin of the group) wants it no more."""

    job: JobId


def end_key(job: JobId, end: str) -> str:
    """The client id of an end; ``end`` is done, failed or cancelled."""
    return f"\x1e{end}:{job}"
