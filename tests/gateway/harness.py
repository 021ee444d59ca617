"""A running gateway on a loopback port, and a WebSocket client that may misbehave."""

import asyncio
import base64
import json
import os
import struct
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from salon.clock import SystemClock
from salon.gateway.connections import Connections
from salon.gateway.edge import Edge, EdgeLimits
from salon.gateway.http import create_app
from salon.gateway.origins import Origins
from salon.gateway.outbox import Budget
from salon.gateway.peers import Peers
from salon.gateway.server import Server, listen
from salon.messaging.channel import Channel

ORIGIN = "http://salon.test"


class Recorder:
    """A handler that remembers what it was told, and echoes where it should."""

    def __init__(self, gateway: "Gateway") -> None:
        self.gateway = gateway
        self.channel: Channel | None = None
        self.received: list[bytes] = []
        self.closed: tuple[int, str] | None = None
        self.gone = asyncio.Event()

    def on_open(self, channel: Channel) -> None:
        self.channel = channel
        self.gateway.opened.append(self)
        self.gateway.news.set()

    def on_data(self, data: bytes) -> None:
        self.received.append(data)
        self.gateway.news.set()
        self.gateway.on_data(self, data)

    def on_close(self, code: int, reason: str) -> None:
        assert self.closed is None, "closed twice"
        self.closed = (code, reason)
        self.gone.set()
        self.gateway.news.set()


def echo(handler: Recorder, data: bytes) -> None:
    assert handler.channel is not None
    handler.channel.send(data)


def keep(handler: Recorder, data: bytes) -> None:
    pass


@dataclass
class Gateway:
    """What a test sees of the running gateway."""

    on_data: Callable[[Recorder, bytes], None] = echo
    opened: list[Recorder] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)
    edge: Edge = None  # type: ignore[assignment]
    server: Server = None  # type: ignore[assignment]
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws"

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until ``condition`` holds; looks again at every event."""
        async with asyncio.timeout(30):
            while not condition():
                self.news.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.05):
                        await self.news.wait()


@asynccontextmanager
async def gateway(
    *,
    on_data: Callable[[Recorder, bytes], None] = echo,
    limits: EdgeLimits | None = None,
    budget: Budget | None = None,
    connections: Connections | None = None,
    trusted: tuple[str, ...] = (),
    drain: float = 3.0,
    edge: dict[str, Any] | None = None,
    services: Callable[[Edge, Gateway], Any] = lambda edge, running: None,
    **app: Any,
) -> AsyncIterator[Gateway]:
    running = Gateway(on_data)
    running.edge = Edge(
        channels=lambda: Recorder(running),
        origins=Origins([ORIGIN]),
        clock=SystemClock(),
        connections=connections if connections is not None else Connections(),
        peers=Peers(trusted),
        limits=limits or EdgeLimits(),
        budget=budget or Budget(),
        **(edge or {}),
    )
    services(running.edge, running)
    sock = listen("127.0.0.1", 0)
    routers = app.pop("routers", ())
    running.server = Server(
        create_app(running.edge, routers, **app), running.edge, sock, drain=drain
    )
    running.port = running.server.port
    ready = asyncio.Event()
    task = asyncio.create_task(running.server.serve(ready.set))
    await ready.wait()
    try:
        yield running
    finally:
        await running.server.stop()
        await task


# -- a client that speaks raw bytes ------------------------------------------------


def upgrade(path: str = "/ws", *lines: str, drop: tuple[str, ...] = ()) -> bytes:
    """An upgrade request; ``lines`` replace default headers of the same name."""
    headers = {
        "host": "Host: 127.0.0.1",
        "connection": "Connection: Upgrade",
        "upgrade": "Upgrade: websocket",
        "sec-websocket-version": "Sec-WebSocket-Version: 13",
        "sec-websocket-key": "Sec-WebSocket-Key: "
        + base64.b64encode(os.urandom(16)).decode(),
    }
    for name in drop:
        del headers[name]
    extra = []
    for line in lines:
        name = line.partition(":")[0].lower()
        if name in headers:
            headers[name] = line
        else:
            extra.append(line)
    every = [f"GET {path} HTTP/1.1", *headers.values(), *extra, "", ""]
    return "\r\n".join(every).encode()


def frame(
    opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, masked=True
) -> bytes:
    first = (0x80 if fin else 0) | (rsv << 4) | opcode
    size = len(payload)
    mask_bit = 0x80 if masked else 0
    if size < 126:
        head = bytes([first, mask_bit | size])
    elif size < 65536:
        head = bytes([first, mask_bit | 126]) + size.to_bytes(2)
    else:
        head = bytes([first, mask_bit | 127]) + size.to_bytes(8)
    if not masked:
        return head + payload
    mask = b"\x01\x02\x03\x04"
    repeated = (mask * (size // 4 + 1))[:size]
    xored = int.from_bytes(payload) ^ int.from_bytes(repeated)
    return head + mask + xored.to_bytes(size)


def text(payload: bytes, **kwargs: Any) -> bytes:
    return frame(0x1, payload, **kwargs)


class Log:
    """Stands in for a module's logger and remembers."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.failures: list[BaseException | None] = []

    def exception(self, event: str, **values: Any) -> None:
        self.events.append((event, values))
        self.failures.append(sys.exception())

    def warning(self, event: str, **values: Any) -> None:
        self.events.append((event, values))


class RawClient:
    """One TCP connection."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.reader = reader
        self.writer = writer
        self.status = 0
        self.headers: dict[str, str] = {}

    def write(self, data: bytes) -> None:
        self.writer.write(data)

    async def head(self) -> None:
        """Read the head of an HTTP answer."""
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 30)
        status, *lines = head.decode().split("\r\n")
        self.status = int(status.split(" ")[1])
        self.headers = {
            name.lower(): value
            for name, _, value in (line.partition(": ") for line in lines if line)
        }

    async def body(self) -> bytes:
        return await self.reader.readexactly(int(self.headers["content-length"]))

    async def json(self) -> Any:
        return json.loads(await self.body())

    async def frame(self) -> tuple[int, bytes]:
        """Read one WebSocket frame: opcode and payload."""
        async with asyncio.timeout(30):
            first, second = await self.reader.readexactly(2)
            size = second & 0x7F
            if size == 126:
                size = int.from_bytes(await self.reader.readexactly(2))
            elif size == 127:
                size = int.from_bytes(await self.reader.readexactly(8))
            return first & 0x0F, await self.reader.readexactly(size)

    async def close_code(self) -> int:
        """Read up to the CLOSE frame; its code."""
        while True:
            opcode, payload = await self.frame()
            if opcode == 0x8:
                return int.from_bytes(payload[:2])

    async def ended(self) -> bool:
        """Whether the connection ends (cleanly or with RST)."""
        try:
            async with asyncio.timeout(30):
                while await self.reader.read(65536):
                    pass
        except ConnectionError:
            pass
        return True


@asynccontextmanager
async def tcp(
    port: int, *, receive_buffer: int | None = None
) -> AsyncIterator[RawClient]:
    import socket

    sock = socket.socket()
    if receive_buffer is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
    reader, writer = await asyncio.open_connection(sock=sock)
    try:
        yield RawClient(reader, writer)
    finally:
        with suppress(OSError):
            sock.setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )
        writer.transport.abort()


@asynccontextmanager
async def websocket(
    running: Gateway, path: str = "/ws", *lines: str, **options: Any
) -> AsyncIterator[RawClient]:
    async with tcp(running.port, **options) as client:
        client.write(upgrade(path, *lines))
        await client.head()
        assert client.status == 101, await client.reader.read(1000)
        yield client
