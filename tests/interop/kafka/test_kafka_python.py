"""kafka-python 3: pure Python, its own view of the protocol."""

import warnings

import pytest

from tests.broker.process import Process

with warnings.catch_warnings():  # its import uses importlib.resources.read_text
    warnings.simplefilter("ignore", DeprecationWarning)
    from kafka.admin import KafkaAdminClient, NewTopic

    from kafka import KafkaConsumer, KafkaProducer, TopicPartition

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.mark.parametrize("codec", [None, "gzip", "snappy", "lz4", "zstd"])
def test_it_reads_what_it_wrote(broker: Process, codec: str | None):
    topic = f"python-{codec}"
    producer = KafkaProducer(
        bootstrap_servers=broker.address, acks="all", compression_type=codec
    )
    for i in range(50):
        producer.send(topic, b"%d" % i).get(20)
    producer.close()
    consumer = KafkaConsumer(
        topic,
        bootstrap_servers=broker.address,
        group_id=f"python-{codec}",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        consumer_timeout_ms=20_000,
    )
    found = [next(consumer).value for _ in range(50)]
    consumer.commit()
    committed = consumer.committed(TopicPartition(topic, 0))
    consumer.close()

    assert found == [b"%d" % i for i in range(50)]
    assert committed == 50


def test_its_admin_client_works(broker: Process):
    admin = KafkaAdminClient(bootstrap_servers=broker.address)
    admin.create_topics([NewTopic("python-admin", 2, 1)])
    made = "python-admin" in admin.list_topics()
    admin.delete_topics(["python-admin"])
    gone = "python-admin" not in admin.list_topics()
    admin.close()

    assert made
    assert gone
