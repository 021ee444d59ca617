"""aiokafka: what Salon itself uses."""

import asyncio

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError

from tests.broker.process import Process

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


async def make(broker: Process, topic: str, partitions: int = 1) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.address)
    await admin.start()
    await admin.create_topics([NewTopic(topic, partitions, 1)])
    await admin.close()


async def reader(broker: Process, topic: str, **how: object) -> AIOKafkaConsumer:
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=broker.address,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        **how,
    )
    await consumer.start()
    return consumer


@pytest.mark.parametrize("codec", [None, "gzip", "snappy", "lz4", "zstd"])
async def test_an_idempotent_producer_and_a_group(broker: Process, codec: str | None):
    topic = f"aio-{codec}"
    await make(broker, topic, 3)
    async with AIOKafkaProducer(
        bootstrap_servers=broker.address,
        acks="all",
        enable_idempotence=True,
        compression_type=codec,
    ) as producer:
        sent = await asyncio.gather(
            *(
                producer.send_and_wait(topic, b"%d" % i, key=b"%d" % (i % 7))
                for i in range(100)
            )
        )
    consumer = await reader(broker, topic, group_id=f"aio-{codec}")
    found = [await asyncio.wait_for(consumer.getone(), 20) for _ in range(100)]
    await consumer.commit()
    committed = [
        await consumer.committed(TopicPartition(topic, p)) or 0 for p in range(3)
    ]
    await consumer.stop()

    assert {m.value for m in found} == {b"%d" % i for i in range(100)}
    assert sum(committed) == len(sent)


async def test_a_restarted_static_member_goes_on_at_once(broker: Process):
    """Its session is a minute long: a rebalance by timeout would fail the test."""
    await make(broker, "aio-static", 2)
    how = {
        "group_id": "static",
        "group_instance_id": "node-1",
        "session_timeout_ms": 60_000,
    }
    async with AIOKafkaProducer(bootstrap_servers=broker.address) as producer:
        old = await reader(broker, "aio-static", **how)
        await producer.send_and_wait("aio-static", b"first", partition=0)
        first = await asyncio.wait_for(old.getone(), 20)
        await old.commit()
        new = await reader(broker, "aio-static", **how)
        await producer.send_and_wait("aio-static", b"second", partition=0)
        second = await asyncio.wait_for(new.getone(), 20)
        with pytest.raises(KafkaError):  # it has no name for FENCED_INSTANCE_ID
            await old.commit()
        for each in (old, new):
            await each.stop()

    assert (first.value, second.value) == (b"first", b"second")


async def test_positions_can_be_asked_for(broker: Process):
    await make(broker, "aio-positions")
    async with AIOKafkaProducer(
        bootstrap_servers=broker.address, acks="all"
    ) as producer:
        for at in (1000, 2000, 3000):
            await producer.send_and_wait("aio-positions", b"x", timestamp_ms=at)
    consumer = await reader(broker, "aio-positions")
    tp = TopicPartition("aio-positions", 0)
    begin = await consumer.beginning_offsets([tp])
    end = await consumer.end_offsets([tp])
    since = await consumer.offsets_for_times({tp: 1500})
    await consumer.stop()

    assert (begin[tp], end[tp], since[tp].offset) == (0, 3, 1)
