"""Request handlers: they take requests off the channel and run them.

(``KafkaRequestHandlerPool``.) There are ``num.io.threads`` handlers. Most requests run
to completion without waiting, so they take turns on the loop; one that blocks (making a
topic, say) returns a coroutine and occupies its handler until that is done, its
blocking parts running in the executor. When all handlers are occupied the queue fills,
and the processors stop reading: the same chain of pressure as with threads.

A turn is bounded, so that sockets, timers and other queues get theirs. The control
plane has a pool of its own (one handler, a queue of 20), and the data plane's turn serves
that queue before each of its requests: on a shared loop two queues alone would not keep
one from waiting for the other.

Some requests wait for other brokers, which in turn need a handler here before they can
answer. Those give theirs back while they wait, as Kafka's delayed operations do; each
occupies its connection only.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from time import perf_counter_ns
from typing import Any

from salon.broker.channel import Request, RequestChannel
from salon.broker.errors import ProtocolError
from salon.broker.metrics import Metrics

log = logging.getLogger(__name__)

Handle = Callable[[Request], Coroutine[Any, Any, None] | None]

_TURN_REQUESTS = 16
_TURN_NS = 2_000_000


class HandlerPool:
    """``size`` handlers on one loop.

    Args:
        size: ``num.io.threads``.
        handle: what to do with a request; a coroutine when it has to wait.
        metrics: of the broker.
        prefix: of the metrics' names (``ControlPlane``).
        before: the pool whose requests go first.
        waits_for_others: API keys of requests that occupy no handler while they wait.
    """

    def __init__(
        self,
        size: int,
        handle: Handle,
        metrics: Metrics,
        *,
        prefix: str = "",
        before: "HandlerPool | None" = None,
        waits_for_others: frozenset[int] = frozenset(),
    ) -> None:
        self.size = size
        self._waits_for_others = waits_for_others
        self._handle = handle
        self._idle = size
        self._before = before
        self._loop = asyncio.get_running_loop()
        self._channel: RequestChannel | None = None
        self._scheduled = False
        self._paused = False
        self._tasks: set[asyncio.Task[None]] = set()
        metrics.gauge(
            f"{prefix}RequestHandlerAvgIdlePercent", lambda: self._idle / self.size
        )

    def serve(self, channel: RequestChannel) -> None:
        """Take requests from ``channel`` from now on."""
        self._channel = channel
        self.wake()

    def wake(self) -> None:
        """A request waits, or a handler is free again."""
        if not self._scheduled and not self._paused:
            self._scheduled = True
            self._loop.call_soon(self._turn)

    def pause(self) -> None:
        """Take no more requests (tests fill the queue this way)."""
        self._paused = True

    def resume(self) -> None:
        self._paused = False
        self.wake()

    @property
    def busy(self) -> int:
        """Handlers that are occupied."""
        return self.size - self._idle

    async def drain(self) -> None:
        """Wait for the handlers that are occupied."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _turn(self) -> None:
        self._scheduled = False
        channel = self._channel
        if channel is None or self._paused:
            return
        deadline = perf_counter_ns() + _TURN_NS
        for _ in range(_TURN_REQUESTS):
            if self._before is not None:
                self._before.serve_one()
            if self._idle == 0:
                return  # woken by the handler that becomes free
            request = channel.get()
            if request is None:
                return
            self._run(request)
            if request.dequeued_ns > deadline:
                break
        if len(channel):
            self.wake()

    def serve_one(self) -> None:
        """Handle one request now, if one waits and a handler is free."""
        if self._channel is None or self._paused or not self._idle:
            return
        request = self._channel.get()
        if request is not None:
            self._run(request)

    def _run(self, request: Request) -> None:
        request.dequeued_ns = perf_counter_ns()
        try:
            waiting = self._handle(request)
        except Exception as error:
            self._failed(request, error)
            return
        if waiting is None:
            request.local_done_ns = perf_counter_ns()
            return
        task = self._loop.create_task(waiting)
        self._tasks.add(task)
        if request.header.api_key in self._waits_for_others:
            request.local_done_ns = perf_counter_ns()
            task.add_done_callback(lambda done: self._end(request, done))
            return
        self._idle -= 1
        task.add_done_callback(lambda done: self._done(request, done))

    def _done(self, request: Request, task: "asyncio.Task[None]") -> None:
        self._idle += 1
        request.local_done_ns = perf_counter_ns()
        self._end(request, task)

    def _end(self, request: Request, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failed(request, error)
        self.wake()

    def _failed(self, request: Request, error: BaseException) -> None:
        """A request that cannot be answered ends its connection, nothing else."""
        where = f"{request.header.name} v{request.header.api_version}"
        if isinstance(error, ProtocolError):
            log.warning("%s closed: %s: %s", request.connection.id, where, error)
        else:
            log.error("%s failed", where, exc_info=error)
        if not request.answered:
            request.close_connection()
