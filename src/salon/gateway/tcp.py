"""STOMP over plain TCP: a second door, shut unless a port is given.

The bytes of a connection go to the same ``ChannelHandler`` as the messages of a
WebSocket, in whatever pieces they come. There is no page here and so no origin to
check, no cookie either: who connects says so in CONNECT. There is no TLS: listen on
loopback, or stand behind a proxy that has it.

Closing: what waits is written, then our half of the connection ends, and what the peer
still sends is read and dropped until it ends its half, at most for ``linger``. A
socket closed with unread bytes is reset by the kernel, and the ERROR that says why
would be lost with it (RFC 1122, 4.2.2.13).
"""

import asyncio
import contextlib
import socket
from typing import cast

import structlog

from salon import ids, metrics
from salon.errors import Refusal
from salon.gateway.edge import Edge, EdgeLimits
from salon.gateway.outbox import Outbox
from salon.gateway.timer import Timer
from salon.gateway.websocket import ABNORMAL, SLOW_READER, reset
from salon.messaging.broadcast import Broadcast
from salon.messaging.channel import ChannelHandler, Handshake
from salon.stomp.codec import encode
from salon.stomp.frames import Frame, Version

log = structlog.get_logger("salon.gateway")

ENDED = 1005
"""The peer ended its half; STOMP over TCP has no close code."""


class TcpChannel(asyncio.Protocol):
    """One TCP connection as a ``Channel``."""

    __slots__ = (
        "_closing",
        "_edge",
        "_handler",
        "_outbox",
        "_timer",
        "_transport",
        "handshake",
        "id",
    )

    def __init__(self, edge: Edge) -> None:
        self.id = ids.token(128)
        self.handshake = Handshake("", transport="tcp")
        self._edge = edge
        self._handler: ChannelHandler | None = None
        self._transport: asyncio.Transport | None = None
        self._outbox: Outbox | None = None
        self._closing: tuple[int, str] | None = None
        self._timer: Timer | None = None

    # -- Channel --------------------------------------------------------------

    @property
    def waiting(self) -> int:
        return 0 if self._outbox is None else len(self._outbox)

    def send(
        self, data: bytes, *, droppable: bool = False, coalesce: str | None = None
    ) -> None:
        if self._outbox is not None:
            self._outbox.put(data, droppable=droppable, coalesce=coalesce)

    def follow(self, broadcast: Broadcast) -> bool:
        return self._outbox is not None and self._outbox.follow(broadcast)

    def close(self, code: int, reason: str) -> None:
        """Write what waits, end our half, read on for a while; the first counts."""
        if self._closing is None and self._transport is not None:
            if self._outbox is not None:
                self._outbox.finish(flush=True)
            self._end(self._transport, code, reason)

    def pause_reading(self) -> None:
        if self._transport is not None and self._closing is None:
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if self._transport is not None and self._closing is None:
            self._transport.resume_reading()

    # -- asyncio.Protocol -----------------------------------------------------

    def connection_made(self, made: asyncio.BaseTransport) -> None:
        transport = cast("asyncio.Transport", made)  # uvloop's is no subclass
        self._transport = transport
        edge = self._edge
        peer = transport.get_extra_info("peername")
        remote = peer[0] if isinstance(peer, tuple) else ""
        self.handshake = Handshake("", remote=remote, transport="tcp")
        _prepare(transport.get_extra_info("socket"), edge.limits)
        transport.set_write_buffer_limits(high=edge.budget.soft)
        try:
            edge.admit({}, remote)
        except Refusal as refusal:
            self._refuse(transport, refusal)
            return
        self._outbox = Outbox(
            edge.ticks,
            edge.wheel,
            edge.budget,
            send=transport.write,
            send_all=lambda batch: transport.write(b"".join(batch)),
            held=transport.get_write_buffer_size,
            on_overflow=self._on_overflow,
        )
        edge.connections.add(self)
        metrics.connections.labels("tcp").inc()
        self._handler = edge.channels()
        try:
            self._handler.on_open(self)
        except Exception:
            log.exception("gateway.on_open")
            self.close(1011, "internal error")

    def data_received(self, data: bytes) -> None:
        if self._handler is None or self._closing is not None:
            return
        try:
            self._handler.on_data(data)
        except Exception:
            log.exception("gateway.on_data")
            self.close(1011, "internal error")

    def eof_received(self) -> bool:
        """The peer says no more; what was already asked is not answered any more."""
        return False  # asyncio closes the transport

    def pause_writing(self) -> None:
        if self._outbox is not None:
            self._outbox.pause()

    def resume_writing(self) -> None:
        if self._outbox is not None:
            self._outbox.resume()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._outbox is not None:
            self._outbox.finish(flush=False)
            self._edge.connections.remove(self)
            metrics.connections.labels("tcp").dec()
        gone = (ABNORMAL, "") if exc is not None else (ENDED, "")
        code, reason = self._closing or gone
        handler, self._handler = self._handler, None
        if handler is not None:
            try:
                handler.on_close(code, reason)
            except Exception:
                log.exception("gateway.on_close")

    # -- inside ---------------------------------------------------------------

    def _refuse(self, transport: asyncio.Transport, refusal: Refusal) -> None:
        """There is no room: say so in the peer's language, and end."""
        headers = (("message", refusal.message), ("code", refusal.code))
        transport.write(encode(Frame("ERROR", headers), Version.V12))
        self._end(transport, 1013, refusal.code)

    def _end(self, transport: asyncio.Transport, code: int, reason: str) -> None:
        self._closing = (code, reason)
        with contextlib.suppress(OSError, RuntimeError):  # it is gone already
            transport.write_eof()
            transport.resume_reading()
        self._timer = self._edge.wheel.call_later(
            self._edge.limits.linger, lambda: reset(transport)
        )

    def _on_overflow(self, how: str) -> None:
        log.warning("gateway.slow_reader", how=how, transport="tcp")
        if self._transport is not None:
            self._end(self._transport, SLOW_READER, "reads too slowly: " + how)


def _prepare(sock: socket.socket, limits: EdgeLimits) -> None:
    """Options of an accepted socket: a peer that vanished is found out."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, limits.send_buffer)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            milliseconds = round(limits.user_timeout * 1000)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)


class TcpServer:
    """Accepts TCP connections until it is stopped.

    ``Connections.close_all`` ends them, like all others; call ``stop`` before it.
    """

    def __init__(self, edge: Edge, sock: socket.socket) -> None:
        """Serve the edge's channels on ``sock``, which listens."""
        self._edge = edge
        self._sock = sock
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """The port that the socket is bound to."""
        return int(self._sock.getsockname()[1])

    async def start(self) -> None:
        """Accept connections from now on."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: TcpChannel(self._edge), sock=self._sock
        )

    def stop(self) -> None:
        """Accept no more; who is connected stays."""
        if self._server is not None:
            self._server.close()
            self._server = None
