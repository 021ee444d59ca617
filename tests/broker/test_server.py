"""The broker over its socket: order, pressure, refusals, durability, a clean end."""

import asyncio
import random
import struct
from datetime import timedelta
from pathlib import Path

import pytest
from crc32c import crc32c

from salon.broker.config import BrokerConfig
from salon.broker.errors import Code, FolderInUseError, SettingError
from salon.broker.log import batch as batches
from salon.broker.protocol.versions import (
    API_VERSIONS,
    APIS,
    CREATE_TOPICS,
    DELETE_TOPICS,
    DESCRIBE_CLUSTER,
    DESCRIBE_CONFIGS,
    INIT_PRODUCER_ID,
    LIST_OFFSETS,
    METADATA,
    PRODUCE,
)
from salon.broker.server import Broker
from tests.broker.conftest import config
from tests.broker.wire import Wire, decode_response, module, values

ALL_TOPICS_V1 = struct.pack(">i", -1)


async def test_what_is_produced_is_fetched(wire: Wire):
    await wire.create("t")
    first = await wire.produce("t", b"a", b"b")
    second = await wire.produce("t", b"c")
    found = await wire.fetch("t", 0)

    assert (first.error_code, first.base_offset, second.base_offset) == (0, 0, 2)
    assert values(found.records) == [b"a", b"b", b"c"]
    assert found.high_watermark == 3


async def test_a_waiting_fetch_is_woken_by_the_append(broker: Broker, wire: Wire):
    """It waits ten seconds at most; the test would time out if it were polled."""
    await wire.create("t")
    async with await Wire.connect(broker.port) as consumer:
        consumer.send_fetch("t", 0, wait_ms=60_000)
        await consumer.writer.drain()
        while broker.purgatories["Fetch"].delayed == 0:
            await asyncio.sleep(0)
        await wire.produce("t", b"news")
        _, data = await consumer.receive()
        found = decode_response(1, 11, data).responses[0].partitions[0]

    assert values(found.records) == [b"news"]
    assert broker.purgatories["Fetch"].delayed == 0


async def test_a_fetch_with_nothing_to_read_is_answered_when_its_time_is_over(
    broker: Broker, wire: Wire
):
    await wire.create("t")
    found = await wire.fetch("t", 0, wait_ms=20)

    assert (found.error_code, found.records or b"") == (0, b"")
    assert broker.metrics.meter("ExpiresPerSec,fetcherType=consumer").count == 1


async def test_a_fetch_waits_for_as_many_bytes_as_it_asks_for(
    broker: Broker, wire: Wire
):
    await wire.create("t")
    async with await Wire.connect(broker.port) as consumer:
        consumer.send_fetch("t", 0, wait_ms=60_000, min_bytes=1000)
        await consumer.writer.drain()
        while broker.purgatories["Fetch"].delayed == 0:
            await asyncio.sleep(0)
        await wire.produce("t", b"x" * 300)
        assert broker.purgatories["Fetch"].delayed == 1
        await wire.produce("t", b"x" * 700)
        _, data = await consumer.receive()
        found = decode_response(1, 11, data).responses[0].partitions[0]

    assert len(values(found.records)) == 2


async def test_acks_all_shows_and_acknowledges_only_what_is_flushed(
    broker: Broker, wire: Wire, monkeypatch: pytest.MonkeyPatch
):
    """A consumer must never have seen a record that a power cut then removes."""
    await wire.create("t")
    partition = broker.replicas.partitions["t", 0]
    monkeypatch.setattr(partition.flusher, "request", lambda: None)
    wire.send_produce("t", b"unsafe", acks=-1)
    while broker.purgatories["Produce"].delayed == 0:
        await asyncio.sleep(0)
    async with await Wire.connect(broker.port) as consumer:
        hidden = await consumer.fetch("t", 0)
        monkeypatch.undo()
        partition.flusher.request()
        _, data = await wire.receive()
        shown = await consumer.fetch("t", 0)

    answer = decode_response(PRODUCE, 9, data).responses[0].partition_responses[0]
    assert (hidden.high_watermark, values(hidden.records)) == (0, [])
    assert answer.error_code == 0
    assert values(shown.records) == [b"unsafe"]


async def test_a_group_of_appends_shares_a_flush(broker: Broker, wire: Wire):
    await wire.create("t")
    wires = [await Wire.connect(broker.port) for _ in range(20)]
    for each in wires:
        each.send_produce("t", b"x")
    for each in wires:
        await each.receive()
        each.writer.close()
    flushes = broker.metrics.histogram("LogFlushRateAndTimeMs").count

    assert broker.replicas.partitions["t", 0].log.flushed.offset == 20
    assert flushes < 20


async def test_a_failed_flush_is_told_to_the_producer_and_reading_goes_on(
    broker: Broker, wire: Wire, monkeypatch: pytest.MonkeyPatch
):
    await wire.create("t")
    await wire.produce("t", b"safe")

    def broken(_: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("os.fdatasync", broken)
    lost = await wire.produce("t", b"lost")
    monkeypatch.undo()
    after = await wire.produce("t", b"after")
    found = await wire.fetch("t", 0)

    assert lost.error_code == after.error_code == Code.KAFKA_STORAGE_ERROR
    assert values(found.records) == [b"safe"]
    assert broker.metrics.snapshot()["OfflineReplicaCount"] == 1


async def test_pipelined_requests_are_answered_in_order_one_in_flight(
    broker: Broker, wire: Wire
):
    await wire.create("t")
    sent = []
    for i in range(30):
        if i % 3:
            sent.append(wire.send_produce("t", b"%d" % i))
        else:
            sent.append(wire.send(METADATA, 1, ALL_TOPICS_V1))
    got = [(await wire.receive())[0] for _ in sent]
    found = await wire.fetch("t", 0)

    assert got == sent
    assert values(found.records) == [b"%d" % i for i in range(30) if i % 3]


async def test_acks_0_is_not_answered_and_the_next_answer_is_in_order(wire: Wire):
    await wire.create("t")
    for i in range(5):
        wire.send_produce("t", b"%d" % i, acks=0)
    asked = wire.send(METADATA, 1, ALL_TOPICS_V1)
    got, _ = await wire.receive()
    found = await wire.fetch("t", 0, wait_ms=5000)

    assert got == asked
    assert values(found.records)[0] == b"0"


async def test_acks_0_that_fails_closes_the_connection(wire: Wire):
    """There is no answer to put the error in: hanging up is the only sign."""
    wire.send_produce("no-such-topic", b"x", acks=0)

    assert await wire.reader.read() == b""


async def test_a_full_request_queue_stops_reading_and_loses_nothing(tmp_path: Path):
    settings = {"queued.max.requests": "4"}
    async with Broker.open(config(tmp_path / "data", **settings)) as broker:
        wires = [await Wire.connect(broker.port) for _ in range(12)]
        broker.network.data.pool.pause()
        for each in wires:
            each.send(METADATA, 1, ALL_TOPICS_V1)
        while not all(p.stopped for p in broker.network.data.processors):
            await asyncio.sleep(0)
        full = len(broker.network.data.channel)
        async with await Wire.connect(broker.port) as late:
            asked = late.send(METADATA, 1, ALL_TOPICS_V1)
            broker.network.data.pool.resume()
            answers = [await each.receive() for each in wires]
            got, _ = await late.receive()
        for each in wires:
            each.writer.close()

    assert full == 4
    assert len(answers) == 12
    assert got == asked


async def test_a_frame_above_the_limit_closes_that_connection_only(
    broker: Broker, wire: Wire
):
    async with await Wire.connect(broker.port) as rude:
        rude.writer.write(struct.pack(">i", 2**31 - 1) + b"x" * 100)
        assert await rude.reader.read() == b""
    await wire.create("t")

    assert (await wire.produce("t", b"fine")).error_code == 0


async def test_garbage_breaks_nobody_else(broker: Broker, wire: Wire):
    """Bounded fuzz: random bodies behind plausible headers, and plain noise."""
    chance = random.Random(7)
    await wire.create("t")
    for _ in range(150):
        async with await Wire.connect(broker.port) as rude:
            if chance.random() < 0.7:
                key = chance.choice(list(APIS))
                version = chance.randint(APIS[key].lowest, APIS[key].highest)
                rude.send(key, version, chance.randbytes(chance.randrange(80)))
            else:
                rude.writer.write(chance.randbytes(chance.randrange(1, 200)))
            rude.writer.write_eof()
            try:
                async with asyncio.timeout(10):
                    await rude.reader.read()
            except ConnectionError:
                pass

    assert (await wire.produce("t", b"fine")).error_code == 0
    assert values((await wire.fetch("t", 0)).records) == [b"fine"]


async def test_an_unknown_api_versions_version_is_answered_and_the_client_goes_on(
    wire: Wire,
):
    """KIP-511: error 35 in the oldest form, with the ranges to choose from."""
    wire.writer.write(struct.pack(">ihhih", 10, API_VERSIONS, 99, 5, -1))
    got, data = await wire.receive()
    answer = decode_response(API_VERSIONS, 0, data)
    again = await wire.ask(
        API_VERSIONS, 3, client_software_name="t", client_software_version="1"
    )

    assert (got, answer.error_code) == (5, Code.UNSUPPORTED_VERSION)
    assert again.error_code == 0


async def test_a_repeated_idempotent_batch_gets_its_old_offset_and_writes_nothing(
    broker: Broker, wire: Wire
):
    await wire.create("t")
    given = await wire.ask(
        INIT_PRODUCER_ID,
        2,
        transactional_id=None,
        transaction_timeout=timedelta(0),
    )
    first = numbered(given.producer_id, 0, b"a")
    answers = [
        await wire.produce("t", data=data)
        for data in (first, numbered(given.producer_id, 1, b"b"), first)
    ]
    gap = await wire.produce("t", data=numbered(given.producer_id, 5, b"c"))
    found = await wire.fetch("t", 0)

    assert [a.base_offset for a in answers] == [0, 1, 0]
    assert gap.error_code == Code.OUT_OF_ORDER_SEQUENCE_NUMBER
    assert values(found.records) == [b"a", b"b"]


def numbered(producer_id: int, sequence: int, value: bytes) -> bytes:
    """A batch as an idempotent producer numbers it."""
    data = bytearray(batches.build([(None, value)], 1000))
    struct.pack_into(">qhi", data, 43, producer_id, 0, sequence)
    struct.pack_into(">I", data, 17, crc32c(bytes(data[21:])))
    return bytes(data)


async def test_producer_ids_are_never_given_twice(tmp_path: Path):
    given = []
    for _ in range(3):
        async with (
            Broker.open(config(tmp_path / "data")) as broker,
            await Wire.connect(broker.port) as wire,
        ):
            for _ in range(3):
                answer = await wire.ask(
                    INIT_PRODUCER_ID,
                    1,
                    transactional_id=None,
                    transaction_timeout=timedelta(0),
                )
                given.append(answer.producer_id)

    assert len(set(given)) == 9


async def test_everything_is_there_after_a_clean_restart(tmp_path: Path):
    async with (
        Broker.open(config(tmp_path / "data")) as broker,
        await Wire.connect(broker.port) as wire,
    ):
        made = await wire.create("t", 12)
        await wire.produce("t", b"a", b"b")
    assert (tmp_path / "data" / ".kafka_cleanshutdown").exists()
    async with (
        Broker.open(config(tmp_path / "data")) as broker,
        await Wire.connect(broker.port) as wire,
    ):
        again = await wire.create("t", 12)
        next_one = await wire.produce("t", b"c")
        found = await wire.fetch("t", 0)

    assert again.topics[0].topic_id == made.topics[0].topic_id
    assert again.cluster_id == made.cluster_id
    assert next_one.base_offset == 2
    assert values(found.records) == [b"a", b"b", b"c"]


async def test_a_second_broker_on_the_folder_is_refused(tmp_path: Path, broker: Broker):
    with pytest.raises(FolderInUseError, match="another broker is running"):
        await Broker(config(tmp_path / "data")).start()


async def test_a_taken_port_is_said_in_words(tmp_path: Path, broker: Broker):
    taken = BrokerConfig.from_settings(
        {
            "log.dirs": str(tmp_path / "other"),
            "listeners": f"127.0.0.1:{broker.port}",
        }
    )
    with pytest.raises(SettingError, match=f"cannot listen on 127.0.0.1:{broker.port}"):
        await Broker(taken).start()
    async with Broker.open(config(tmp_path / "other")):
        pass  # the folder was let go


async def test_topics_are_made_described_and_removed(broker: Broker, wire: Wire):
    m = module(CREATE_TOPICS, 7, "request")

    def topic(name: str, partitions: int, replicas: int = 1, **configs: str):
        return m.CreatableTopic(
            name=name,
            num_partitions=partitions,
            replication_factor=replicas,
            assignments=(),
            configs=tuple(
                m.CreatableTopicConfig(name=n.replace("_", "."), value=v)
                for n, v in configs.items()
            ),
        )

    made = await wire.ask(
        CREATE_TOPICS,
        7,
        topics=[
            topic("good", 3, flush_policy="none"),
            topic("good", 3),
            topic("bad name", 1),
            topic("three-replicas", 1, 3),
            topic("odd", 1, flush_polisy="none"),
            topic("none", 0),
        ],
        timeout=timedelta(seconds=5),
        validate_only=False,
    )
    codes = [t.error_code for t in made.topics]
    d = module(DESCRIBE_CONFIGS, 4, "request")
    described = await wire.ask(
        DESCRIBE_CONFIGS,
        4,
        resources=[
            d.DescribeConfigsResource(
                resource_type=2, resource_name="good", configuration_keys=None
            )
        ],
        include_synonyms=False,
        include_documentation=True,
    )
    configs = {c.name: c for c in described.results[0].configs}
    await wire.produce("good", b"x", partition=2)
    deleted = await wire.ask(
        DELETE_TOPICS, 5, topic_names=("good", "gone"), timeout=timedelta(seconds=5)
    )
    after = await wire.produce("good", b"x")

    assert codes == [
        Code.NONE,
        Code.TOPIC_ALREADY_EXISTS,
        Code.INVALID_TOPIC_EXCEPTION,
        Code.INVALID_REPLICATION_FACTOR,
        Code.INVALID_CONFIG,
        Code.INVALID_PARTITIONS,
    ]
    assert "flush.policy" in (made.topics[4].error_message or "")
    assert (configs["flush.policy"].value, configs["flush.policy"].config_source) == (
        "none",
        1,
    )
    assert [r.error_code for r in deleted.responses] == [
        Code.NONE,
        Code.UNKNOWN_TOPIC_OR_PARTITION,
    ]
    assert after.error_code == Code.UNKNOWN_TOPIC_OR_PARTITION
    assert not list(broker.config.folder.glob("good*"))


async def test_a_fetch_that_waits_on_a_topic_is_told_when_it_goes(
    broker: Broker, wire: Wire
):
    await wire.create("t")
    async with await Wire.connect(broker.port) as consumer:
        consumer.send_fetch("t", 0, wait_ms=60_000)
        await consumer.writer.drain()
        while broker.purgatories["Fetch"].delayed == 0:
            await asyncio.sleep(0)
        await broker.admin.delete("t")
        _, data = await consumer.receive()

    answer = decode_response(1, 11, data).responses[0].partitions[0]
    assert answer.error_code == Code.UNKNOWN_TOPIC_OR_PARTITION


async def test_a_topic_with_flush_policy_none_is_visible_before_it_is_flushed(
    tmp_path: Path,
):
    """Kafka's own behaviour, for topics that may lose their end in a power cut."""
    settings = {"log.flush.policy": "none"}
    async with (
        Broker.open(config(tmp_path / "data", **settings)) as broker,
        await Wire.connect(broker.port) as wire,
    ):
        await wire.create("t")
        await wire.produce("t", b"x")
        log = broker.replicas.partitions["t", 0].log
        found = await wire.fetch("t", 0)

        assert log.flushed.offset == 0
        assert values(found.records) == [b"x"]


async def test_offsets_are_found_by_time(wire: Wire):
    await wire.create("t")
    for at in (1000, 2000, 3000):
        await wire.produce("t", data=bytes(batches.build([(None, b"x")], at)))
    m = module(LIST_OFFSETS, 5, "request")

    async def offset(timestamp: int, topic: str = "t") -> tuple[int, int]:
        asked = m.ListOffsetsPartition(
            partition_index=0, current_leader_epoch=-1, timestamp=timestamp
        )
        answer = await wire.ask(
            LIST_OFFSETS,
            5,
            replica_id=-1,
            isolation_level=0,
            topics=[m.ListOffsetsTopic(name=topic, partitions=(asked,))],
        )
        found = answer.topics[0].partitions[0]
        return found.error_code, found.offset

    assert await offset(-2) == (0, 0)
    assert await offset(-1) == (0, 3)
    assert await offset(1500) == (0, 1)
    assert await offset(9999) == (0, -1)
    assert await offset(-1, "nowhere") == (Code.UNKNOWN_TOPIC_OR_PARTITION, -1)


async def test_a_topic_nobody_made_is_unknown_where_making_is_off(tmp_path: Path):
    settings = {"auto.create.topics.enable": "false"}
    async with (
        Broker.open(config(tmp_path / "data", **settings)) as broker,
        await Wire.connect(broker.port) as wire,
    ):
        answer = await wire.create("t")

    assert answer.topics[0].error_code == Code.UNKNOWN_TOPIC_OR_PARTITION


async def test_clients_do_not_write_the_brokers_own_topics(wire: Wire):
    await wire.create("__consumer_offsets")
    answer = await wire.produce("__consumer_offsets", b"x")

    assert answer.error_code == Code.INVALID_TOPIC_EXCEPTION


async def test_the_five_times_of_a_request_are_kept(broker: Broker, wire: Wire):
    await wire.create("t")
    await wire.produce("t", b"x")
    await wire.fetch("t", 1, wait_ms=30)
    for _ in range(3):
        await asyncio.sleep(0)
    seen = broker.metrics.snapshot()

    assert seen["RequestsPerSec,request=Produce,version=9"] == 1
    assert seen["RemoteTimeMs,request=Produce,Mean"] > 0, "it waited for its flush"
    assert seen["RemoteTimeMs,request=FetchConsumer,Mean"] >= 29
    assert seen["MessagesInPerSec"] == 1
    assert seen["RequestQueueSize"] == 0


async def test_the_cluster_describes_itself(broker: Broker, wire: Wire):
    answer = await wire.ask(
        DESCRIBE_CLUSTER,
        1,
        include_cluster_authorized_operations=False,
        endpoint_type=1,
    )

    assert [(b.broker_id, b.host, b.port) for b in answer.brokers] == [
        (1, "127.0.0.1", broker.port)
    ]


async def test_closing_answers_who_waits_and_leaves_nothing_running(tmp_path: Path):
    async with Broker.open(config(tmp_path / "data")) as broker:
        wire = await Wire.connect(broker.port)
        await wire.create("t")
        wire.send_fetch("t", 0, wait_ms=60_000)
        await wire.writer.drain()
        while broker.purgatories["Fetch"].delayed == 0:
            await asyncio.sleep(0)
    rest = await asyncio.wait_for(wire.reader.read(), 10)
    wire.writer.close()

    assert len(rest) > 0, "the waiting fetch was answered before the end"


async def big_log(broker: Broker, wire: Wire) -> bytes:
    """Eight batches of half a megabyte, none of them in the tail cache."""
    await wire.create("big")
    value = random.Random(1).randbytes(500_000)
    for i in range(8):
        await wire.produce("big", bytes([i]) + value)
    return value


async def test_a_slow_consumer_gets_a_file_whole_also_when_it_is_deleted_meanwhile(
    tmp_path: Path,
):
    """4 MB by sendfile to somebody who reads nothing at first."""
    settings = {"salon.tail.cache.bytes": 0, "log.segment.bytes": 5_000_000}
    async with (
        Broker.open(config(tmp_path / "data", **settings)) as broker,
        await Wire.connect(broker.port) as wire,
    ):
        value = await big_log(broker, wire)
        slow = await Wire.connect(broker.port)
        slow.reader._transport.pause_reading()  # type: ignore[attr-defined]
        slow.send_fetch("big", 0, max_bytes=1 << 23)
        await slow.writer.drain()
        while broker.metrics.meter("BytesOutPerSec").count == 0:
            await asyncio.sleep(0)
        for _ in range(10):
            await asyncio.sleep(0)
        await broker.admin.delete("big")
        slow.reader._transport.resume_reading()  # type: ignore[attr-defined]
        _, data = await slow.receive()
        found = decode_response(1, 11, data).responses[0].partitions[0]
        slow.writer.close()

    assert values(found.records) == [bytes([i]) + value for i in range(8)]


async def test_a_consumer_that_goes_in_the_middle_of_a_file_leaves_nothing_behind(
    tmp_path: Path,
):
    async with (
        Broker.open(
            config(tmp_path / "data", **{"salon.tail.cache.bytes": 0})
        ) as broker,
        await Wire.connect(broker.port) as wire,
    ):
        await big_log(broker, wire)
        before = len(list(Path("/proc/self/fd").iterdir()))
        for _ in range(5):
            gone = await Wire.connect(broker.port)
            gone.send_fetch("big", 0, max_bytes=1 << 23)
            await gone.reader.readexactly(1000)
            gone.writer.transport.abort()
        while broker.network.quotas.total > 1:
            await asyncio.sleep(0)
        after = len(list(Path("/proc/self/fd").iterdir()))

    assert after <= before
