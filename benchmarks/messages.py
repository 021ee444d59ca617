"""Durable 1:1 messages through the whole program: rate per core, and latency.

    python -m benchmarks messages            # about two minutes
    python -m benchmarks.messages --quick    # half a minute

Theory of operation. The real ``salon run`` (server and broker child, without the
picture worker) is driven by pairs of people in direct conversations, over STOMP on
WebSocket. Each SEND asks for a RECEIPT, which comes when the message is durable in
the log and applied. Two questions:

- *open loop*: 100 messages a second, spread evenly over the pairs. Latency is from
  the write of SEND until the other person's device has the MESSAGE. A late sender
  does not slow the clock down: latency counts from when the message was due.
- *closed loop*: each sender keeps a window of messages under way. Rate is RECEIPTs a
  second; rate *per server core* divides by the CPU that the server's processes used
  (``/proc/PID/stat``), as the generator shares the machine's cores.

Every message is checked to arrive once at its recipient.
"""

import argparse
import asyncio
import itertools
import os
import statistics
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from benchmarks.machine import described
from tests.program import Person, Program, another_person, first_person

PAIRS = 8
WINDOWS = (1, 8, 32)
TEXT = "x" * 100
BUDGET = (
    "Budget: p50 <= 5 ms and p99 <= 20 ms from sender to other device at 100 msg/s; "
    ">= 3,000 durable messages a second per core."
)


class Client(WSListener):
    """One person's device: counts receipts, stamps arrivals."""

    def __init__(self, run: "Run") -> None:
        self.run = run
        self.connected = asyncio.get_running_loop().create_future()
        self.transport: WSTransport | None = None
        self.under_way = 0
        self.on_receipt = lambda: None

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type not in (WSMsgType.TEXT, WSMsgType.BINARY):
            return
        now = time.perf_counter()
        for raw in frame.get_payload_as_bytes().split(b"\0"):
            part = raw.lstrip(b"\n")
            if part.startswith(b"MESSAGE"):
                at = part.find(b'"client_id":"') + 13
                self.run.arrived(part[at : part.index(b'"', at)], self, now)
            elif part.startswith(b"RECEIPT"):
                self.under_way -= 1
                at = part.index(b"receipt-id:") + 11
                self.run.acked(part[at : part.index(b"\n", at)], now)
                self.on_receipt()
            elif part.startswith(b"CONNECTED"):
                self.connected.set_result(None)
            elif part.startswith(b"ERROR"):
                print(part.decode())

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self.transport = None

    def put(self, frame: bytes) -> None:
        assert self.transport is not None
        self.transport.send(WSMsgType.TEXT, frame)

    def say(self, conv: bytes, due: float | None = None) -> None:
        key = self.run.next_key(self, due or time.perf_counter())
        body = b'{"conversation":"%b","client_id":"%b","text":"%b"}' % (
            conv,
            key,
            TEXT.encode(),
        )
        self.under_way += 1
        self.put(
            b"SEND\ndestination:/app/chat.send\nreceipt:%b\ncontent-length:%d\n\n%b\0"
            % (key, len(body), body)
        )


_keys = itertools.count()
"""Idempotency keys are for ever: no two runs may share one."""


@dataclass
class Run:
    """The messages of one measurement."""

    sent: dict[bytes, tuple[Client, float]] = field(default_factory=dict)
    receipts: dict[bytes, float] = field(default_factory=dict)
    arrivals: dict[bytes, float] = field(default_factory=dict)
    twice: int = 0

    def next_key(self, sender: Client, due: float) -> bytes:
        key = b"k%d" % next(_keys)
        self.sent[key] = (sender, due)
        return key

    def arrived(self, key: bytes, client: Client, now: float) -> None:
        sender, _ = self.sent.get(key, (client, 0.0))
        if sender is client:  # the sender's own copy
            return
        self.twice += key in self.arrivals
        self.arrivals[key] = now

    def acked(self, key: bytes, now: float) -> None:
        self.receipts[key] = now

    async def settled(self) -> None:
        """Every receipt and every arrival is there."""
        until = time.perf_counter() + 30
        while min(len(self.arrivals), len(self.receipts)) < len(self.sent):
            assert time.perf_counter() < until, (
                f"of {len(self.sent)} messages {len(self.receipts)} were accepted and "
                f"{len(self.arrivals)} arrived"
            )
            await asyncio.sleep(0.01)

    def latencies_ms(self) -> list[float]:
        return sorted(
            (self.arrivals[key] - due) * 1e3 for key, (_, due) in self.sent.items()
        )

    def receipts_ms(self) -> list[float]:
        return sorted(
            (self.receipts[key] - due) * 1e3 for key, (_, due) in self.sent.items()
        )


@dataclass
class Stage:
    """People at their devices."""

    program: Program
    pairs: list[tuple[Client, Client, bytes]]
    idle: Run

    def use(self, run: Run) -> Run:
        for one, other, _ in self.pairs:
            one.run = other.run = run
        return run


async def connected(program: Program, person: Person, run: Run) -> Client:
    address = program.url.replace("http", "ws", 1) + "/ws"
    headers = {"Sec-WebSocket-Protocol": "v12.stomp", "Origin": program.url}
    _, client = await ws_connect(lambda: Client(run), address, extra_headers=headers)
    assert isinstance(client, Client)
    client.put(
        b"CONNECT\naccept-version:1.2\nhost:salon\nheart-beat:0,0\npasscode:%b\n\n\0"
        % person.token.encode()
    )
    await client.connected
    client.put(b"SUBSCRIBE\nid:e\ndestination:/user/queue/events\n\n\0")
    return client


def cpu_seconds(pid: int) -> dict[str, float]:
    """CPU of a process and its descendants so far: "server" and, by word, others."""
    parents, words, ticks = {}, {}, {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            stat = entry.joinpath("stat").read_text().rsplit(")", 1)[1].split()
            words[int(entry.name)] = entry.joinpath("cmdline").read_bytes()
        except OSError:
            continue
        parents[int(entry.name)] = int(stat[1])
        ticks[int(entry.name)] = int(stat[11]) + int(stat[12])
    used = {"server": 0.0, "broker": 0.0, "other": 0.0}
    for each, used_ticks in ticks.items():
        above = each
        while above not in (0, pid):
            above = parents.get(above, 0)
        if above != pid:
            continue
        kind = "broker" if b"broker" in words[each] else "other"
        used["server" if each == pid else kind] += used_ticks / os.sysconf("SC_CLK_TCK")
    return used


def spent(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    return {name: after[name] - before[name] for name in before}


async def open_loop(stage: Stage, rate: float, seconds: float) -> Run:
    run = stage.use(Run())
    began = time.perf_counter() + 0.1
    for number in range(int(rate * seconds)):
        due = began + number / rate
        wait = due - time.perf_counter()
        if wait > 0:
            await asyncio.sleep(wait)
        one, other, conv = stage.pairs[number % len(stage.pairs)]
        speaker = one if (number // len(stage.pairs)) % 2 else other
        speaker.say(conv, due)
    await run.settled()
    return run


async def closed_loop(
    stage: Stage, window: int, seconds: float
) -> tuple[Run, float, dict[str, float]]:
    """The run, its seconds, and the CPU of the server's processes meanwhile."""
    run = stage.use(Run())
    assert stage.program.process is not None
    pid = stage.program.process.pid
    until = time.perf_counter() + seconds

    def more(client: Client, conv: bytes) -> None:
        if time.perf_counter() < until:
            client.say(conv)

    before, began = cpu_seconds(pid), time.perf_counter()
    for one, other, conv in stage.pairs:
        for client in (one, other):
            client.on_receipt = lambda client=client, conv=conv: more(client, conv)
            for _ in range(window):
                client.say(conv)
    await asyncio.sleep(seconds)
    await run.settled()
    took, used = time.perf_counter() - began, spent(before, cpu_seconds(pid))
    for one, other, _ in stage.pairs:
        one.on_receipt = other.on_receipt = lambda: None
    return run, took, used


def arrive(program: Program) -> list[tuple[Person, Person, bytes]]:
    """Accounts in pairs, each with its conversation."""
    people = [first_person(program, "p0", "P0")]
    for number in range(1, 2 * PAIRS):
        people.append(another_person(program, people[0], f"p{number}", f"P{number}"))
    return [
        (one, other, one.direct(other).encode())
        for one, other in zip(people[::2], people[1::2], strict=True)
    ]


def percentile(sorted_ms: list[float], share: float) -> float:
    return sorted_ms[min(len(sorted_ms) - 1, int(len(sorted_ms) * share))]


async def measure(folder: Path, *, seconds: float) -> None:
    program = Program(folder / "data", env={"SALON_PICTURES": "false"}).start()
    try:
        run = Run()
        pairs = [
            (
                await connected(program, one, run),
                await connected(program, other, run),
                conv,
            )
            for one, other, conv in arrive(program)
        ]
        stage = Stage(program, pairs, run)
        await asyncio.sleep(0.5)
        await open_loop(stage, 100, 3)  # warm

        print(f"{described('picows', 'aiokafka', 'sqlalchemy', 'uvloop')}")
        print(f"{PAIRS} pairs, {len(TEXT)} characters; generator on the same cores.")
        print(BUDGET + "\n")
        print(
            "| open loop | n | p50 ms | p99 ms | max ms | receipt p50 | p99 "
            "| CPU us/msg server + broker |"
        )
        print("|---|---|---|---|---|---|---|---|")
        assert program.process is not None
        pid = program.process.pid
        for rate in (100, 500):
            before = cpu_seconds(pid)
            run = await open_loop(stage, rate, seconds)
            used = spent(before, cpu_seconds(pid))
            assert run.twice == 0
            ms, receipts = run.latencies_ms(), run.receipts_ms()
            print(
                f"| {rate} msg/s | {len(ms)} | {statistics.median(ms):.2f} "
                f"| {percentile(ms, 0.99):.2f} | {ms[-1]:.2f} "
                f"| {statistics.median(receipts):.2f} "
                f"| {percentile(receipts, 0.99):.2f} "
                f"| {used['server'] / len(ms) * 1e6:.0f} "
                f"+ {used['broker'] / len(ms) * 1e6:.0f} |"
            )
        print(
            "\n| closed loop: window x senders | msg/s | **msg/s per server core** "
            "| CPU us/msg server + broker | p50 ms | p99 ms |"
        )
        print("|---|---|---|---|---|---|")
        for window in WINDOWS:
            run, took, used = await closed_loop(stage, window, seconds)
            assert run.twice == 0
            n, cpu = len(run.sent), sum(used.values())
            ms = run.latencies_ms()
            print(
                f"| {window} x {2 * PAIRS} | {n / took:,.0f} | **{n / cpu:,.0f}** "
                f"| {used['server'] / n * 1e6:.0f} + {used['broker'] / n * 1e6:.0f} "
                f"| {statistics.median(ms):.1f} | {percentile(ms, 0.99):.1f} |"
            )
    finally:
        program.end()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="5 s a row, not 20")
    chosen, _ = parser.parse_known_args()
    with tempfile.TemporaryDirectory(prefix="salon-bench-") as folder:
        import uvloop

        uvloop.run(measure(Path(folder), seconds=5 if chosen.quick else 20))


if __name__ == "__main__":
    main()
