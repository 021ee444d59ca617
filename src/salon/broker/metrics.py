"""The broker's own metrics, under the names of Kafka's JMX beans.

A small registry instead of a library: the broker starts in a fifth of a second and
counts several things per request. A name is Kafka's metric name with its tags, as in
``TotalTimeMs,request=Produce``; who exports them decides about the outer form.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator

_TIMES = {
    "total_time": "TotalTimeMs",
    "request_queue_time": "RequestQueueTimeMs",
    "local_time": "LocalTimeMs",
    "remote_time": "RemoteTimeMs",
    "response_queue_time": "ResponseQueueTimeMs",
    "response_send_time": "ResponseSendTimeMs",
}
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

    def counts(self) -> Iterator[tuple[str, int]]:
        """Everything that only grows."""
        for name, meter in self._meters.items():
            yield name, meter.count
        for name, request in self._requests.items():
            yield f"RequestsPerSec,request={name}", request.requests.count
            yield f"ErrorsPerSec,request={name}", request.errors.count

    def gauges(self) -> Iterator[tuple[str, float]]:
        """Everything that is looked up when somebody asks."""
        for name, read in self._gauges.items():
            yield name, read()

    def histograms(self) -> Iterator[tuple[str, Histogram]]:
        """Every distribution, in milliseconds."""
        yield from self._histograms.items()
        for name, request in self._requests.items():
            for field, kafka in _TIMES.items():
                yield f"{kafka},request={name}", getattr(request, field)

    def request_times(self) -> dict[str, dict[str, float]]:
        """Count and total time of every request name."""
        return {
            name: {
                "count": request.requests.count,
                "errors": request.errors.count,
                "p50_ms": request.total_time.quantile(0.5),
                "p99_ms": request.total_time.quantile(0.99),
            }
            for name, request in self._requests.items()
        }

    def snapshot(self) -> dict[str, float]:
        """Every metric as a number; histograms as Count, Mean, 50th and 99th."""
        values: dict[str, float] = dict(self.counts())
        values.update(self.gauges())
        for name, h in self.histograms():
            values[f"{name},Count"] = h.count
            values[f"{name},Mean"] = h.total / h.count if h.count else 0.0
            values[f"{name},50thPercentile"] = h.quantile(0.5)
            values[f"{name},99thPercentile"] = h.quantile(0.99)
        return values
