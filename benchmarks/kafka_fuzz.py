"""A broker process under minutes of wrong, hostile and broken Kafka requests.

    python -m benchmarks kafka_fuzz --seconds 300 [--seed 1]

Every API and version that is served, and others: right requests (by kio's types) with
bytes changed, lengths and counts replaced by hostile ones, cut at every byte, sent in
random pieces, in one heap without reading an answer, reset in the middle; record
batches spoiled with their CRC made right again; frames of any length; noise. A clean
client produces and fetches all the while and must find its record within seconds. Now
and then the topics and groups that lucky requests made are deleted, and the process is
looked at: memory, descriptors, what it logged. It must be alive at the end, must not
have grown, and must have logged no exception. Ten seconds of it run with the tests.
"""

import argparse
import asyncio
import contextlib
import json
import random
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from crc32c import crc32c

from benchmarks.kafka_engines import Measured

_CLEAN = "clean"
_SHARED = "shared"
_AT_A_TIME = 8
_INTS = (0, 1, -1, 2, 0x7F, 0xFF, 0x7FFF, 0x8000, 2**31 - 1, -(2**31), 2**24)
_FRAME_LENGTHS = (0, -1, -(2**31), 2**31 - 1, 104_857_600, 104_857_601, 1, 7, 8, 14)
_LARGEST_GROWTH_MB = 30
_LARGEST_GROWTH_FDS = 32


@dataclass
class Report:
    """What a run has seen."""

    requests: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    clean: int = 0
    slowest_ms: float = 0.0
    looks: list[tuple[float, float, int]] = field(default_factory=list)
    """(seconds, RSS in MB, descriptors), each after a cleaning."""
    errors: list[str] = field(default_factory=list)
    refusals: int = 0
    apis: set[tuple[int, int]] = field(default_factory=set)
    """(key, version) of the right requests that the wrong ones are made of."""

    @property
    def growth(self) -> tuple[float, int]:
        """MB and descriptors, from the first quarter's last look to the last one."""
        first = self.looks[max(0, len(self.looks) // 4 - 1)]
        last = self.looks[-1]
        return last[1] - first[1], last[2] - first[2]

    def check(self) -> None:
        """Raises AssertionError; the broker did what it must not."""
        assert not self.errors, (
            f"{len(self.errors)} in the log, first: {self.errors[0]}"
        )
        megabytes, descriptors = self.growth
        assert megabytes <= _LARGEST_GROWTH_MB, f"it grew by {megabytes:.1f} MB"
        assert descriptors <= _LARGEST_GROWTH_FDS, f"{descriptors} descriptors more"


class Broker(Measured):
    """``salon broker`` as a process, on a fresh folder, its log in a file."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="salon-fuzz-"))
        self.log = self.folder / "broker.log"
        command = [sys.executable, "-m", "salon.cli.broker_process", "--ready-json"]
        command += ["--data", str(self.folder / "data"), "--listen", "127.0.0.1:0"]
        command += ["--set", "group.min.session.timeout.ms=1000"]
        command += ["--set", "group.max.session.timeout.ms=5000"]
        command += ["--set", "log.retention.check.interval.ms=1000"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=log, text=True
            )
        assert self.process.stdout is not None
        self.port = json.loads(self.process.stdout.readline())["port"]
        self.pid = self.process.pid

    def stop(self) -> float:
        began = time.perf_counter()
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(20)
        assert self.process.stdout is not None
        self.process.stdout.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        return time.perf_counter() - began


class Fuzz:
    """Wrong requests for one broker.

    Args:
        broker: the process.
        seed: of all chance.
    """

    def __init__(self, broker: Broker, seed: int) -> None:
        from salon.broker.log import batch as batches
        from salon.broker.protocol.versions import APIS
        from tests.broker.test_fuzz import examples

        self.broker = broker
        self.chance = random.Random(seed)
        self.report = Report()
        self.samples = [
            (key, version, data)
            for key, api in APIS.items()
            for version in range(api.lowest, api.highest + 1)
            for data in examples(key, version)
        ]
        self.report.apis = {(key, version) for key, version, _ in self.samples}
        self._flexible = {key: api.flexible for key, api in APIS.items()}
        self._batch = bytes(batches.build([(b"key", b"value" * 10)] * 3, 1000))
        self._cuts = self._every_cut()

    def _every_cut(self) -> Any:
        """One sample after the other, cut at every byte, for ever."""
        while True:
            key, version, data = self.chance.choice(self.samples)
            whole = self.frame(key, version, data)
            for at in range(len(whole)):
                yield whole[:at]

    # --- one conversation ---

    def frame(self, key: int, version: int, body: bytes) -> bytes:
        head = struct.pack(">hhih", key, version, self.chance.getrandbits(31), 4)
        head += b"fuzz"
        if version >= self._flexible.get(key, 99):
            head += b"\0"
        return struct.pack(">i", len(head) + len(body)) + head + body

    def sample(self) -> bytes:
        return self.frame(*self.chance.choice(self.samples))

    def changed(self) -> bytes:
        """Some bytes are others; the frame's length may lie."""
        data = bytearray(self.sample())
        for _ in range(self.chance.choice((1, 1, 2, 4, 16))):
            at = self.chance.randrange(
                4 if self.chance.random() < 0.97 else 0, len(data)
            )
            data[at] = self.chance.choice(
                (0, 1, 0x7F, 0x80, 0xFF, self.chance.getrandbits(8))
            )
        return bytes(data)

    def hostile_counts(self) -> bytes:
        """A number somewhere in the body is one that hurts."""
        data = bytearray(self.sample())
        size = self.chance.choice((1, 2, 4, 4, 8))
        if len(data) > 14 + size:
            at = self.chance.randrange(14, len(data) - size)
            number = self.chance.choice(_INTS) & (1 << 8 * size) - 1
            data[at : at + size] = number.to_bytes(size, "big")
        return bytes(data)

    def hostile_length(self) -> bytes:
        data = self.sample()
        return struct.pack(">i", self.chance.choice(_FRAME_LENGTHS)) + data[4:]

    def unknown_api(self) -> bytes:
        key = self.chance.choice((*range(100), -1, 32767, -32768))
        body = self.chance.randbytes(self.chance.randrange(60))
        return self.frame(key, self.chance.randrange(-2, 20), body)

    def spoiled_batch(self) -> bytes:
        """A produce request whose batch is wrong under a right CRC."""
        data = bytearray(self._batch)
        for _ in range(self.chance.choice((1, 1, 2, 4))):
            data[self.chance.randrange(8, len(data))] = self.chance.getrandbits(8)
        if self.chance.random() < 0.3:
            del data[self.chance.randrange(61, len(data)) :]
        if self.chance.random() < 0.8:
            struct.pack_into(">i", data, 8, len(data) - 12)
        if self.chance.random() < 0.9:
            data[16] = 2
            struct.pack_into(">I", data, 17, crc32c(memoryview(data)[21:]))
        return self.frame(
            0,
            7,
            produce_body(_SHARED, bytes(data), acks=self.chance.choice((0, 1, -1))),
        )

    def read(self) -> bytes:
        """A right fetch of what spoiled batches left, or a search by timestamp in it."""
        name = struct.pack(">h", len(_SHARED)) + _SHARED.encode()
        offset = self.chance.choice((0, 1, self.chance.randrange(5000), -1, 2**62))
        if self.chance.random() < 0.5:
            body = struct.pack(">ii", -1, 1) + name
            body += struct.pack(
                ">iiq", 1, 0, self.chance.choice((0, 1000, 2**62, -1, -3))
            )
            return self.frame(2, 1, body)
        body = struct.pack(">iiiib", -1, 10, 1, 1 << 20, self.chance.randrange(2))
        body += (
            struct.pack(">i", 1) + name + struct.pack(">iiqi", 1, 0, offset, 1 << 20)
        )
        return self.frame(1, 4, body)

    def noise(self) -> bytes:
        return self.chance.randbytes(self.chance.randrange(1, 300))

    async def converse(self) -> None:
        """One connection with a handful of wrong requests on it."""
        kind = self.chance.choices(
            (
                *("changed", "hostile_counts", "hostile_length", "unknown_api"),
                *("spoiled_batch", "noise", "cut", "sample", "read"),
            ),
            (30, 20, 5, 5, 15, 3, 20, 2, 5),
        )[0]
        reader, writer = await asyncio.open_connection("127.0.0.1", self.broker.port)
        try:
            with contextlib.suppress(OSError):
                for _ in range(1 if kind == "cut" else self.chance.randrange(1, 6)):
                    if reader.at_eof() or writer.is_closing():
                        break  # hung up on, as it deserves
                    data = next(self._cuts) if kind == "cut" else getattr(self, kind)()
                    self.report.requests += 1
                    self.report.kinds[kind] += 1
                    await self._send(writer, data)
                    if self.chance.random() < 0.7:
                        await asyncio.sleep(0.001)  # else: a heap of them at once
                await self._end(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _send(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        """At once, or in pieces that reach the broker apart."""
        if self.chance.random() < 0.8 or len(data) < 2:
            writer.write(data)
            return
        at = 0
        while at < len(data):
            stop = at + self.chance.randrange(1, max(2, len(data) // 2))
            writer.write(data[at:stop])
            await asyncio.sleep(0)
            at = stop

    async def _end(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        how = self.chance.random()
        if how < 0.1:  # reset, whatever is under way
            sock = writer.get_extra_info("socket")
            linger = struct.pack("ii", 1, 0)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            return
        if how > 0.2:
            writer.write_eof()
        async with asyncio.timeout(0.05 if how < 0.9 else 0.3):
            while await reader.read(65_536):
                pass

    # --- the run ---

    async def run(self, seconds: float, look_every: float = 10.0) -> Report:
        """Fuzz for so long; the clean client works beside."""
        await asyncio.to_thread(make_topics, self.broker.address)
        until = time.monotonic() + seconds
        began = time.monotonic()

        async def rude() -> None:
            while time.monotonic() < until:
                await self.converse()

        async def upkeep() -> None:
            while time.monotonic() < until:
                await asyncio.sleep(min(look_every, max(0, until - time.monotonic())))
                await self._look(time.monotonic() - began)

        clean = asyncio.create_task(self._serve_clean(until))
        await asyncio.gather(*(rude() for _ in range(_AT_A_TIME)), upkeep(), clean)
        await asyncio.sleep(1)  # what waited for a time-out has gone
        await self._look(time.monotonic() - began)
        self._read_log()
        return self.report

    async def _look(self, seconds: float) -> None:
        await asyncio.to_thread(clean_up, self.broker.address)
        assert self.broker.process.poll() is None, "the broker is dead"
        look = seconds, self.broker.rss_mb(), self.broker.open_fds()
        self.report.looks.append(look)

    async def _serve_clean(self, until: float) -> None:
        """A client that does nothing wrong must not notice anything."""
        number = 0
        while time.monotonic() < until:
            number += 1
            began = time.perf_counter()
            async with asyncio.timeout(10):
                await one_clean_record(self.broker.port, b"record %d" % number)
            took = (time.perf_counter() - began) * 1000
            self.report.clean += 1
            self.report.slowest_ms = max(self.report.slowest_ms, took)
            await asyncio.sleep(0.1)

    def _read_log(self) -> None:
        broken = False
        with self.broker.log.open(errors="replace") as lines:
            for line in lines:
                self.report.refusals += " WARNING " in line
                if " ERROR " in line:
                    self.report.errors.append("")
                # What stands below a broken line, up to the next one that is dated.
                broken = " ERROR " in line or (broken and not line[:4].isdigit())
                if broken:
                    self.report.errors[-1] += line[:300]
                assert broken or not line.startswith("Traceback"), line


def produce_body(topic: str, batch: bytes, acks: int = -1) -> bytes:
    """Produce v7 for partition 0."""
    name = topic.encode()
    body = struct.pack(">hhi", -1, acks, 2000)
    body += struct.pack(">ih", 1, len(name)) + name
    return body + struct.pack(">iii", 1, 0, len(batch)) + batch


async def one_clean_record(port: int, value: bytes) -> None:
    """Produce with acks=all on a new connection, and find it by a fetch."""
    from tests.broker.wire import Wire, values

    async with await Wire.connect(port) as wire:
        answer = await wire.produce(_CLEAN, value)
        assert answer.error_code == 0, answer
        found = await wire.fetch(_CLEAN, answer.base_offset, wait_ms=1000)
        assert values(found.records)[:1] == [value], (answer, found)


def make_topics(address: str) -> None:
    """Small segments for what is spoiled, compacted now and then, too."""
    from confluent_kafka.admin import AdminClient, NewTopic

    admin = AdminClient({"bootstrap.servers": address, "log_level": 0})
    spoiled = {
        "cleanup.policy": "compact,delete",
        "min.cleanable.dirty.ratio": "0.1",
        "segment.bytes": "100000",
        "retention.bytes": "1000000",
    }
    kept = {"retention.ms": "-1"}  # its records say that they are of 1970
    topics = [
        NewTopic(_CLEAN, 1, config=kept),
        NewTopic(_SHARED, 1, config={**spoiled, **kept}),
    ]
    for future in admin.create_topics(topics).values():
        future.result(20)


def clean_up(address: str) -> None:
    """Delete the topics and the empty groups that lucky requests made.

    Kafka's files, descriptors and offsets of those are no leak.
    """
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    admin = AdminClient({"bootstrap.servers": address, "log_level": 0})
    kept = {_CLEAN, _SHARED}
    topics = [
        name
        for name in admin.list_topics(timeout=20).topics
        if name not in kept and not name.startswith("__")
    ]
    groups = [each.group_id for each in admin.list_consumer_groups().result(20).valid]
    futures = (
        [*admin.delete_topics(topics, operation_timeout=20).values()] if topics else []
    )
    futures += [*admin.delete_consumer_groups(groups).values()] if groups else []
    for future in futures:
        with contextlib.suppress(KafkaException):
            future.result(20)


def fuzz(seconds: float, seed: int, look_every: float = 10.0) -> Report:
    """One run against a broker of its own."""
    broker = Broker()
    try:
        return asyncio.run(Fuzz(broker, seed).run(seconds, look_every))
    finally:
        broker.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    arguments, _ = parser.parse_known_args()
    report = fuzz(arguments.seconds, arguments.seed)
    print(f"{report.requests:,} requests in {arguments.seconds:.0f} s:", end=" ")
    print(", ".join(f"{n:,} {kind}" for kind, n in report.kinds.most_common()))
    print(f"clean client: {report.clean:,} records, slowest {report.slowest_ms:.0f} ms")
    for seconds, megabytes, descriptors in report.looks[
        :: max(1, len(report.looks) // 10)
    ]:
        print(f"at {seconds:4.0f} s: RSS {megabytes:.1f} MB, {descriptors} descriptors")
    megabytes, descriptors = report.growth
    print(f"growth: {megabytes:.1f} MB, {descriptors} descriptors; ", end="")
    print(f"{report.refusals:,} refusals, {len(report.errors)} errors in the log")
    report.check()


if __name__ == "__main__":
    main()
