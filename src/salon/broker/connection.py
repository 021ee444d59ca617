"""One client connection: frames in, responses out, one request in flight.

Theory of operation. A frame is a 4-byte length and that many bytes. Kafka's selector
*mutes* a channel as soon as a whole request is read and unmutes it when the response
has been sent; that alone keeps the answers of a connection in order, and later requests
wait in the kernel's buffer.

Reading goes through a scratch buffer that all connections of a processor share, because
a connection that is idle should cost no buffer. A frame that is whole in the scratch
buffer is copied out (one small copy); a larger one gets a buffer of its own that the
socket then fills directly. That buffer grows as bytes arrive: a length of 100 MB is
checked against ``socket.request.max.bytes`` but not believed. Where
``queued.max.request.bytes`` is set it is first taken from the memory pool; if nothing
is left there the connection waits, with at most one scratch buffer read.

Muting does not stop the transport at once, which would cost two system calls for every
request. It is stopped when bytes arrive while muted: at most one scratch buffer of a
pipelining client is read ahead.

Responses are joined when small and handed on buffer by buffer when large. Bytes of a
segment go by ``sendfile``, past the transport and only when it has nothing left to
write; when the socket is full a second descriptor of it tells when it is not, because
the loop watches the first.
"""

import asyncio
import os
import socket
import struct
from collections import deque
from collections.abc import Sequence
from typing import Protocol, cast

from salon.broker.authenticator import Authenticator
from salon.broker.channel import Buffer
from salon.broker.endpoint import Endpoint
from salon.broker.log.file_region import FileRegion
from salon.broker.memory_pool import MemoryPool

UNKNOWN_SOFTWARE = ("unknown", "unknown")
"""What a client is called that does not say what it is (KIP-511)."""
_LENGTH = struct.Struct(">i")
_FIRST_ALLOCATION = 1_114_112
"""Bytes of a large frame that are allocated before any of them is there: one librdkafka
batch of 1 MB with its header, so that the usual large frame never grows."""
_JOIN_BELOW = 16_384
"""Responses smaller than this are joined: one small copy beats a long iovec."""


class ConnectionOwner(Protocol):
    """What a connection needs of its processor."""

    scratch: memoryview
    endpoint: Endpoint

    @property
    def stopped(self) -> bool: ...

    def connected(self, connection: "Connection") -> None: ...

    def disconnected(self, connection: "Connection") -> None: ...

    def receive(self, connection: "Connection", frame: memoryview) -> None: ...

    def sent(self, connection: "Connection") -> None: ...

    def reject(self, connection: "Connection", reason: str) -> None: ...


class Connection(asyncio.BufferedProtocol):
    """The socket side of one client.

    Args:
        owner: the processor.
        connection_id: ``local:port-remote:port-index``, never used twice.
        host: the client's address.
    """

    def __init__(self, owner: ConnectionOwner, connection_id: str, host: str) -> None:
        self.id = connection_id
        self.host = host
        self.software = UNKNOWN_SOFTWARE
        self.muted = False
        self.closed = False
        self.last_active_ns = 0
        self.authenticator: Authenticator | None = None
        self._owner = owner
        self._request_max_bytes = owner.endpoint.request_max_bytes
        self._memory = owner.endpoint.memory
        self._starved = False
        self._transport: asyncio.Transport | None = None
        self._paused = False
        self._writing = False
        self._pending = bytearray()
        self._outgoing: deque[Buffer] = deque()
        self._watched_fd = -1
        self._frame: bytearray | None = None
        self._frame_size = 0
        self._have = 0

    @property
    def begun(self) -> bool:
        """Whether there is a transport (a TLS handshake comes before it)."""
        return self._transport is not None

    # --- reading ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        # With a high-water mark of 0, "not paused" means "all of it is sent". TLS
        # compares with >=, so there 0 would mean "always paused".
        high = 1 if self._owner.endpoint.tls is not None else 0
        self._transport.set_write_buffer_limits(high=high, low=0)
        self._owner.connected(self)
        if self._owner.stopped:
            self._pause()

    def get_buffer(self, sizehint: int) -> memoryview:
        if self._frame is not None:
            return memoryview(self._frame)[self._have :]
        return self._owner.scratch

    def buffer_updated(self, nbytes: int) -> None:
        if self._frame is not None:
            self._have += nbytes
            self._fill(self._frame)
            return
        data = self._owner.scratch[:nbytes]
        if self.muted or self._owner.stopped:
            self._pending += data
            self._pause()
        elif self._pending:
            self._pending += data
            pending, self._pending = self._pending, bytearray()
            self._take(memoryview(pending))
        else:
            self._take(data)

    def _take(self, data: memoryview) -> None:
        """Begin the next frame with ``data``; what is beyond it stays pending."""
        if len(data) < _LENGTH.size:
            self._pending = bytearray(data)
            return
        size = _LENGTH.unpack_from(data)[0]
        if not 0 < size <= self._request_max_bytes:
            limit = self._request_max_bytes
            self._owner.reject(
                self, f"a frame of {size} bytes (socket.request.max.bytes={limit})"
            )
            return
        if self._memory is not None and not self._memory.try_allocate(size):
            self._wait_for_memory(self._memory, data)
            return
        stop = _LENGTH.size + size
        if len(data) >= stop:
            frame = bytearray(data[_LENGTH.size : stop])
            self._pending = bytearray(data[stop:])
            self._complete(frame)
            return
        frame = bytearray(min(size, _FIRST_ALLOCATION))
        self._have = len(data) - _LENGTH.size
        frame[: self._have] = data[_LENGTH.size :]
        self._frame = frame
        self._frame_size = size
        self._grow(frame)

    def _wait_for_memory(self, memory: MemoryPool, data: memoryview) -> None:
        self._pending = bytearray(data)
        self._starved = True
        self._pause()
        memory.when_available(self._memory_came)

    def _memory_came(self) -> None:
        self._starved = False
        self.resume()

    def _fill(self, frame: bytearray) -> None:
        """Bytes went straight into the frame."""
        if self._have == self._frame_size:
            self._frame = None
            self._complete(frame)
        else:
            self._grow(frame)

    def _grow(self, frame: bytearray) -> None:
        """Make room when every allocated byte is there: double, up to the size."""
        if self._have == len(frame):
            more = min(self._frame_size, 2 * len(frame))
            larger = bytearray(more)
            larger[: self._have] = frame
            self._frame = larger

    def _complete(self, frame: bytearray) -> None:
        self.muted = True
        self._owner.receive(self, memoryview(frame))

    # --- muting ---

    def unmute(self) -> None:
        """The response is sent: read the next request."""
        self.muted = False
        self.resume()

    def resume(self) -> None:
        """Go on reading, first what is here already, unless there is a reason not to."""
        if self._busy():
            return
        if self._pending:
            pending, self._pending = self._pending, bytearray()
            self._take(memoryview(pending))
        if self._paused and not self._busy():
            self._paused = False
            assert self._transport is not None
            self._transport.resume_reading()

    def _busy(self) -> bool:
        """There is a reason not to read."""
        return self.muted or self.closed or self._starved or self._owner.stopped

    def stop(self) -> None:
        """The request queue is full: read nothing."""
        self._pause()

    def _pause(self) -> None:
        if not self._paused and not self.closed:
            self._paused = True
            assert self._transport is not None
            self._transport.pause_reading()

    # --- writing ---

    def send(self, parts: Sequence[Buffer], size: int) -> bool:
        """Write a response; True when all of it is with the kernel already.

        Otherwise the owner's ``sent`` is called later.
        """
        assert self._transport is not None
        if size < _JOIN_BELOW:
            self._transport.write(b"".join(cast("Sequence[bytes]", parts)))
            return not self._writing
        self._outgoing.extend(parts)
        return self._send_on()

    def _send_on(self) -> bool:
        """Write what is left, in order; True when all of it is with the kernel."""
        assert self._transport is not None
        outgoing = self._outgoing
        while outgoing and not self._writing:
            part = outgoing[0]
            if not isinstance(part, FileRegion):
                self._transport.writelines(self._take_buffers())
                continue
            if self._owner.endpoint.tls is not None:
                self._transport.write(part.read())
            elif not part.send(self._transport.get_extra_info("socket").fileno()):
                self._watch_socket()
                return False
            outgoing.popleft()
        return not self._outgoing and not self._writing

    def _take_buffers(self) -> list[bytes | bytearray | memoryview]:
        """What comes before the next region: one system call writes all of it."""
        buffers = []
        while self._outgoing:
            part = self._outgoing[0]
            if isinstance(part, FileRegion):
                break
            buffers.append(part)
            self._outgoing.popleft()
        return buffers

    def _watch_socket(self) -> None:
        assert self._transport is not None
        if self._watched_fd < 0:
            fd = self._transport.get_extra_info("socket").fileno()
            self._watched_fd = os.dup(fd)
        loop = asyncio.get_running_loop()
        loop.add_writer(self._watched_fd, self._socket_takes_more)

    def _socket_takes_more(self) -> None:
        asyncio.get_running_loop().remove_writer(self._watched_fd)
        try:
            if self._send_on():
                self._owner.sent(self)
        except OSError:
            self.abort()

    def _forget_outgoing(self) -> None:
        self._outgoing.clear()
        if self._watched_fd >= 0:
            asyncio.get_running_loop().remove_writer(self._watched_fd)
            os.close(self._watched_fd)
            self._watched_fd = -1

    def pause_writing(self) -> None:
        self._writing = True

    def resume_writing(self) -> None:
        self._writing = False
        try:
            if self._send_on():
                self._owner.sent(self)
        except OSError:
            self.abort()

    # --- ending ---

    def close(self) -> None:
        """Hang up after what is written."""
        if not self.closed and self._transport is not None:
            self.closed = True
            self._transport.close()

    def abort(self) -> None:
        """Hang up now."""
        if self._transport is not None:
            self.closed = True
            self._transport.abort()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self._pending = bytearray()
        self._forget_outgoing()
        if self._frame is not None and self._memory is not None:
            self._memory.release(self._frame_size)
        self._frame = None
        self._owner.disconnected(self)
