"""Admin calls over the socket: settings changed, records and offsets deleted."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from salon.broker.errors import Code
from salon.broker.log import batch as batches
from salon.broker.protocol.cold import make
from salon.broker.protocol.versions import (
    ALTER_CONFIGS,
    DELETE_RECORDS,
    INCREMENTAL_ALTER_CONFIGS,
    OFFSET_COMMIT,
    OFFSET_DELETE,
    OFFSET_FETCH,
)
from salon.broker.server import Broker
from tests.broker.conftest import config
from tests.broker.wire import Wire, module, values

SET, DELETE, APPEND, SUBTRACT = range(4)


async def alter(wire: Wire, topic: str, *changes: tuple[str, int, str | None]) -> Any:
    m = module(INCREMENTAL_ALTER_CONFIGS, 1, "request")
    configs = tuple(
        m.AlterableConfig(name=name, config_operation=operation, value=value)
        for name, operation, value in changes
    )
    resource = m.AlterConfigsResource(
        resource_type=2, resource_name=topic, configs=configs
    )
    answer = await wire.ask(
        INCREMENTAL_ALTER_CONFIGS, 1, resources=[resource], validate_only=False
    )
    return answer.responses[0]


async def test_settings_of_a_topic_are_changed_one_by_one(broker: Broker, wire: Wire):
    await wire.create("t")
    await alter(
        wire, "t", ("retention.ms", SET, "5000"), ("segment.bytes", SET, "2048")
    )
    await alter(wire, "t", ("segment.bytes", DELETE, None))
    await alter(wire, "t", ("cleanup.policy", APPEND, "compact"))
    both = broker.topics.get("t")
    await alter(wire, "t", ("cleanup.policy", SUBTRACT, "delete"))
    one = broker.topics.get("t")

    assert both is not None
    assert one is not None
    assert both.config.cleanup_policy == "delete,compact"
    assert one.config.cleanup_policy == "compact"
    assert one.config.retention_ms == 5000
    assert one.config.segment_bytes == broker.config.log_segment_bytes
    assert broker.replicas.partitions["t", 0].log.config == one.config


async def test_changed_settings_are_there_after_a_restart(tmp_path: Path):
    settings = config(tmp_path / "data")
    async with Broker.open(settings) as broker, await Wire.connect(broker.port) as wire:
        await wire.create("t")
        await alter(wire, "t", ("retention.ms", SET, "5000"))
    async with Broker.open(settings) as broker:
        topic = broker.topics.get("t")
        assert topic is not None
        assert topic.config.retention_ms == 5000


@pytest.mark.parametrize(
    ("topic", "change", "code"),
    [
        ("t", ("retention", SET, "1"), Code.INVALID_CONFIG),
        ("t", ("retention.ms", SET, "soon"), Code.INVALID_CONFIG),
        ("t", ("retention.ms", APPEND, "1"), Code.INVALID_CONFIG),
        ("t", ("retention.ms", 7, "1"), Code.INVALID_REQUEST),
        ("t", ("min.cleanable.dirty.ratio", SET, "2"), Code.INVALID_CONFIG),
        ("no-such", ("retention.ms", SET, "1"), Code.UNKNOWN_TOPIC_OR_PARTITION),
    ],
)
async def test_a_wrong_setting_is_refused(
    wire: Wire, topic: str, change: tuple[str, int, str], code: Code
):
    await wire.create("t")

    assert (await alter(wire, topic, change)).error_code == code


async def test_alter_configs_replaces_all_settings(broker: Broker, wire: Wire):
    await wire.create("t")
    await alter(wire, "t", ("retention.ms", SET, "5000"))
    m = module(ALTER_CONFIGS, 2, "request")
    configs = (m.AlterableConfig(name="segment.bytes", value="2048"),)
    resource = m.AlterConfigsResource(
        resource_type=2, resource_name="t", configs=configs
    )
    await wire.ask(ALTER_CONFIGS, 2, resources=[resource], validate_only=False)
    topic = broker.topics.get("t")

    assert topic is not None
    assert topic.settings == {"segment.bytes": "2048"}


async def test_turning_group_flush_on_takes_nothing_out_of_sight(
    broker: Broker, wire: Wire
):
    await wire.create("t")
    await alter(wire, "t", ("flush.policy", SET, "none"))
    for i in range(20):
        await wire.produce("t", b"%d" % i, acks=1)
    before = broker.replicas.partitions["t", 0].high_watermark.offset
    await alter(wire, "t", ("flush.policy", SET, "group"))
    after = broker.replicas.partitions["t", 0].high_watermark.offset

    assert before == after == 20


async def delete_records(wire: Wire, topic: str, offset: int) -> Any:
    m = module(DELETE_RECORDS, 2, "request")
    partition = m.DeleteRecordsPartition(partition_index=0, offset=offset)
    wanted = m.DeleteRecordsTopic(name=topic, partitions=(partition,))
    answer = await wire.ask(
        DELETE_RECORDS, 2, topics=[wanted], timeout=timedelta(seconds=5)
    )
    return answer.topics[0].partitions[0]


async def test_deleted_records_are_gone_also_after_a_restart(tmp_path: Path):
    settings = config(tmp_path / "data")
    async with Broker.open(settings) as broker, await Wire.connect(broker.port) as wire:
        await wire.create("t")
        for i in range(10):
            await wire.produce("t", b"%d" % i)
        deleted = await delete_records(wire, "t", 4)
        beyond = await delete_records(wire, "t", 11)
        below = await wire.fetch("t", 3)
        kept = await wire.fetch("t", 4)
    async with Broker.open(settings) as broker, await Wire.connect(broker.port) as wire:
        start = broker.replicas.partitions["t", 0].log.start_offset
        still_below = await wire.fetch("t", 3)
        rest = await delete_records(wire, "t", -1)

    assert (deleted.error_code, deleted.low_watermark) == (0, 4)
    assert beyond.error_code == Code.OFFSET_OUT_OF_RANGE
    assert below.error_code == still_below.error_code == Code.OFFSET_OUT_OF_RANGE
    assert values(kept.records) == [b"%d" % i for i in range(4, 10)]
    assert start == 4
    assert rest.low_watermark == 10


async def test_a_compacted_topic_gets_smaller_when_upkeep_runs(tmp_path: Path):
    every = {"log.retention.check.interval.ms": 20, "log.segment.bytes": 2048}
    async with (
        Broker.open(config(tmp_path / "data", **every)) as broker,
        await Wire.connect(broker.port) as wire,
    ):
        await wire.create("t")
        await alter(wire, "t", ("cleanup.policy", SET, "compact"))
        for i in range(60):
            data = bytes(batches.build([(b"key", b"%03d" % i * 50)], 1000))
            await wire.produce("t", data=data)
        log = broker.replicas.partitions["t", 0].log
        async with asyncio.timeout(20):
            while log.size > 6000 or not log.cleaned_offset:  # of more than 12,000
                await asyncio.sleep(0.01)
        newest = await wire.fetch("t", 0, max_bytes=1 << 20)

    assert values(newest.records)[-1] == b"059" * 50


async def test_offsets_of_a_group_are_deleted(wire: Wire):
    await wire.create("t")
    await wire.ask(10, 3, key="g", key_type=0)
    m = module(OFFSET_COMMIT, 8, "request")
    partition = make(
        m.OffsetCommitRequestPartition,
        partition_index=0,
        committed_offset=7,
        committed_leader_epoch=-1,
        committed_metadata="",
    )
    topic = m.OffsetCommitRequestTopic(name="t", partitions=(partition,))
    await wire.ask(
        OFFSET_COMMIT,
        8,
        group_id="g",
        generation_id_or_member_epoch=-1,
        member_id="",
        group_instance_id=None,
        topics=[topic],
    )
    d = module(OFFSET_DELETE, 0, "request")
    gone = d.OffsetDeleteRequestTopic(
        name="t", partitions=(d.OffsetDeleteRequestPartition(partition_index=0),)
    )
    answer = await wire.ask(OFFSET_DELETE, 0, group_id="g", topics=[gone])
    unknown = await wire.ask(OFFSET_DELETE, 0, group_id="nobody", topics=[gone])
    left = await wire.ask(
        OFFSET_FETCH, 7, group_id="g", topics=None, require_stable=False
    )

    assert answer.topics[0].partitions[0].error_code == 0
    assert unknown.error_code == Code.GROUP_ID_NOT_FOUND
    assert left.topics == ()


async def test_acks_all_needs_as_many_replicas_as_the_topic_says(
    broker: Broker, wire: Wire
):
    """There is one. Taking the record would promise what nobody keeps."""
    await wire.create("t")
    await alter(wire, "t", ("min.insync.replicas", SET, "2"))
    refused = await wire.produce("t", b"x", acks=-1)
    taken = await wire.produce("t", b"y", acks=1)

    assert refused.error_code == Code.NOT_ENOUGH_REPLICAS
    assert (taken.error_code, taken.base_offset) == (0, 0)
    assert broker.metrics.snapshot()["UnderMinIsrPartitionCount"] == 1
