"""The records of ``__consumer_offsets``, in Kafka's formats.

(``GroupMetadataManager``, ``OffsetCommitKey/Value.json``, ``GroupMetadataKey/Value``.)
Key version 1 is a committed offset, key version 2 the state of a group; a null value is
a tombstone. Written: OffsetCommitValue v3 and GroupMetadataValue v3, which every Kafka
since 2.3 reads. Read: from v1 on.
"""

from dataclasses import dataclass

from salon.broker.errors import ProtocolError
from salon.broker.protocol.primitives import Reader, Writer

_OFFSET_KEY = 1
_GROUP_KEY = 2


@dataclass(frozen=True)
class OffsetKey:
    """Who committed what: group, topic, partition."""

    group: str
    topic: str
    partition: int


@dataclass(frozen=True)
class GroupKey:
    """Whose state."""

    group: str


@dataclass(frozen=True)
class Committed:
    """A committed offset."""

    offset: int
    leader_epoch: int
    metadata: str
    commit_timestamp: int


@dataclass(frozen=True)
class MemberState:
    """One member as it is kept."""

    member_id: str
    instance_id: str | None
    client_id: str
    host: str
    rebalance_timeout_ms: int
    session_timeout_ms: int
    subscription: bytes
    assignment: bytes


@dataclass(frozen=True)
class GroupState:
    """A group as it is kept."""

    protocol_type: str
    generation: int
    protocol: str | None
    leader: str | None
    timestamp: int
    members: tuple[MemberState, ...]


def write_key(key: OffsetKey | GroupKey) -> bytes:
    w = Writer(compact=False)
    if isinstance(key, OffsetKey):
        w.int16(_OFFSET_KEY)
        w.string(key.group)
        w.string(key.topic)
        w.int32(key.partition)
    else:
        w.int16(_GROUP_KEY)
        w.string(key.group)
    return bytes(w.out)


def read_key(data: bytes) -> OffsetKey | GroupKey | None:
    """The key, or None for a kind that is not kept here."""
    r = Reader(memoryview(data))
    version = r.int16()
    if version in (0, _OFFSET_KEY):
        return OffsetKey(r.string(compact=False), r.string(compact=False), r.int32())
    if version == _GROUP_KEY:
        return GroupKey(r.string(compact=False))
    return None


def write_committed(value: Committed) -> bytes:
    w = Writer(compact=False)
    w.int16(3)
    w.int64(value.offset)
    w.int32(value.leader_epoch)
    w.string(value.metadata)
    w.int64(value.commit_timestamp)
    return bytes(w.out)


def read_committed(data: bytes) -> Committed:
    r = Reader(memoryview(data))
    version = r.int16()
    offset = r.int64()
    leader_epoch = r.int32() if version >= 3 else -1
    metadata = r.string(compact=version >= 4)
    return Committed(offset, leader_epoch, metadata, r.int64())


def write_group(value: GroupState) -> bytes:
    w = Writer(compact=False)
    w.int16(3)
    w.string(value.protocol_type)
    w.int32(value.generation)
    w.string(value.protocol)
    w.string(value.leader)
    w.int64(value.timestamp)
    w.array(len(value.members))
    for member in value.members:
        w.string(member.member_id)
        w.string(member.instance_id)
        w.string(member.client_id)
        w.string(member.host)
        w.int32(member.rebalance_timeout_ms)
        w.int32(member.session_timeout_ms)
        for data in (member.subscription, member.assignment):
            w.int32(len(data))
            w.out += data
    return bytes(w.out)


def read_group(data: bytes) -> GroupState:
    r = Reader(memoryview(data))
    version = r.int16()
    compact = version >= 4
    protocol_type = r.string(compact=compact)
    generation = r.int32()
    protocol = r.nullable_string(compact=compact)
    leader = r.nullable_string(compact=compact)
    timestamp = r.int64() if version >= 2 else -1
    members = []
    for _ in range(r.array_length(compact=compact)):
        members.append(
            MemberState(
                member_id=r.string(compact=compact),
                instance_id=r.nullable_string(compact=compact)
                if version >= 3
                else None,
                client_id=r.string(compact=compact),
                host=r.string(compact=compact),
                rebalance_timeout_ms=r.int32() if version >= 1 else 60_000,
                session_timeout_ms=r.int32(),
                subscription=bytes(r.nullable_bytes(compact=compact) or b""),
                assignment=bytes(r.nullable_bytes(compact=compact) or b""),
            )
        )
        if compact:
            r.skip_tags()
    return GroupState(
        protocol_type, generation, protocol, leader, timestamp, tuple(members)
    )


def subscribed_topics(subscription: bytes) -> set[str]:
    """Topics of a consumer's subscription (``ConsumerProtocolSubscription``).

    Empty for what another kind of member sent.
    """
    try:
        r = Reader(memoryview(subscription))
        r.int16()  # version; what follows the topics depends on it
        return {r.string(compact=False) for _ in range(r.array_length(compact=False))}
    except ProtocolError:
        return set()
