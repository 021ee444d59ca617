"""What Salon counts, under one registry that ``/metrics`` prints.

Labels never hold a user, a room or a prompt: they would leak and never end.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REGISTRY = CollectorRegistry()

_MS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

connections = Gauge(
    "salon_connections",
    "Open client connections.",
    ["transport"],
    registry=REGISTRY,
)
frames_in = Counter(
    "salon_stomp_frames_in",
    "STOMP frames received.",
    ["command"],
    registry=REGISTRY,
)
deliveries = Counter(
    "salon_deliveries",
    "MESSAGE frames given to connections.",
    ["lane"],
    registry=REGISTRY,
)
slow_readers = Counter(
    "salon_slow_readers",
    "Connections closed because their reader was too slow.",
    registry=REGISTRY,
)
dropped = Counter(
    "salon_dropped_ephemeral",
    "Droppable messages that were dropped or coalesced.",
    registry=REGISTRY,
)
commands = Counter(
    "salon_commands_applied",
    "Commands applied by the owner.",
    ["type", "outcome"],
    registry=REGISTRY,
)
apply_batch = Histogram(
    "salon_apply_batch_seconds",
    "One batch of commands: read, applied, committed.",
    buckets=_MS,
    registry=REGISTRY,
)
append = Histogram(
    "salon_log_append_seconds",
    "A record handed to the log until it is durable there.",
    buckets=_MS,
    registry=REGISTRY,
)
jobs = Counter(
    "salon_picture_jobs",
    "Picture jobs that ended.",
    ["outcome"],
    registry=REGISTRY,
)
jobs_open = Gauge(
    "salon_picture_jobs_open", "Picture jobs queued or drawing.", registry=REGISTRY
)
parked = Gauge(
    "salon_parked_partitions",
    "Partitions stopped at a record that could not be applied.",
    registry=REGISTRY,
)
