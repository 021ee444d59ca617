"""Transactions by confluent-kafka and aiokafka: all or nothing, and no zombies."""

import time
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from tests.broker.process import Process
from tests.interop.kafka.test_confluent import consumer, read


def make(broker: Process, topic: str, partitions: int = 1) -> None:
    admin = AdminClient({"bootstrap.servers": broker.address})
    admin.create_topics([NewTopic(topic, partitions, 1)])[topic].result(10)


def producer(broker: Process, transactional_id: str, **more: Any) -> Producer:
    return Producer(
        {
            "bootstrap.servers": broker.address,
            "transactional.id": transactional_id,
            **more,
        }
    )


def reader(broker: Process, topic: str, isolation: str) -> Consumer:
    found = consumer(broker, f"{topic}-{isolation}", **{"isolation.level": isolation})
    found.subscribe([topic])
    return found


def test_committed_records_are_read_and_aborted_ones_are_not(broker: Process):
    make(broker, "txn", 3)
    writer = producer(broker, "writer")
    writer.init_transactions(20)
    for i in range(6):
        writer.begin_transaction()
        for j in range(10):
            writer.produce("txn", value=b"%d-%d" % (i, j), partition=j % 3)
        writer.flush(10)
        if i % 2:
            writer.abort_transaction(20)
        else:
            writer.commit_transaction(20)
    committed = reader(broker, "txn", "read_committed")
    everything = reader(broker, "txn", "read_uncommitted")
    found = {m.value() for m in read(committed, 30)}
    more = committed.poll(0.5)
    all_found = {m.value() for m in read(everything, 60)}
    committed.close()
    everything.close()

    assert found == {b"%d-%d" % (i, j) for i in (0, 2, 4) for j in range(10)}
    assert more is None
    assert len(all_found) == 60


def test_nothing_of_an_open_transaction_is_read(broker: Process):
    make(broker, "open")
    writer = producer(broker, "opener")
    plain = Producer({"bootstrap.servers": broker.address})
    writer.init_transactions(20)
    writer.begin_transaction()
    writer.produce("open", value=b"in")
    writer.flush(10)
    plain.produce("open", value=b"behind")
    plain.flush(10)
    committed = reader(broker, "open", "read_committed")
    before = committed.poll(3)
    writer.commit_transaction(20)
    after = [m.value() for m in read(committed, 2)]
    committed.close()

    assert before is None
    assert after == [b"in", b"behind"]


def test_a_zombie_is_fenced(broker: Process):
    make(broker, "fenced")
    zombie, successor = (producer(broker, "same") for _ in "ab")
    zombie.init_transactions(20)
    zombie.begin_transaction()
    zombie.produce("fenced", value=b"zombie")
    zombie.flush(10)
    successor.init_transactions(20)
    successor.begin_transaction()
    successor.produce("fenced", value=b"successor")
    successor.commit_transaction(20)
    with pytest.raises(KafkaException) as refused:
        zombie.commit_transaction(20)
    committed = reader(broker, "fenced", "read_committed")
    found = [m.value() for m in read(committed, 1)]
    more = committed.poll(0.5)
    committed.close()

    assert refused.value.args[0].fatal()
    assert found == [b"successor"]
    assert more is None


def test_offsets_are_part_of_the_transaction(broker: Process):
    """Consume, transform, produce: an abort takes the offsets back, too."""
    make(broker, "input")
    make(broker, "output")
    plain = Producer({"bootstrap.servers": broker.address})
    for i in range(10):
        plain.produce("input", value=b"%d" % i)
    plain.flush(10)
    writer = producer(broker, "transformer")
    writer.init_transactions(20)
    ends = (writer.abort_transaction, writer.commit_transaction)
    committed_offsets = []
    for end in ends:
        source = consumer(broker, "transformers")
        source.subscribe(["input"])
        writer.begin_transaction()
        for message in read(source, 10):
            writer.produce("output", value=message.value() + b"!")
        writer.send_offsets_to_transaction(
            source.position(source.assignment()), source.consumer_group_metadata(), 20
        )
        end(20)
        kept = source.committed([TopicPartition("input", 0)], 10)
        committed_offsets.append(kept[0].offset)
        source.close()
    committed = reader(broker, "output", "read_committed")
    found = [m.value() for m in read(committed, 10)]
    more = committed.poll(0.5)
    committed.close()

    assert committed_offsets == [-1001, 10]
    assert found == [b"%d!" % i for i in range(10)]
    assert more is None


def test_a_transaction_that_takes_too_long_is_aborted(broker: Process):
    make(broker, "late")
    writer = producer(broker, "late", **{"transaction.timeout.ms": 1000})
    plain = Producer({"bootstrap.servers": broker.address})
    writer.init_transactions(20)
    writer.begin_transaction()
    writer.produce("late", value=b"late")
    writer.flush(10)
    plain.produce("late", value=b"behind")
    plain.flush(10)
    committed = reader(broker, "late", "read_committed")
    found = [m.value() for m in read(committed, 1)]
    committed.close()
    with pytest.raises(KafkaException):
        writer.commit_transaction(20)

    assert found == [b"behind"]


async def test_aiokafka_commits_and_aborts(broker: Process):
    make(broker, "aio-txn")
    how = {"bootstrap_servers": broker.address}
    async with AIOKafkaProducer(transactional_id="aio", **how) as writer:
        async with writer.transaction():
            await writer.send_and_wait("aio-txn", b"kept")
        await writer.begin_transaction()
        await writer.send_and_wait("aio-txn", b"dropped")
        await writer.abort_transaction()
        async with writer.transaction():
            await writer.send_and_wait("aio-txn", b"also kept")
    async with AIOKafkaConsumer(
        "aio-txn",
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        **how,
    ) as source:
        found = [(await source.getone()).value for _ in range(2)]

    assert found == [b"kept", b"also kept"]


def test_after_kill_9_a_decided_transaction_is_whole_and_an_open_one_is_not(
    tmp_path: Any,
):
    with Process(tmp_path / "data") as broker:
        make(broker, "killed", 4)
        writer = producer(broker, "survivor")
        writer.init_transactions(20)
        for i in range(20):
            writer.begin_transaction()
            for j in range(4):
                writer.produce("killed", value=b"%d-%d" % (i, j), partition=j)
            if i % 3 == 2:
                writer.abort_transaction(20)
            else:
                writer.commit_transaction(20)
        writer.begin_transaction()
        writer.produce("killed", value=b"open", partition=0)
        writer.flush(10)
        broker.kill()
        broker.start()
        successor = producer(broker, "survivor")
        successor.init_transactions(30)
        successor.begin_transaction()
        for j in range(4):
            successor.produce("killed", value=b"after-%d" % j, partition=j)
        successor.commit_transaction(20)
        committed = reader(broker, "killed", "read_committed")
        kept = [i for i in range(20) if i % 3 != 2]
        wanted = {b"%d-%d" % (i, j) for i in kept for j in range(4)}
        wanted |= {b"after-%d" % j for j in range(4)}
        found = [m.value() for m in read(committed, len(wanted))]
        more = committed.poll(0.5)
        committed.close()
        until = time.monotonic() + 5
        while writer.flush(0.1) and time.monotonic() < until:
            pass
        writer.purge()

    assert set(found) == wanted
    assert len(found) == len(wanted)
    assert more is None
