"""What every log must do; run over memory, the embedded broker and Apache Kafka."""

import asyncio
from collections import defaultdict

import pytest

from salon.eventlog.ports import Topic

TOPIC = Topic("commands", partitions=4)


class Keeper:
    """A follower that keeps what it was given, and starts where it is told."""

    def __init__(self, starts=None):
        self.starts = starts or {}
        self.owned = set()
        self.records_of = defaultdict(list)
        self.changed = asyncio.Event()

    async def assigned(self, partition):
        self.owned.add(partition)
        self.changed.set()
        return self.starts.get(partition, 0)

    async def revoked(self, partition):
        self.owned.discard(partition)

    async def records(self, records):
        for record in records:
            self.records_of[record.partition].append(record)
        self.changed.set()

    async def until(self, condition):
        async with asyncio.timeout(30):
            while not condition(self):
                self.changed.clear()
                await self.changed.wait()

    @property
    def count(self):
        return sum(len(records) for records in self.records_of.values())


class LogContract:
    """Subclasses give a fixture ``log`` (an EventLog) and may give ``again``."""

    @pytest.fixture
    def topic(self):
        return TOPIC

    async def follow(self, log, topic, who, member="one"):
        return asyncio.create_task(log.own(topic.name, "owners", member, who))

    async def test_what_was_appended_comes_once_and_in_the_order_of_its_key(
        self, log, topic
    ):
        await log.ensure([topic])
        sent = [(f"k{n % 7}".encode(), f"v{n}".encode()) for n in range(200)]
        waiting = [await log.append(topic.name, key, value) for key, value in sent]
        positions = [await each for each in waiting]
        keeper = Keeper()
        task = await self.follow(log, topic, keeper)
        await keeper.until(lambda k: k.count == 200)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

        got = [r for records in keeper.records_of.values() for r in records]
        assert len(set(positions)) == 200
        assert {(r.partition, r.offset) for r in got} == {tuple(p) for p in positions}
        for key in {key for key, _ in sent}:
            assert [r.value for r in got if r.key == key] == [
                value for k, value in sent if k == key
            ]

    async def test_a_follower_starts_at_the_offset_that_it_says(self, log, topic):
        await log.ensure([topic])
        for n in range(20):
            await (await log.append(topic.name, b"one key", b"%d" % n))
        first = Keeper()
        task = await self.follow(log, topic, first)
        await first.until(lambda k: k.count == 20)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        (partition,) = first.records_of

        second = Keeper({partition: first.records_of[partition][15].offset})
        task = await self.follow(log, topic, second)
        await second.until(lambda k: k.count == 5)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

        assert [r.value for r in second.records_of[partition]] == [
            b"15",
            b"16",
            b"17",
            b"18",
            b"19",
        ]

    async def test_a_waiting_follower_hears_of_an_append(self, log, topic):
        await log.ensure([topic])
        keeper = Keeper()
        task = await self.follow(log, topic, keeper)
        await keeper.until(lambda k: len(k.owned) == topic.partitions)
        await (await log.append(topic.name, b"k", b"late"))
        await keeper.until(lambda k: k.count == 1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def test_a_listener_hears_only_what_comes_after_it(self, log):
        inbox = Topic("node.one", partitions=1, retention_ms=60_000)
        await log.ensure([inbox])
        await (await log.append(inbox.name, None, b"before"))
        heard = []
        ready, enough = asyncio.Event(), asyncio.Event()

        async def listener(records):
            heard.extend(record.value for record in records)
            if len(heard) == 3:
                enough.set()

        task = asyncio.create_task(log.tail(inbox.name, listener, ready.set))
        await asyncio.wait_for(ready.wait(), 30)
        for value in (b"a", b"b", b"c"):
            await (await log.append(inbox.name, None, value))
        await asyncio.wait_for(enough.wait(), 30)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

        assert heard == [b"a", b"b", b"c"]

    async def test_ensuring_topics_twice_is_harmless(self, log, topic):
        await log.ensure([topic])
        await log.ensure([topic])
        await (await log.append(topic.name, b"k", b"v"))
