"""The broker's own metrics, under the names of Kafka's JMX beans.

A small registry instead of a library: the broker starts in a fifth of a second and
counts several things per request. A name is Kafka's metric name with its tags, as in
``TotalTimeMs,request=Produce``; who exports them decides about the outer form.
"""

from collections.abc import Callable, Iterator

TIMES = (
    "TotalTimeMs",
    "RequestQueueTimeMs",
    "LocalTimeMs",
    "RemoteTimeMs",
    "ResponseQueueTimeMs",
    "ResponseSendTimeMs",
)
"""The whole of a request's time, and the five parts of it."""
_SHIFT = 15
_BUCKETS = 19
MOST_VERSIONS = 31
"""The highest version that is counted apart; no API has as many."""


class Meter:
    """A count that only grows (a Kafka ``…PerSec`` meter; rates are the reader's)."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0

    def mark(self, n: int = 1) -> None:
        self.count += n


class Histogram:
    """Durations in buckets of powers of two: up to 33 us, 66 us, 131 us, ... 4.3 s.

    Finding the bucket is one shift and ``bit_length``; there are six histograms to
    update for each request.
    """

    __slots__ = ("buckets", "maximum_ns", "total_ns")

    def __init__(self) -> None:
        self.buckets = [0] * _BUCKETS
        self.total_ns = 0
        self.maximum_ns = 0

    def update(self, ns: int) -> None:
        bucket = (ns >> _SHIFT).bit_length()
        self.buckets[bucket if bucket < _BUCKETS else -1] += 1
        self.total_ns += ns
        self.maximum_ns = max(self.maximum_ns, ns)

    @property
    def count(self) -> int:
        return sum(self.buckets)

    @property
    def total(self) -> float:
        """Sum, in milliseconds."""
        return self.total_ns / 1e6

    def quantile(self, q: float) -> float:
        """Upper bound of the bucket that holds the ``q`` quantile, ms; 0 when empty."""
        wanted = q * self.count
        seen = 0
        for i, n in enumerate(self.buckets):
            seen += n
            if n and seen >= wanted:
                last = i == _BUCKETS - 1  # it has no upper bound
                bound = self.maximum_ns if last else 1 << (_SHIFT + i)
                return min(bound, self.maximum_ns) / 1e6
        return 0.0


class RequestMetrics:
    """What Kafka keeps per request name (``kafka.network:type=RequestMetrics``).

    ``times`` are the histograms of ``TIMES``, in that order; ``versions`` counts the
    requests by their version; ``bytes`` is the size of all of them.
    """

    __slots__ = ("bytes", "errors", "times", "versions")

    def __init__(self) -> None:
        self.versions = [0] * (MOST_VERSIONS + 1)
        self.errors = Meter()
        self.bytes = 0
        self.times = tuple(Histogram() for _ in TIMES)

    @property
    def count(self) -> int:
        """Requests of all versions."""
        return sum(self.versions)

    @property
    def total_time(self) -> Histogram:
        return self.times[0]

    def update(self, *durations: int) -> None:
        """Nanoseconds for each of ``times``: ``Histogram.update`` six times, inline."""
        for histogram, ns in zip(self.times, durations, strict=True):
            bucket = (ns >> _SHIFT).bit_length()
            histogram.buckets[bucket if bucket < _BUCKETS else -1] += 1
            histogram.total_ns += ns
            if ns > histogram.maximum_ns:  # noqa: PLR1730 - max() is a call
                histogram.maximum_ns = ns


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

    def forget(self, name: str) -> None:
        """What that meter counted is no more."""
        self._meters.pop(name, None)

    def request(self, name: str) -> RequestMetrics:
        """The times and counts of one request name."""
        found = self._requests.get(name)
        if found is None:
            found = self._requests[name] = RequestMetrics()
        return found

    def counts(self) -> Iterator[tuple[str, int]]:
        """Everything that only grows."""
        for name, meter in self._meters.items():
            yield name, meter.count
        for name, request in self._requests.items():
            for version, count in enumerate(request.versions):
                if count:
                    yield f"RequestsPerSec,request={name},version={version}", count
            yield f"ErrorsPerSec,request={name}", request.errors.count

    def gauges(self) -> Iterator[tuple[str, float]]:
        """Everything that is looked up when somebody asks."""
        for name, read in self._gauges.items():
            yield name, read()

    def histograms(self) -> Iterator[tuple[str, Histogram]]:
        """Every distribution, in milliseconds."""
        yield from self._histograms.items()
        for name, request in self._requests.items():
            for kafka, histogram in zip(TIMES, request.times, strict=True):
                yield f"{kafka},request={name}", histogram

    def sizes(self) -> Iterator[tuple[str, int, int]]:
        """Name, bytes and number of the requests (``RequestBytes``)."""
        for name, request in self._requests.items():
            if request.bytes:
                yield f"RequestBytes,request={name}", request.bytes, request.count

    def request_times(self) -> dict[str, dict[str, float]]:
        """Count and total time of every request name."""
        return {
            name: {
                "count": request.count,
                "bytes": request.bytes,
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
        for name, size, count in self.sizes():
            values[f"{name},Count"], values[f"{name},Mean"] = count, size / count
        for name, h in self.histograms():
            values[f"{name},Count"] = h.count
            values[f"{name},Mean"] = h.total / h.count if h.count else 0.0
            values[f"{name},50thPercentile"] = h.quantile(0.5)
            values[f"{name},99thPercentile"] = h.quantile(0.99)
        return values
