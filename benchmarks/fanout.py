"""Fan-out: one message to a thousand WebSocket connections, CPU per delivery.

Two servers take turns: bare picows (a loop of ``transport.send``) and Salon's gateway
(uvicorn, hand-over, outbox). One client process holds the subscribers and publishes
the next message when all have the last one; with 16 in flight it keeps 16 under way,
and the gateway joins what falls into one tick. CPU is the server process's own, user
and kernel, so a busy machine disturbs it less than messages per second.
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
import time

SUBSCRIBERS = 1000
PAYLOAD = b"x" * 128
SECONDS = 0.7
ROUNDS = 5
STATS = b"?"


# -- the servers (child processes) ---------------------------------------------------


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


async def _picows() -> None:
    from picows import WSListener, WSMsgType, ws_create_server

    everybody = []

    class Subscriber(WSListener):
        def on_ws_connected(self, transport):
            everybody.append(transport)

        def on_ws_disconnected(self, transport):
            everybody.remove(transport)

        def on_ws_frame(self, transport, frame):
            if frame.msg_type != WSMsgType.TEXT:
                transport.disconnect()
                return
            data = frame.get_payload_as_bytes()
            if data == STATS:
                transport.send(WSMsgType.TEXT, b"%f" % _cpu())
                return
            for other in everybody:
                if other is not transport:
                    other.send(WSMsgType.TEXT, data)

    server = await ws_create_server(lambda _: Subscriber(), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()


async def _salon() -> None:
    from salon.clock import SystemClock
    from salon.gateway.connections import Connections
    from salon.gateway.edge import Edge, EdgeLimits
    from salon.gateway.http import create_app
    from salon.gateway.origins import Origins
    from salon.gateway.server import Server, listen

    everybody = []

    class Subscriber:
        def on_open(self, channel):
            self.channel = channel
            everybody.append(channel)

        def on_close(self, code, reason):
            everybody.remove(self.channel)

        def on_data(self, data):
            mine = self.channel
            if data == STATS:
                mine.send(b"%f" % _cpu())
                return
            for other in everybody:
                if other is not mine:
                    other.send(data)

    edge = Edge(
        channels=Subscriber,
        origins=Origins([]),
        clock=SystemClock(),
        connections=Connections(per_address=100_000),
        limits=EdgeLimits(heartbeat=3600),  # PINGs would be counted as deliveries
    )
    server = Server(create_app(edge, []), edge, listen("127.0.0.1", 0))
    await server.serve(lambda: print(server.port, flush=True))


# -- the client ------------------------------------------------------------------------


def _connect(port: int) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port))
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


def _masked(payload: bytes) -> bytes:
    size = len(payload)
    head = bytes([0x81, 0x80 | size]) if size < 126 else b"\x81\xfe" + size.to_bytes(2)
    return head + b"\0\0\0\0" + payload


class Load:
    """One server, its subscribers, a publisher."""

    def __init__(self, kind: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.fanout", kind], stdout=subprocess.PIPE
        )
        assert self.process.stdout is not None
        port = int(self.process.stdout.readline())
        self.publisher = _connect(port)
        self.selector = selectors.EpollSelector()
        self.subscribers = [_connect(port) for _ in range(SUBSCRIBERS)]
        for sock in self.subscribers:
            sock.setblocking(False)
            self.selector.register(sock, selectors.EVENT_READ)
        time.sleep(0.3)

    def cpu(self) -> float:
        self.publisher.sendall(_masked(STATS))
        size = self.publisher.recv(2)[1]
        return float(self.publisher.recv(size))

    def run(self, in_flight: int) -> tuple[float, float]:
        """CPU µs per delivery, deliveries per second."""
        frame = len(PAYLOAD) + 4
        message = _masked(PAYLOAD)
        round_bytes = frame * SUBSCRIBERS
        before, start = self.cpu(), time.monotonic()
        self.publisher.sendall(message * in_flight)
        sent, received = in_flight, 0
        while received < sent * round_bytes:
            for key, _ in self.selector.select():
                received += len(key.fileobj.recv(65536))  # type: ignore[union-attr]
            done = received // round_bytes
            if time.monotonic() - start < SECONDS and sent - done < in_flight:
                more = in_flight - (sent - done)
                self.publisher.sendall(message * more)
                sent += more
        seconds = time.monotonic() - start
        deliveries = sent * SUBSCRIBERS
        return (self.cpu() - before) * 1e6 / deliveries, deliveries / seconds

    def close(self) -> None:
        self.process.terminate()
        self.process.wait()


def main() -> None:
    from benchmarks.machine import described

    print(described("picows", "uvloop", "uvicorn"))
    print(
        f"\n1 → {SUBSCRIBERS} × {len(PAYLOAD)} B; median of {ROUNDS} alternating runs\n"
    )
    print(
        "| in flight | bare picows, µs | gateway, µs | ratio (min/median/max) | gateway, deliveries/s |"
    )
    print("|---|---|---|---|---|")
    picows, salon = Load("picows"), Load("salon")
    try:
        for in_flight in (1, 2, 16):
            pairs = [
                (picows.run(in_flight), salon.run(in_flight)) for _ in range(ROUNDS)
            ]
            ratios = sorted(ours[0] / bare[0] for bare, ours in pairs)
            print(
                f"| {in_flight} "
                f"| {statistics.median(bare[0] for bare, _ in pairs):.2f} "
                f"| {statistics.median(ours[0] for _, ours in pairs):.2f} "
                f"| {ratios[0]:.2f} / {statistics.median(ratios):.2f} / {ratios[-1]:.2f} "
                f"| {statistics.median(ours[1] for _, ours in pairs):,.0f} |"
            )
    finally:
        picows.close()
        salon.close()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        import uvloop

        uvloop.run({"picows": _picows, "salon": _salon}[sys.argv[1]]())
    else:
        main()
