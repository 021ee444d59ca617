"""What each topic takes in and gives out (``BrokerTopicMetrics`` with ``topic=``).

Eight counters a topic, found once, when its first partition is led, so that counting is
an addition. The first ``MOST_TOPICS`` topics have them; what more topics do is in the
broker's totals only, because whoever may create topics must not fill a Prometheus.
"""

from salon.broker.metrics import Meter, Metrics

MOST_TOPICS = 1000

_NAMES = {
    "messages_in": "MessagesInPerSec",
    "bytes_in": "BytesInPerSec",
    "bytes_out": "BytesOutPerSec",
    "bytes_rejected": "BytesRejectedPerSec",
    "total_produce": "TotalProduceRequestsPerSec",
    "total_fetch": "TotalFetchRequestsPerSec",
    "failed_produce": "FailedProduceRequestsPerSec",
    "failed_fetch": "FailedFetchRequestsPerSec",
}


class TopicMeters:
    """The counters of one topic."""

    __slots__ = tuple(_NAMES)

    messages_in: Meter
    bytes_in: Meter
    bytes_out: Meter
    bytes_rejected: Meter
    total_produce: Meter
    total_fetch: Meter
    failed_produce: Meter
    failed_fetch: Meter

    def __init__(self, metrics: Metrics | None = None, tag: str = "") -> None:
        for field, name in _NAMES.items():
            meter = Meter() if metrics is None else metrics.meter(name + tag)
            setattr(self, field, meter)


class TopicMetrics:
    """The counters of all topics.

    Args:
        metrics: of the broker.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._topics: dict[str, TopicMeters] = {}
        self._others = TopicMeters()

    def of(self, topic: str) -> TopicMeters:
        """The counters of ``topic``; past ``MOST_TOPICS`` some that nobody shows."""
        found = self._topics.get(topic)
        if found is None:
            if len(self._topics) >= MOST_TOPICS:
                return self._others
            found = TopicMeters(self._metrics, f",topic={topic}")
            self._topics[topic] = found
        return found

    def forget(self, topic: str) -> None:
        """The topic is gone, and so are its counters."""
        if self._topics.pop(topic, None) is not None:
            for name in _NAMES.values():
                self._metrics.forget(f"{name},topic={topic}")
