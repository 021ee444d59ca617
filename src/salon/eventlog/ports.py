"""The log as the rest of Salon sees it: append, own, tail.

An implementation speaks to the embedded broker and to Apache Kafka alike
(``kafka.py``), or keeps a list in memory (``memory.py``, for tests).
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol


class Record(NamedTuple):
    """One record of a partition."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes


class Position(NamedTuple):
    """Where an appended record stands."""

    partition: int
    offset: int


@dataclass(frozen=True)
class Topic:
    """A topic that must be there.

    Attributes:
        retention_ms: -1 keeps records for ever.
    """

    name: str
    partitions: int
    retention_ms: int = -1


class Follower(Protocol):
    """Who owns partitions of a topic, one batch after another."""

    async def assigned(self, partition: int) -> int:
        """We own ``partition`` now; returns the offset to start from."""
        ...

    async def revoked(self, partition: int) -> None:
        """We own it no more."""
        ...

    async def records(self, records: Sequence[Record]) -> None:
        """Records, in order within each partition; more come when this returns."""
        ...


class Listener(Protocol):
    """Who hears a topic's new records, without owning anything."""

    async def __call__(self, records: Sequence[Record]) -> None: ...


class EventLog(Protocol):
    """Append and follow."""

    async def ensure(self, topics: Sequence[Topic]) -> None:
        """Create the topics that are missing.

        Raises:
            Unavailable: the log cannot be reached.
        """
        ...

    async def append(
        self, topic: str, key: bytes | None, value: bytes
    ) -> "asyncio.Future[Position]":
        """Queue a record; the future resolves when it is durable (acks=all).

        Records appended one after another with one key keep that order.

        Raises:
            Unavailable: ours; from here (no room) or from the future (no log).
        """
        ...

    async def own(self, topic: str, group: str, member: str, who: Follower) -> None:
        """Follow ``topic`` as ``member`` of ``group`` until cancelled.

        A member that comes back under its name takes its partitions at once
        (static membership, KIP-345).
        """
        ...

    async def tail(
        self, topic: str, listener: Listener, ready: Callable[[], None]
    ) -> None:
        """Hear what is appended from now on, until cancelled.

        Calls ``ready()`` when nothing appended later can be missed.
        """
        ...

    async def close(self) -> None:
        """Send what is queued, then let go."""
        ...
