"""What goes where, by destination: for people who look after a server.

Counts since the start, of the destinations that spoke last; kept here and not among
the metrics, because names of rooms are no labels (they would leak and never end).
"""

from dataclasses import dataclass

DESTINATIONS_MAX = 1_000
"""Destinations that are counted one by one; the one that was silent longest goes."""


@dataclass(slots=True)
class Traffic:
    """What one destination had.

    Attributes:
        messages: sent there.
        deliveries: MESSAGEs that this became; a queue's are counted when they leave.
        bytes: of the messages' bodies.
    """

    messages: int = 0
    deliveries: int = 0
    bytes: int = 0


class Statistics:
    """Counts by destination."""

    def __init__(self) -> None:
        self._traffic: dict[str, Traffic] = {}

    def count(self, destination: str, deliveries: int, size: int) -> None:
        """A message of ``size`` bytes was sent there."""
        traffic = self._traffic.pop(destination, None)
        if traffic is None:
            if len(self._traffic) >= DESTINATIONS_MAX:
                del self._traffic[next(iter(self._traffic))]
            traffic = Traffic()
        self._traffic[destination] = traffic
        traffic.messages += 1
        traffic.deliveries += deliveries
        traffic.bytes += size

    def of(self, destination: str) -> Traffic:
        """The counts of a destination; zeros where nothing was sent."""
        return self._traffic.get(destination, Traffic())

    def busiest(self, most: int = 20) -> list[tuple[str, Traffic]]:
        """Destinations with the most deliveries."""
        ranked = sorted(self._traffic.items(), key=lambda item: -item[1].deliveries)
        return ranked[:most]
