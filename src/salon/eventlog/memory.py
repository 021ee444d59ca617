"""A log in memory: for tests of what stands above it. Nothing survives it."""

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Sequence

from salon.eventlog.ports import Follower, Listener, Position, Record, Topic

BATCH = 500


class MemoryLog:
    """Topics as lists; appends are "durable" at once."""

    def __init__(self) -> None:
        self._topics: dict[str, list[list[Record]]] = {}
        self._grown = asyncio.Event()

    async def ensure(self, topics: Sequence[Topic]) -> None:
        for topic in topics:
            self._topics.setdefault(topic.name, [[] for _ in range(topic.partitions)])

    async def append(
        self, topic: str, key: bytes | None, value: bytes
    ) -> "asyncio.Future[Position]":
        partitions = self._topics[topic]
        index = zlib.crc32(key or b"") % len(partitions)
        offset = len(partitions[index])
        partitions[index].append(Record(index, offset, key, value))
        grown, self._grown = self._grown, asyncio.Event()
        grown.set()
        done: asyncio.Future[Position] = asyncio.get_running_loop().create_future()
        done.set_result(Position(index, offset))
        return done

    async def own(self, topic: str, group: str, member: str, who: Follower) -> None:
        partitions = self._topics[topic]
        starts = [await who.assigned(index) for index in range(len(partitions))]
        await self._follow(partitions, starts, who.records)

    async def tail(
        self, topic: str, listener: Listener, ready: Callable[[], None]
    ) -> None:
        partitions = self._topics[topic]
        starts = [len(partition) for partition in partitions]
        ready()

        await self._follow(partitions, starts, listener)

    async def _follow(
        self,
        partitions: list[list[Record]],
        positions: list[int],
        hand_on: Callable[[Sequence[Record]], Awaitable[None]],
    ) -> None:
        while True:
            grown = self._grown
            batch: list[Record] = []
            for index, records in enumerate(partitions):
                found = records[positions[index] : positions[index] + BATCH]
                positions[index] += len(found)
                batch += found
            if batch:
                await hand_on(batch)
            else:
                await grown.wait()

    async def close(self) -> None:
        """Nothing to let go."""
