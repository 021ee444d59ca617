"""Disks, producers and transactions, as admins' tools ask for them."""

from datetime import timedelta
from typing import Any

import pytest

from salon.broker.errors import Code
from salon.broker.log import batch as batches
from salon.broker.protocol import versions
from salon.broker.server import Broker
from tests.broker.wire import Wire, module


async def open_transaction(wire: Wire, name: str = "payments") -> Any:
    """A transaction with one record in ``t``; the producer id and epoch."""
    await wire.create("t")
    await wire.ask(versions.FIND_COORDINATOR, 3, key=name, key_type=1)
    producer = await wire.ask(
        versions.INIT_PRODUCER_ID,
        4,
        transactional_id=name,
        transaction_timeout=timedelta(seconds=60),
        producer_id=-1,
        producer_epoch=-1,
    )
    m = module(versions.ADD_PARTITIONS_TO_TXN, 3, "request")
    await wire.ask(
        versions.ADD_PARTITIONS_TO_TXN,
        3,
        v3_and_below_transactional_id=name,
        v3_and_below_producer_id=producer.producer_id,
        v3_and_below_producer_epoch=producer.producer_epoch,
        v3_and_below_topics=(m.AddPartitionsToTxnTopic(name="t", partitions=(0,)),),
    )
    return producer


async def test_the_data_folder_and_its_partitions_are_measured(
    broker: Broker,
    wire: Wire,
):
    for topic in ("one", "two"):
        await wire.create(topic)
    await wire.produce("one", b"x" * 500)
    all_of_it = await wire.ask(versions.DESCRIBE_LOG_DIRS, 4, topics=None)
    m = module(versions.DESCRIBE_LOG_DIRS, 4, "request")
    wanted = m.DescribableLogDirTopic(topic="two", partitions=(0, 9))
    some = await wire.ask(versions.DESCRIBE_LOG_DIRS, 4, topics=(wanted,))
    (folder,) = all_of_it.results
    sizes = {t.name: t.partitions[0].partition_size for t in folder.topics}

    assert folder.log_dir == str(broker.config.folder.resolve())
    assert sizes == {"one": broker.replicas.partitions["one", 0].log.size, "two": 0}
    assert 0 < folder.usable_bytes < folder.total_bytes
    assert [t.name for t in some.results[0].topics] == ["two"]
    assert len(some.results[0].topics[0].partitions) == 1


async def test_a_partition_tells_its_producers(broker: Broker, wire: Wire):
    await wire.create("t")
    data = batches.build([(None, b"a")] * 3, 1000, producer=(7, 2, 0))
    await wire.produce("t", data=bytes(data))
    m = module(versions.DESCRIBE_PRODUCERS, 0, "request")
    wanted = m.TopicRequest(name="t", partition_indexes=(0, 5))
    answer = await wire.ask(versions.DESCRIBE_PRODUCERS, 0, topics=(wanted,))
    known, missing = answer.topics[0].partitions
    (producer,) = known.active_producers

    assert (producer.producer_id, producer.producer_epoch) == (7, 2)
    assert (producer.last_sequence, producer.last_timestamp) == (2, 1000)
    assert producer.current_txn_start_offset == -1
    assert missing.error_code == Code.UNKNOWN_TOPIC_OR_PARTITION


async def test_a_transaction_is_described(broker: Broker, wire: Wire):
    producer = await open_transaction(wire)
    answer = await wire.ask(
        versions.DESCRIBE_TRANSACTIONS, 0, transactional_ids=("payments", "nobody")
    )
    found, missing = answer.transaction_states

    assert found.transaction_state == "Ongoing"
    assert found.transaction_timeout == timedelta(seconds=60)
    assert found.producer_id == producer.producer_id
    assert [(t.topic, t.partitions) for t in found.topics] == [("t", (0,))]
    assert missing.error_code == Code.TRANSACTIONAL_ID_NOT_FOUND


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        ({}, ["payments"]),
        ({"state_filters": ("Ongoing",)}, ["payments"]),
        ({"state_filters": ("CompleteCommit",)}, []),
        ({"producer_id_filters": (12345,)}, []),
        ({"duration_filter": 1_000_000}, []),
        ({"state_filters": ("Odd", "Ongoing")}, ["payments"]),
    ],
)
async def test_transactions_are_listed_by_filters(
    broker: Broker,
    wire: Wire,
    filters: dict[str, Any],
    names: list[str],
):
    await open_transaction(wire)
    everything = {"state_filters": (), "producer_id_filters": (), "duration_filter": -1}
    answer = await wire.ask(versions.LIST_TRANSACTIONS, 1, **{**everything, **filters})
    unknown = [s for s in filters.get("state_filters", ()) if s == "Odd"]

    assert [each.transactional_id for each in answer.transaction_states] == names
    assert list(answer.unknown_state_filters) == unknown


async def test_no_partition_is_on_the_move(wire: Wire):
    answer = await wire.ask(
        versions.LIST_PARTITION_REASSIGNMENTS,
        0,
        timeout=timedelta(seconds=1),
        topics=None,
    )

    assert (answer.error_code, answer.topics) == (Code.NONE, ())


async def test_settings_tell_where_else_they_are_looked_for(wire: Wire):
    """Kafka's synonyms: the topic's own, the broker's, the default."""
    await wire.create("t")
    m = module(versions.INCREMENTAL_ALTER_CONFIGS, 1, "request")
    change = m.AlterableConfig(name="segment.bytes", config_operation=0, value="2048")
    await wire.ask(
        versions.INCREMENTAL_ALTER_CONFIGS,
        1,
        resources=(
            m.AlterConfigsResource(
                resource_type=2, resource_name="t", configs=(change,)
            ),
        ),
        validate_only=False,
    )
    d = module(versions.DESCRIBE_CONFIGS, 4, "request")
    wanted = d.DescribeConfigsResource(
        resource_type=2,
        resource_name="t",
        configuration_keys=("segment.bytes", "retention.ms"),
    )
    answer = await wire.ask(
        versions.DESCRIBE_CONFIGS,
        4,
        resources=(wanted,),
        include_synonyms=True,
        include_documentation=False,
    )
    found = {
        entry.name: [(s.name, s.value, s.source) for s in entry.synonyms]
        for entry in answer.results[0].configs
    }

    assert found["segment.bytes"] == [
        ("segment.bytes", "2048", 1),
        ("log.segment.bytes", str(64 << 20), 5),
    ]
    assert found["retention.ms"] == [("log.retention.ms", "604800000", 5)]
