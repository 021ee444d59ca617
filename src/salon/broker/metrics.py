"""The broker's own metrics, under the names of Kafka's JMX beans.

A small registry instead of a library: the broker starts in a fifth of a second and
counts several things per request. A name is Kafka's metric name with its tags, as in
``TotalTimeMs,request=Produce``; who exports them decides about the outer form.
"""

from bisect import bisect_left
from collections.abc import Callable

_BOUNDS_MS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 5000)


class Meter:
    """A count that only grows (a Kafka ``…PerSec`` meter; rates are the reader's)."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0

    def mark(self, n: int = 1) -> None:
        self.count += n


class Histogram:
    """Milliseconds in fixed buckets: 0.05 ms to 5 s."""

    __slots__ = ("buckets", "count", "maximum", "total")

    bounds = _BOUNDS_MS

    def __init__(self) -> None:
        self.buckets = [0] * (len(_BOUNDS_MS) + 1)
        self.count = 0
        self.total = 0.0
        self.maximum = 0.0

    def update(self, ms: float) -> None:
        self.buckets[bisect_left(_BOUNDS_MS, ms)] += 1
        self.count += 1
        self.total += ms
        self.maximum = max(self.maximum, ms)

    def quantile(self, q: float) -> float:
        """Upper bound of the bucket that holds the ``q`` quantile; 0 when empty."""
        wanted = q * self.count
        seen = 0
        for bound, n in zip((*_BOUNDS_MS, self.maximum), self.buckets, strict=True):
            seen += n
            if n and seen >= wanted:
                return min(bound, self.maximum)
        return 0.0


class RequestMetrics:
    """What Kafka keeps per request name (``kafka.network:type=RequestMetrics``)."""

    __slots__ = (
        "errors",
        "local_time",
        "remote_time",
        "request_queue_time",
        "requests",
        "response_queue_time",
        "response_send_time",
        "total_time",
    )

    def __init__(self) -> None:
        self.requests = Meter()
        self.errors = Meter()
        self.total_time = Histogram()
        self.request_queue_time = Histogram()
        self.local_time = Histogram()
        self.remote_time = Histogram()
        self.response_queue_time = Histogram()
        self.response_send_time = Histogram()


class Metrics:
    """All metrics of one broker."""

    def __init__(self) -> None:
        self._meters: dict[str, Meter] = {}
        self._histograms: dict[str, Histogram] = {}
        self._gauges: dict[str, Callable[[], float]] = {}
        self._requests: dict[str, RequestMetrics] = {}

    def meter(self, name: str) -> Meter:
        """The meter of that name, made when first asked for."""
        return self._meters.setdefault(name, Meter())

    def histogram(self, name: str) -> Histogram:
        return self._histograms.setdefault(name, Histogram())

    def gauge(self, name: str, read: Callable[[], float]) -> None:
        """``read`` is called whenever somebody looks."""
        self._gauges[name] = read

    def request(self, name: str) -> RequestMetrics:
        """The six times and two meters of one request name."""
        found = self._requests.get(name)
        if found is None:
            found = self._requests[name] = RequestMetrics()
        return found

    def snapshot(self) -> dict[str, float]:
        """Every metric as a number; histograms as Count, Mean, 50th and 99th."""
        values: dict[str, float] = {n: m.count for n, m in self._meters.items()}
        values.update({n: read() for n, read in self._gauges.items()})
        histograms = dict(self._histograms)
        for name, request in self._requests.items():
            values[f"RequestsPerSec,request={name}"] = request.requests.count
            values[f"ErrorsPerSec,request={name}"] = request.errors.count
            histograms |= {
                f"TotalTimeMs,request={name}": request.total_time,
                f"RequestQueueTimeMs,request={name}": request.request_queue_time,
                f"LocalTimeMs,request={name}": request.local_time,
                f"RemoteTimeMs,request={name}": request.remote_time,
                f"ResponseQueueTimeMs,request={name}": request.response_queue_time,
                f"ResponseSendTimeMs,request={name}": request.response_send_time,
            }
        for name, h in histograms.items():
            values[f"{name},Count"] = h.count
            values[f"{name},Mean"] = h.total / h.count if h.count else 0.0
            values[f"{name},50thPercentile"] = h.quantile(0.5)
            values[f"{name},99thPercentile"] = h.quantile(0.99)
        return values
