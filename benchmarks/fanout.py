"""Fan-out: one message to a thousand WebSocket connections, CPU per delivery.

Four servers take turns: the C floor (``floor/``), bare picows (a loop of
``transport.send``), Salon's gateway (uvicorn, hand-over, outbox) and the gateway with
STOMP on it (the message is the body of a MESSAGE, the subscribers have a subscription).
One client process holds the subscribers of all and publishes the next message when all
have the last one; with 16 in flight it keeps 16 under way: there the floor, too, joins
what one read has brought. CPU is the server process's own, user and kernel, so a busy
machine disturbs it less than messages per second. Ratios are inside a round.

Two more tables: what an idle connection keeps, and what one reader who reads nothing
changes for the others.
"""

import asyncio
import base64
import os
import resource
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SUBSCRIBERS = 1000
SIZE = 128
SECONDS = 0.7
ROUNDS = 5
IDLE = 9_990
STALL_SIZE = 4096
STALL_SECONDS = 2.0
MARK = b"!"
"""Ends each message, and stands nowhere else: counting it counts deliveries."""

FLOOR = Path(__file__).parent / "floor" / "floor.c"


# -- the servers (child processes) ---------------------------------------------------


async def _picows() -> None:
    from picows import WSListener, WSMsgType, ws_create_server

    subscribers = []

    class Subscriber(WSListener):
        def on_ws_disconnected(self, transport):
            if transport in subscribers:
                subscribers.remove(transport)

        def on_ws_frame(self, transport, frame):
            if frame.msg_type != WSMsgType.TEXT:
                transport.disconnect()
                return
            data = frame.get_payload_as_bytes()
            if data == b"s":
                subscribers.append(transport)
                return
            for other in subscribers:
                other.send(WSMsgType.TEXT, data)

    server = await ws_create_server(lambda _: Subscriber(), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()


async def _serve(channels) -> None:
    from salon.clock import SystemClock
    from salon.gateway.connections import Connections
    from salon.gateway.edge import Edge, EdgeLimits
    from salon.gateway.http import create_app
    from salon.gateway.origins import Origins
    from salon.gateway.server import Server, listen

    edge = Edge(
        channels=channels,
        origins=Origins([]),
        clock=SystemClock(),
        connections=Connections(per_address=100_000),
        limits=EdgeLimits(heartbeat=3600),
    )
    server = Server(create_app(edge, []), edge, listen("127.0.0.1", 0))
    await server.serve(lambda: print(server.port, flush=True))


async def _gateway() -> None:
    subscribers = {}

    class Subscriber:
        def on_open(self, channel):
            self.channel = channel

        def on_close(self, code, reason):
            subscribers.pop(self.channel, None)

        def on_data(self, data):
            if data == b"s":
                subscribers[self.channel] = None
                return
            for channel in subscribers:
                channel.send(data)

    await _serve(Subscriber)


async def _stomp() -> None:
    from salon.clock import SystemClock
    from salon.gateway.bridge import BridgeServices, bridges
    from salon.gateway.timer import TimerWheel
    from salon.messaging.dispatch import Dispatcher
    from salon.messaging.grants import Grants, may_send, may_subscribe
    from salon.messaging.principal import Principal
    from salon.messaging.subscriptions import SubscriptionRegistry
    from salon.messaging.template import MessagingTemplate
    from salon.messaging.users import UserRegistry

    class Anybody:
        last = 0

        async def authenticate(self, handshake, login, passcode):
            self.last += 1
            name = str(self.last)
            return Principal(name, name, frozenset({"user"}), name)

    clock = SystemClock()
    subscriptions, users = SubscriptionRegistry(), UserRegistry()
    template = MessagingTemplate(subscriptions, users)
    grants = Grants(
        [may_send("/topic/load", "user"), may_subscribe("/topic/load", "user")]
    )
    wheel = TimerWheel(clock)
    wheel.run_on(asyncio.get_running_loop())
    services = BridgeServices(
        Anybody(),
        Dispatcher([], subscriptions, template, grants),
        users,
        template,
        wheel,
        clock,
    )
    await _serve(bridges(services))


# -- the client ------------------------------------------------------------------------


def _masked(payload: bytes) -> bytes:
    size = len(payload)
    head = bytes([0x81, 0x80 | size]) if size < 126 else b"\x81\xfe" + size.to_bytes(2)
    return head + b"\0\0\0\0" + payload


class Plain:
    """What a client says to the servers without STOMP."""

    hello = b""
    subscribe = _masked(b"s")

    def publish(self, size: int) -> bytes:
        return _masked(b"p" + b"x" * (size - 2) + MARK)


class Stomp:
    """What it says in STOMP."""

    hello = _masked(b"CONNECT\naccept-version:1.2\nhost:x\nheart-beat:0,0\n\n\0")
    subscribe = _masked(b"SUBSCRIBE\nid:0\ndestination:/topic/load\n\n\0")

    def publish(self, size: int) -> bytes:
        body = b"x" * (size - 1) + MARK
        return _masked(b"SEND\ndestination:/topic/load\n\n" + body + b"\0")


def _connect(port: int, *, receive_buffer: int | None = None) -> socket.socket:
    sock = socket.socket()
    if receive_buffer is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.connect(("127.0.0.1", port))
    key = base64.b64encode(os.urandom(16)).decode()
    sock.sendall(
        (
            "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
        ).encode()
    )
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += sock.recv(1)
    return sock


class Load:
    """One server, its subscribers, a publisher."""

    def __init__(self, command: list[str], speech, *, subscribers: int) -> None:
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())
        self.speech = speech
        self.publisher = self.connect()
        time.sleep(0.5)
        self.idle_memory = self.memory()
        self.selector = selectors.EpollSelector()
        self.subscribers = [self.subscribe() for _ in range(subscribers)]
        time.sleep(1.0)
        for sock in self.subscribers:
            sock.setblocking(False)
            self.selector.register(sock, selectors.EVENT_READ)

    def connect(self, **options) -> socket.socket:
        sock = _connect(self.port, **options)
        if self.speech.hello:
            sock.sendall(self.speech.hello)
            sock.recv(4096)  # CONNECTED
        return sock

    def subscribe(self, **options) -> socket.socket:
        sock = self.connect(**options)
        sock.sendall(self.speech.subscribe)
        return sock

    def cpu(self) -> float:
        """Seconds of the server process, all threads."""
        tasks = Path(f"/proc/{self.process.pid}/task").iterdir()
        return sum(
            int((task / "schedstat").read_text().split()[0]) / 1e9 for task in tasks
        )

    def memory(self) -> int:
        """Bytes that the server process keeps."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) * 1024

    def run(
        self, in_flight: int, *, size: int = SIZE, seconds: float = SECONDS
    ) -> tuple[float, float, list[float]]:
        """CPU µs per delivery, deliveries per second, ms to the last subscriber."""
        message = self.speech.publish(size)
        each = len(self.subscribers)
        before, start = self.cpu(), time.monotonic()
        begun = [start] * in_flight
        took: list[float] = []
        self.publisher.sendall(message * in_flight)
        sent, received = in_flight, 0
        while received < sent * each:
            for key, _ in self.selector.select():
                received += key.fileobj.recv(65536).count(MARK)  # type: ignore[union-attr]
            done = received // each
            now = time.monotonic()
            took += [(now - at) * 1000 for at in begun[len(took) : done]]
            if now - start < seconds and sent - done < in_flight:
                more = in_flight - (sent - done)
                self.publisher.sendall(message * more)
                begun += [now] * more
                sent += more
        deliveries = sent * each
        lasted = time.monotonic() - start
        return (self.cpu() - before) * 1e6 / deliveries, deliveries / lasted, took

    def close(self) -> None:
        self.process.terminate()
        self.process.wait()


def _python(kind: str) -> list[str]:
    return [sys.executable, "-m", "benchmarks.fanout", kind]


def _compiled(folder: str) -> str:
    program = str(Path(folder) / "floor")
    subprocess.run(["gcc", "-O2", "-o", program, str(FLOOR)], check=True)
    return program


def _spread(values: list[float]) -> str:
    values = sorted(values)
    return f"{values[0]:.2f} / {statistics.median(values):.2f} / {values[-1]:.2f}"


def _p99(values: list[float]) -> float:
    return sorted(values)[int(len(values) * 0.99)]


# -- the tables --------------------------------------------------------------------


def _cost(floor: str) -> None:
    print(
        f"1 → {SUBSCRIBERS} × {SIZE} B; median of {ROUNDS} alternating runs, CPU µs\n"
    )
    print(
        "| in flight | C floor | picows | gateway | with STOMP "
        "| gateway ÷ floor (min/median/max) | STOMP ÷ floor | gateway, deliveries/s |"
    )
    print("|---|---|---|---|---|---|---|---|")
    loads = {
        "one": Load([floor], Plain(), subscribers=SUBSCRIBERS),
        "joined": Load([floor, "joined"], Plain(), subscribers=SUBSCRIBERS),
        "picows": Load(_python("picows"), Plain(), subscribers=SUBSCRIBERS),
        "gateway": Load(_python("gateway"), Plain(), subscribers=SUBSCRIBERS),
        "stomp": Load(_python("stomp"), Stomp(), subscribers=SUBSCRIBERS),
    }
    try:
        for in_flight, base in ((1, "one"), (16, "joined")):
            kinds = (base, "picows", "gateway", "stomp")
            runs: dict[str, list[float]] = {kind: [] for kind in kinds}
            rates = []
            for _ in range(ROUNDS):
                for kind in kinds:
                    cost, rate, _ = loads[kind].run(in_flight)
                    runs[kind].append(cost)
                    if kind == "gateway":
                        rates.append(rate)
            medians = " | ".join(f"{statistics.median(runs[k]):.2f}" for k in kinds)
            ratios = [
                _spread([a / b for a, b in zip(runs[k], runs[base], strict=True)])
                for k in ("gateway", "stomp")
            ]
            print(
                f"| {in_flight} | {medians} | {ratios[0]} | {ratios[1]} "
                f"| {statistics.median(rates):,.0f} |",
                flush=True,
            )
    finally:
        for load in loads.values():
            load.close()


def _memory() -> None:
    print(f"\nIdle connections: {IDLE:,}, KB of the process for each\n")
    print("| | KB |\n|---|---|")
    for name, kind, speech in (
        ("gateway", "gateway", Plain()),
        ("with STOMP: session and one subscription", "stomp", Stomp()),
    ):
        load = Load(_python(kind), speech, subscribers=IDLE)
        try:
            each = (load.memory() - load.idle_memory) / IDLE / 1024
            print(f"| {name} | {each:.1f} |", flush=True)
        finally:
            load.close()


def _stalled() -> None:
    print(
        f"\nOne reader of {SUBSCRIBERS} reads nothing; STOMP, {STALL_SIZE} B, one in "
        f"flight: ms to the last of the others, {ROUNDS} alternating runs together\n"
    )
    print("| | messages | p50 | p99 |\n|---|---|---|---|")
    load = Load(_python("stomp"), Stomp(), subscribers=SUBSCRIBERS - 1)
    try:
        alone: list[float] = []
        beside: list[float] = []
        for _ in range(ROUNDS):
            alone += load.run(1, size=STALL_SIZE, seconds=STALL_SECONDS)[2]
            stuck = load.subscribe(receive_buffer=4096)
            beside += load.run(1, size=STALL_SIZE, seconds=STALL_SECONDS)[2]
            stuck.close()
        for name, took in (("all read", alone), ("one does not", beside)):
            print(
                f"| {name} | {len(took)} "
                f"| {statistics.median(took):.1f} | {_p99(took):.1f} |"
            )
    finally:
        load.close()


def main() -> None:
    from benchmarks.machine import described

    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    print(described("picows", "uvloop", "uvicorn") + "\n")
    with tempfile.TemporaryDirectory() as folder:
        _cost(_compiled(folder))
    _memory()
    _stalled()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        import uvloop

        servers = {"picows": _picows, "gateway": _gateway, "stomp": _stomp}
        uvloop.run(servers[sys.argv[1]]())
    else:
        main()
