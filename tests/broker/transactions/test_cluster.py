"""Three brokers: transactions over partitions that several of them lead."""

import asyncio
from datetime import timedelta

import pytest
from aiokafka import AIOKafkaProducer
from confluent_kafka import (
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient

from salon.broker.errors import Code
from salon.broker.log import batch as batches
from salon.broker.log.transactions import Marker
from salon.broker.nodes import NOWHERE
from salon.broker.protocol.versions import PRODUCE
from salon.broker.replication.peer import Peer, PeerAway
from salon.broker.topics import OFFSETS_TOPIC, TRANSACTIONS_TOPIC
from salon.broker.transactions import messages
from salon.broker.transactions.records import State
from tests.broker.cluster import Nodes, cluster, until
from tests.broker.wire import Wire, module

pytestmark = pytest.mark.timeout(120)

SAFE = {
    "default_replication_factor": 3,
    "min_insync_replicas": 2,
    "offsets_topic_replication_factor": 3,
    "offsets_topic_num_partitions": 3,
    "transaction_state_log_num_partitions": 3,
    "transaction_state_log_replication_factor": 3,
    "transaction_state_log_min_isr": 2,
}
PARTITIONS = 3
PATIENCE_S = 30


def writer(nodes: Nodes, name: str, **more: object) -> Producer:
    return Producer(
        {
            "bootstrap.servers": nodes.bootstrap,
            "transactional.id": name,
            "retry.backoff.ms": 20,
            "topic.metadata.refresh.interval.ms": 500,
            **more,
        }
    )


def send(producer: Producer, value: str) -> None:
    """The same record to every partition, so that several leaders have a part."""
    for index in range(PARTITIONS):
        producer.produce("t", value, partition=index)


def committed(nodes: Nodes, count: int, partitions: int = PARTITIONS) -> list[str]:
    """What a reader of committed records sees, until it has seen ``count``."""
    consumer = Consumer(
        {
            "bootstrap.servers": nodes.bootstrap,
            "group.id": "reader",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
        }
    )
    consumer.assign([TopicPartition("t", i, 0) for i in range(partitions)])
    found, ends = [], set()
    try:
        while len(found) < count or len(ends) < partitions:
            message = consumer.poll(PATIENCE_S)
            assert message is not None, f"{found} after {PATIENCE_S} s"
            if message.error() is None:
                found.append(message.value().decode())
                ends.discard(message.partition())
            else:
                ends.add(message.partition())
    finally:
        consumer.close()
    return found


def offsets_of(nodes: Nodes, group: str) -> dict[int, int]:
    admin = AdminClient({"bootstrap.servers": nodes.bootstrap})
    wanted = [ConsumerGroupTopicPartitions(group)]
    told = admin.list_consumer_group_offsets(wanted)[group].result(PATIENCE_S)
    return {p.partition: p.offset for p in told.topic_partitions}


def coordinator(nodes: Nodes, name: str) -> int:
    """The broker that coordinates a transactional id."""
    one = next(iter(nodes.running.values()))
    index = one.transactions.partition_for(name)
    return one.cluster.leader_id(TRANSACTIONS_TOPIC, index)


async def away_from_the_controller(nodes: Nodes) -> str:
    """A transactional id that broker 1, which has to stay, does not coordinate."""
    first = writer(nodes, "first")
    await asyncio.to_thread(first.init_transactions, PATIENCE_S)
    return next(
        name for name in "abcdefgh" if coordinator(nodes, name) not in (1, NOWHERE)
    )


async def made(nodes: Nodes) -> None:
    await nodes.running[1].admin.create(
        "t", PARTITIONS, {}, assignment=[[2, 3, 1], [3, 1, 2], [1, 2, 3]]
    )


async def test_committed_transactions_are_seen_whole_and_aborted_ones_not(tmp_path):
    async with cluster(tmp_path, **SAFE) as nodes:
        await made(nodes)

        def transact() -> None:
            producer = writer(nodes, "me")
            producer.init_transactions(PATIENCE_S)
            group = Consumer({"bootstrap.servers": nodes.bootstrap, "group.id": "g"})
            for n in range(12):
                producer.begin_transaction()
                send(producer, f"{n}")
                offsets = [TopicPartition("t", i, n) for i in range(PARTITIONS)]
                producer.send_offsets_to_transaction(
                    offsets, group.consumer_group_metadata(), PATIENCE_S
                )
                if n % 3 == 2:
                    producer.abort_transaction(PATIENCE_S)
                else:
                    producer.commit_transaction(PATIENCE_S)
            group.close()

        await asyncio.to_thread(transact)
        kept = [f"{n}" for n in range(12) if n % 3 != 2]
        found = await asyncio.to_thread(committed, nodes, len(kept) * PARTITIONS)
        assert sorted(found) == sorted(kept * PARTITIONS)
        # the last one was aborted, and so were its offsets
        assert await asyncio.to_thread(offsets_of, nodes, "g") == {0: 10, 1: 10, 2: 10}
        leaders = {
            each.state.leader
            for each in nodes.running[1].cluster.replication.all().values()
            if each.topic.name in ("t", OFFSETS_TOPIC)
        }
        assert leaders == {1, 2, 3}  # so markers went over the wire
        written = [b.metrics.request_times() for b in nodes.running.values()]
        assert any("WriteTxnMarkers" in each for each in written)


async def test_the_next_coordinator_knows_what_the_last_one_knew(tmp_path):
    """It moves in the middle of a transaction; the leader of a partition, too."""
    async with cluster(tmp_path, **SAFE) as nodes:
        await made(nodes)
        name = await away_from_the_controller(nodes)
        producer = await asyncio.to_thread(writer, nodes, name)

        def begin(value: str) -> None:
            producer.begin_transaction()
            send(producer, value)
            assert producer.flush(PATIENCE_S) == 0

        await asyncio.to_thread(producer.init_transactions, PATIENCE_S)
        await asyncio.to_thread(begin, "before")
        await asyncio.to_thread(producer.commit_transaction, PATIENCE_S)
        await asyncio.to_thread(begin, "during")
        gone = coordinator(nodes, name)
        await nodes.stop(gone)
        await asyncio.to_thread(producer.commit_transaction, PATIENCE_S)
        assert coordinator(nodes, name) != gone
        await asyncio.to_thread(begin, "lost")
        await asyncio.to_thread(producer.abort_transaction, PATIENCE_S)
        await nodes.start(gone)
        await asyncio.to_thread(begin, "after")
        await asyncio.to_thread(producer.commit_transaction, PATIENCE_S)
        found = await asyncio.to_thread(committed, nodes, 3 * PARTITIONS)
        assert sorted(found) == sorted(["before", "during", "after"] * PARTITIONS)


async def test_what_was_decided_is_finished_by_the_next_coordinator(tmp_path):
    """The first one dies between the decision and the markers."""
    async with cluster(tmp_path, **SAFE) as nodes:
        await made(nodes)
        name = await away_from_the_controller(nodes)
        producer = await asyncio.to_thread(writer, nodes, name)
        await asyncio.to_thread(producer.init_transactions, PATIENCE_S)
        gone = coordinator(nodes, name)
        coordinating = nodes.running[gone].transactions

        async def never(*_args: object) -> None:
            await asyncio.Event().wait()

        coordinating._markers.deliver = never

        def decided() -> None:
            producer.begin_transaction()
            send(producer, "x")
            producer.commit_transaction(PATIENCE_S)

        await asyncio.to_thread(decided)
        assert coordinating.find(name).state is State.PREPARE_COMMIT
        logs = [b.replicas.partitions["t", 0].log for b in nodes.running.values()]
        assert any(log.producers.open for log in logs)
        await nodes.stop(gone)
        found = await asyncio.to_thread(committed, nodes, PARTITIONS)
        assert found == ["x"] * PARTITIONS
        one = nodes.running[coordinator(nodes, name)].transactions
        await until(lambda: one.find(name).state is State.COMPLETE_COMMIT)
        await nodes.start(gone)


async def test_a_zombie_is_fenced_by_a_leader_that_never_spoke_with_its_successor(
    tmp_path,
):
    async with cluster(tmp_path, **SAFE) as nodes:
        await made(nodes)
        zombie = await asyncio.to_thread(writer, nodes, "me")
        successor = await asyncio.to_thread(writer, nodes, "me")

        def zombie_begins() -> None:
            zombie.init_transactions(PATIENCE_S)
            zombie.begin_transaction()
            send(zombie, "zombie")
            zombie.flush(PATIENCE_S)

        await asyncio.to_thread(zombie_begins)
        await asyncio.to_thread(successor.init_transactions, PATIENCE_S)
        with pytest.raises(KafkaException) as refused:
            await asyncio.to_thread(zombie.commit_transaction, PATIENCE_S)
        assert refused.value.args[0].fatal()

        def go_on() -> None:
            successor.begin_transaction()
            send(successor, "successor")
            successor.commit_transaction(PATIENCE_S)

        await asyncio.to_thread(go_on)
        found = await asyncio.to_thread(committed, nodes, PARTITIONS)
        assert found == ["successor"] * PARTITIONS


async def test_what_stays_open_too_long_is_aborted_everywhere(tmp_path):
    async with cluster(tmp_path, **SAFE) as nodes:
        await made(nodes)
        slow = await asyncio.to_thread(
            lambda: writer(nodes, "slow", **{"transaction.timeout.ms": 1500})
        )

        def begin() -> None:
            slow.init_transactions(PATIENCE_S)
            slow.begin_transaction()
            send(slow, "late")
            slow.flush(PATIENCE_S)

        await asyncio.to_thread(begin)
        one = nodes.running[coordinator(nodes, "slow")].transactions
        await until(lambda: one.find("slow").state is State.COMPLETE_ABORT)
        assert await asyncio.to_thread(committed, nodes, 0) == []


async def test_followers_know_what_is_open_and_what_was_aborted(tmp_path):
    async with cluster(tmp_path, **SAFE) as nodes:
        await made(nodes)

        def abort_one_and_leave_one_open() -> Producer:
            producer = writer(nodes, "me")
            producer.init_transactions(PATIENCE_S)
            producer.begin_transaction()
            send(producer, "aborted")
            producer.flush(PATIENCE_S)
            producer.abort_transaction(PATIENCE_S)
            producer.begin_transaction()
            send(producer, "open")
            producer.flush(PATIENCE_S)
            return producer

        producer = await asyncio.to_thread(abort_one_and_leave_one_open)
        for index in range(PARTITIONS):
            copies = [
                b.replicas.partitions["t", index].log for b in nodes.running.values()
            ]
            await until(lambda copies=copies: len({c.end.offset for c in copies}) == 1)
            assert len({tuple(c.producers.open.items()) for c in copies}) == 1
            assert {len(c.aborted) for c in copies} == {1}
            assert {c.last_stable(c.end).offset for c in copies} == {2}
            epochs = {each.coordinator_epoch for each in copies[0].producers.active()}
            assert min(epochs) >= 0
        await asyncio.to_thread(producer.commit_transaction, PATIENCE_S)


async def test_a_client_of_another_library_commits_and_aborts(tmp_path):
    async with cluster(tmp_path, **SAFE) as nodes:
        await made(nodes)
        producer = AIOKafkaProducer(
            bootstrap_servers=nodes.bootstrap,
            transactional_id="aio",
            retry_backoff_ms=20,
        )
        await producer.start()
        for value in (b"one", b"two", b"three"):
            await producer.begin_transaction()
            for index in range(PARTITIONS):
                await producer.send_and_wait("t", value, partition=index)
            if value == b"two":
                await producer.abort_transaction()
            else:
                await producer.commit_transaction()
        await producer.stop()
        found = await asyncio.to_thread(committed, nodes, 2 * PARTITIONS)
        assert sorted(found) == sorted(["one", "three"] * PARTITIONS)


async def test_only_brokers_speak_for_coordinators(tmp_path):
    """And a coordinator that was deposed is not obeyed."""
    async with cluster(tmp_path, **SAFE) as nodes:
        await made(nodes)
        leader = nodes.running[2]
        peer = Peer(lambda: ("127.0.0.1", leader.ports["BROKERS"]), 10)
        later = Marker(7, 0, commit=True, coordinator_epoch=5)
        earlier = later._replace(coordinator_epoch=4)
        key, elsewhere = ("t", 0), ("t", 1)
        assert await messages.write_markers(
            peer, [(later, [key, elsewhere]), (earlier._replace(producer_id=8), [key])]
        ) == [
            {key: Code.NONE, elsewhere: Code.NOT_LEADER_OR_FOLLOWER},
            {key: Code.NONE},
        ]
        assert await messages.write_markers(peer, [(earlier, [key])]) == [
            {key: Code.TRANSACTION_COORDINATOR_FENCED}
        ]
        peer.close()
        client = Peer(lambda: ("127.0.0.1", leader.port), 10)
        with pytest.raises(PeerAway):  # it hangs up
            await messages.write_markers(client, [(later, [key])])
        assert await messages.verify(client, "me", (7, 0), [key]) == {}
        client.close()


async def test_a_late_record_opens_no_transaction_on_another_brokers_partition(
    tmp_path,
):
    """Its coordinator is elsewhere, and says that the transaction is over (KIP-890)."""
    async with cluster(tmp_path, **SAFE) as nodes:
        await made(nodes)
        name = await away_from_the_controller(nodes)
        producer = await asyncio.to_thread(writer, nodes, name)

        def transact() -> None:
            producer.init_transactions(PATIENCE_S)
            producer.begin_transaction()
            producer.produce("t", "x", partition=2)
            producer.commit_transaction(PATIENCE_S)

        await asyncio.to_thread(transact)
        one = nodes.running[coordinator(nodes, name)].transactions.find(name)
        late = batches.build(
            [(None, b"late")],
            0,
            producer=(one.producer_id, one.epoch, 1),
            attributes=batches.TRANSACTIONAL,
        )
        leader = nodes.running[1]
        async with await Wire.connect(leader.port) as wire:
            m = module(PRODUCE, 9, "request")
            data = m.PartitionProduceData(index=2, records=bytes(late))
            answer = await wire.ask(
                PRODUCE,
                9,
                transactional_id=name,
                acks=-1,
                timeout=timedelta(seconds=5),
                topic_data=(m.TopicProduceData(name="t", partition_data=(data,)),),
            )
        code = answer.responses[0].partition_responses[0].error_code
        assert code == Code.INVALID_TXN_STATE
        assert leader.replicas.partitions["t", 2].log.producers.open == {}
