"""What has happened in a conversation: its numbered stream.

Every durable event of a conversation takes the next *dense* ``seq`` from 1. Events
that make unread (messages, pictures) also take the next ``n``, so that a change of
membership does not raise anybody's badge.
"""

from typing import Any

import msgspec

from salon.ids import ConversationId, MessageId, UserId

_json = msgspec.json.Encoder()


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One event, with its number.

    Attributes:
        target: the ``seq`` of the event that this one changes.
        body: what the type says (``docs/reference/protocol.md``).
        ts: milliseconds since 1970; never falls within a conversation.
    """

    type: str
    conversation: ConversationId
    seq: int
    n: int | None
    id: MessageId
    sender: UserId
    client_id: str | None
    ts: int
    target: int | None
    body: dict[str, Any]

    def as_json(self) -> bytes:
        """The event as clients see it: ids are decimal strings."""
        return _json.encode(
            {
                "type": self.type,
                "conversation": str(self.conversation),
                "seq": self.seq,
                "n": self.n,
                "id": str(self.id),
                "sender": str(self.sender),
                "client_id": self.client_id,
                "ts": self.ts,
                "target": self.target,
                "body": self.body,
            }
        )


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """An event that a rule allowed, before it has a number.

    Attributes:
        counts: whether it makes unread.
        merge: fields to merge into the stored body of ``target`` (the end of a
            picture shows in the picture's own event).
    """

    type: str
    body: dict[str, Any]
    counts: bool = False
    target: int | None = None
    merge: dict[str, Any] | None = None
