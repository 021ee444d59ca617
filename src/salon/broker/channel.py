"""Requests, responses, and the bounded queue between processors and handlers.

A request's life is six moments, and every latency metric is the difference of two
(``RequestChannel.scala``, ``updateRequestMetrics``)::

    start ─ queue ─ dequeued ─ handler ─ local done ─ purgatory ─ response made
      ─ response queue ─ response dequeued ─ socket ─ sent

The queue holds ``queued.max.requests``. When it is full ``put`` answers False, and the
processor keeps that one request and stops reading *all* its connections: the senders
feel TCP push back. Nothing is refused and nothing is dropped.
"""

from collections import deque
from collections.abc import Callable, Sequence
from enum import Enum
from time import perf_counter_ns
from typing import Protocol

from salon.broker.endpoint import Endpoint
from salon.broker.log.file_region import FileRegion
from salon.broker.metrics import MOST_VERSIONS, Metrics
from salon.broker.protocol.header import RequestHeader, response_prefix
from salon.broker.protocol.versions import FETCH

Buffer = bytes | bytearray | memoryview | FileRegion


class ResponseKind(Enum):
    """What the processor does with a response."""

    SEND = "Send"
    NO_OP = "NoOp"  # acks=0: nothing is written, the connection is read again
    CLOSE = "CloseConnection"  # acks=0 failed: closing is the only signal there is


class Connection(Protocol):
    """What a request remembers of where it came from."""

    id: str
    host: str
    software: tuple[str, str]
    closed: bool


class Owner(Protocol):
    """The processor that read a request and will send its response."""

    endpoint: Endpoint

    def enqueue_response(self, response: "Response") -> None: ...


class Response:
    """One answer on its way to the socket."""

    __slots__ = ("kind", "parts", "request", "size")

    def __init__(
        self,
        request: "Request",
        kind: ResponseKind,
        parts: Sequence[Buffer] = (),
        size: int = 0,
    ) -> None:
        self.request = request
        self.kind = kind
        self.parts = parts
        self.size = size


class Request:
    """One request, from its last byte read to its response's last byte sent.

    Args:
        owner: the processor that read it.
        connection: where it came from.
        header: parsed by the processor.
        frame: the whole frame without length prefix; writable, because a produced
            batch gets its offset written into it.
    """

    __slots__ = (
        "_answered",
        "connection",
        "dequeued_ns",
        "failed",
        "frame",
        "header",
        "local_done_ns",
        "metric_name",
        "owner",
        "response_dequeued_ns",
        "response_made_ns",
        "size",
        "start_ns",
    )

    def __init__(
        self,
        owner: Owner,
        connection: Connection,
        header: RequestHeader,
        frame: memoryview,
    ) -> None:
        self.owner = owner
        self.connection = connection
        self.header = header
        self.frame = frame
        self.size = len(frame)
        self.metric_name = header.name
        self.failed = False
        self._answered = False
        self.start_ns = perf_counter_ns()
        self.dequeued_ns = 0
        self.local_done_ns = 0
        self.response_made_ns = 0
        self.response_dequeued_ns = 0

    @property
    def told(self) -> tuple[str, int]:
        """The broker's address as the clients of this listener are told."""
        return self.owner.endpoint.told

    @property
    def listener(self) -> str:
        """Name of the listener that it came by."""
        return self.owner.endpoint.name

    def respond(self, *body: Buffer, size: int = -1) -> None:
        """Send ``body`` (its parts one after another) with the response header."""
        if size < 0:
            size = sum(map(len, body))
        prefix = response_prefix(self.header, size)
        size += len(prefix)
        self._finish(Response(self, ResponseKind.SEND, (prefix, *body), size))

    def respond_nothing(self) -> None:
        """acks=0: there is no response."""
        self._finish(Response(self, ResponseKind.NO_OP))

    def close_connection(self) -> None:
        """There is no way to say what went wrong but to hang up."""
        self.failed = True
        self._finish(Response(self, ResponseKind.CLOSE))

    @property
    def answered(self) -> bool:
        return self._answered

    def _finish(self, response: Response) -> None:
        if self._answered:
            raise AssertionError(f"{self.header.name} was answered twice")
        self._answered = True
        self.response_made_ns = perf_counter_ns()
        self.frame = _NOTHING
        self.owner.enqueue_response(response)

    def record(self, metrics: Metrics, sent_ns: int) -> None:
        """Note the times of a request whose response has left."""
        m = metrics.request(self.metric_name)
        start, dequeued, made = self.start_ns, self.dequeued_ns, self.response_made_ns
        local = self.local_done_ns
        if not 0 < local < made:
            local = made  # answered inside ``handle``: there was no remote part
        leaving = self.response_dequeued_ns
        version = self.header.api_version
        if version > MOST_VERSIONS:  # noqa: PLR1730 - min() is a call
            version = MOST_VERSIONS  # of ApiVersions any may be asked for
        m.versions[version] += 1
        m.bytes += self.size
        if self.failed:
            m.errors.count += 1
        m.update(
            sent_ns - start,
            dequeued - start,
            local - dequeued,
            made - local,
            leaving - made,
            sent_ns - leaving,
        )
        if self.header.api_key == FETCH:
            metrics.request("Fetch").versions[version] += 1


_NOTHING = memoryview(b"")


class RequestChannel:
    """The shared queue of requests.

    Args:
        capacity: ``queued.max.requests``.
        on_request: called when a request waits (wakes the handlers).
    """

    def __init__(self, capacity: int, on_request: Callable[[], None]) -> None:
        self.capacity = capacity
        self._queue: deque[Request] = deque()
        self._on_request = on_request
        self._waiting_for_space: deque[Callable[[], None]] = deque()

    def put(self, request: Request) -> bool:
        """Queue ``request``; False when the queue is full."""
        if len(self._queue) >= self.capacity:
            return False
        self._queue.append(request)
        self._on_request()
        return True

    def get(self) -> Request | None:
        """The oldest request; whoever waited for space is told."""
        if not self._queue:
            return None
        request = self._queue.popleft()
        if self._waiting_for_space:
            self._waiting_for_space.popleft()()
        return request

    def when_space(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` once, when a place becomes free; first come, first told."""
        self._waiting_for_space.append(callback)

    def __len__(self) -> int:
        return len(self._queue)
