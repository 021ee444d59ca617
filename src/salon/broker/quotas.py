"""Connection quotas: how many connections, from whom, and how fast.

(``ConnectionQuotas`` in Kafka's ``SocketServer.scala``.) Three limits, three answers:

- too many from one address: accepted and closed at once, so that the peer knows;
- too many in all, or on one listener: the acceptor waits, and the kernel's backlog
  holds whoever comes;
- too many a second: the acceptor sleeps. The rate is a bucket of one second's worth
  (Kafka averages over eleven samples of a second; the limit is the same).

The control listener is protected: it may exceed ``max.connections``, and then the
connection of another listener that has been silent the longest is closed.
"""

from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import NamedTuple

from salon.broker.errors import SettingError


class QuotaLimits(NamedTuple):
    """Kafka's ``max.connections…`` settings; ``listeners`` by name and setting."""

    total: int
    per_ip: int
    per_ip_overrides: Mapping[str, int]
    rate: int
    listeners: Mapping[tuple[str, str], int]
    protected: str


def parse_overrides(text: str) -> dict[str, int]:
    """``max.connections.per.ip.overrides``: ``address:limit``, separated by commas.

    Raises:
        SettingError: theirs.
    """
    found = {}
    for part in filter(None, text.split(",")):
        host, _, limit = part.strip().rpartition(":")
        if not host or not limit.isdigit():
            raise SettingError(
                f"max.connections.per.ip.overrides has {part.strip()!r}; it looks like "
                "127.0.0.1:200"
            )
        found[host.strip("[]")] = int(limit)
    return found


class _Rate:
    """A bucket that holds one second's worth of connections."""

    def __init__(self, per_second: int, now: float) -> None:
        self._per_second = per_second
        self._tokens = float(per_second)
        self._at = now

    def take(self, now: float) -> float:
        """Take one, now or in advance; the seconds until it is there."""
        grown = self._tokens + (now - self._at) * self._per_second
        self._tokens, self._at = min(self._per_second, grown) - 1, now
        return max(0.0, -self._tokens / self._per_second)


class ConnectionQuotas:
    """Counts the connections of one broker.

    Args:
        limits: of the configuration.
        now: monotonic seconds.
        close_oldest: closes the longest silent connection that is not protected.
    """

    def __init__(
        self,
        limits: QuotaLimits,
        now: Callable[[], float],
        close_oldest: Callable[[], None],
    ) -> None:
        self._limits = limits
        self._now = now
        self._close_oldest = close_oldest
        self._rates: dict[str, _Rate] = {}
        self._by_listener: Counter[str] = Counter()
        self._by_ip: Counter[str] = Counter()
        self._waiting: deque[Callable[[], None]] = deque()
        self.total = 0
        self.accepted: Counter[str] = Counter()
        """Connections that were taken in, by listener, since the start."""

    def has_slot(self, listener: str) -> bool:
        """Whether ``listener`` may accept one more."""
        own = self._limits.listeners.get((listener, "max.connections"))
        if own is not None and self._by_listener[listener] >= own:
            return False
        return listener == self._limits.protected or self.total < self._limits.total

    def when_slot(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` once, when a connection has ended."""
        self._waiting.append(callback)

    def delay(self, listener: str) -> float:
        """Take one connection from the rates; seconds to wait if that is too fast."""
        seconds = 0.0
        own = self._limits.listeners.get((listener, "max.connection.creation.rate"))
        if own is not None:
            seconds = self._take(listener, own)
        if listener != self._limits.protected:
            seconds = max(seconds, self._take("", self._limits.rate))
        return seconds

    def _take(self, name: str, per_second: int) -> float:
        now = self._now()
        if name not in self._rates:
            self._rates[name] = _Rate(per_second, now)
        return self._rates[name].take(now)

    def admit(self, listener: str, host: str) -> bool:
        """Count an accepted connection; False when its address has too many."""
        limit = self._limits.per_ip_overrides.get(host, self._limits.per_ip)
        if self._by_ip[host] >= limit:
            return False
        self.total += 1
        self.accepted[listener] += 1
        self._by_listener[listener] += 1
        self._by_ip[host] += 1
        if self.total > self._limits.total:
            self._close_oldest()
        return True

    def release(self, listener: str, host: str) -> None:
        """A connection has ended."""
        self.total -= 1
        self._by_listener[listener] -= 1
        self._by_ip[host] -= 1
        if not self._by_ip[host]:
            del self._by_ip[host]
        waiting, self._waiting = self._waiting, deque()
        for callback in waiting:
            callback()
