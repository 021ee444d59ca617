"""confluent-kafka (librdkafka 2.16): every codec, a group, admin calls."""

import time

import pytest
from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
)

from tests.broker.process import Process


def read(consumer: Consumer, count: int) -> list[Message]:
    """``count`` messages; gives up after half a minute."""
    found: list[Message] = []
    until = time.monotonic() + 30
    while len(found) < count and time.monotonic() < until:
        message = consumer.poll(1.0)
        if message is not None and message.error() is None:
            found.append(message)
    return found


def consumer(broker: Process, group: str, **more: object) -> Consumer:
    return Consumer(
        {
            "bootstrap.servers": broker.address,
            "group.id": group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            **more,
        }
    )


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_every_codec_passes_through(broker: Process, codec: str):
    topic = f"confluent-{codec}"
    producer = Producer(
        {
            "bootstrap.servers": broker.address,
            "compression.type": codec,
            "enable.idempotence": True,
        }
    )
    failed: list[KafkaError] = []
    for i in range(500):
        producer.produce(
            topic,
            key=b"k%d" % i,
            value=b"v" * 100,
            headers=[("h", b"x")],
            on_delivery=lambda error, _: failed.append(error) if error else None,
        )
    producer.flush(30)
    reader = consumer(broker, f"readers-{codec}")
    reader.subscribe([topic])
    messages = read(reader, 500)
    reader.close()

    assert failed == []
    assert [m.key() for m in messages] == [b"k%d" % i for i in range(500)]
    assert messages[0].headers() == [("h", b"x")]


def test_a_group_shares_partitions_and_goes_on_after_a_member_left(broker: Process):
    admin = AdminClient({"bootstrap.servers": broker.address})
    admin.create_topics([NewTopic("shared", 4, 1)])["shared"].result(10)
    a, b = consumer(broker, "sharers"), consumer(broker, "sharers")
    for each in (a, b):
        each.subscribe(["shared"])
    until = time.monotonic() + 30
    while time.monotonic() < until:
        a.poll(0.1)
        b.poll(0.1)
        if len(a.assignment()) == len(b.assignment()) == 2:
            break
    shared = (len(a.assignment()), len(b.assignment()))
    a.close()
    while time.monotonic() < until and len(b.assignment()) < 4:
        b.poll(0.1)
    alone = len(b.assignment())
    b.close()

    assert shared == (2, 2)
    assert alone == 4


def test_cooperative_rebalancing_works(broker: Process):
    admin = AdminClient({"bootstrap.servers": broker.address})
    admin.create_topics([NewTopic("cooperative", 4, 1)])["cooperative"].result(10)
    how = {"partition.assignment.strategy": "cooperative-sticky"}
    a, b = (consumer(broker, "cooperators", **how) for _ in "ab")
    for each in (a, b):
        each.subscribe(["cooperative"])
    until = time.monotonic() + 30
    while time.monotonic() < until:
        a.poll(0.1)
        b.poll(0.1)
        if len(a.assignment()) == len(b.assignment()) == 2:
            break
    shared = (len(a.assignment()), len(b.assignment()))
    a.close()
    b.close()

    assert shared == (2, 2)


def test_a_commit_is_where_the_next_consumer_begins(broker: Process):
    producer = Producer({"bootstrap.servers": broker.address})
    for i in range(10):
        producer.produce("resumed", value=b"%d" % i)
    producer.flush(10)
    first = consumer(broker, "resumers")
    first.subscribe(["resumed"])
    read(first, 4)
    first.commit(asynchronous=False)
    first.close()
    second = consumer(broker, "resumers")
    second.subscribe(["resumed"])
    rest = read(second, 6)
    second.close()

    assert [m.value() for m in rest] == [b"%d" % i for i in range(4, 10)]


def test_admin_calls_are_answered(broker: Process):
    admin = AdminClient({"bootstrap.servers": broker.address})
    admin.create_topics([NewTopic("admin", 2, 1, config={"flush.policy": "none"})])[
        "admin"
    ].result(10)
    admin.create_partitions([NewPartitions("admin", 5)])["admin"].result(10)
    resource = ConfigResource(ConfigResource.Type.TOPIC, "admin")
    configs = admin.describe_configs([resource])[resource].result(10)
    cluster = admin.describe_cluster().result(10)
    partitions = len(admin.list_topics(timeout=10).topics["admin"].partitions)
    member = consumer(broker, "admired")
    member.subscribe(["admin"])
    member.poll(2.0)
    groups = {g.group_id for g in admin.list_consumer_groups().result(10).valid}
    described = admin.describe_consumer_groups(["admired"])["admired"].result(10)
    member.close()
    admin.delete_consumer_groups(["admired"])["admired"].result(10)
    admin.delete_topics(["admin"])["admin"].result(10)

    assert configs["flush.policy"].value == "none"
    assert len(cluster.nodes) == 1
    assert partitions == 5
    assert "admired" in groups
    assert len(described.members) == 1
    assert "admin" not in admin.list_topics(timeout=10).topics


def test_a_large_message_is_refused_with_the_limit(broker: Process):
    producer = Producer(
        {"bootstrap.servers": broker.address, "message.max.bytes": 4_000_000}
    )
    errors: list[KafkaError] = []
    producer.produce(
        "large", value=b"x" * 2_000_000, on_delivery=lambda e, _: errors.append(e)
    )
    producer.flush(20)

    assert errors[0].code() == KafkaError.MSG_SIZE_TOO_LARGE


def test_settings_are_changed_and_records_deleted(broker: Process):
    admin = AdminClient({"bootstrap.servers": broker.address})
    admin.create_topics([NewTopic("altered", 1, 1)])["altered"].result(10)
    producer = Producer({"bootstrap.servers": broker.address})
    for i in range(10):
        producer.produce("altered", value=b"%d" % i)
    producer.flush(10)
    change = ConfigEntry(
        "retention.ms", "12345", incremental_operation=AlterConfigOpType.SET
    )
    resource = ConfigResource(
        ConfigResource.Type.TOPIC, "altered", incremental_configs=[change]
    )
    admin.incremental_alter_configs([resource])[resource].result(10)
    config = admin.describe_configs([resource])[resource].result(10)
    before = TopicPartition("altered", 0, 6)
    deleted = admin.delete_records([before])[before].result(10)
    reader = consumer(broker, "altered")
    reader.subscribe(["altered"])
    messages = read(reader, 4)
    reader.close()

    assert config["retention.ms"].value == "12345"
    assert not config["retention.ms"].is_read_only
    assert deleted.low_watermark == 6
    assert [m.value() for m in messages] == [b"6", b"7", b"8", b"9"]
