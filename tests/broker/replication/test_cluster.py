"""Three brokers: copied, acknowledged, elected, asked about."""

import asyncio
import contextlib

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.errors import KafkaError
from confluent_kafka import ElectionType, TopicPartition
from confluent_kafka.admin import AdminClient

from salon.broker.controller import announcer
from salon.broker.errors import Code
from salon.broker.protocol.versions import FIND_COORDINATOR, METADATA
from tests.broker.cluster import cluster, until
from tests.broker.wire import Wire

pytestmark = pytest.mark.timeout(120)


@contextlib.asynccontextmanager
async def producer(nodes, **settings):
    made = AIOKafkaProducer(
        bootstrap_servers=nodes.bootstrap,
        acks="all",
        request_timeout_ms=10_000,
        retry_backoff_ms=50,
        metadata_max_age_ms=1000,
        **settings,
    )
    await made.start()
    try:
        yield made
    finally:
        await made.stop()


async def read(nodes, topic, count, **settings):
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=nodes.bootstrap,
        auto_offset_reset="earliest",
        retry_backoff_ms=50,
        metadata_max_age_ms=1000,
        **settings,
    )
    await consumer.start()
    try:
        async with asyncio.timeout(60):
            found = [(await consumer.getone()).value for _ in range(count)]
        if "group_id" in settings:
            await consumer.commit()
        return found
    finally:
        await consumer.stop()


def partition(nodes, key, broker=None):
    """What a broker has heard about a partition."""
    running = nodes.running[broker] if broker else next(iter(nodes.running.values()))
    return running.cluster.replication.partitions[key]


def logs(nodes, key):
    """The bytes that each broker has below the high watermark."""
    found = {}
    for id_, broker in nodes.running.items():
        log = broker.replicas.partitions[key].log
        found[id_] = [bytes(data) for _, data in log.batches(0, log.end.offset)]
    return found


async def test_a_leader_goes_and_clients_go_on(tmp_path):
    settings = {"default_replication_factor": 3, "min_insync_replicas": 2}
    async with (
        cluster(tmp_path, offsets_topic_replication_factor=3, **settings) as nodes,
        producer(nodes, enable_idempotence=True) as made,
    ):
        for n in range(50):
            await made.send_and_wait("t", b"%d" % n)
        # the group's coordinator goes with the leader, if it is there
        assert await read(nodes, "t", 50, group_id="g") == [
            b"%d" % n for n in range(50)
        ]
        gone = partition(nodes, ("t", 0)).leader
        if gone == 1:
            gone = partition(nodes, ("t", 0)).replicas[1]  # the controller stays
        await nodes.stop(gone)
        for n in range(50, 100):
            await made.send_and_wait("t", b"%d" % n)
        await nodes.start(gone)
        await until(lambda: len(partition(nodes, ("t", 0)).isr) == 3)
        wanted = [b"%d" % n for n in range(50, 100)]
        assert await read(nodes, "t", 50, group_id="g") == wanted
        copies = logs(nodes, ("t", 0))
        assert len({tuple(each) for each in copies.values()}) == 1


async def test_one_that_is_left_takes_no_records_that_all_must_have(tmp_path):
    settings = {"default_replication_factor": 3, "min_insync_replicas": 2}
    async with cluster(tmp_path, **settings) as nodes:
        async with producer(nodes) as made:
            await made.send_and_wait("t", b"safe")
        for id_ in (3, 2):
            await nodes.stop(id_)
        await until(lambda: partition(nodes, ("t", 0)).isr == (1,))
        hasty = AIOKafkaProducer(
            bootstrap_servers=nodes.bootstrap, acks="all", request_timeout_ms=600
        )
        await hasty.start()
        with pytest.raises(KafkaError):
            await hasty.send_and_wait("t", b"alone")
        await hasty.stop()
        assert nodes.running[1].replicas.partitions["t", 0].log.end.offset == 1
        gauges = dict(nodes.running[1].metrics.gauges())
        assert gauges["UnderMinIsrPartitionCount"] == 1
        assert gauges["UnderReplicatedPartitions"] == 1
        await nodes.start(2)
        await until(lambda: set(partition(nodes, ("t", 0)).isr) == {1, 2})
        async with producer(nodes) as made:
            await made.send_and_wait("t", b"together")
        assert await read(nodes, "t", 2) == [b"safe", b"together"]


async def test_topics_are_made_and_removed_through_any_broker(tmp_path):
    async with cluster(tmp_path) as nodes:
        admin = AIOKafkaAdminClient(bootstrap_servers=f"127.0.0.1:{nodes.ports[3]}")
        await admin.start()
        await admin.create_topics([NewTopic("t", 4, 2)])
        await admin.create_partitions({"t": NewPartitions(6)})
        told = (await admin.describe_topics(["t"]))[0]["partitions"]
        assert [len(each["replicas"]) for each in told] == [2] * 6
        assert {each["leader"] for each in told} == {1, 2, 3}
        refused = await admin.create_topics([NewTopic("u", 1, 4)])
        assert refused.topic_errors[0][1] == 38  # INVALID_REPLICATION_FACTOR
        described = await admin.describe_cluster()
        assert {each["node_id"] for each in described["brokers"]} == {1, 2, 3}
        assert described["controller_id"] == 1
        await admin.delete_topics(["t"])
        await admin.close()
        for broker in nodes.running.values():
            await until(lambda broker=broker: broker.topics.get("t") is None)
            assert not [key for key in broker.replicas.partitions if key[0] == "t"]
        assert not list(tmp_path.glob("*/t-*"))


async def test_a_topic_that_was_removed_meanwhile_is_removed_at_the_start(tmp_path):
    async with cluster(tmp_path) as nodes:
        admin = AIOKafkaAdminClient(bootstrap_servers=f"127.0.0.1:{nodes.ports[1]}")
        await admin.start()
        await admin.create_topics([NewTopic("t", 3, 3)])
        await nodes.stop(3)
        await admin.delete_topics(["t"])
        await admin.create_topics([NewTopic("u", 1, 1)])
        await admin.close()
        broker = await nodes.start(3)
        await until(lambda: broker.topics.get("u") is not None)
        await until(lambda: broker.topics.get("t") is None)
        assert not list((tmp_path / "3").glob("t-*"))


async def test_data_goes_on_without_the_controller_and_it_comes_back_wiser(tmp_path):
    settings = {"default_replication_factor": 3, "min_insync_replicas": 2}
    async with cluster(tmp_path, **settings) as nodes:
        async with producer(nodes) as made:
            for _ in range(6):  # until somebody else leads one
                await made.send_and_wait("t", b"before")
                if partition(nodes, ("t", 0)).leader != 1:
                    break
                admin = AIOKafkaAdminClient(
                    bootstrap_servers=f"127.0.0.1:{nodes.ports[2]}"
                )
                await admin.start()
                await admin.delete_topics(["t"])
                await admin.close()
            epoch = nodes.running[1].cluster.controller.epoch
            leader = partition(nodes, ("t", 0)).leader
            await nodes.stop(1)
            await made.send_and_wait("t", b"without")
            await nodes.start(1)
            await until(lambda: len(partition(nodes, ("t", 0), 2).isr) == 3)
        assert nodes.running[1].cluster.controller.epoch == epoch + 1
        assert partition(nodes, ("t", 0), 2).leader == leader
        assert await read(nodes, "t", 2) == [b"before", b"without"]


async def test_a_topic_is_made_while_the_one_control_handler_is_needed_for_it(
    tmp_path, monkeypatch
):
    """The answer waits for all brokers, and all of them need a handler to hear of it."""
    monkeypatch.setattr(announcer, "_SETTLE_S", 3600)
    async with cluster(tmp_path, default_replication_factor=3) as nodes:
        for id_, port in nodes.ports.items():
            async with await Wire.connect(port) as wire:
                made = await wire.create(f"by-{id_}")
            assert made.topics[0].error_code == 0
            assert len(made.topics[0].partitions[0].isr_nodes) == 3


async def test_the_controller_is_heard_while_the_data_queue_is_full(tmp_path):
    """LeaderAndIsr and UpdateMetadata come by a queue that data cannot fill."""
    async with cluster(tmp_path, queued_max_requests=4) as nodes:
        stuck = nodes.running[2]
        stuck.network.data.pool.pause()
        data = [await Wire.connect(stuck.port) for _ in range(12)]
        for each in data:
            each.send(METADATA, 1, (-1).to_bytes(4, "big", signed=True))
        clients = [
            p for p in stuck.network.data.processors if p.endpoint.name == "PLAINTEXT"
        ]
        while not all(p.stopped for p in clients):
            await asyncio.sleep(0)
        for n in range(20):
            await nodes.running[1].admin.create(f"t{n}", 1, {}, assignment=[[2]])

        assert len(stuck.network.data.channel) == 4  # not one of them has moved
        assert all(p.leads for p in stuck.replicas.partitions.values())
        assert len(stuck.replicas.partitions) == 20
        times = stuck.metrics.request_times()
        assert times["LeaderAndIsr"]["count"] >= 20
        assert times["UpdateMetadata"]["count"] >= 20
        stuck.network.data.pool.resume()
        for each in data:
            await each.receive()
            each.writer.close()


async def test_a_topic_has_as_many_copies_as_is_set_or_is_not_made_yet(tmp_path):
    """With fewer it could take no records for ever; clients ask again meanwhile."""
    settings = {"default_replication_factor": 3, "offsets_topic_replication_factor": 3}
    async with cluster(tmp_path, **settings) as nodes:
        await nodes.stop(3)
        async with await Wire.connect(nodes.ports[2]) as wire:
            told = (await wire.create("t")).topics[0].error_code
            group = await wire.ask(FIND_COORDINATOR, 2, key="g", key_type=0)
            assert told == Code.LEADER_NOT_AVAILABLE
            assert group.error_code == Code.COORDINATOR_NOT_AVAILABLE
            assert not nodes.running[1].cluster.controller.topics
            await nodes.start(3)
            await until(lambda: 3 in nodes.running[2].cluster.replication.brokers)
            made = await wire.create("t")
            group = await wire.ask(FIND_COORDINATOR, 2, key="g", key_type=0)
        assert len(made.topics[0].partitions[0].replica_nodes) == 3
        assert group.error_code == Code.NONE
        state = nodes.running[1].cluster.controller.topics["__consumer_offsets"]
        assert len(state.partitions[0].replicas) == 3


async def test_the_first_replica_leads_again_when_it_is_asked_for(tmp_path):
    async with cluster(tmp_path, default_replication_factor=3) as nodes:
        places = [[2, 3, 1], [3, 2, 1]]
        await nodes.running[1].admin.create("t", 2, {}, assignment=places)
        await nodes.stop(2)
        await until(lambda: partition(nodes, ("t", 0), 3).leader == 3)
        admin = AdminClient({"bootstrap.servers": f"127.0.0.1:{nodes.ports[3]}"})

        def elect(*wanted: TopicPartition) -> dict[int, KafkaError | None]:
            asked = list(wanted) or None
            told = admin.elect_leaders(ElectionType.PREFERRED, asked).result(20)
            return {each.partition: error for each, error in told.items()}

        early = await asyncio.to_thread(elect, TopicPartition("t", 0))
        assert early[0].code() == Code.PREFERRED_LEADER_NOT_AVAILABLE
        await nodes.start(2)
        await until(lambda: len(partition(nodes, ("t", 0), 3).isr) == 3)
        both = TopicPartition("t", 0), TopicPartition("t", 1)
        told = await asyncio.to_thread(elect, *both)
        assert told[0] is None
        assert told[1].code() == Code.ELECTION_NOT_NEEDED
        await until(lambda: nodes.running[2].replicas.partitions["t", 0].leads)
        assert partition(nodes, ("t", 0), 3).leader == 2
        assert await asyncio.to_thread(elect) == {}


async def test_any_replica_leads_when_somebody_says_so(tmp_path):
    """Unclean: the last in-sync one is dead, and what only it had is lost."""
    async with cluster(tmp_path) as nodes:
        await nodes.running[1].admin.create("t", 1, {}, assignment=[[2, 3]])
        await nodes.stop(3)
        async with producer(nodes) as made:
            await made.send_and_wait("t", b"lost")
        await nodes.stop(2)
        await nodes.start(3)
        controller = nodes.running[1].cluster.controller
        await until(lambda: partition(nodes, ("t", 0), 1).leader == -1)
        await until(lambda: 3 in nodes.running[1].cluster.replication.brokers)
        key = ("t", 0)
        told = await controller.elect_leaders([key], unclean=False)
        assert told == {key: Code.PREFERRED_LEADER_NOT_AVAILABLE}
        assert await controller.elect_leaders([key], unclean=True) == {key: Code.NONE}
        await until(lambda: partition(nodes, ("t", 0), 3).leader == 3)
        assert partition(nodes, ("t", 0), 3).isr == (3,)
        assert await controller.elect_leaders([key], unclean=True) == {
            key: Code.ELECTION_NOT_NEEDED
        }
