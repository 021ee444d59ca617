"""The log over the Kafka protocol: the embedded broker and Apache Kafka alike.

One idempotent producer (acks=all) for everything that this server appends; one
consumer per thing that is followed. The client is aiokafka (decision 0004).

The offset that counts is the one that the store keeps in the owner's transaction;
the group's committed offset is only written now and then, for people who watch lag.
"""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache, partial
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import (
    KafkaError,
    NoOffsetForPartitionError,
    TopicAlreadyExistsError,
    for_code,
)
from aiokafka.partitioner import murmur2
from aiokafka.structs import TopicPartition

from salon.errors import StartupError, Unavailable
from salon.eventlog.ports import Follower, Listener, Position, Record, Topic

log = structlog.get_logger("salon.eventlog")

BATCH = 500
REQUEST_TIMEOUT_MS = 15_000
REPLICAS = 3
"""Copies of each topic, where the cluster has so many brokers."""

UNSENT_MAX = 10_000
"""Records handed over and not yet durable; beyond it appending refuses."""


_hash = lru_cache(10_000)(murmur2)
"""aiokafka's is plain Python: 10 us a record, for keys that come again and again."""


def _partition_of(
    key: bytes | None, partitions: Sequence[int], available: Sequence[int]
) -> int:
    """The partition that every Kafka client chooses for a key."""
    if key is None:
        return random.choice(available or partitions)
    index: int = (_hash(key) & 0x7FFFFFFF) % len(partitions)
    return partitions[index]


class KafkaLog:
    """Append and follow over ``bootstrap`` servers (``host:port,…``)."""

    def __init__(self, bootstrap: str, client_id: str) -> None:
        self._bootstrap = bootstrap
        self._client_id = client_id
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()
        self._unsent = 0

    async def ensure(self, topics: Sequence[Topic]) -> None:
        admin = AIOKafkaAdminClient(
            bootstrap_servers=self._bootstrap, client_id=self._client_id
        )
        try:
            await admin.start()
            there = set(await admin.list_topics())
            # asked with a request that every client makes: for CreateTopics the
            # embedded broker has to load code, at each start
            missing = [topic for topic in topics if topic.name not in there]
            if missing:
                await self._create(admin, missing)
        except (KafkaError, OSError) as error:
            raise Unavailable(f"Kafka at {self._bootstrap}: {error}") from error
        finally:
            await admin.close()

    async def _create(self, admin: Any, topics: Sequence[Topic]) -> None:
        cluster = await admin.describe_cluster()
        replicas = min(REPLICAS, len(cluster["brokers"]))
        wanted = [
            NewTopic(
                topic.name,
                topic.partitions,
                replicas,
                topic_configs={"retention.ms": str(topic.retention_ms)},
            )
            for topic in topics
        ]
        response = await admin.create_topics(wanted)
        for name, code, *rest in response.topic_errors:
            error = for_code(code)
            if code and error is not TopicAlreadyExistsError:
                raise Unavailable(f"topic {name} cannot be made: {error} {rest}")

    async def append(
        self, topic: str, key: bytes | None, value: bytes
    ) -> "asyncio.Future[Position]":
        if self._unsent >= UNSENT_MAX:
            raise Unavailable("The log is behind; try again in a moment.")
        producer = self._producer or await self._start_producer()
        try:
            sent = await producer.send(topic, value=value, key=key)
        except KafkaError as error:
            raise Unavailable(f"The log takes nothing now: {error}") from error
        self._unsent += 1
        durable: asyncio.Future[Position] = asyncio.get_running_loop().create_future()
        sent.add_done_callback(partial(self._settled, durable))
        return durable

    def _settled(
        self, durable: "asyncio.Future[Position]", sent: "asyncio.Future[Any]"
    ) -> None:
        self._unsent -= 1
        if durable.done():
            return
        if sent.cancelled():
            durable.cancel()
            return
        error = sent.exception()
        if error is not None:
            log.warning("log.append_failed", why=repr(error))
            durable.set_exception(Unavailable(f"The log did not take it: {error}"))
            durable.exception()  # said above, also to nobody who waits
            return
        meta = sent.result()
        durable.set_result(Position(meta.partition, meta.offset))

    async def _start_producer(self) -> AIOKafkaProducer:
        async with self._starting:
            if self._producer is None:
                producer = AIOKafkaProducer(
                    bootstrap_servers=self._bootstrap,
                    client_id=self._client_id,
                    acks="all",
                    enable_idempotence=True,
                    partitioner=_partition_of,
                    linger_ms=0,
                    max_batch_size=1 << 20,
                    request_timeout_ms=REQUEST_TIMEOUT_MS,
                    retry_backoff_ms=50,
                )
                try:
                    await producer.start()
                except (KafkaError, OSError) as error:
                    await producer.stop()
                    raise Unavailable(f"Kafka: {error}") from error
                self._producer = producer
            return self._producer

    async def own(self, topic: str, group: str, member: str, who: Follower) -> None:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap,
            client_id=self._client_id,
            group_id=group,
            group_instance_id=member,
            enable_auto_commit=False,
            auto_offset_reset="none",
            max_poll_records=BATCH,
            max_partition_fetch_bytes=4 << 20,
            fetch_max_wait_ms=500,
            session_timeout_ms=10_000,
            heartbeat_interval_ms=2_000,
            retry_backoff_ms=50,
            metadata_max_age_ms=60_000,
        )
        ownership = _Ownership(consumer, who)
        consumer.subscribe([topic], listener=ownership)
        await consumer.start()
        try:
            while True:
                try:
                    await self._follow(consumer, who.records)
                except NoOffsetForPartitionError:
                    # aiokafka begins to fetch before the listener has set offsets, and
                    # only logs what a listener raises
                    if ownership.error is not None:
                        raise ownership.error from None
                    await asyncio.sleep(0.01)
        except KafkaError as error:
            raise Unavailable(f"Kafka: {error}") from error
        finally:
            with contextlib.suppress(Exception):
                await consumer.stop()

    async def tail(
        self, topic: str, listener: Listener, ready: Callable[[], None]
    ) -> None:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap,
            client_id=self._client_id,
            enable_auto_commit=False,
            auto_offset_reset="latest",
            fetch_max_wait_ms=500,
            retry_backoff_ms=50,
        )
        await consumer.start()
        try:
            partition = TopicPartition(topic, 0)
            consumer.assign([partition])
            await consumer.seek_to_end(partition)
            ready()

            await self._follow(consumer, listener)
        finally:
            with contextlib.suppress(Exception):
                await consumer.stop()

    async def _follow(
        self,
        consumer: AIOKafkaConsumer,
        hand_on: Callable[[Sequence[Record]], Awaitable[None]],
    ) -> None:
        while True:
            try:
                batches = await consumer.getmany(timeout_ms=1000)
            except KafkaError as error:
                if not getattr(error, "retriable", False):
                    raise
                log.warning("log.follow_retry", why=repr(error))
                await asyncio.sleep(0.2)
                continue
            records = [
                Record(each.partition, each.offset, each.key, each.value)
                for found in batches.values()
                for each in found
            ]
            if records:
                await hand_on(records)

    async def close(self) -> None:
        if self._producer is not None:
            with contextlib.suppress(Exception):
                await asyncio.wait_for(self._producer.stop(), 3)


class _Ownership(ConsumerRebalanceListener):  # type: ignore[misc]
    """Tells the follower what it owns, and sets the consumer to its offsets."""

    def __init__(self, consumer: AIOKafkaConsumer, who: Follower) -> None:
        self._consumer = consumer
        self._who = who
        self.error: Exception | None = None

    async def on_partitions_revoked(self, revoked: Sequence[TopicPartition]) -> None:
        for partition in revoked:
            await self._who.revoked(partition.partition)

    async def on_partitions_assigned(self, assigned: Sequence[TopicPartition]) -> None:
        try:
            await self._assigned(assigned)
        except Exception as error:
            self.error = error
            raise

    async def _assigned(self, assigned: Sequence[TopicPartition]) -> None:
        ends = await self._consumer.end_offsets(list(assigned))
        for partition in assigned:
            start = await self._who.assigned(partition.partition)
            if start > ends[partition]:
                raise StartupError(
                    f"The log ends at {ends[partition]} in {partition.topic}-"
                    f"{partition.partition}, but {start} commands of it were applied: "
                    "this is not the log that the database was made from."
                )
            self._consumer.seek(partition, start)
