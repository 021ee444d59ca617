"""What the guest pages say to each other."""

from enum import Enum
from typing import Annotated

import msgspec

CONTENT_CHARS = 8000
"""As for messages of the messenger."""


class MessageType(Enum):
    """Somebody speaks, comes or goes."""

    CHAT = "CHAT"
    JOIN = "JOIN"
    LEAVE = "LEAVE"


class ChatMessage(msgspec.Struct, frozen=True):
    """Three fields, all of them always there: a null stays a null.

    ``sender`` from a client is never believed; what goes out names the principal.
    """

    type: MessageType
    content: Annotated[str, msgspec.Meta(max_length=CONTENT_CHARS)] | None = None
    sender: str | None = None
