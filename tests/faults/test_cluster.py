"""``kill -9`` of leaders, and of the controller, under load: clients go on by themselves.

Three brokers as processes, one topic on all three, a producer of librdkafka that asks
for acks=all and a consumer of another library. Each time a fifth of the records is
acknowledged, the leader of the partition is killed (once it is the broker with the
controller in it); the supervisor starts it again.
"""

import asyncio
import threading

import pytest
from aiokafka import AIOKafkaConsumer
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from salon.broker.log.folder import META
from salon.cli.broker_cluster import Supervisor
from tests.faults.brokers import (
    CONTROLLER,
    kill,
    kill_leader,
    status,
    supervised,
    until,
)

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]

RECORDS = 3_000
KILLS = 4


class Load:
    """Sends numbered records; which of them were acknowledged, in that order."""

    def __init__(self, bootstrap: str) -> None:
        self.acked: list[int] = []
        self.failed: list[str] = []
        self._stop = threading.Event()
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "acks": "all",
                "enable.idempotence": True,
                "linger.ms": 1,
                "topic.metadata.refresh.interval.ms": 500,
                "retry.backoff.ms": 50,
                "message.timeout.ms": 120_000,
            }
        )
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        for n in range(RECORDS):
            if self._stop.is_set():
                break
            self._producer.produce("t", b"%d" % n, on_delivery=self._delivered(n))
            self._producer.poll(0)
            while len(self._producer) > 50:
                self._producer.poll(0.05)
        self._producer.flush(120)

    def _delivered(self, n):
        def note(error, _message):
            if error is None:
                self.acked.append(n)
            else:
                self.failed.append(str(error))

        return note

    def wait(self) -> None:
        self._thread.join(150)


async def consumed(bootstrap: str, count: int) -> list[int]:
    consumer = AIOKafkaConsumer(
        "t",
        bootstrap_servers=bootstrap,
        group_id="g",
        auto_offset_reset="earliest",
        metadata_max_age_ms=1000,
        retry_backoff_ms=50,
    )
    await consumer.start()
    found: list[int] = []
    try:
        async with asyncio.timeout(90):
            while len(set(found)) < count:
                found.append(int((await consumer.getone()).value))
    finally:
        await consumer.stop()
    return found


@pytest.fixture
def supervisor(tmp_path):
    with supervised(tmp_path) as made:
        yield made


def create(bootstrap: str) -> None:
    """A topic that the controller's broker leads only when nobody else can."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    wanted = NewTopic("t", 1, replica_assignment=[[2, 3, 1]])
    admin.create_topics([wanted])["t"].result(30)


def cluster_ids(supervisor: Supervisor) -> set[str]:
    return {
        line
        for broker in supervisor.brokers
        for line in (broker.folder / META).read_text().splitlines()
        if line.startswith("cluster.id=")
    }


async def test_what_all_have_acknowledged_survives_the_death_of_leaders(supervisor):
    await asyncio.to_thread(create, supervisor.bootstrap)
    load = Load(supervisor.bootstrap)
    killed = []
    for n in range(1, KILLS + 1):
        mark = n * RECORDS // (KILLS + 1)
        await until(lambda mark=mark: len(load.acked) >= mark)
        if n == KILLS:
            kill(supervisor, CONTROLLER)
        else:
            killed.append(await kill_leader(supervisor, "t-0"))
    await asyncio.to_thread(load.wait)

    assert len(set(killed)) > 1
    assert len(cluster_ids(supervisor)) == 1  # clients warn of brokers of several
    assert (len(load.acked), load.failed) == (RECORDS, [])
    found = await consumed(supervisor.bootstrap, RECORDS)
    assert found == list(range(RECORDS))  # none lost, none twice, none out of order

    def in_sync():
        try:
            seen = [
                status(each.folder)["partitions"]["t-0"] for each in supervisor.brokers
            ]
        except (OSError, KeyError, ValueError):
            return False
        return all(sorted(each["isr"]) == [1, 2, 3] for each in seen if each["leads"])

    await until(in_sync)  # those that were killed are back, with everything
    seen = [status(each.folder)["partitions"]["t-0"] for each in supervisor.brokers]
    assert {each["leader"] for each in seen} == {each["leader"] for each in seen[:1]}
    # Each of those deaths was an election, but for the controller's: nobody elects then.
    elections = sum(victim != CONTROLLER for victim in killed)
    assert elections >= 2
    assert seen[0]["epoch"] >= elections
