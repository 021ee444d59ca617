"""What three brokers cost beside one: acks=all, and transactions.

    python -m benchmarks broker_cluster           # two minutes
    python -m benchmarks broker_cluster --quick   # a tenth of the records

All brokers and the client share the machine and its disk, as they do in use, so three
copies cost three times the work; what is asked here is how much. One partition of 1 KB
records, librdkafka as client; *one at a time* waits for each record. A transaction is a
record for each of four partitions, committed before the next one begins.
"""

import argparse
import os
import tempfile
import threading
import time
from pathlib import Path

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from benchmarks.broker import TOPIC, produce, row
from benchmarks.kafka_clients import percentile
from benchmarks.kafka_engines import Measured, Server
from benchmarks.machine import described
from salon.cli.broker_cluster import Supervisor

PARTITIONS = 4
WRITERS = 4


class Cluster(Measured):
    """Three brokers, with ``salon broker --cluster 3``'s settings."""

    def __init__(self, *settings: str) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="salon-bench-")
        folder = Path(self._folder.name)
        self._supervisor = Supervisor(folder, 3, "127.0.0.1", 0, settings)
        self._supervisor.start()
        time.sleep(2)  # they have heard of each other, and loaded what they load

    @property
    def address(self) -> str:
        return self._supervisor.bootstrap

    def cpu_s(self) -> float:
        total = 0.0
        for broker in self._supervisor.brokers:
            self.pid = broker.pid
            total += super().cpu_s()
        return total

    def rss_mb(self) -> float:
        total = 0.0
        for broker in self._supervisor.brokers:
            self.pid = broker.pid
            total += super().rss_mb()
        return total

    def stop(self) -> float:
        began = time.perf_counter()
        self._supervisor.close()
        self._folder.cleanup()
        return time.perf_counter() - began


def create(server: Measured, copies: int) -> None:
    admin = AdminClient({"bootstrap.servers": server.address})
    wanted = [NewTopic(TOPIC, 1, copies), NewTopic("parts", PARTITIONS, copies)]
    for made in admin.create_topics(wanted).values():
        made.result(30)


def one_at_a_time(server: Measured, count: int) -> dict[str, float]:
    """Acknowledgements with acks=all, each waited for."""
    producer = Producer(
        {"bootstrap.servers": server.address, "acks": "all", "linger.ms": 0}
    )
    value, times = os.urandom(1000), []
    for n in range(count + 20):
        began = time.perf_counter()
        producer.produce(TOPIC, value, partition=0)
        producer.flush(20)
        if n >= 20:
            times.append((time.perf_counter() - began) * 1000)
    return {"ms, p50": percentile(times, 0.5), "p99": percentile(times, 0.99)}


def transactions(server: Measured, writers: int, each: int) -> dict[str, float]:
    """Committed transactions of ``writers`` transactional ids at a time."""
    times: list[float] = []

    def write(name: str, ready: threading.Barrier) -> None:
        producer = Producer(
            {
                "bootstrap.servers": server.address,
                "transactional.id": name,
                "linger.ms": 0,
            }
        )
        producer.init_transactions(30)
        ready.wait()
        for _ in range(each):
            began = time.perf_counter()
            producer.begin_transaction()
            for index in range(PARTITIONS):
                producer.produce("parts", b"x" * 200, partition=index)
            producer.commit_transaction(30)
            times.append((time.perf_counter() - began) * 1000)

    ready = threading.Barrier(writers + 1)
    threads = [
        threading.Thread(target=write, args=(f"w{n}", ready)) for n in range(writers)
    ]
    for thread in threads:
        thread.start()
    ready.wait()
    cpu, began = server.cpu_s(), time.perf_counter()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - began
    return {
        "per s": len(times) / seconds,
        "ms, p50": percentile(times, 0.5),
        "p99": percentile(times, 0.99),
        "CPU ms each": (server.cpu_s() - cpu) / len(times) * 1000,
    }


def measure(name: str, server: Measured, copies: int, scale: float) -> None:
    create(server, copies)
    count = int(200_000 * scale)
    row(f"{name}: idle RSS, all together, MB", {"RSS": server.rss_mb()})
    row(f"{name}: produce 1 KB, acks=all", produce(server, count, 1000, "all"))
    row(f"{name}: one at a time", one_at_a_time(server, int(1000 * scale)))
    for writers in (1, WRITERS):
        values = transactions(server, writers, int(400 * scale) // writers)
        row(f"{name}: transactions, {writers} at a time", values)
    server.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    arguments, _ = parser.parse_known_args()
    scale = 0.1 if arguments.quick else 1.0
    load = os.getloadavg()[0]
    print(f"{described('confluent-kafka', 'uvloop')}; load {load:.1f} before")
    print(f"| {'what':42} | measured |")
    print(f"|{'-' * 44}|---|")
    for policy in ("group", "none"):
        flush = f"log.flush.policy={policy}"
        measure(f"one, {policy}", Server.start(flush), 1, scale)
        measure(f"three, {policy}", Cluster(flush), 3, scale)
    few = "transaction.state.log.num.partitions=3"
    measure("three, none, 3 coordinators", Cluster(flush, few), 3, scale)


if __name__ == "__main__":
    main()
