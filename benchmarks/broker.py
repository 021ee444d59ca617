"""The embedded broker beside Apache Kafka and Tansu, measured from outside.

    python -m benchmarks broker              # ours alone, two minutes, one table
    python -m benchmarks broker --quick      # a tenth of the records
    python -m benchmarks broker --apache 3   # three rounds beside Apache and Tansu
    python -m benchmarks broker --apache 1 --only unbatched --engines ours,Apache

Servers and clients share the machine, as they do in use; the client is librdkafka
(confluent-kafka), and a program in C for un-batched requests. ``--apache`` alternates
the engines, every part of the round on a fresh server, and prints medians with the
smallest and largest value; Apache Kafka needs ``make engines``, Tansu is fetched by pip.
``e2e`` is from ``produce()`` to ``poll()`` with linger 0, one record of 200 bytes at a
time, fetch.min.bytes 1. What an engine cannot do is said below the table.
"""

import argparse
import math
import os
import platform
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition

from benchmarks.kafka_engines import (
    TANSU_VERSION,
    Apache,
    Measured,
    Server,
    Tansu,
    Unavailable,
)

TOPIC = "bench"
MB = 1_000_000
WARM = b"warm"


def produce(server: Measured, count: int, size: int, acks: str) -> dict[str, float]:
    producer = Producer(
        {
            "bootstrap.servers": server.address,
            "log_level": 3,
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
            "log_level": 3,
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
            "log_level": 3,
            "linger.ms": 0,
            "acks": "all",
            "enable.idempotence": True,
        }
    )
    consumer = Consumer(
        {
            "bootstrap.servers": server.address,
            "log_level": 3,
            "group.id": "latency",
            "enable.auto.commit": False,
            "fetch.wait.max.ms": 500,
        }
    )
    producer.list_topics(TOPIC, timeout=10)
    producer.produce(
        TOPIC, WARM, partition=0
    )  # it has its producer id before anything counts
    producer.flush(20)
    partition = TopicPartition(TOPIC, 0)
    partition.offset = consumer.get_watermark_offsets(partition, timeout=10)[1]
    consumer.assign([partition])
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

        producer.produce(
            TOPIC, b"%010d" % i + b"x" * 190, partition=0, on_delivery=delivered
        )
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


def produce_frame() -> bytes:
    """One Produce v7 request: acks=1, one record of 200 bytes for partition 0."""
    from salon.broker.log.batch import build

    batch = bytes(build([(None, b"x" * 200)], 0))
    name = TOPIC.encode()
    body = struct.pack(">hhihhhi", 0, 7, 1, -1, -1, 1, 5000)
    body += struct.pack(">ih", 1, len(name)) + name
    body += struct.pack(">iii", 1, 0, len(batch)) + batch
    return struct.pack(">i", len(body)) + body


def load_program(folder: Path) -> Path:
    """The client for un-batched requests, compiled."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise Unavailable("un-batched requests need a C compiler")
    program = folder / "kafka_load"
    source = Path(__file__).parent / "peers" / "kafka_load.c"
    subprocess.run([compiler, "-O2", "-o", program, source], check=True)
    return program


def unbatched(
    server: Measured, seconds: float, connections: int = 32
) -> dict[str, float]:
    """One record a request, one request in flight on each connection."""
    create_topic(server)
    with tempfile.TemporaryDirectory(prefix="salon-bench-") as folder:
        program = load_program(Path(folder))
        frame = Path(folder) / "frame"
        frame.write_bytes(produce_frame())
        arguments = [str(server.port), str(connections)]

        def run(seconds: float) -> list[float]:
            command = [str(program), *arguments, str(seconds), str(frame)]
            done = subprocess.run(command, check=False, capture_output=True, text=True)
            if done.returncode:
                raise RuntimeError(done.stderr.strip())
            return [float(text) for text in done.stdout.split()]

        run(6)  # Java compiles
        cpu = server.cpu_s()
        count, took, p50, p99 = run(seconds)
        used = server.cpu_s() - cpu
    return {
        "req/s": count / took,
        "CPU us/req": used / count * 1e6,
        "p50 ms": p50 / 1000,
        "p99 ms": p99 / 1000,
    }


def create_topic(server: Measured) -> None:
    """So that a raw request finds it: the error of a missing topic is fast, too."""
    producer = Producer({"bootstrap.servers": server.address, "log_level": 3})
    producer.produce(TOPIC, b"first", partition=0)
    if producer.flush(20):
        raise RuntimeError("the topic cannot be made")


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
        f"confluent-kafka {version('confluent-kafka')}, crc32c {version('crc32c')}; "
        f"Apache Kafka 4.4.0 (1 GB heap, G1), {TANSU_VERSION}"
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


Figures = dict[str, float]
Start = Callable[[], Measured]


def noted(name: str, values: Figures, *keys: str) -> Figures:
    return {f"{name}, {key}": values[key] for key in keys or values}


def start_and_idle(start: Start, scale: float) -> Figures:
    server = start()
    try:
        found = {"start to first Metadata, s": server.start_s}
        time.sleep(3)
        found["RSS idle, MB"] = server.rss_mb()
        return found | noted("1,000 idle connections", idle_connections(server))
    finally:
        server.stop()


def large(start: Start, scale: float) -> Figures:
    """1 KB records, a million at a time; what is read was just written."""
    server, count = start(), int(1_000_000 * scale)
    found: Figures = {}
    try:
        time.sleep(2)
        for acks in ("1", "all"):
            values = produce(server, count, 1000, acks)
            found |= noted(f"produce 1 KB acks={acks}", values, "MB/s", "CPU s/GB")
        rounds = [consume(server, count, 1000) for _ in range(3)]
        values = {key: median(each[key] for each in rounds) for key in rounds[0]}
        found |= noted("consume 1 KB", values, "MB/s", "CPU s/GB")
        found["RSS after 2 GB in, 3 GB out, MB"] = server.rss_mb()
    finally:
        server.stop()
    return found


def small(start: Start, scale: float) -> Figures:
    """100-byte records, two million."""
    server, count = start(), int(2_000_000 * scale)
    try:
        time.sleep(2)
        values = produce(server, count, 100, "1")
        found = noted("produce 100 B acks=1", values, "k msg/s", "CPU s/GB")
        values = consume(server, count, 100)
        return found | noted("consume 100 B", values, "k msg/s", "CPU s/GB")
    finally:
        server.stop()


def latencies(rate: int) -> Callable[[Start, float], Figures]:
    def part(start: Start, scale: float) -> Figures:
        server = start()
        try:
            time.sleep(2)
            latency(server, rate, 2)  # Java compiles
            values = latency(server, rate, 6 * max(scale, 0.3))
            return noted(f"{rate} msg/s, ms", values)
        finally:
            server.stop()

    return part


def single(start: Start, scale: float) -> Figures:
    server = start()
    try:
        time.sleep(1)
        values = unbatched(server, 5 * max(scale, 0.3))
        return noted("un-batched, 32 connections", values)
    finally:
        server.stop()


PARTS: dict[str, Callable[[Start, float], Figures]] = {
    "idle": start_and_idle,
    "1kb": large,
    "100b": small,
    "200": latencies(200),
    "2000": latencies(2000),
    "unbatched": single,
}
ENGINES: dict[str, Start] = {
    # Apache and Tansu acknowledge before fdatasync, so ours does, too.
    "ours": lambda: Server.start("log.flush.policy=none"),
    "Apache": Apache,
    "Tansu": Tansu,
}


def beside(rounds: int, scale: float, engines: list[str], parts: list[str]) -> None:
    """The engines in turn, part by part, every round in another order."""
    figures: dict[str, list[Figures]] = {name: [] for name in engines}
    cannot: dict[str, str] = {}
    for i in range(rounds):
        for each in figures.values():
            each.append({})
        for part in parts:
            turn = i % len(engines)
            for name in engines[turn:] + engines[:turn]:
                try:
                    figures[name][i] |= PARTS[part](ENGINES[name], scale)
                except Unavailable as error:
                    cannot[name] = f"{name}: {error}"
                except Exception as error:
                    why = f"{type(error).__name__}: {error}"
                    cannot[f"{name} {part}"] = f"{name}, {part}, round {i + 1}: {why}"
        print(f"round {i + 1}: done", file=sys.stderr, flush=True)
    table(figures)
    for text in cannot.values():
        print(f"\nCould not be measured: {text}")


def table(figures: dict[str, list[Figures]]) -> None:
    """Medians with the smallest and largest; ratios of ours to each of the others."""
    first, *others = figures
    ratios = [f"{first} : {other}" for other in others]
    print(f"| {'what':38} | {' | '.join([*figures, *ratios])} |")
    print(f"|{'-' * 40}|{'---|' * (len(figures) + len(ratios))}")
    for what in dict.fromkeys(
        what for rows in figures.values() for each in rows for what in each
    ):
        cells, medians = [], []
        for rows in figures.values():
            values = sorted(each[what] for each in rows if what in each)
            medians.append(median(values) if values else float("nan"))
            cells.append(
                f"{medians[-1]:,.2f} [{values[0]:,.2f}-{values[-1]:,.2f}]"
                if values
                else "-"
            )
        for other in medians[1:]:
            ratio = medians[0] / other if other else float("nan")
            cells.append("-" if math.isnan(ratio) else f"{ratio:.2f}")
        print(f"| {what:38} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--apache", type=int, default=0, metavar="ROUNDS")
    parser.add_argument("--engines", default=",".join(ENGINES))
    parser.add_argument("--only", default=",".join(PARTS), metavar="PARTS")
    arguments, _ = parser.parse_known_args()
    scale = 0.1 if arguments.quick else 1.0
    print(machine())
    if arguments.apache:
        engines, parts = arguments.engines.split(","), arguments.only.split(",")
        beside(arguments.apache, scale, engines, parts)
        return
    alone(scale)


def alone(scale: float) -> None:
    """Ours, both flush policies, one run each."""
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
