"""Network processor: frames become requests, responses become bytes.

(``Processor`` in Kafka's ``SocketServer.scala``.) A processor owns its connections and
its response queue. ``num.network.threads`` of them serve a listener. In this build they
are tasks of one event loop: a hand-over between threads costs 20-80 us under the GIL,
one inside the loop 2-10 us. Each keeps what it would own as a thread, so that a build
without the GIL can give each a loop of its own.

Connections are kept in the order in which they were last active. One that is silent for
``connections.max.idle.ms`` is closed, one a turn, unless it waits for an answer. On a
listener with SASL the first requests go to the connection's ``Authenticator``.

When the request queue is full a processor keeps the request that did not fit, stops
reading every connection it owns, and goes on when the queue has space.
"""

import asyncio
import contextlib
import logging
from collections import OrderedDict, deque
from socket import socket
from time import perf_counter_ns

from salon.broker.authenticator import Authenticator
from salon.broker.channel import Request, RequestChannel, Response, ResponseKind
from salon.broker.connection import Connection
from salon.broker.endpoint import Endpoint
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
        endpoint: of its listener.
        channel: the shared request queue.
        metrics: of the broker.
        prefix: of the metrics' names (``ControlPlane``).
    """

    def __init__(
        self,
        number: int,
        endpoint: Endpoint,
        channel: RequestChannel,
        metrics: Metrics,
        prefix: str = "",
    ) -> None:
        self.number = number
        self.endpoint = endpoint
        self.scratch = memoryview(bytearray(_SCRATCH_BYTES))
        self.connections: OrderedDict[Connection, None] = OrderedDict()
        self._channel = channel
        self._metrics = metrics
        self._loop = asyncio.get_running_loop()
        self._new: deque[tuple[socket, tuple[str, int]]] = deque()
        self._tasks: set[asyncio.Task[object]] = set()
        self._responses: deque[Response] = deque()
        self._responses_scheduled = False
        self._in_flight: dict[Connection, Request] = {}
        self._blocked: deque[Request] = deque()
        self._next_index = 0
        self._idle_timer: asyncio.TimerHandle | None = None
        self._expired = metrics.meter(f"{prefix}ExpiredConnectionsKilledCount")
        self._all_gone = asyncio.Event()
        metrics.gauge(
            f"ResponseQueueSize,processor={number}", lambda: self.response_queue_size
        )

    # --- new connections ---

    def accept(self, sock: socket, address: tuple[str, int]) -> bool:
        """Take over an accepted socket; False when too many wait already."""
        if len(self._new) >= NEW_CONNECTIONS:
            return False
        self._new.append((sock, address))
        self._loop.call_soon(self._configure_new_connections)
        return True

    def _configure_new_connections(self) -> None:
        while self._new:
            task = self._loop.create_task(self._configure(*self._new.popleft()))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _configure(self, sock: socket, address: tuple[str, int]) -> None:
        host, port = address
        self._next_index += 1
        at, tls = self.endpoint, self.endpoint.tls
        name = f"{at.told[0]}:{at.told[1]}-{host}:{port}-{self._next_index}"
        connection = Connection(self, name, host)
        try:
            await self._loop.connect_accepted_socket(lambda: connection, sock, ssl=tls)
        except OSError as error:  # a failed TLS handshake is one, too
            log.info("%s ended before it began: %s", name, error)
            sock.close()
            if not connection.begun:
                at.quotas.release(at.name, host)

    def connected(self, connection: Connection) -> None:
        self._touch(connection, perf_counter_ns())
        if self.endpoint.credentials is not None:
            connection.authenticator = Authenticator(
                self.endpoint.credentials, self.endpoint.apis
            )
        if self._idle_timer is None and self.endpoint.max_idle_ms >= 0:
            self._watch_idle(self.endpoint.max_idle_ms / 1000)

    def disconnected(self, connection: Connection) -> None:
        self.connections.pop(connection, None)
        self._in_flight.pop(connection, None)
        self.endpoint.quotas.release(self.endpoint.name, connection.host)
        if not self.connections:
            self._all_gone.set()

    # --- idle connections ---

    def _touch(self, connection: Connection, now_ns: int) -> None:
        connection.last_active_ns = now_ns
        self.connections[connection] = None
        self.connections.move_to_end(connection)

    @property
    def oldest(self) -> Connection | None:
        """The connection that has been silent the longest."""
        return next(iter(self.connections), None)

    def _watch_idle(self, seconds: float) -> None:
        self._idle_timer = self._loop.call_later(seconds, self._expire)

    def _expire(self) -> None:
        """Close the oldest connection if its time is over, and look again."""
        self._idle_timer = None
        oldest = self.oldest
        if oldest is None:
            return
        now = perf_counter_ns()
        left = self.endpoint.max_idle_ms / 1000 - (now - oldest.last_active_ns) / 1e9
        if left <= 0 and oldest.muted:
            self._touch(oldest, now)  # it waits for us
            left = 0.001
        elif left <= 0:
            self._expired.mark()
            log.info("%s closed: silent for too long", oldest.id)
            self.connections.pop(oldest)
            oldest.close()
        self._watch_idle(max(left, 0.0))

    # --- requests ---

    @property
    def stopped(self) -> bool:
        """Whether the full request queue keeps this processor from reading."""
        return bool(self._blocked)

    def receive(self, connection: Connection, frame: memoryview) -> None:
        """A whole frame was read and its connection is muted."""
        try:
            if connection.authenticator is not None:
                self._authenticate(connection, connection.authenticator, frame)
                return
            parsed = header.parse(frame)
            if parsed.api_key not in self.endpoint.apis:
                name = self.endpoint.name
                raise ProtocolError(f"{parsed.name} is not served on {name}")
        except ProtocolError as error:
            self._release(len(frame))
            self.reject(connection, str(error))
            return
        request = Request(self, connection, parsed, frame)
        connection.last_active_ns = request.start_ns
        self.connections.move_to_end(connection)
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

    def _authenticate(
        self, connection: Connection, authenticator: Authenticator, frame: memoryview
    ) -> None:
        """Answer a request of somebody whom we do not know yet."""
        answer = authenticator.answer(frame)
        self._release(len(frame))
        self._touch(connection, perf_counter_ns())
        if authenticator.failed:
            self._metrics.meter("failed-authentication-total").mark()
            delay = self.endpoint.failed_authentication_delay_ms / 1000
            self._loop.call_later(delay, self._refuse, connection, answer)
            return
        if authenticator.done:
            self._metrics.meter("successful-authentication-total").mark()
            log.info("%s is %s", connection.id, authenticator.user)
            connection.authenticator = None
        if connection.send((answer,), len(answer)):
            self.sent(connection)

    def _refuse(self, connection: Connection, answer: bytes) -> None:
        log.warning("%s closed: authentication failed", connection.id)
        if not connection.closed:
            connection.send((answer,), len(answer))
            connection.close()

    def _release(self, size: int) -> None:
        if self.endpoint.memory is not None:
            self.endpoint.memory.release(size)

    def reject(self, connection: Connection, reason: str) -> None:
        """The peer sent what is no request: hang up, and say so in the log."""
        self._metrics.meter("RejectedConnections").mark()
        log.warning("%s closed: %s", connection.id, reason)
        connection.abort()

    # --- responses ---

    @property
    def response_queue_size(self) -> int:
        """Responses that wait for the socket."""
        return len(self._responses)

    def enqueue_response(self, response: Response) -> None:
        self._release(response.request.size)
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
            except OSError as error:
                log.info("%s closed: %s", connection.id, error)
                connection.abort()
            except Exception:
                log.exception("%s closed: its response failed", connection.id)
                connection.abort()

    def _process(self, connection: Connection, response: Response) -> None:
        request = response.request
        if connection.closed:
            request.record(self._metrics, perf_counter_ns())
        elif response.kind is ResponseKind.SEND:
            self._in_flight[connection] = request
            if connection.send(response.parts, response.size):
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
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        for sock, _ in self._new:
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
