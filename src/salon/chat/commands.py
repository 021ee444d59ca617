"""What people ask for, as it stands in the log's topic ``commands``.

A command is not yet true: the owner of its conversation applies it, in the order of
the log, and makes exactly one event of it or a refusal. Everything that the outcome
depends on is in the command (time, ids), so that applying it again gives the same.
"""

import hashlib

import msgspec

from salon.ids import ConversationId, UserId


class Command(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """What all commands say.

    Attributes:
        id: names this try; the answer goes to ``node`` under it.
        client_id: the sender's idempotency key, unique for ever within
            (conversation, sender).
        node: the server that waits for the answer.
        ts: milliseconds since 1970, of the server that took the command.
    """

    id: str
    conversation: ConversationId
    sender: UserId
    client_id: str
    node: str
    ts: int

    def digest(self) -> bytes:
        """A fingerprint of what is asked, without the try: id, node and time.

        The same key with another fingerprint is refused.
        """
        same = msgspec.structs.replace(self, id="", node="", ts=0)
        return hashlib.blake2b(msgspec.json.encode(same), digest_size=16).digest()


class CreateConversation(Command, frozen=True, kw_only=True, tag="create"):
    """Start a conversation; ``pair`` holds the two of a single one."""

    kind: str
    name: str
    members: list[UserId]


class AddMembers(Command, frozen=True, kw_only=True, tag="add"):
    """Bring people into a group."""

    users: list[UserId]


class RemoveMember(Command, frozen=True, kw_only=True, tag="remove"):
    """Leave a group, or put somebody out of it."""

    user: UserId


class SendMessage(Command, frozen=True, kw_only=True, tag="send"):
    """Say something."""

    text: str


def pair_key(one: UserId, other: UserId) -> str:
    """The key of the single conversation between two people (or with oneself)."""
    first, second = sorted((one, other))
    return f"{first}:{second}"


def pair_id(one: UserId, other: UserId) -> ConversationId:
    """The id that both sides derive, so that both create the same conversation."""
    digest = hashlib.blake2b(pair_key(one, other).encode(), digest_size=8).digest()
    return ConversationId(int.from_bytes(digest, "big") >> 1 | 1 << 62)
