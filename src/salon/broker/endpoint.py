"""What the processors and the acceptor of one listener share (Kafka's ``EndPoint``)."""

import ssl
from dataclasses import dataclass

from salon.broker.authenticator import Credentials
from salon.broker.listeners import Listener
from salon.broker.memory_pool import MemoryPool
from salon.broker.quotas import ConnectionQuotas


@dataclass
class Endpoint:
    """One listener, with what holds for its connections.

    ``told`` is the address that its clients are told, known once the port is bound.
    ``apis`` are the API keys that it serves. ``memory`` is None without a bound;
    ``credentials`` and ``tls`` are None where the listener has no SASL or TLS.
    """

    listener: Listener
    apis: frozenset[int]
    request_max_bytes: int
    max_idle_ms: int
    quotas: ConnectionQuotas
    memory: MemoryPool | None = None
    credentials: Credentials | None = None
    failed_authentication_delay_ms: int = 0
    tls: ssl.SSLContext | None = None
    told: tuple[str, int] = ("", 0)

    @property
    def name(self) -> str:
        return self.listener.name
