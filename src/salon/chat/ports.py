"""What chat needs from others, and what the areas above share with it.

``Ledger`` is the store's transaction as the rules see it; ``Commands`` carries a
command to the owner and its outcome back; ``Notices`` reaches the devices that are
connected; ``History`` answers what has happened.
"""

from collections.abc import Awaitable, Iterable, Sequence
from typing import Any, NamedTuple, Protocol

import msgspec

from salon.chat.commands import Command
from salon.chat.conversations import Conversation
from salon.chat.events import Event
from salon.errors import Refusal
from salon.ids import ConversationId, FileId, UserId


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a command: an event, or a refusal.

    Attributes:
        duplicate: the event is that of an earlier try with the same key.
        recipients: who is told: the members after the change.
        removed: who is no longer a member because of it.
    """

    command: Command
    event: Event | None = None
    refusal: Refusal | None = None
    duplicate: bool = False
    recipients: tuple[UserId, ...] = ()
    removed: tuple[UserId, ...] = ()


class Ledger(Protocol):
    """One transaction over what the owner keeps; see ``store/ledger.py``."""

    def conversation(self, id: ConversationId) -> Conversation | None: ...  # noqa: A002
    def add_conversation(self, conversation: Conversation) -> None: ...
    def add_event(
        self, event: Event, digest: bytes, merge: dict[str, Any] | None
    ) -> None: ...
    def members_changed(self, conversation: Conversation) -> None: ...
    def knows_users(self, users: Iterable[UserId]) -> set[UserId]: ...


class Applied(NamedTuple):
    """A command that became an event; ``duplicate`` when an earlier try did."""

    event: Event
    duplicate: bool


class Commands(Protocol):
    """The way to the owner and back."""

    async def submit(self, command: Command) -> Awaitable[Applied]:
        """Append the command; the awaitable resolves when it is durable and applied.

        Order: commands submitted one after another of one conversation are applied
        in that order.

        Raises:
            Unavailable: ours; the log takes nothing now.
            Refusal: theirs; from the awaitable, what the owner refused.
        """
        ...


class Notices(Protocol):
    """Everything that devices hear besides the numbered stream."""

    def notify(
        self, users: Sequence[UserId], body: bytes, *, coalesce: str | None = None
    ) -> None:
        """Tell connected devices something that may drop (``queue/ephemeral``)."""

    def tell(self, users: Sequence[UserId], body: bytes) -> None:
        """Tell connected devices something that must not drop (``queue/events``)."""


class Summary(NamedTuple):
    """A conversation as one of its members sees it."""

    conversation: dict[str, Any]
    events: list[Event]
    limited: bool


class Delta(NamedTuple):
    """What changed for a user since a point in the store's history.

    Attributes:
        cursors: conversation → (read_seq, read_n), of all that the user is in: other
            devices move them without an event.
    """

    rev: int
    summaries: list[Summary]
    removed: list[ConversationId]
    cursors: dict[str, tuple[int, int]]


class History(Protocol):
    """Reads of what has been applied."""

    async def epoch(self) -> str: ...
    async def changes(self, user: UserId, since: int | None) -> Delta: ...
    async def summary(self, user: UserId, id: ConversationId) -> dict[str, Any]: ...  # noqa: A002
    async def page(
        self,
        user: UserId,
        id: ConversationId,  # noqa: A002
        *,
        after: int | None,
        before: int | None,
        limit: int,
    ) -> tuple[list[Event], int]: ...
    async def members(self, id: ConversationId) -> frozenset[UserId]: ...  # noqa: A002
    async def read(
        self,
        user: UserId,
        id: ConversationId,  # noqa: A002
        seq: int,
    ) -> tuple[int, int]: ...
    async def people(self) -> list[dict[str, Any]]: ...
    async def file(self, user: UserId, id: FileId) -> tuple[str, str] | None: ...  # noqa: A002
