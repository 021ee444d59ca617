"""Metadata, by hand: it is the first thing every client asks, and kio loads slowly.

Versions 0 to 13. The answer is cached as bytes by the handler.
"""

from typing import NamedTuple
from uuid import UUID

from salon.broker.protocol.primitives import Reader, Writer

NO_ID = UUID(int=0)
_UNKNOWN_OPERATIONS = -(2**31)


class MetadataRequest(NamedTuple):
    """``topics`` is None for all topics; each is asked for by name or by id."""

    topics: list[tuple[str | None, UUID]] | None
    allow_auto_topic_creation: bool


class BrokerEndpoint(NamedTuple):
    """Where a broker is reached."""

    node_id: int
    host: str
    port: int


class PartitionMetadata(NamedTuple):
    """Who leads a partition and who follows."""

    error: int
    partition: int
    leader: int
    leader_epoch: int
    replicas: tuple[int, ...]
    isr: tuple[int, ...]
    offline: tuple[int, ...] = ()


class TopicMetadata(NamedTuple):
    """A topic, or why there is none (then without partitions)."""

    error: int
    name: str | None
    id: UUID
    internal: bool
    partitions: list[PartitionMetadata]


def decode(buffer: memoryview, position: int, version: int) -> MetadataRequest:
    """A Metadata body.

    Raises:
        ProtocolError: theirs; the bytes end early or lengths do not fit.
    """
    compact = version >= 9
    r = Reader(buffer, position)
    count = r.array_length(compact=compact)
    topics: list[tuple[str | None, UUID]] = []
    for _ in range(count):
        topic_id = r.uuid() if version >= 10 else NO_ID
        if version >= 10:
            name = r.nullable_string(compact=True)
        else:
            name = r.string(compact=compact)
        topics.append((name, topic_id))
        if compact:
            r.skip_tags()
    allow = r.boolean() if version >= 4 else True
    all_topics = count == -1 or (version == 0 and count == 0)  # v0 had no null
    return MetadataRequest(None if all_topics else topics, allow)


def encode(
    brokers: list[BrokerEndpoint],
    cluster_id: str,
    controller_id: int,
    topics: list[TopicMetadata],
    version: int,
) -> bytearray:
    """A Metadata response body."""
    w = Writer(compact=version >= 9)
    if version >= 3:
        w.int32(0)  # throttle_time_ms
    w.array(len(brokers))
    for broker in brokers:
        w.int32(broker.node_id)
        w.string(broker.host)
        w.int32(broker.port)
        if version >= 1:
            w.string(None)  # rack
        w.tags()
    if version >= 2:
        w.string(cluster_id)
    if version >= 1:
        w.int32(controller_id)
    w.array(len(topics))
    for topic in topics:
        _write_topic(w, topic, version)
    if 8 <= version <= 10:
        w.int32(_UNKNOWN_OPERATIONS)
    if version >= 13:
        w.int16(0)  # error_code
    w.tags()
    return w.out


def _write_topic(w: Writer, topic: TopicMetadata, version: int) -> None:
    w.int16(topic.error)
    # Null names are a v12 affair (asked for by an id that nobody has).
    w.string(topic.name if version >= 12 else topic.name or "")
    if version >= 10:
        w.uuid(topic.id)
    if version >= 1:
        w.boolean(topic.internal)
    w.array(len(topic.partitions))
    for p in topic.partitions:
        w.int16(p.error)
        w.int32(p.partition)
        w.int32(p.leader)
        if version >= 7:
            w.int32(p.leader_epoch)
        w.int32_array(p.replicas)
        w.int32_array(p.isr)
        if version >= 5:
            w.int32_array(p.offline)
        w.tags()
    if version >= 8:
        w.int32(_UNKNOWN_OPERATIONS)
    w.tags()
