"""The last messages of topics that ask for it, for clients that were away.

A client that reconnects says in SUBSCRIBE ``resume-from`` which message-id it saw last;
it gets what came after it, then the present. Ids of one server grow, so any id of it
is a place in every topic's history, also the ``position`` in the RECEIPT of a SUBSCRIBE.

In memory and bounded, so a place may be forgotten, and is after a restart (another
node name begins the ids). Then the client is told ``gap:true``: it got all there is,
which is not all there was.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from salon.messaging.ant import AntPattern
from salon.stomp.frames import Headers

TOPICS_MAX = 10_000
"""Histories that are kept; the one that was silent longest makes room."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A message of a history."""

    number: int
    headers: Headers
    body: bytes


@dataclass(frozen=True)
class Retain:
    """What is kept of the topics of a pattern.

    Attributes:
        pattern: of destinations: ``/topic/news/**``.
        messages: how many of each topic.
        bytes: how many bytes of their bodies; below what may wait for one reader.
    """

    pattern: AntPattern
    messages: int
    bytes: int


def retain(pattern: str, messages: int = 100, size: int = 256 * 1024) -> Retain:
    """Keep the last messages of each topic of this pattern."""
    return Retain(AntPattern(pattern), messages, size)


class History:
    """The last messages of one topic.

    Attributes:
        forgotten: number of the newest message that is not kept any more.
    """

    __slots__ = ("_bytes", "_kept", "_limits", "forgotten")

    def __init__(self, limits: Retain, forgotten: int) -> None:
        self._limits = limits
        self._kept: deque[Kept] = deque()
        self._bytes = 0
        self.forgotten = forgotten

    def add(self, message: Kept) -> None:
        self._kept.append(message)
        self._bytes += len(message.body)
        while self._kept and (
            len(self._kept) > self._limits.messages or self._bytes > self._limits.bytes
        ):
            oldest = self._kept.popleft()
            self._bytes -= len(oldest.body)
            self.forgotten = oldest.number

    @property
    def newest(self) -> int:
        """Number of the last message."""
        return self._kept[-1].number if self._kept else self.forgotten

    def after(self, number: int) -> Iterator[Kept]:
        """What came after a place, the oldest first."""
        return (message for message in self._kept if message.number > number)

    def place(self, message_id: str) -> int | None:
        """The number of a message that is kept."""
        for message in reversed(self._kept):
            if ("message-id", message_id) in message.headers:
                return message.number
        return None


class Retention:
    """The histories of a server's topics.

    Args:
        retained: what to keep; of several patterns the first counts.
    """

    def __init__(self, *retained: Retain) -> None:
        self._retained = retained
        self._histories: dict[str, History] = {}
        self._forgotten = -1  # newest message of a history that made room

    def keeps(self, destination: str) -> Retain | None:
        """What is kept of a topic, if anything."""
        for each in self._retained:
            if each.pattern.match(destination) is not None:
                return each
        return None

    def add(self, destination: str, message: Kept) -> None:
        """Remember a message where its topic asks for it."""
        if not self._retained:
            return
        history = self._histories.pop(destination, None)
        if history is None:
            limits = self.keeps(destination)
            if limits is None:
                return
            if len(self._histories) >= TOPICS_MAX:
                self._make_room()
            history = History(limits, self._forgotten)
        self._histories[destination] = history  # the last to speak stands last
        history.add(message)

    def of(self, destination: str) -> History | None:
        """The history of a topic, if it has one."""
        return self._histories.get(destination)

    def is_whole(self, destination: str, number: int) -> bool:
        """Whether everything that a topic said after a place is kept."""
        history = self._histories.get(destination)
        forgotten = self._forgotten if history is None else history.forgotten
        return self.keeps(destination) is not None and number >= forgotten

    def _make_room(self) -> None:
        silent = self._histories.pop(next(iter(self._histories)))
        self._forgotten = max(self._forgotten, silent.newest)
