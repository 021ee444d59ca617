"""kill -9 under load: what was acknowledged with acks=all is there, once, in order.

The producer is idempotent and tries again; the checker believes only what the producer
was told and what a fresh consumer reads at the end.
"""

import random
import threading
import time
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Message, Producer, TopicPartition

from tests.broker.process import Process

pytestmark = pytest.mark.faults


class Load:
    """Produces numbered records from a thread, and notes which were acknowledged."""

    def __init__(self, address: str, topic: str) -> None:
        self.acknowledged: list[int] = []
        self.failed: list[int] = []
        self.sent = 0
        self._topic = topic
        self._stop = threading.Event()
        self._producer = Producer(
            {
                "bootstrap.servers": address,
                "acks": "all",
                "enable.idempotence": True,
                "linger.ms": 1,
                "reconnect.backoff.ms": 20,
                "reconnect.backoff.max.ms": 100,
                "retry.backoff.ms": 20,
                "message.timeout.ms": 60_000,
            }
        )
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._stop.is_set():
            number = self.sent

            def told(error: object, _: Message, number: int = number) -> None:
                (self.failed if error else self.acknowledged).append(number)

            self._producer.produce(self._topic, b"%d" % number, on_delivery=told)
            self.sent += 1
            self._producer.poll(0)
            time.sleep(0.002)
        self._producer.flush(60)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def wait_for(self, more: int) -> None:
        """Until ``more`` further records are acknowledged."""
        target = len(self.acknowledged) + more
        until = time.monotonic() + 60
        while len(self.acknowledged) < target:
            assert time.monotonic() < until, "nothing is acknowledged any more"
            time.sleep(0.005)


def read_all(address: str, topic: str) -> list[int]:
    consumer = Consumer({"bootstrap.servers": address, "group.id": "checker"})
    partition = TopicPartition(topic, 0, 0)
    _, end = consumer.get_watermark_offsets(partition, timeout=30)
    consumer.assign([partition])
    found: list[int] = []
    position = 0
    while position < end:
        message = consumer.poll(30)
        assert message is not None, f"stuck at {position} of {end}"
        if message.error() is None:
            found.append(int(message.value()))
            position = message.offset() + 1
    consumer.close()
    return found


@pytest.mark.timeout(300)
def test_nothing_acknowledged_is_lost_doubled_or_reordered(tmp_path: Path):
    chance = random.Random(11)
    with Process(tmp_path / "data", "log.segment.bytes=65536") as broker:
        Producer({"bootstrap.servers": broker.address}).list_topics("t", timeout=10)
        load = Load(broker.address, "t")
        load.start()
        for _ in range(20):
            load.wait_for(chance.randrange(50, 200))
            broker.kill()
            broker.start()
        load.wait_for(100)
        load.stop()
        found = read_all(broker.address, "t")

    assert load.failed == []
    assert len(load.acknowledged) == load.sent
    assert found == list(range(load.sent))
