"""The embedded broker measured from outside, by librdkafka (confluent-kafka).

    python benchmarks/broker.py              # about a minute, prints one table
    python benchmarks/broker.py --quick      # a tenth of the records
    python benchmarks/broker.py --apache 3   # three rounds beside Apache Kafka

Server and client share the machine, as they do in use. Every row starts a fresh broker
on a fresh folder. ``--apache`` alternates the two engines and prints medians with the
smallest and largest value; it needs ``make engines``. ``e2e`` is from ``produce()`` to ``poll()`` with linger 0, one record
of 200 bytes at a time, fetch.min.bytes 1.
"""

import argparse
import json
import os
import platform
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition

TOPIC = "bench"
MB = 1_000_000
WARM = b"warm"


class Measured:
    """A server process that can be looked at from outside."""

    port: int
    pid: int
    start_s: float

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def cpu_s(self) -> float:
        text = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1]
        user, system = text.split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def rss_mb(self) -> float:
        text = Path(f"/proc/{self.pid}/status").read_text()
        line = next(line for line in text.splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) / 1000

    def stop(self) -> float:
        raise NotImplementedError


class Apache(Measured):
    """Apache Kafka, one broker and controller in one process, 1 GB of heap."""

    def __init__(self) -> None:
        sys.path.insert(0, str(Path(__file__).parent.parent))
        from tests.engines import KafkaServer

        self._server = KafkaServer("1g", auto_create=True)
        self._server._format()
        self.port = self._server.port
        began = time.perf_counter()
        self._server.start()
        ask_metadata(self.port)
        self.start_s = time.perf_counter() - began
        assert self._server.process is not None
        self.pid = self._server.process.pid

    def stop(self) -> float:
        began = time.perf_counter()
        self._server.close()
        return time.perf_counter() - began


@dataclass
class Server(Measured):
    """A broker process of ours on a fresh folder."""

    process: subprocess.Popen[str]
    folder: Path
    port: int
    start_s: float

    @classmethod
    def start(cls, *settings: str) -> "Server":
        folder = Path(tempfile.mkdtemp(prefix="salon-bench-"))
        command = [sys.executable, "-m", "salon.cli.broker_process"]
        command += ["--data", str(folder), "--listen", "127.0.0.1:0", "--ready-json"]
        for setting in settings:
            command += ["--set", setting]
        began = time.perf_counter()
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert process.stdout is not None
        port = json.loads(process.stdout.readline())["port"]
        ask_metadata(port)
        return cls(process, folder, port, time.perf_counter() - began)

    @property
    def pid(self) -> int:  # type: ignore[override]
        return self.process.pid

    def stop(self) -> float:
        began = time.perf_counter()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(10)
        shutil.rmtree(self.folder, ignore_errors=True)
        return time.perf_counter() - began


def ask_metadata(port: int) -> None:
    """One Metadata v1 request for all topics, by hand."""
    with socket.create_connection(("127.0.0.1", port)) as sock:
        body = struct.pack(">hhihi", 3, 1, 1, -1, -1)
        sock.sendall(struct.pack(">i", len(body)) + body)
        (size,) = struct.unpack(">i", sock.recv(4, socket.MSG_WAITALL))
        sock.recv(size, socket.MSG_WAITALL)


def produce(server: Measured, count: int, size: int, acks: str) -> dict[str, float]:
    producer = Producer(
        {
            "bootstrap.servers": server.address,
            "acks": acks,
            "linger.ms": 5,
            "batch.size": 1_000_000,
            "queue.buffering.max.messages": 1_000_000,
            "queue.buffering.max.kbytes": 1_000_000,
        }
    )
    value = os.urandom(size)
    failed: list[Any] = []

    def delivered(error: Any, _: Any) -> None:
        if error is not None:
            failed.append(error)

    producer.list_topics(TOPIC, timeout=10)
    cpu, began = server.cpu_s(), time.perf_counter()
    for _ in range(count):
        while True:
            try:
                producer.produce(TOPIC, value, partition=0, on_delivery=delivered)
                break
            except BufferError:
                producer.poll(0.01)
        producer.poll(0)
    producer.flush(60)
    seconds = time.perf_counter() - began
    if failed:
        raise RuntimeError(f"{len(failed)} records failed: {failed[0]}")
    return rates(count, size, seconds, server.cpu_s() - cpu)


def consume(server: Measured, count: int, size: int) -> dict[str, float]:
    consumer = Consumer(
        {
            "bootstrap.servers": server.address,
            "group.id": "bench",
            "enable.auto.commit": False,
            "queued.min.messages": 2_000_000,
            "queued.max.messages.kbytes": 2_000_000,
            "fetch.queue.backoff.ms": 5,
        }
    )
    consumer.assign([TopicPartition(TOPIC, 0, 0)])
    cpu, began = server.cpu_s(), time.perf_counter()
    seen = 0
    while seen < count:
        seen += len(consumer.consume(10_000, 1.0))
    seconds = time.perf_counter() - began
    used = server.cpu_s() - cpu
    consumer.close()
    return rates(count, size, seconds, used)


def rates(count: int, size: int, seconds: float, cpu_s: float) -> dict[str, float]:
    megabytes = count * size / MB
    return {
        "MB/s": megabytes / seconds,
        "k msg/s": count / seconds / 1000,
        "CPU s/GB": cpu_s / megabytes * 1000,
    }


def latency(server: Measured, per_second: int, seconds: float) -> dict[str, float]:
    """End-to-end and acknowledgement latency at a steady rate."""
    count = int(per_second * seconds)
    sent = [0.0] * count
    acked = [0.0] * count
    seen = [0.0] * count
    producer = Producer(
        {
            "bootstrap.servers": server.address,
            "linger.ms": 0,
            "acks": "all",
            "enable.idempotence": True,
        }
    )
    consumer = Consumer(
        {
            "bootstrap.servers": server.address,
            "group.id": "latency",
            "enable.auto.commit": False,
            "fetch.wait.max.ms": 500,
        }
    )
    producer.list_topics(TOPIC, timeout=10)
    producer.produce(TOPIC, WARM)  # it has its producer id before anything counts
    producer.flush(20)
    consumer.assign([TopicPartition(TOPIC, 0, 0)])
    consumer.poll(0.5)

    def read() -> None:
        left = count
        while left:
            message = consumer.poll(5.0)
            if message is None:
                return
            if message.error() is None and message.value() != WARM:
                seen[int(message.value()[:10])] = time.perf_counter()
                left -= 1

    reader = threading.Thread(target=read)
    reader.start()
    began = time.perf_counter()
    for i in range(count):
        due = began + i / per_second
        while (left := due - time.perf_counter()) > 0:
            producer.poll(left)
        sent[i] = time.perf_counter()

        def delivered(error: Any, _: Any, i: int = i) -> None:
            acked[i] = time.perf_counter()

        producer.produce(TOPIC, b"%010d" % i + b"x" * 190, on_delivery=delivered)
        producer.poll(0)
    producer.flush(10)
    reader.join()
    consumer.close()
    ends = sorted((b - a) * 1000 for a, b in zip(sent, seen, strict=True) if b)
    acks = sorted((b - a) * 1000 for a, b in zip(sent, acked, strict=True) if b)
    if len(ends) < count:
        raise RuntimeError(f"{count - len(ends)} records never came")
    return {
        "e2e p50": ends[count // 2],
        "e2e p99": ends[count * 99 // 100],
        "ack p50": acks[count // 2],
        "ack p99": acks[count * 99 // 100],
    }


def unbatched(
    server: Measured, seconds: float, connections: int = 32
) -> dict[str, float]:
    """One 200-byte record a request, raw sockets, one request in flight on each."""
    from salon.broker.log.batch import build

    batch = bytes(build([(None, b"x" * 200)], 0))
    name = TOPIC.encode()
    body = struct.pack(">hhihhhi", 0, 7, 1, -1, -1, 1, 5000)
    body += struct.pack(">ih", 1, len(name)) + name
    body += struct.pack(">iii", 1, 0, len(batch)) + batch
    frame = struct.pack(">i", len(body)) + body
    import selectors

    selector = selectors.DefaultSelector()
    socks = []
    for _ in range(connections):
        sock = socket.create_connection(("127.0.0.1", server.port))
        selector.register(sock, selectors.EVENT_READ)
        socks.append(sock)
    cpu, began, done = server.cpu_s(), time.perf_counter(), 0
    for sock in socks:
        sock.sendall(frame)
    while time.perf_counter() - began < seconds:
        for key, _ in selector.select(1):
            key.fileobj.recv(4096)  # type: ignore[union-attr]
            done += 1
            key.fileobj.sendall(frame)  # type: ignore[union-attr]
    took = time.perf_counter() - began
    used = server.cpu_s() - cpu
    for sock in socks:
        sock.close()
    return {"req/s": done / took, "CPU us/req": used / done * 1e6}


def machine() -> str:
    cpu = next(
        (
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    load = os.getloadavg()[0]
    return (
        f"{os.cpu_count()} x {cpu}, load {load:.1f} before; "
        f"Python {platform.python_version()}, uvloop {version('uvloop')}, "
        f"confluent-kafka {version('confluent-kafka')}, crc32c {version('crc32c')}"
    )


def row(name: str, values: dict[str, float]) -> None:
    cells = ", ".join(f"{key} {value:,.2f}" for key, value in values.items())
    print(f"| {name:42} | {cells} |", flush=True)


def idle_connections(server: Measured, count: int = 1000) -> dict[str, float]:
    """What a connection costs that has asked for ApiVersions and is silent."""
    before = server.rss_mb()
    socks = []
    for _ in range(count):
        sock = socket.create_connection(("127.0.0.1", server.port))
        body = struct.pack(">hhih", 18, 0, 1, -1)
        sock.sendall(struct.pack(">i", len(body)) + body)
        (size,) = struct.unpack(">i", sock.recv(4, socket.MSG_WAITALL))
        sock.recv(size, socket.MSG_WAITALL)
        socks.append(sock)
    after = server.rss_mb()
    for sock in socks:
        sock.close()
    return {"KB each": (after - before) * 1000 / count}


def one_round(start: Any, scale: float) -> dict[str, float]:
    """Every figure of one engine once."""
    found: dict[str, float] = {}

    def note(name: str, values: dict[str, float], *keys: str) -> None:
        found.update({f"{name}, {key}": values[key] for key in keys or values})

    server = start()
    found["start to first Metadata, s"] = server.start_s
    time.sleep(3)
    found["RSS idle, MB"] = server.rss_mb()
    note("1,000 idle connections", idle_connections(server))
    count = int(1_000_000 * scale)
    for acks in ("1", "all"):
        values = produce(server, count, 1000, acks)
        note(f"produce 1 KB acks={acks}", values, "MB/s", "CPU s/GB")
    note("consume 1 KB", consume(server, count, 1000), "MB/s", "CPU s/GB")
    found["RSS after 2 GB in, 1 GB out, MB"] = server.rss_mb()
    server.stop()
    server = start()
    time.sleep(2)
    values = produce(server, 2 * count, 100, "1")
    note("produce 100 B acks=1", values, "k msg/s", "CPU s/GB")
    values = consume(server, 2 * count, 100)
    note("consume 100 B", values, "k msg/s", "CPU s/GB")
    server.stop()
    for rate in (200, 2000):
        server = start()
        time.sleep(3)
        note(f"{rate} msg/s, ms", latency(server, rate, 8 * max(scale, 0.3)))
        server.stop()
    server = start()
    time.sleep(2)
    unbatched(server, 3)  # Java compiles
    note("un-batched, 32 connections", unbatched(server, 5))
    server.stop()
    return found


def against_apache(rounds: int, scale: float) -> None:
    """Both engines in turn; Apache acknowledges before fdatasync, so ours does, too."""
    engines = {
        "ours": lambda: Server.start("log.flush.policy=none"),
        "Apache": Apache,
    }
    figures: dict[str, list[dict[str, float]]] = {name: [] for name in engines}
    for i in range(rounds):
        for name in list(engines) if i % 2 == 0 else reversed(list(engines)):
            figures[name].append(one_round(engines[name], scale))
            print(f"round {i + 1}, {name}: done", file=sys.stderr, flush=True)
    print(f"| {'what':38} | ours | Apache Kafka | ours : Apache |")
    print(f"|{'-' * 40}|---|---|---|")
    for what in figures["ours"][0]:
        cells, medians = [], []
        for rows in figures.values():
            values = sorted(row[what] for row in rows)
            medians.append(median(values))
            cells.append(f"{medians[-1]:,.2f} [{values[0]:,.2f}-{values[-1]:,.2f}]")
        ratio = medians[0] / medians[1] if medians[1] else float("nan")
        print(f"| {what:38} | {' | '.join(cells)} | {ratio:.2f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--apache", type=int, default=0, metavar="ROUNDS")
    arguments = parser.parse_args()
    scale = 0.1 if arguments.quick else 1.0
    print(machine())
    if arguments.apache:
        against_apache(arguments.apache, scale)
        return
    print(f"| {'what':42} | measured |")
    print(f"|{'-' * 44}|---|")
    starts = []
    for _ in range(5):
        server = Server.start()
        starts.append(server.start_s)
        idle = server.rss_mb()
        server.stop()
    starts.sort()
    row("start to first Metadata, s (n=5)", {"median": starts[2], "worst": starts[-1]})
    count = int(1_000_000 * scale)
    for acks in ("1", "all"):
        server = Server.start()
        time.sleep(2)
        values = produce(server, count, 1000, acks)
        row(f"produce 1 KB, acks={acks}", values)
        row("consume 1 KB", consume(server, count, 1000))
        row("RSS idle; after, MB", {"idle": idle, "after": server.rss_mb()})
        row("SIGTERM to exit, s", {"s": server.stop()})
    for policy in ("group", "none"):
        for rate in (200, 2000):
            server = Server.start(f"log.flush.policy={policy}")
            time.sleep(2)  # the broker has loaded what it loads in the background
            values = latency(server, rate, 10 * max(scale, 0.3))
            row(f"{rate} msg/s, flush.policy={policy}, ms", values)
            server.stop()
    server = Server.start("log.flush.policy=none")
    row("un-batched, 32 connections, acks=1", unbatched(server, 5 * max(scale, 0.4)))
    server.stop()


if __name__ == "__main__":
    main()
