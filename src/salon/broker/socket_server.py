"""The network side: listeners, their processors, and the two planes behind them.

(``SocketServer``; KIP-291.) The *data plane* serves all listeners but one: processors
for each, one request queue of ``queued.max.requests``, ``num.io.threads`` handlers. The
*control plane* serves the listener named by ``control.plane.listener.name``, if there is
one: its own acceptor, one processor, a queue of 20, one handler. When the data queue is
full and its processors have stopped reading, an admin still gets an answer. KIP-291 told
the planes apart by who dials which port; here the control listener also refuses Produce
and Fetch, so that nobody makes it slow.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

from salon.broker.acceptor import Acceptor
from salon.broker.authenticator import Credentials
from salon.broker.channel import Request, RequestChannel
from salon.broker.config import BrokerConfig
from salon.broker.endpoint import Endpoint
from salon.broker.handler_pool import HandlerPool
from salon.broker.listeners import Listener, parse_advertised
from salon.broker.memory_pool import MemoryPool
from salon.broker.metrics import Metrics
from salon.broker.processor import Processor
from salon.broker.protocol import versions
from salon.broker.quotas import ConnectionQuotas
from salon.broker.rates import Since, loop_idle
from salon.broker.sasl import Users
from salon.broker.tls import server_context

log = logging.getLogger(__name__)

_NO_BOUND = 2**63 - 1
CONTROL_QUEUE = 20
"""Kafka's fixed size of the control plane's request queue."""

Handle = Callable[[Request], Coroutine[Any, Any, None] | None]


class Plane:
    """A request queue, the handlers behind it and the processors before it."""

    def __init__(
        self,
        handlers: int,
        queue: int,
        handle: Handle,
        metrics: Metrics,
        prefix: str = "",
        before: HandlerPool | None = None,
        waits_for_others: frozenset[int] = frozenset(),
    ) -> None:
        self.pool = HandlerPool(
            handlers,
            handle,
            metrics,
            prefix=prefix,
            before=before,
            waits_for_others=waits_for_others,
        )
        self.channel = RequestChannel(queue, self.pool.wake)
        self.processors: list[Processor] = []
        self.prefix = prefix
        self.idle = loop_idle()
        """The idle share of the processors, which is that of the loop they share."""
        metrics.gauge(f"{prefix}RequestQueueSize", lambda: len(self.channel))
        metrics.gauge(f"{prefix}NetworkProcessorAvgIdlePercent", self.idle)


class SocketServer:
    """Everything between the sockets and ``handle``.

    Args:
        config: of the broker.
        handle: what to do with a request.
        metrics: of the broker.

    Raises:
        SettingError: theirs; an address, a key store or a users' file.
    """

    def __init__(self, config: BrokerConfig, handle: Handle, metrics: Metrics) -> None:
        self._config = config
        self._metrics = metrics
        self._loop = asyncio.get_running_loop()
        self.quotas = ConnectionQuotas(
            config.quota_limits, self._loop.time, self._close_oldest
        )
        self._memory = self._memory_pool()
        self._users: Users | None = None
        control_name = config.control_plane_listener_name.upper()
        # In a cluster an admin's request is answered when all brokers have done it, and
        # this one does its part with the one handler that the control plane has.
        clustered = bool(config.controller_quorum_voters)
        self.control = Plane(
            1,
            CONTROL_QUEUE,
            handle,
            metrics,
            "ControlPlane",
            waits_for_others=versions.CONTROL if clustered else frozenset(),
        )
        self.data = Plane(
            config.num_io_threads,
            config.queued_max_requests,
            handle,
            metrics,
            before=self.control.pool if control_name else None,
            waits_for_others=versions.ASKS_OTHERS if clustered else frozenset(),
        )
        self.acceptors: dict[str, Acceptor] = {}
        self.told: dict[str, tuple[str, int]] = {}
        """Address of each listener, as its clients are told."""
        metrics.gauge("connection-count", lambda: self.quotas.total)
        accepted = self.quotas.accepted
        metrics.gauge("broker-connection-accept-rate", Since(accepted.total))
        metrics.gauge("io-wait-ratio", self.data.idle)
        try:
            for listener in config.bound_listeners:
                self._listen(listener, control=listener.name == control_name)
        except BaseException:
            self.close_acceptors()
            raise

    def _memory_pool(self) -> MemoryPool | None:
        gauge = self._metrics.gauge
        if self._config.queued_max_request_bytes <= 0:  # MemoryPool.NONE
            gauge("MemoryPoolAvailable", lambda: _NO_BOUND)
            gauge("MemoryPoolUsed", lambda: 0)
            gauge("MemoryPoolAvgDepletedPercent", lambda: 0.0)
            return None
        pool = MemoryPool(self._config.queued_max_request_bytes)
        gauge("MemoryPoolAvailable", lambda: pool.available)
        gauge("MemoryPoolUsed", lambda: pool.used)
        gauge("MemoryPoolAvgDepletedPercent", Since(pool.depleted.seconds))
        return pool

    def _listen(self, listener: Listener, *, control: bool) -> None:
        config = self._config
        plane = self.control if control else self.data
        served = versions.CONTROL if control else versions.ALL
        if control and config.controller_quorum_voters:
            served |= versions.CLUSTER
        elif listener.name == config.inter_broker_listener:
            served |= versions.INTER_BROKER
        endpoint = Endpoint(
            listener,
            served,
            config.socket_request_max_bytes,
            config.connections_max_idle_ms,
            self.quotas,
            None if control else self._memory,
            self._credentials() if listener.sasl else None,
            config.connection_failed_authentication_delay_ms,
            server_context(config) if listener.tls else None,
        )
        first = len(self.data.processors) + len(self.control.processors)
        processors = [
            Processor(number, endpoint, plane.channel, self._metrics, plane.prefix)
            for number in range(
                first, first + (1 if control else config.num_network_threads)
            )
        ]
        plane.processors += processors
        acceptor = Acceptor(
            endpoint,
            processors,
            backlog=config.socket_listen_backlog_size,
            send_buffer_bytes=config.socket_send_buffer_bytes,
            receive_buffer_bytes=config.socket_receive_buffer_bytes,
        )
        self.acceptors[listener.name] = acceptor
        self._measure(listener.name, plane, processors, acceptor)
        told = parse_advertised(config.advertised_listeners).get(listener.name)
        host, port = told or (acceptor.host, acceptor.port)
        endpoint.told = self.told[listener.name] = (host, port or acceptor.port)

    def _measure(
        self, name: str, plane: Plane, processors: list[Processor], acceptor: Acceptor
    ) -> None:
        gauge, accepted = self._metrics.gauge, self.quotas.accepted
        gauge(
            f"AcceptorBlockedPercent,listener={name}", Since(acceptor.blocked.seconds)
        )
        gauge(f"connection-accept-rate,listener={name}", Since(lambda: accepted[name]))
        for each in processors:
            tags = f"listener={name},networkProcessor={each.number}"
            gauge(f"IdlePercent,networkProcessor={each.number}", plane.idle)
            gauge(f"connection-count,{tags}", partial(len, each.connections))

    def _credentials(self) -> Credentials:
        if self._users is None:
            self._users = Users.load(Path(self._config.sasl_users_file))
        return Credentials(self._users, self._config.mechanisms)

    def _close_oldest(self) -> None:
        """The control listener went over ``max.connections``: make room for it."""
        found = [each.oldest for each in self.data.processors]
        oldest = min(filter(None, found), key=lambda c: c.last_active_ns, default=None)
        if oldest is not None:
            log.warning("%s closed: max.connections is reached", oldest.id)
            oldest.close()

    @property
    def main(self) -> Acceptor:
        """The first listener for clients' data."""
        config = self._config
        others = {config.control_plane_listener_name.upper()}
        others.add(config.inter_broker_listener)
        return next(a for name, a in self.acceptors.items() if name not in others)

    @property
    def control_acceptor(self) -> Acceptor | None:
        """The control listener, if there is one."""
        return self.acceptors.get(self._config.control_plane_listener_name.upper())

    def start(self) -> None:
        """Serve."""
        for plane in (self.control, self.data):
            plane.pool.serve(plane.channel)
        for acceptor in self.acceptors.values():
            acceptor.start()

    def close_acceptors(self) -> None:
        """Free the ports."""
        for acceptor in self.acceptors.values():
            acceptor.close()

    async def stop_handling(self) -> None:
        """Take nothing new and wait for what is being handled."""
        self.close_acceptors()
        for plane in (self.control, self.data):
            plane.pool.pause()
            await plane.pool.drain()

    async def close(self, grace_s: float) -> None:
        """Send what is ready and hang up."""
        processors = self.data.processors + self.control.processors
        await asyncio.gather(*(each.close(grace_s) for each in processors))
