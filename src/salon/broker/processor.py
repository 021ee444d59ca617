"""Network processor: frames become requests, responses become bytes.

(``Processor`` in Kafka's ``SocketServer.scala``.) A processor owns its connections and
its response queue. ``num.network.threads`` of them serve a listener. In this build they
are tasks of one event loop: a hand-over between threads costs 20-80 us under the GIL,
one inside the loop 2-10 us. Each keeps what it would own as a thread, so that a build
without the GIL can give each a loop of its own.

When the request queue is full a processor keeps the request that did not fit, stops
reading every connection it owns, and goes on when the queue has space.
"""

import asyncio
import contextlib
import logging
from collections import deque
from socket import socket
from time import perf_counter_ns

from salon.broker.channel import Request, RequestChannel, Response, ResponseKind
from salon.broker.connection import Connection
from salon.broker.errors import ProtocolError
from salon.broker.metrics import Metrics
from salon.broker.protocol import header

log = logging.getLogger(__name__)

NEW_CONNECTIONS = 20
"""Bound of the hand-over queue from the acceptor (Kafka's ``ConnectionQueueSize``)."""
_SCRATCH_BYTES = 65_536


class Processor:
    """One network processor.

    Args:
        number: its id, counted over all listeners.
        channel: the shared request queue.
        request_max_bytes: ``socket.request.max.bytes``.
        metrics: of the broker.
    """

    def __init__(
        self,
        number: int,
        channel: RequestChannel,
        request_max_bytes: int,
        metrics: Metrics,
    ) -> None:
        self.number = number
        self.request_max_bytes = request_max_bytes
        self.scratch = memoryview(bytearray(_SCRATCH_BYTES))
        self.connections: set[Connection] = set()
        self._channel = channel
        self._metrics = metrics
        self._loop = asyncio.get_running_loop()
        self._new: deque[socket] = deque()
        self._tasks: set[asyncio.Task[object]] = set()
        self._responses: deque[Response] = deque()
        self._responses_scheduled = False
        self._in_flight: dict[Connection, Request] = {}
        self._blocked: deque[Request] = deque()
        self._next_index = 0
        self._all_gone = asyncio.Event()
        metrics.gauge(
            f"ResponseQueueSize,processor={number}", lambda: len(self._responses)
        )

    # --- new connections ---

    def accept(self, sock: socket) -> bool:
        """Take over an accepted socket; False when too many wait already."""
        if len(self._new) >= NEW_CONNECTIONS:
            return False
        self._new.append(sock)
        self._loop.call_soon(self._configure_new_connections)
        return True

    def _configure_new_connections(self) -> None:
        while self._new:
            task = self._loop.create_task(self._configure(self._new.popleft()))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _configure(self, sock: socket) -> None:
        try:
            local, remote = sock.getsockname(), sock.getpeername()
            self._next_index += 1
            name = f"{local[0]}:{local[1]}-{remote[0]}:{remote[1]}-{self._next_index}"
            await self._loop.connect_accepted_socket(
                lambda: Connection(self, name, remote[0]), sock
            )
        except OSError as error:
            log.debug("a connection ended before it began: %s", error)
            sock.close()

    def connected(self, connection: Connection) -> None:
        self.connections.add(connection)

    def disconnected(self, connection: Connection) -> None:
        self.connections.discard(connection)
        self._in_flight.pop(connection, None)
        if not self.connections:
            self._all_gone.set()

    # --- requests ---

    @property
    def stopped(self) -> bool:
        """Whether the full request queue keeps this processor from reading."""
        return bool(self._blocked)

    def receive(self, connection: Connection, frame: memoryview) -> None:
        """A whole frame was read and its connection is muted."""
        try:
            parsed = header.parse(frame)
        except ProtocolError as error:
            self.reject(connection, str(error))
            return
        request = Request(self, connection, parsed, frame)
        if self._blocked or not self._channel.put(request):
            self._blocked.append(request)
            if len(self._blocked) == 1:
                for each in self.connections:
                    each.stop()
                self._channel.when_space(self._go_on)

    def _go_on(self) -> None:
        while self._blocked:
            if not self._channel.put(self._blocked[0]):
                self._channel.when_space(self._go_on)
                return
            self._blocked.popleft()
        for connection in list(self.connections):
            connection.resume()

    def reject(self, connection: Connection, reason: str) -> None:
        """The peer sent what is no request: hang up, and say so in the log."""
        self._metrics.meter("RejectedConnections").mark()
        log.warning("%s closed: %s", connection.id, reason)
        connection.abort()

    # --- responses ---

    def enqueue_response(self, response: Response) -> None:
        self._responses.append(response)
        if not self._responses_scheduled:
            self._responses_scheduled = True
            self._loop.call_soon(self._process_new_responses)

    def _process_new_responses(self) -> None:
        self._responses_scheduled = False
        while self._responses:
            response = self._responses.popleft()
            response.request.response_dequeued_ns = perf_counter_ns()
            connection = response.request.connection
            assert isinstance(connection, Connection)
            try:
                self._process(connection, response)
            except Exception:
                log.exception("%s closed: its response failed", connection.id)
                connection.abort()

    def _process(self, connection: Connection, response: Response) -> None:
        request = response.request
        if connection.closed:
            request.record(self._metrics, perf_counter_ns())
        elif response.kind is ResponseKind.SEND:
            self._in_flight[connection] = request
            if connection.send(response.parts, sum(map(len, response.parts))):
                self.sent(connection)
        elif response.kind is ResponseKind.NO_OP:
            request.record(self._metrics, perf_counter_ns())
            connection.unmute()
        else:
            request.record(self._metrics, perf_counter_ns())
            connection.close()

    def sent(self, connection: Connection) -> None:
        """The last byte of the response is with the kernel."""
        request = self._in_flight.pop(connection, None)
        if request is not None:
            request.record(self._metrics, perf_counter_ns())
            connection.unmute()

    # --- ending ---

    async def close(self, grace_s: float) -> None:
        """Send what is ready and hang up; who does not take it in time loses it."""
        self._process_new_responses()
        for sock in self._new:
            sock.close()
        self._new.clear()
        for connection in list(self.connections):
            connection.close()
        if self.connections:
            self._all_gone.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._all_gone.wait(), grace_s)
        for connection in list(self.connections):
            connection.abort()
