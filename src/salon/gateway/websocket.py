"""WebSocket messages over WebSocket frames (RFC 6455), and the channel on top.

The frame parser below this module checks masks, opcodes, lengths, control frames and
close codes. What it leaves open is here: reserved bits, the order of fragments,
putting them together within a limit of the whole message, UTF-8 in text, and the
closing handshake.

Closing: what waits is written, then CLOSE; the peer has ``linger`` seconds to answer;
then the connection is reset. A reset (SO_LINGER 0) also frees the kernel's buffers
of a peer that reads no more, which an ordinary close would keep for minutes.
"""

import asyncio
import contextlib
import socket
import struct
from collections import deque
from typing import Any, Final

import structlog

from salon import ids, metrics
from salon.gateway.edge import Edge
from salon.gateway.framing import BINARY, TEXT, Framing, is_text
from salon.gateway.outbox import Outbox
from salon.gateway.timer import Timer
from salon.messaging.broadcast import Broadcast
from salon.messaging.channel import ChannelHandler, Handshake

log = structlog.get_logger("salon.gateway")

CONTINUATION: Final = 0x0
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA

SLOW_READER = 4408
"""Private close code: what waited was over the budget. Come back and catch up."""

_FAIL = 0.1
"""Seconds from the CLOSE that answers a fault to the end of the connection."""

_NO_CODE = 1005
"""Never on the wire: the peer closed without a code."""

_NEVER_SENT: Final = frozenset({1004, 1005, 1006})

ABNORMAL = 1006
"""Never on the wire: the connection ended without a close frame."""


class WebSocketError(Exception):
    """Theirs: what the peer sent breaks RFC 6455; ``code`` closes the connection."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Assembler:
    """Puts data frames together to messages (RFC 6455, section 5.4)."""

    __slots__ = ("_limit", "_opcode", "_parts", "_size", "binary")

    def __init__(self, limit: int) -> None:
        """Messages have at most ``limit`` bytes, however they are cut."""
        self._limit = limit
        self._opcode = 0
        self._parts: list[bytes] = []
        self._size = 0
        self.binary = False
        """Whether the last whole message was binary."""

    def feed(self, opcode: int, fin: bool, payload: bytes) -> bytes | None:
        """Take one data frame; the message that it completes, or None.

        Raises:
            WebSocketError: theirs; 1002 (order), 1007 (UTF-8) or 1009 (too big).
        """
        if opcode == CONTINUATION:
            if not self._opcode:
                raise WebSocketError(1002, "continuation without a start")
        elif self._opcode:
            raise WebSocketError(1002, "a new message inside another")
        elif fin:  # the usual case: one frame is the message
            return self._checked(opcode, payload)
        else:
            self._opcode = opcode
        self._size += len(payload)
        if self._size > self._limit:
            raise WebSocketError(1009, f"a message has at most {self._limit} bytes")
        # Empty fragments cost the peer two bytes each: keep none of them.
        if payload:
            self._parts.append(payload)
        if not fin:
            return None
        message = self._checked(self._opcode, b"".join(self._parts))
        self._opcode, self._parts, self._size = 0, [], 0
        return message

    def _checked(self, opcode: int, message: bytes) -> bytes:
        if len(message) > self._limit:
            raise WebSocketError(1009, f"a message has at most {self._limit} bytes")
        self.binary = opcode == BINARY
        if not self.binary and not is_text(message):
            raise WebSocketError(1007, "text is not UTF-8")
        return message


class WebSocketChannel:
    """One WebSocket connection as a ``Channel``.

    The hand-over calls ``connected``, ``frame``, ``fault``, ``pause``, ``resume`` and ``lost``;
    ``wire`` is its transport (picows' ``WSTransport``).
    """

    __slots__ = (
        "_assembler",
        "_closing",
        "_delivering",
        "_edge",
        "_framing",
        "_handler",
        "_outbox",
        "_reading",
        "_received_close",
        "_timer",
        "_unread",
        "_wire",
        "handshake",
        "id",
    )

    def __init__(self, edge: Edge, handshake: Handshake, framing: Framing) -> None:
        self.id = ids.token(128)
        self.handshake = handshake
        self._edge = edge
        self._framing = framing
        self._assembler = Assembler(edge.limits.message)
        self._handler: ChannelHandler | None = None
        self._wire: Any = None
        self._outbox: Outbox | None = None
        self._unread: deque[bytes] | None = None
        self._reading = False
        self._delivering = False
        self._closing: tuple[int, str] | None = None
        self._received_close: tuple[int, str] | None = None
        self._timer: Timer | None = None

    # -- Channel --------------------------------------------------------------

    @property
    def waiting(self) -> int:
        return 0 if self._outbox is None else len(self._outbox)

    def send(
        self, data: bytes, *, droppable: bool = False, coalesce: str | None = None
    ) -> None:
        assert self._outbox is not None, "sent before the connection was open"
        self._outbox.put(data, droppable=droppable, coalesce=coalesce)

    def follow(self, broadcast: Broadcast) -> bool:
        assert self._outbox is not None, "sent before the connection was open"
        return self._outbox.follow(broadcast)

    def close(self, code: int, reason: str) -> None:
        """Write what waits, say why, and end; the first close counts."""
        if self._closing is None and self._outbox is not None:
            self._outbox.finish(flush=True)
            self._say_goodbye(code, reason)

    def pause_reading(self) -> None:
        if self._reading:
            self._reading = False
            self._wire.underlying_transport.pause_reading()

    def resume_reading(self) -> None:
        if self._reading or self._closing is not None:
            return
        self._reading = True
        self._pump()
        if self._reading:
            self._wire.underlying_transport.resume_reading()

    # -- what the hand-over calls ---------------------------------------------

    def connected(self, wire: Any) -> None:
        """The handshake is done. The handler hears of it in the next tick.

        The transport still belongs to the HTTP protocol for the rest of this tick:
        a large write now would pause the wrong one.
        """
        self._wire = wire
        self._outbox = Outbox(
            self._edge.ticks,
            self._edge.wheel,
            self._edge.budget,
            send=self._send_one,
            send_all=self._send_all,
            held=wire.underlying_transport.get_write_buffer_size,
            on_overflow=self._on_overflow,
        )
        self._edge.connections.add(self)
        metrics.connections.labels(self.handshake.transport).inc()
        asyncio.get_running_loop().call_soon(self._open)

    def frame(self, opcode: int, fin: bool, reserved: bool, payload: bytes) -> None:
        """One frame from the peer; ``reserved``: any of the RSV bits is set."""
        closing = self._closing is not None or self._received_close is not None
        if closing and opcode != CLOSE:
            return
        try:
            if reserved:
                raise WebSocketError(1002, "a reserved bit without an extension")
            if opcode == CLOSE:
                self._on_close(*_close_of(payload))
            elif opcode == PING:
                # A peer that floods us and reads nothing gets no answer: RFC 6455,
                # section 5.5.3, asks for one to the latest PING only.
                if not len(self._outbox or ()):
                    self._wire.send(PONG, payload)
            elif opcode != PONG:
                message = self._assembler.feed(opcode, fin, payload)
                if message is not None:
                    binary = self._assembler.binary
                    self._framing = self._framing.answering(binary=binary)
                    self._on_message(message)
        except WebSocketError as error:
            self.close(error.code, error.reason)
            # Section 7.1.7: no answer is waited for; only our CLOSE has to arrive
            # before the kernel resets a socket with unread bytes.
            self._edge.wheel.call_later(_FAIL, self._wire.disconnect)

    def fault(self, code: int, reason: str) -> None:
        """The frame parser has found a fault; after this call it sends CLOSE itself.

        It reads one frame ahead: what stands before the fault comes to ``frame`` after
        this call, too late to be answered, but for a CLOSE: that is answered here, for
        it ends the connection, whatever follows it (section 5.5.1).
        """
        handshake = self._wire.close_handshake
        read = None if handshake is None else handshake.recv
        if read is not None and self._received_close is None:
            self._on_close(int(read.code), read.reason or "")
        elif self._closing is None and self._outbox is not None:
            self._outbox.finish(flush=True)
            self._closing = (code, reason)
            self._unread = None
            self._linger()

    def pause(self) -> None:
        """The transport buffers more than its mark."""
        if self._outbox is not None:
            self._outbox.pause()

    def resume(self) -> None:
        """The transport has written most of what it had."""
        if self._outbox is not None:
            self._outbox.resume()

    def lost(self) -> None:
        """The connection is gone."""
        if self._timer is not None:
            self._timer.cancel()
        if self._outbox is not None:
            self._outbox.finish(flush=False)
        self._edge.connections.remove(self)
        metrics.connections.labels(self.handshake.transport).dec()
        self._unread = None
        code, reason = self._closing or self._received_close or (ABNORMAL, "")
        handler, self._handler = self._handler, None
        if handler is not None:
            try:
                handler.on_close(code, reason)
            except Exception:
                log.exception("gateway.on_close")

    # -- inside ---------------------------------------------------------------

    def _open(self) -> None:
        if self._closing is not None or self._wire.is_disconnected:
            return
        transport = self._wire.underlying_transport
        transport.set_write_buffer_limits(high=self._edge.budget.soft)
        if self._framing.opening is not None:
            self._wire.send(TEXT, self._framing.opening)
        self._timer = self._edge.wheel.call_later(
            self._edge.limits.heartbeat, self._heartbeat
        )
        handler = self._edge.channels()
        self._handler = handler
        try:
            handler.on_open(self)
        except Exception:
            log.exception("gateway.on_open")
            self.close(1011, "internal error")
            return
        self.resume_reading()

    def _on_message(self, payload: bytes) -> None:
        try:
            messages = self._framing.decode(payload)
        except ValueError:
            self.close(3000, "Broken framing.")
            return
        if self._unread is None:  # not always there: 600 bytes a connection
            self._unread = deque()
        self._unread.extend(messages)
        self._pump()

    def _pump(self) -> None:
        """Give the handler what was read, one after another, while it wants it.

        What is already in memory when reading is paused waits here: at most what
        one read buffer holds.
        """
        if self._delivering or self._handler is None:
            return
        self._delivering = True
        try:
            while self._unread and self._reading and self._closing is None:
                self._handler.on_data(self._unread.popleft())
        except Exception:
            log.exception("gateway.on_data")
            self.close(1011, "internal error")
        finally:
            self._delivering = False
        if not self._unread:
            self._unread = None

    def _on_close(self, code: int, reason: str) -> None:
        """Section 5.5.1: answer CLOSE with its own code, then end."""
        if self._received_close is not None:
            return
        self._received_close = (code, reason)
        if self._closing is None and self._outbox is not None:
            self._outbox.finish(flush=True)
            self._wire.send_close(1000 if code == _NO_CODE else code, b"")
            self._linger()
        self._wire.disconnect()

    def _say_goodbye(self, code: int, reason: str) -> None:
        self._closing = (code, reason)
        self._unread = None
        farewell = self._framing.farewell(code, reason)
        if farewell is not None:
            self._wire.send(TEXT, farewell)
        self._wire.send_close(code, _short(reason))
        if not self._reading:
            # The peer's CLOSE has to be read to end well.
            self._wire.underlying_transport.resume_reading()
        self._linger()

    def _linger(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._edge.wheel.call_later(self._edge.limits.linger, self._reset)

    def _reset(self) -> None:
        reset(self._wire.underlying_transport)

    def _on_overflow(self, how: str) -> None:
        log.warning("gateway.slow_reader", how=how, transport=self.handshake.transport)
        self._say_goodbye(SLOW_READER, "reads too slowly: " + how)

    def _send_one(self, message: bytes) -> None:
        self._wire.send(*self._framing.one(message))

    def _send_all(self, batch: list[bytes]) -> None:
        # Keeps order with wire.send, which looks at the transport's buffer first.
        self._wire.underlying_transport.write(self._framing.many(batch))

    def _heartbeat(self) -> None:
        self._timer = self._edge.wheel.call_later(
            self._edge.limits.heartbeat, self._heartbeat
        )
        if len(self._outbox or ()):
            return  # there is something on the way already
        beat = self._framing.heartbeat()
        if beat is None:
            self._wire.send_ping(b"")
        else:
            self._wire.send(TEXT, beat)


def _close_of(payload: bytes) -> tuple[int, str]:
    """Code and reason of a CLOSE frame.

    Raises:
        WebSocketError: theirs; a code that may not be on the wire (section 7.4).
    """
    if not payload:
        return _NO_CODE, ""
    code = int.from_bytes(payload[:2])
    if not (1000 <= code <= 1014 or 3000 <= code <= 4999) or code in _NEVER_SENT:
        raise WebSocketError(1002, f"{code} is no close code")
    return code, payload[2:].decode("utf-8", "replace")


def _short(reason: str) -> bytes:
    """A reason that fits a control frame: 125 bytes less the code."""
    return reason.encode()[:123].decode("utf-8", "ignore").encode()


def reset(transport: Any) -> None:
    """End a connection with RST: nothing of it stays in the kernel."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        with contextlib.suppress(OSError):  # it is gone already
            sock.setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )
    transport.abort()
