"""Two Kafka clients side by side: from an append until a follower has the record.

    python -m benchmarks.kafka_clients             # two minutes
    python -m benchmarks.kafka_clients --quick     # half a minute

Says half of decision 0004: what a client costs alone. The other half is what the
server costs with it (``messages.py``), and there the order is the opposite.

Each client is driven as ``eventlog/kafka.py`` drives one: a future per record that
resolves when the record is durable (acks=all, idempotent, no linger), and a follower
on the same event loop that is called with batches. The embedded broker runs as a
process of its own; topics have 8 partitions, records 250 bytes, the event loop is
uvloop, as in the server.

- *one at a time*: the next record goes out 5 ms after the follower had the last one.
- *in flight*: so many senders keep a window of records under way.

CPU is that of the client's process with all its threads, without the broker. The
clients take turns, round after round; latencies are of all rounds, CPU is the
least of them (the machine may be busy with other things).
"""

import argparse
import asyncio
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Protocol

import uvloop

from benchmarks.machine import described

VALUE = b"x" * 238
PARTITIONS = 8
SENDERS, WINDOW = 16, 32
Heard = Callable[[bytes], None]
"""Called on the loop with the value of each record that was followed."""


class Client(Protocol):
    async def start(self, bootstrap: str, topic: str, heard: Heard) -> None: ...
    async def append(self, key: bytes, value: bytes) -> "asyncio.Future[Any]": ...
    async def stop(self) -> None: ...


class Aiokafka:
    """All Python (some C for records), on the event loop."""

    async def start(self, bootstrap: str, topic: str, heard: Heard) -> None:
        from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

        self.topic = topic
        self.producer = AIOKafkaProducer(
            bootstrap_servers=bootstrap,
            acks="all",
            enable_idempotence=True,
            linger_ms=0,
            max_batch_size=1 << 20,
        )
        self.consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap)
        await self.producer.start()
        await self.consumer.start()
        self.consumer.assign([TopicPartition(topic, n) for n in range(PARTITIONS)])
        await self.consumer.seek_to_end()
        self.following = asyncio.create_task(self._follow(heard))

    async def append(self, key: bytes, value: bytes) -> "asyncio.Future[Any]":
        return await self.producer.send(self.topic, value, key)

    async def _follow(self, heard: Heard) -> None:
        while True:
            for records in (await self.consumer.getmany(timeout_ms=1000)).values():
                for record in records:
                    heard(record.value)

    async def stop(self) -> None:
        self.following.cancel()
        await self.producer.stop()
        await self.consumer.stop()


class ConfluentKafka:
    """librdkafka in threads of its own, two of Python's to wait for it.

    ``AIOProducer`` is no candidate: it holds records back for up to a second to make
    batches. ``AIOConsumer`` waits in a thread pool, too.
    """

    async def start(self, bootstrap: str, topic: str, heard: Heard) -> None:
        from confluent_kafka import OFFSET_END, Consumer, Producer, TopicPartition

        self.topic, self.heard = topic, heard
        self.loop = asyncio.get_running_loop()
        self.settled: list[tuple[asyncio.Future[Any], Any, Any]] = []
        self.ended = False
        self.producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "acks": "all",
                "enable.idempotence": True,
                "linger.ms": 0,
                "batch.size": 1 << 20,
                "log_level": 0,
            }
        )
        self.consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": "bench",
                "enable.auto.commit": False,
                "fetch.wait.max.ms": 500,
                "log_level": 0,
            }
        )
        ends = [TopicPartition(topic, n, OFFSET_END) for n in range(PARTITIONS)]
        self.consumer.assign(ends)
        self.threads = [
            threading.Thread(target=self._poll),
            threading.Thread(target=self._follow),
        ]
        for thread in self.threads:
            thread.start()
        await asyncio.sleep(1)

    async def append(self, key: bytes, value: bytes) -> "asyncio.Future[Any]":
        durable = self.loop.create_future()
        self.producer.produce(
            self.topic, value, key, on_delivery=partial(self._delivered, durable)
        )
        return durable

    def _delivered(self, durable: "asyncio.Future[Any]", error: Any, sent: Any) -> None:
        self.settled.append((durable, error, sent))

    def _poll(self) -> None:
        """One wake-up of the loop for all that librdkafka had to say."""
        while not self.ended:
            self.producer.poll(0.5)
            if self.settled:
                settled, self.settled = self.settled, []
                self.loop.call_soon_threadsafe(self._settle, settled)

    def _settle(
        self, settled: Iterable[tuple["asyncio.Future[Any]", Any, Any]]
    ) -> None:
        for durable, error, sent in settled:
            assert error is None, error
            durable.set_result((sent.partition(), sent.offset()))

    def _follow(self) -> None:
        while not self.ended:
            first = self.consumer.poll(0.5)
            if first is not None:
                more = self.consumer.consume(499, 0)
                self.loop.call_soon_threadsafe(self._hear, [first, *more])

    def _hear(self, records: Iterable[Any]) -> None:
        for record in records:
            assert record.error() is None, record.error()
            self.heard(record.value())

    async def stop(self) -> None:
        self.ended = True
        for thread in self.threads:
            await asyncio.to_thread(thread.join)
        self.consumer.close()
        self.producer.flush(5)


class Measured:
    """A client, and the records that it has under way."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.waiting: dict[bytes, asyncio.Future[float]] = {}
        self.numbers = itertools.count()

    def heard(self, value: bytes) -> None:
        self.waiting.pop(value[:12]).set_result(time.perf_counter())

    async def one(self, key: bytes) -> tuple[float, float]:
        """Seconds until durable, and until followed."""
        name = b"%012d" % next(self.numbers)
        followed = asyncio.get_running_loop().create_future()
        self.waiting[name] = followed
        began = time.perf_counter()
        await (await self.client.append(key, name + VALUE))
        durable = time.perf_counter() - began
        return durable, await followed - began

    async def one_at_a_time(self, seconds: float) -> list[tuple[float, float]]:
        until, taken = time.perf_counter() + seconds, []
        while time.perf_counter() < until:
            taken.append(await self.one(b"key-%d" % (len(taken) % 64)))
            await asyncio.sleep(0.005)
        return taken

    async def in_flight(self, seconds: float) -> tuple[int, float, float]:
        """(records, seconds, CPU seconds)."""
        until, count = time.perf_counter() + seconds, 0

        async def sender(number: int) -> None:
            nonlocal count
            while time.perf_counter() < until:
                await self.one(b"conversation-%d" % (number // WINDOW))
                count += 1

        began, cpu = time.perf_counter(), time.process_time()
        await asyncio.gather(*(sender(n) for n in range(SENDERS * WINDOW)))
        return count, time.perf_counter() - began, time.process_time() - cpu


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


async def measure(bootstrap: str, *, rounds: int, seconds: float) -> None:
    sides = {each.__name__: Measured(each()) for each in (Aiokafka, ConfluentKafka)}
    for name, side in sides.items():
        await ensure(bootstrap, name)
        await side.client.start(bootstrap, name, side.heard)
        await side.in_flight(1)  # warm
    single: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    cpu: dict[str, list[float]] = {name: [] for name in sides}
    idle: dict[str, list[float]] = {name: [] for name in sides}
    rate: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, side in sides.items():
            before = time.process_time()
            taken = await side.one_at_a_time(seconds)
            idle[name].append((time.process_time() - before) / len(taken))
            single[name] += taken
            count, took, used = await side.in_flight(seconds)
            cpu[name].append(used / count)
            rate[name].append(count / took)
    print(
        "| client | one at a time: durable p50 ms | p99 | followed p50 | p99 "
        "| CPU us each | in flight: CPU us/record | records/s |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for name, side in sides.items():
        durable, followed = zip(*single[name], strict=True)
        print(
            f"| {name} | {statistics.median(durable) * 1e3:.2f} "
            f"| {percentile(list(durable), 0.99) * 1e3:.2f} "
            f"| {statistics.median(followed) * 1e3:.2f} "
            f"| {percentile(list(followed), 0.99) * 1e3:.2f} "
            f"| {min(idle[name]) * 1e6:.0f} | {min(cpu[name]) * 1e6:.1f} "
            f"| {statistics.median(rate[name]):,.0f} |"
        )
        await side.client.stop()


async def ensure(bootstrap: str, topic: str) -> None:
    from aiokafka.admin import AIOKafkaAdminClient, NewTopic

    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(topic, PARTITIONS, 1)])
    await admin.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--switch-interval", type=float, help="of the GIL, in seconds")
    chosen, _ = parser.parse_known_args()
    if chosen.switch_interval:
        sys.setswitchinterval(chosen.switch_interval)
    print(described("aiokafka", "confluent-kafka", "uvloop"))
    print(f"8 partitions, 250 bytes; in flight {SENDERS} x {WINDOW}.\n")
    with tempfile.TemporaryDirectory(prefix="salon-bench-") as folder:
        command = [sys.executable, "-m", "salon.cli.broker_process", "--data", folder]
        broker = subprocess.Popen(
            [*command, "--listen", "127.0.0.1:0", "--ready-json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert broker.stdout is not None
        try:
            port = json.loads(broker.stdout.readline())["port"]
            rounds, seconds = (3, 2.0) if chosen.quick else (6, 5.0)
            uvloop.run(measure(f"127.0.0.1:{port}", rounds=rounds, seconds=seconds))
        finally:
            broker.terminate()
            broker.wait()
            broker.stdout.close()


if __name__ == "__main__":
    main()
