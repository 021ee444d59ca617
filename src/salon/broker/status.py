"""The pipeline at this moment, as plain data: what ``salon broker status`` draws."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from salon.broker.metrics import Metrics
from salon.broker.purgatory import Purgatory
from salon.broker.replicas import ReplicaManager
from salon.broker.socket_server import Plane, SocketServer

_MOST_CLIENTS = 20


def pipeline(
    network: SocketServer,
    purgatories: Mapping[str, Purgatory],
    replicas: ReplicaManager,
    metrics: Metrics,
) -> dict[str, Any]:
    """Every stage with what waits there and how much it may be.

    Returns:
        JSON-ready: ``listeners``, ``clients`` (connections by software), ``planes``,
        ``memory`` of requests, ``purgatories``, ``requests`` (count and milliseconds by
        name), ``topics`` (counts by name), ``totals``, ``offline`` partitions with the
        reason. Shares are 0 to 1.
    """
    counts = dict(metrics.counts())
    gauges = dict(metrics.gauges())
    planes = {"data": _plane(network.data)}
    if network.control_acceptor is not None:
        planes["control"] = _plane(network.control)
    return {
        "listeners": {
            name: {
                "address": f"{each.host}:{each.port}",
                "accepted": network.quotas.accepted[name],
                "blocked": gauges[f"AcceptorBlockedPercent,listener={name}"],
            }
            for name, each in network.acceptors.items()
        },
        "connections": network.quotas.total,
        "clients": _clients(network),
        "planes": planes,
        "memory": {
            "used": gauges["MemoryPoolUsed"],
            "available": gauges["MemoryPoolAvailable"],
        },
        "purgatories": {
            name: {"delayed": each.delayed, "watched": each.size}
            for name, each in purgatories.items()
        },
        "requests": metrics.request_times(),
        "topics": _topics(counts),
        "totals": counts,
        "partitions": len(replicas.partitions),
        "offline": {
            f"{topic}-{index}": each.log.failure
            for (topic, index), each in replicas.partitions.items()
            if each.log.failure is not None
        },
    }


def _clients(network: SocketServer) -> dict[str, int]:
    """How many connections each client software has (KIP-511), most first."""
    found = Counter(
        " ".join(connection.software)
        for processor in (*network.data.processors, *network.control.processors)
        for connection in processor.connections
    )
    return dict(found.most_common(_MOST_CLIENTS))


def _topics(counts: Mapping[str, int]) -> dict[str, dict[str, int]]:
    """The counters of every topic that has some, by topic and Kafka's name."""
    topics: dict[str, dict[str, int]] = {}
    for name, count in counts.items():
        bare, _, topic = name.partition(",topic=")
        if topic and bare != "ExpiresPerSec":
            topics.setdefault(topic, {})[bare] = count
    return topics


def _plane(plane: Plane) -> dict[str, Any]:
    return {
        "processors": [
            {
                "number": each.number,
                "listener": each.endpoint.name,
                "connections": len(each.connections),
                "responses": each.response_queue_size,
                "stopped": each.stopped,
            }
            for each in plane.processors
        ],
        "idle": plane.idle(),
        "queue": {"size": len(plane.channel), "capacity": plane.channel.capacity},
        "handlers": {"busy": plane.pool.busy, "size": plane.pool.size},
    }
